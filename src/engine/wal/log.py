# Owns the open log of this writer: assigns positions, groups commits, rotates segments. One thread
# writes; everything else happens on the event loop. After a failed write or sync the log accepts
# nothing more (the kernel may have dropped the dirty pages, so trying again would only pretend),
# see SECURITY of data in docs/architecture.md.
"""Group commit over log segments."""

import asyncio
import logging
import mmap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.clock import Clock
from engine.errors import BackPressureError, WalError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.paths import DataPaths
from lp_core import EncodedFrame, Frame, SegmentReader, SegmentWriter

logger = logging.getLogger(__name__)


# Small groups write this many zeros behind them, once: frames that later land on written blocks
# sync without a change of the file's metadata, which costs many times the write itself.
ZERO_AHEAD_BYTES = 1024 * 1024
ZERO_AHEAD_GROUP_BYTES_MAX = 128 * 1024

_ZEROS = memoryview(bytes(ZERO_AHEAD_BYTES))


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the log."""

    # A segment is sealed when the next frame would pass this size.
    segment_bytes_max: int = 64 * 1024 * 1024
    # Bytes that may wait for the disk; more are refused with BackPressureError.
    queued_bytes_max: int = 256 * 1024 * 1024


class Segment:
    """One segment file, mapped read-only for everybody who reads its frames."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        with path.open("rb") as file:
            # Covers the preallocated tail too; readers may not pass the durable end.
            self._map = mmap.mmap(file.fileno(), size_bytes, access=mmap.ACCESS_READ)
        self.reader = SegmentReader(self._map)


class DurableFrame(msgspec.Struct, frozen=True):
    """A frame that is on disk: where it is and what it holds."""

    segment: Segment
    frame: Frame

    @property
    def position(self) -> Position:
        """Its place in the log."""
        return Position(self.frame.position)


class _Pending:
    """A frame on its way to the disk."""

    __slots__ = ("done", "encoded", "offset", "position", "segment")

    def __init__(self, encoded: EncodedFrame, position: Position) -> None:
        self.encoded = encoded
        self.position = position
        self.done: asyncio.Future[DurableFrame] = asyncio.get_running_loop().create_future()
        self.segment: Segment | None = None
        self.offset = 0


class Log:
    """The writer's log. Create, `start`, `append` from the event loop, `stop`."""

    def __init__(
        self,
        paths: DataPaths,
        node_id: str,
        config: LogConfig,
        filesystem: FileSystem,
        clock: Clock,
        *,
        next_position: Position,
        on_durable: Callable[[list[DurableFrame]], None],
        on_sync: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Prepare a log that goes on at `next_position`.

        `on_durable` is called on the event loop with the frames of each group, in log order, before
        the futures of `append` resolve: so what is acknowledged is also visible.
        """
        self._paths = paths
        self._node_id = node_id
        self._config = config
        self._filesystem = filesystem
        self._clock = clock
        self._on_durable = on_durable
        self._on_sync = on_sync
        self._next_position = next_position
        # Frames up to here are on disk and visible; triggers may read no further.
        self.durable_position = Position(next_position - 1)
        self.failure: WalError | None = None
        self.queued_bytes = 0
        self.written_bytes = 0
        self._wake = threading.Condition()
        self._queue: list[_Pending] = []
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._segment: Segment | None = None
        self._descriptor = -1
        self._offset = 0
        self._segment_size = 0
        # The segment's blocks are written (not only reserved) up to here.
        self._written_until = 0

    def start(self) -> None:
        """Start the log thread; call on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def append(self, encoded: EncodedFrame) -> asyncio.Future[DurableFrame]:
        """Queue a frame; the future resolves once it is durable and visible.

        Raises:
            WalError: The log has failed before, or is being stopped.
            BackPressureError: Too many bytes wait for the disk.
        """
        if self.failure is not None:
            raise self.failure
        if self._is_stopping:
            raise WalError("the server is shutting down and does not accept writes any more")
        if self.queued_bytes + encoded.nbytes > self._config.queued_bytes_max and self.queued_bytes:
            raise BackPressureError(
                f"{self.queued_bytes} bytes wait for the disk, the limit is "
                f"{self._config.queued_bytes_max}",
                hint="the disk is slower than the writes: send again after the pause given",
            )
        pending = _Pending(encoded, self._next_position)
        self._next_position = Position(self._next_position + 1)
        self.queued_bytes += encoded.nbytes
        with self._wake:
            self._queue.append(pending)
            self._wake.notify()
        return pending.done

    async def stop(self) -> None:
        """Write what is queued, seal the segment, end the thread."""
        self._is_stopping = True
        with self._wake:
            self._wake.notify()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    # The log thread from here on.

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._is_stopping:
                    self._wake.wait()
                group, self._queue = self._queue, []
            if not group:
                break
            self._commit(group)
        try:
            self._seal()
        except OSError as error:
            logger.exception("sealing the last segment failed", extra=keys(error=error))

    def _commit(self, group: list[_Pending]) -> None:
        assert self._loop is not None
        if self.failure is None:
            started = time.monotonic()
            try:
                self._write(group)
            except OSError as error:
                self.failure = WalError(
                    f"the log cannot be written: {error}",
                    hint="free space or replace the disk, then restart; queries go on meanwhile",
                )
                logger.critical("log failed, no more writes are accepted", extra=keys(error=error))
            except Exception as error:
                # Whatever it is: a thread that ended here would leave every writer waiting.
                self._fail("the log cannot be written", error)
            else:
                self._loop.call_soon_threadsafe(self._on_sync, time.monotonic() - started)
        self._loop.call_soon_threadsafe(self._resolve, group, self.failure)

    def _fail(self, what: str, error: Exception) -> None:
        self.failure = WalError(
            f"{what}: {type(error).__name__}: {error}",
            hint="restart the server; its log has the details",
        )
        logger.critical("log failed, no more writes are accepted", exc_info=error)

    def _write(self, group: list[_Pending]) -> None:
        buffers: list[memoryview] = []
        start = self._offset
        for pending in group:
            if self._offset + pending.encoded.nbytes > self._segment_size:
                self._flush(buffers, start)
                self._rotate(pending)
                buffers, start = [], self._offset
            pending.encoded.seal(pending.position)
            pending.segment, pending.offset = self._segment, self._offset
            buffers.append(memoryview(pending.encoded))
            self._offset += pending.encoded.nbytes
        self._flush(buffers, start)

    def _flush(self, buffers: list[memoryview], start: int) -> None:
        if not buffers:
            return
        written = self._filesystem.write_at(self._descriptor, buffers, start)
        self.written_bytes += written
        end = start + written
        if end > self._written_until:
            self._written_until = end
            room = min(self._segment_size - end, ZERO_AHEAD_BYTES)
            if written <= ZERO_AHEAD_GROUP_BYTES_MAX and room > 0:
                self._filesystem.write_at(self._descriptor, [_ZEROS[:room]], end)
                self._written_until = end + room
        self._filesystem.sync_data(self._descriptor)

    def _rotate(self, first: _Pending) -> None:
        """Seal the segment in use and create the one that starts with `first`."""
        self._seal()
        writer = SegmentWriter(
            first_position=first.position, node_id=self._node_id, created_ns=self._clock.now_ns()
        )
        header = bytes(writer.header)
        size = max(self._config.segment_bytes_max, len(header) + first.encoded.nbytes)
        path = self._paths.segment(first.position)
        self._descriptor = self._filesystem.create_preallocated(path, size)
        self._filesystem.write_at(self._descriptor, [memoryview(header)], 0)
        self._filesystem.sync_data(self._descriptor)
        # Without this a crash could forget the file's name while its frames are acknowledged.
        self._filesystem.sync_directory(path.parent)
        self._segment = Segment(path, size)
        self._segment_size = size
        self._written_until = len(header)
        self._offset = len(header)

    def _seal(self) -> None:
        if self._segment is not None:
            self._filesystem.truncate(self._descriptor, self._offset)
            self._filesystem.close(self._descriptor)
            self._segment, self._descriptor, self._segment_size = None, -1, 0

    # The event loop again.

    def _resolve(self, group: list[_Pending], failure: WalError | None) -> None:
        """Tell those who wait for `group`; a later group may have failed already."""
        self.queued_bytes -= sum(pending.encoded.nbytes for pending in group)
        if failure is None:
            try:
                self._publish(group)
            except Exception as error:
                # On disk, but not visible: going on would let queries and triggers miss it.
                self._fail("a durable record cannot be applied", error)
                failure = self.failure
        if failure is not None:
            for pending in group:
                if not pending.done.done():
                    pending.done.set_exception(failure)
                    # A no_sync write has nobody who awaits it; the failure is logged already.
                    pending.done.exception()

    def _publish(self, group: list[_Pending]) -> None:
        durable = []
        for pending in group:
            assert pending.segment is not None
            # This process wrote the bytes a moment ago: nothing to verify.
            frame = pending.segment.reader.frame(pending.offset, verify=False)
            durable.append(DurableFrame(pending.segment, frame))
        self.durable_position = group[-1].position
        self._on_durable(durable)
        for pending, record in zip(group, durable, strict=True):
            if not pending.done.done():
                pending.done.set_result(record)
