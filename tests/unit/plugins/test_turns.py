# What a flush starts, one in each turn of the event loop.

import asyncio
import itertools

from engine.plugins.turns import Turns


def run(body):
    async def scenario():
        problems = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))
        await body(loop)
        return problems

    return asyncio.run(scenario())


async def wait_for(found, count):
    async with asyncio.timeout(60):
        for _ in itertools.takewhile(lambda _: len(found) < count, itertools.count()):
            await asyncio.sleep(0)


def test_the_first_call_is_made_at_once_and_others_get_in_between_the_rest():
    async def body(loop):
        found = []

        def other():
            found.append("other")
            if len(found) < 12:
                loop.call_soon(other)

        turns = Turns()
        loop.call_soon(other)
        for number in range(3):
            turns.add(lambda number=number: found.append(number))
        assert found == [0]
        await wait_for(found, 12)
        places = [found.index(number) for number in range(3)]
        assert places == sorted(places)
        assert all(found[place + 1] == "other" for place in places)

    assert run(body) == []


def test_calls_can_be_added_again_when_all_are_made_and_while_one_is_made():
    async def body(_):
        found = []
        turns = Turns()
        turns.add(lambda: turns.add(lambda: found.append(1)))
        await wait_for(found, 1)
        for _ in range(5):
            await asyncio.sleep(0)
        turns.add(lambda: found.append(2))
        assert found == [1, 2]

    assert run(body) == []


def test_a_call_that_fails_does_not_stop_the_others():
    async def body(_):
        found = []
        turns = Turns()
        turns.add(lambda: None)
        turns.add(lambda: 1 / 0)
        turns.add(lambda: found.append(1))
        await wait_for(found, 1)

    (problem,) = run(body)
    assert isinstance(problem, ZeroDivisionError)
