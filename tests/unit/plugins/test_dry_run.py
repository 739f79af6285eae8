"""Bounds of dry runs: what a plugin tries out must not fill the server."""

import asyncio

import msgspec
import pytest

from engine.catalog.trigger_permissions import EVERYTHING
from engine.clock import SystemClock
from engine.errors import PluginError, TableNotFoundError, TriggerRightsError
from engine.plugins import dry_run, dry_run_capture, history
from engine.plugins.cache import ExpiringStore
from engine.plugins.dry_run import _collect
from engine.plugins.dry_run_capture import Capture, DryRunCache
from engine.plugins.past_rows import PastRow
from engine.plugins.response_stream import ResponseStream, StreamAbandonedError
from engine.plugins.services import WorkerTrigger
from engine.store.live import LiveStore
from engine.store.plugin_state import TriggerState

TRIAL = WorkerTrigger(database="db", name="test", identity="test", plugin_path="", kind="wal")


def test_captured_writes_and_log_lines_are_bounded(monkeypatch):
    monkeypatch.setattr(dry_run_capture, "CAPTURED_BYTES_MAX", 10)
    monkeypatch.setattr(dry_run_capture, "LOG_LINES_SHOWN_MAX", 2)
    capture = Capture(None, TriggerState())
    asyncio.run(capture.write(TRIAL, "db", b"m f=1", False, 0))
    asyncio.run(capture.write(TRIAL, "db", b"m f=2", True, 0))
    with pytest.raises(PluginError, match="may write 10 bytes"):
        asyncio.run(capture.write(TRIAL, "db", b"x", False, 0))
    assert capture.writes == [("db", "m f=1"), ("db", "m f=2")]
    for number in range(5):
        capture.log(None, "INFO", str(number), 0)
    assert (capture.log_lines, capture.log_lines_left_out) == (["INFO: 0", "INFO: 1"], 3)


def test_of_a_long_streamed_answer_the_start_is_kept(monkeypatch):
    monkeypatch.setattr(dry_run, "BODY_BYTES_SHOWN_MAX", 5)

    async def main():
        stream = ResponseStream()
        collecting = asyncio.create_task(_collect(stream))
        for _ in range(100):
            await stream.put(200, [], b"abc")
        await stream.end()
        return await collecting

    assert asyncio.run(main()) == b"abcab"


def test_values_of_test_caches_expire(monkeypatch):
    monkeypatch.setattr(dry_run_capture, "CACHE_TTL_S", 5.0)
    now = [0.0]
    cache = DryRunCache(lambda: now[0])
    assert isinstance(cache, ExpiringStore)
    cache.put("k", b"v", None)
    cache.put("long", b"v", 50.0)
    now[0] = 5.0
    assert cache.get("k") == (False, None)
    assert cache.get("long") == (True, b"v")


def test_a_slow_reader_holds_the_writer_and_one_who_leaves_lets_it_go():
    async def main():
        stream = ResponseStream()
        sent = []

        async def write():
            for number in range(100):
                await stream.put(200, [], str(number).encode())
                sent.append(number)

        writing = asyncio.create_task(write())
        await stream.decided
        assert await stream.next() == b"0"
        before = -1
        while before != len(sent):  # until it cannot go on
            before = len(sent)
            for _ in range(10):
                await asyncio.sleep(0)
        assert len(sent) < 10
        stream.abandon()
        with pytest.raises(StreamAbandonedError):
            await writing
        await stream.end()

    asyncio.run(main())


def test_log_lines_are_bounded_in_bytes_too(monkeypatch):
    monkeypatch.setattr(dry_run_capture, "LOG_BYTES_SHOWN_MAX", 100)
    capture = Capture(None, TriggerState())
    for _ in range(5):
        capture.log(None, "INFO", "x" * 40, 0)
    assert (len(capture.log_lines), capture.log_lines_left_out) == (2, 3)


def test_captured_writes_are_bounded_in_number(monkeypatch):
    """Each is an object, and each database among them a schema."""
    monkeypatch.setattr(dry_run_capture, "CAPTURED_WRITES_MAX", 2)
    capture = Capture(None, TriggerState())
    asyncio.run(capture.write(TRIAL, "a", b"m f=1", False, 0))
    asyncio.run(capture.write(TRIAL, "b", b"m f=1", False, 0))
    with pytest.raises(PluginError, match="2 writes"):
        asyncio.run(capture.write(TRIAL, "c", b"m f=1", False, 0))


def test_errors_of_writes_are_bounded(monkeypatch):
    monkeypatch.setattr(dry_run, "ERRORS_SHOWN_MAX", 3)
    runs = dry_run.DryRuns(
        None, None, None, LiveStore(), None, None, None, None, SystemClock(), is_own_only=False
    )
    report = dry_run.DryRunReport(log_lines=[], database_writes={}, errors=[])
    runs._take_writes(report, [("db", f"m f={number}x") for number in range(10)], {}, EVERYTHING)
    assert len(report.errors) == 3
    assert report.left_out == {"errors": 7}


def test_what_the_trigger_would_have_no_right_to_is_refused_to_a_trial():
    capture = Capture(None, TriggerState())
    trial = msgspec.structs.replace(TRIAL, permissions=("db:db:write",))
    asyncio.run(capture.write(trial, "db", b"m f=1", False, 0))
    with pytest.raises(TriggerRightsError, match="write database 'other'"):
        asyncio.run(capture.write(trial, "other", b"m f=1", False, 0))
    with pytest.raises(TriggerRightsError, match="read database 'db'"):
        asyncio.run(capture.query(trial, "SELECT 1", None, "db"))
    assert capture.writes == [("db", "m f=1")]


def test_buffered_writes_without_a_right_are_errors_of_a_trial():
    runs = dry_run.DryRuns(
        *(None, None, None, LiveStore(), None, None, None, None, SystemClock()), is_own_only=False
    )
    report = dry_run.DryRunReport(log_lines=[], database_writes={}, errors=[])
    runs._take_writes(report, [("a", "m f=1"), ("b", "m f=1")], {}, ("db:a:write",))
    assert report.errors == [
        "error writing back lines: trigger 'test' has no right to write database 'b'"
    ]


class PastOf:
    """A past of rows that are given, in pieces of two."""

    def __init__(self, rows):
        self.given = rows

    async def rows(self, wanted):
        for start in range(0, len(self.given), 2):
            yield self.given[start : start + 2]


def calls_of(rows):
    return asyncio.run(history.history_calls(PastOf(rows), LiveStore(), "db", 0, 10, None))


def test_history_is_dealt_out_in_calls(monkeypatch):
    monkeypatch.setattr(history, "ROWS_PER_CALL", 3)
    rows = [PastRow("mn"[time % 2], {"time": time}, ()) for time in range(5)]
    assert calls_of(rows) == [
        [("m", [{"time": 0}, {"time": 2}]), ("n", [{"time": 1}])],
        [("n", [{"time": 3}]), ("m", [{"time": 4}])],
    ]
    assert calls_of([]) == []
    with pytest.raises(TableNotFoundError):
        asyncio.run(history.history_calls(PastOf([]), LiveStore(), "db", 0, 10, "m"))


def test_history_is_bounded(monkeypatch):
    rows = [PastRow("m", {"s": "x" * 20, "time": time}, ()) for time in range(5)]
    monkeypatch.setattr(history, "BYTES_MAX", 100)
    with pytest.raises(PluginError, match="100 bytes"):
        calls_of(rows)
    monkeypatch.setattr(history, "ROWS_MAX", 3)
    with pytest.raises(PluginError, match="more than 3 rows"):
        calls_of(rows)
