"""The form of log lines, and the request that they belong to."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from engine import logs
from engine.logs import KeyValueFormatter, RepeatLimit, RequestMark, keys


def line(text: str, **values: object) -> str:
    record = logging.LogRecord("engine.x", logging.INFO, "f", 1, text, (), None)
    record.__dict__.update(keys(**values))
    return KeyValueFormatter().format(record).split(" ", 1)[1]


def test_lines_of_a_request_have_its_id_until_it_is_over() -> None:
    later: list[str] = []

    async def outlives(over: asyncio.Event) -> None:
        await over.wait()
        later.append(line("after", a=1))

    async def request(request_id: str) -> str:
        mark, over = RequestMark(request_id), asyncio.Event()
        task = asyncio.create_task(outlives(over))
        await asyncio.sleep(0)
        during = line("during", a=1)
        mark.is_over = True
        over.set()
        await task
        return during

    async def main() -> list[str]:
        return await asyncio.gather(request("one"), request("two"))

    assert asyncio.run(main()) == [
        "INFO engine.x during a=1 request_id=one",
        "INFO engine.x during a=1 request_id=two",
    ]
    assert later == ["INFO engine.x after a=1"] * 2
    assert line("outside") == "INFO engine.x outside"


def test_what_varies_cannot_forge_a_line() -> None:
    assert line("event", sql='a "b"\nc=d\\') == 'INFO engine.x event sql="a \\"b\\"\\nc=d\\\\"'


def test_nothing_in_a_line_commands_a_terminal() -> None:
    assert line("\x1b[2J\tmoved \u00fc", name="a\x9b\u202e", path="\u2028\x0b") == (
        "INFO engine.x \\u001b[2J\tmoved \u00fc name=a\\u009b\\u202e path=\\u2028\\u000b"
    )


def test_what_comes_too_often_is_left_out_and_counted() -> None:
    now = [0.0]
    limit = RepeatLimit(lambda: now[0])

    def shown(text: str, level: int = logging.WARNING, name: str = "engine.x") -> str | None:
        record = logging.LogRecord(name, level, "f", 1, text, (), None)
        record.__dict__.update(keys(a=1))
        return KeyValueFormatter().format(record).split(" ", 3)[3] if limit.filter(record) else None

    first = [shown("wrong token") for _ in range(70)]
    assert first[:49] == ["wrong token a=1"] * 49
    assert first[49] == 'wrong token a=1 left_out="more of these for 10 s"'
    assert first[50:] == [None] * 20
    # Others are others, and what nobody can bring about at will is shown always.
    assert shown("slow query") == "slow query a=1"
    assert shown("wrong token", name="engine.y") == "wrong token a=1"
    assert all(shown("said", name="engine.plugins.plugin_log") for _ in range(70))
    assert [shown("started", logging.INFO) for _ in range(70)] == ["started a=1"] * 70
    now[0] = 9.9
    assert shown("wrong token") is None
    now[0] = 10.0
    assert shown("wrong token") == "wrong token a=1 left_out_before=21"
    assert shown("wrong token") == "wrong token a=1"
    now[0] = 30.0
    assert shown("wrong token") == "wrong token a=1"


def test_phrases_without_end_are_not_remembered() -> None:
    limit = RepeatLimit()
    for number in range(5_000):
        record = logging.LogRecord("other", logging.ERROR, "f", 1, f"at {number}", (), None)
        assert limit.filter(record)
    assert len(limit._seen) <= 1_000


@pytest.fixture
def levels() -> Iterator[None]:
    before = {name: logging.getLogger(name).level for name in logs.loggers()}
    root = logging.root.level
    yield
    logging.root.setLevel(root)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_levels_are_set_and_taken_back(levels: None) -> None:
    child = logging.getLogger("engine.test_logs.child")
    logs.set_level("warn")
    assert logs.levels()["root"] == "warn"
    assert not child.isEnabledFor(logging.INFO)
    assert "engine.test_logs" in logs.loggers()
    logs.set_level("debug", "engine.test_logs")
    assert child.isEnabledFor(logging.DEBUG)
    assert logs.levels()["engine.test_logs"] == "debug"
    logs.set_level(None, "engine.test_logs")
    assert not child.isEnabledFor(logging.INFO)
    assert "engine.test_logs" not in logs.levels()
    assert not {"root", "asyncio"} & set(logs.loggers())
