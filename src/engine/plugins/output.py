# Owns what plugins print: their standard output and error go into a pipe, and from there into the
# server's log line by line, with the name of the trigger. A plugin that prints without end fills
# neither the disk nor the event loop's time: it is read at a limited pace, and most of it dropped.
"""Output of plugin workers."""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from engine.logs import keys
from engine.plugins.allowance import Allowance

logger = logging.getLogger(__name__)

# Read in one go, then the event loop has time for others; a plugin that prints faster waits as soon
# as the pipe is full.
_CHUNK_BYTES = 4096
_PAUSE_S = 0.002
# What a pipe holds: read at the end.
_LAST_CHUNKS = 16
_LINE_BYTES_MAX = 4096
# Logged at once, and by the second; each line counts as so many bytes more.
_BURST_BYTES = 1024 * 1024
_BYTES_PER_S = 64 * 1024
_LINE_COST_BYTES = 128


class WorkerOutput:
    """The server's end of the pipe; lives on the event loop."""

    def __init__(self, database: str, trigger: str) -> None:
        """Output of the worker of a trigger, whose names go with each line."""
        self._names = keys(database=database, trigger=trigger)
        self._loop = asyncio.get_running_loop()
        self._descriptor, self._worker_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._descriptor, False)
        self._is_open = True
        self._pause: asyncio.TimerHandle | None = None
        self._partial = b""
        self._allowance = Allowance(_BURST_BYTES, _BYTES_PER_S)
        self._dropped_bytes = 0
        self._loop.add_reader(self._descriptor, self._read)

    @contextmanager
    def worker_end(self) -> Iterator[int]:
        """The descriptor to print into, for the time of handing it over."""
        try:
            yield self._worker_end
        finally:
            os.close(self._worker_end)

    def close(self) -> None:
        """Take what is still in the pipe, and close it. Who prints later gets an error."""
        for _ in range(_LAST_CHUNKS):
            if self._is_open and not self._read_chunk():
                break
        self._stop()

    def _read(self) -> None:
        if self._read_chunk() == _CHUNK_BYTES:
            self._loop.remove_reader(self._descriptor)
            self._pause = self._loop.call_later(_PAUSE_S, self._resume)

    def _read_chunk(self) -> int:
        """Take some bytes; return their number."""
        try:
            data = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._take(data)
        else:
            self._stop()
        return len(data)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._descriptor, self._read)

    def _stop(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        if self._partial:
            self._log(self._partial)
            self._partial = b""
        self._report_dropped()

    def _take(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._log(line)
        if len(self._partial) > _LINE_BYTES_MAX:
            self._dropped_bytes += len(self._partial) - _LINE_BYTES_MAX
            self._partial = self._partial[:_LINE_BYTES_MAX]

    def _log(self, line: bytes) -> None:
        shown = line[:_LINE_BYTES_MAX]
        if not self._allowance.take(len(shown) + _LINE_COST_BYTES):
            self._dropped_bytes += len(line)
            return
        self._report_dropped()
        self._dropped_bytes += len(line) - len(shown)
        if shown:
            logger.info("printed: %s", shown.decode("utf-8", "backslashreplace"), extra=self._names)

    def _report_dropped(self) -> None:
        if self._dropped_bytes:
            dropped, self._dropped_bytes = self._dropped_bytes, 0
            logger.warning(
                "%d bytes of what a plugin printed are dropped", dropped, extra=self._names
            )
