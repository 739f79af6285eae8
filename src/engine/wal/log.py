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
from engine.wal.gathering import Gathering
from engine.wal.segment_files import SegmentFile, SegmentFiles, is_worth_zeros
from lp_core import EncodedFrame, Frame, SegmentReader, SegmentWriter

logger = logging.getLogger(__name__)


# In a segment that is not filled with zeros, small groups write this many zeros behind them, once:
# frames that later land on written blocks sync without a change of the file's metadata.
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
        # So many frames in the queue wake the log thread.
        self._wake_at = 1
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # From here on, only the log thread's.
        self._gathering = Gathering()
        self._files = SegmentFiles(paths, filesystem)
        self._file: SegmentFile | None = None
        self._segment: Segment | None = None
        self._opened_at = 0.0
        self._offset = 0
        # The file's name is not durable yet.
        self._is_new = False
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
            if len(self._queue) >= self._wake_at:
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
        while group := self._next_group():
            self._commit(group)
        self._seal()
        self._files.close()

    def _next_group(self) -> list[_Pending]:
        """Wait for frames and take them all; none when the log is being stopped."""
        with self._wake:
            self._wake_at = 1
            while not self._queue and not self._is_stopping:
                self._wake.wait()
            wanted, patience_s = self._gathering.patience(
                sum(pending.encoded.nbytes for pending in self._queue)
            )
            if patience_s > 0 and len(self._queue) < wanted:
                self._gather(wanted, patience_s)
            group, self._queue = self._queue, []
            return group

    def _gather(self, wanted: int, patience_s: float) -> None:
        before = len(self._queue)
        self._wake_at = wanted
        deadline = time.monotonic() + patience_s
        while len(self._queue) < wanted and not self._is_stopping:
            if not self._wake.wait(deadline - time.monotonic()):
                break
        self._gathering.waited(len(self._queue) - before)

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
                seconds = time.monotonic() - started
                self._gathering.committed(len(group), len(self._queue), seconds)
                self._loop.call_soon_threadsafe(self._on_sync, seconds)
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
            nbytes = pending.encoded.nbytes
            if self._file is None or self._offset + nbytes > self._file.size_bytes:
                self._flush(buffers, start)
                self._rotate(pending)
                buffers, start = [], self._offset
            pending.encoded.seal(pending.position)
            pending.segment, pending.offset = self._segment, self._offset
            buffers.append(memoryview(pending.encoded))
            self._offset += nbytes
        self._flush(buffers, start)
        self._look_ahead()

    def _flush(self, buffers: list[memoryview], start: int) -> None:
        if not buffers:
            return
        assert self._file is not None
        written = self._filesystem.write_at(self._file.descriptor, buffers, start)
        self.written_bytes += written
        end = start + written
        if end > self._written_until:
            self._written_until = end
            room = min(self._file.size_bytes - end, ZERO_AHEAD_BYTES)
            if written <= ZERO_AHEAD_GROUP_BYTES_MAX and room > 0:
                self._filesystem.write_at(self._file.descriptor, [_ZEROS[:room]], end)
                self._written_until = end + room
        self._filesystem.sync_data(self._file.descriptor)
        if self._is_new:
            # Without this a crash could forget the file's name while its frames are acknowledged.
            self._filesystem.sync_directory(self._file.path.parent)
            self._is_new = False

    def _rotate(self, first: _Pending) -> None:
        """Seal the segment in use and open the one that starts with `first`.

        The header becomes durable by the sync of the first frames.
        """
        self._seal()
        header = SegmentWriter(
            first_position=first.position, node_id=self._node_id, created_ns=self._clock.now_ns()
        ).header
        size = max(self._config.segment_bytes_max, len(header) + first.encoded.nbytes)
        self._file = self._files.open(self._paths.segment(first.position), size)
        self._is_new = True
        self._filesystem.write_at(self._file.descriptor, [memoryview(header)], 0)
        self._segment = Segment(self._file.path, size)
        self._opened_at = time.monotonic()
        self._written_until = size if self._file.is_zero_filled else len(header)
        self._offset = len(header)

    def _look_ahead(self) -> None:
        """Have the next segment made once half of this one is used."""
        if self._file is not None and self._offset * 2 >= self._file.size_bytes:
            seconds = time.monotonic() - self._opened_at
            self._files.prepare(
                self._config.segment_bytes_max,
                zero_filled=is_worth_zeros(self._offset, seconds),
            )

    def _seal(self) -> None:
        if self._file is not None:
            self._files.seal(self._file, self._offset)
            self._file = self._segment = None

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
