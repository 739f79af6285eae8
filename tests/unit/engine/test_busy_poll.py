"""Who has answered stays awake for a moment, where that is worth it."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest
import uvloop

from engine.http import busy_poll
from engine.http.busy_poll import ANSWERS_WITHOUT_WAIT_MAX, BusyPoll

US_MAX = 300
LONG_US = 60_000_000


@pytest.fixture(autouse=True)
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the share of the cores, which is not there."""
    monkeypatch.setattr(busy_poll, "_SHARE", tmp_path / "cpu.max")
    return tmp_path / "cpu.max"


class Waits:
    """In place of the kernel: notes each wait, which ends as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cores: int = 2) -> None:
        self.count = 0
        self.has_input = False
        monkeypatch.setattr(busy_poll, "poll_busily", self._poll)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)

    def _poll(self, descriptor: int, ns_max: int) -> bool:
        assert ns_max == US_MAX * 1000
        self.count += 1
        return self.has_input


async def answers(poll: BusyPoll, count: int) -> None:
    """So many answers, each in a turn of the loop of its own."""
    for _ in range(count):
        poll.answered()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def test_waits_in_vain_are_given_up_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch)

    async def scenario() -> None:
        poll = BusyPoll(asyncio.get_running_loop(), US_MAX, lambda: True)
        waits.has_input = True
        await answers(poll, 10)
        assert waits.count == 10
        waits.has_input, waits.count = False, 0
        # One in vain, one without, one in vain, two without, ...
        await answers(poll, 2 + 3 + 5 + 9)
        assert waits.count == 4
        await answers(poll, 20 * ANSWERS_WITHOUT_WAIT_MAX)
        waits.count = 0
        await answers(poll, 4 * (ANSWERS_WITHOUT_WAIT_MAX + 1))
        assert waits.count == 4
        waits.has_input = True
        await answers(poll, ANSWERS_WITHOUT_WAIT_MAX + 1)
        waits.count = 0
        await answers(poll, 10)
        assert waits.count == 10

    uvloop.run(scenario())


def test_answers_of_one_turn_share_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch)

    async def scenario() -> None:
        poll = BusyPoll(asyncio.get_running_loop(), US_MAX, lambda: True)
        for _ in range(5):
            poll.answered()
        assert waits.count == 0
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert waits.count == 1

    uvloop.run(scenario())


@pytest.mark.parametrize(
    ("us_max", "cores", "is_wanted", "run"),
    [
        (0, 2, True, uvloop.run),
        (US_MAX, 1, True, uvloop.run),
        (US_MAX, 2, False, uvloop.run),
        # Of its events nothing is known.
        (US_MAX, 2, True, asyncio.run),
    ],
)
def test_the_loop_sleeps_where_waiting_takes_from_others(
    us_max: int, cores: int, is_wanted: bool, run: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Waits(monkeypatch, cores)

    async def scenario() -> None:
        await answers(BusyPoll(asyncio.get_running_loop(), us_max, lambda: is_wanted), 5)

    run(scenario())  # type: ignore[operator]  # one of two functions
    assert waits.count == 0


@pytest.mark.parametrize(
    ("text", "waits_wanted"),
    [
        ("max 100000\n", 1),
        ("200000 100000\n", 1),
        ("150000 100000\n", 0),
        ("50000 100000\n", 0),
        ("nonsense", 1),
    ],
)
def test_a_share_of_less_than_two_cores_is_not_spent_on_waiting(
    text: str, waits_wanted: int, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share.write_text(text)
    waits = Waits(monkeypatch, cores=8)

    async def scenario() -> None:
        await answers(BusyPoll(asyncio.get_running_loop(), US_MAX, lambda: True), 1)

    uvloop.run(scenario())
    assert waits.count == waits_wanted


def test_whatever_the_loop_is_told_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        poll = BusyPoll(loop, LONG_US, lambda: True)
        told = asyncio.Event()
        started = time.monotonic()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(told.set,))
        # Both in one turn, so the loop waits when the thread tells it.
        loop.call_soon(thread.start)
        poll.answered()
        await told.wait()
        assert time.monotonic() - started < LONG_US / 1e6
        thread.join()

    uvloop.run(scenario())
