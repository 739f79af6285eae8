"""Bounds of dry runs: what a plugin tries out must not fill the server."""

import asyncio

import pytest

from engine.errors import PluginError
from engine.plugins import dry_run, dry_run_capture
from engine.plugins.cache import ExpiringStore
from engine.plugins.dry_run import _collect
from engine.plugins.dry_run_capture import Capture, DryRunCache
from engine.plugins.response_stream import ResponseStream, StreamAbandonedError
from engine.store.plugin_state import TriggerState


def test_captured_writes_and_log_lines_are_bounded(monkeypatch):
    monkeypatch.setattr(dry_run_capture, "CAPTURED_BYTES_MAX", 10)
    monkeypatch.setattr(dry_run_capture, "LOG_LINES_SHOWN_MAX", 2)
    capture = Capture(None, TriggerState())
    asyncio.run(capture.write(None, "db", b"m f=1", False))
    asyncio.run(capture.write(None, "db", b"m f=2", True))
    with pytest.raises(PluginError, match="may write 10 bytes"):
        asyncio.run(capture.write(None, "db", b"x", False))
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
