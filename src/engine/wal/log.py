# Owns the open log of this writer: assigns positions and groups commits. Its thread commits, or the
# event loop while that is quicker; all else happens on the loop. After a failed sync it takes
# nothing more (the kernel may have dropped the dirty pages, so trying again would only pretend);
# what a full disk does not take is undone and refused, and the log goes on (docs/architecture.md).
"""Group commit over log segments."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from functools import partial

import msgspec

from engine.clock import Clock
from engine.errors import BackPressureError, DiskFullError, WalError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.paths import DataPaths
from engine.turns import take_prompt_turns
from engine.wal.commit_place import LOOP_BYTES_MAX, CommitPlace
from engine.wal.gathering import Gathering
from engine.wal.segment_series import NoRoomError, Segment, SegmentSeries, UnplacedFrame
from lp_core import EncodedFrame, Frame

logger = logging.getLogger(__name__)

# How long clients are asked to wait while the disk is full.
NO_ROOM_RETRY_S = 10


# So long a frame that need not hurry waits for the commit of others.
JOIN_S_MAX = 0.002


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the log."""

    # A segment is sealed when the next frame would pass this size.
    segment_bytes_max: int = 64 * 1024 * 1024
    # Bytes that may wait for the disk; more are refused with BackPressureError.
    queued_bytes_max: int = 256 * 1024 * 1024


class DurableFrame(msgspec.Struct, frozen=True):
    """A frame that is on disk: where it is and what it holds."""

    segment: Segment
    frame: Frame

    @property
    def position(self) -> Position:
        """Its place in the log."""
        return Position(self.frame.position)


# Called on the event loop with the frame once it is durable and visible, or with what went wrong.
OnEnd = Callable[[DurableFrame | WalError | DiskFullError], None]


class _End(msgspec.Struct, frozen=True):
    """How a commit ended.

    Attributes:
        durable: How many frames of the group are on the disk, from the first one on.
        failure: Why the others are not.
        seconds: How long it took.
    """

    durable: int
    failure: WalError | DiskFullError | None = None
    seconds: float = 0.0


class _Pending(UnplacedFrame):
    """A frame on its way to the disk, and who waits for it."""

    __slots__ = ("durable", "meanwhile", "on_end", "writers")

    def __init__(
        self,
        encoded: EncodedFrame,
        writers: int,
        on_end: OnEnd,
        meanwhile: Callable[[], None] | None,
    ) -> None:
        super().__init__(encoded)
        self.writers = writers
        self.on_end = on_end
        self.meanwhile = meanwhile
        # What it will be once it is on the disk.
        self.durable: DurableFrame | None = None

    def read(self) -> DurableFrame:
        """The frame as readers of the log see it; it has its place."""
        assert self.segment is not None
        # This process wrote the bytes a moment ago: nothing to verify.
        frame = self.segment.reader.frame(self.offset, verify=False)
        return DurableFrame(self.segment, frame)


class _Preparation:
    """Does, when called, what the end of a commit needs and no sync has to come before.

    Attributes:
        seconds: How long that took.
    """

    def __init__(self, group: list[_Pending]) -> None:
        self._group = group
        self.seconds = 0.0

    def __call__(self) -> None:
        started = time.monotonic()
        for pending in self._group:
            pending.durable = pending.read()
            # Read once: whoever makes it visible finds them there.
            _ = pending.durable.frame.sections
            if pending.meanwhile is not None:
                self._call(pending.meanwhile)
        self.seconds = time.monotonic() - started

    def _call(self, meanwhile: Callable[[], None]) -> None:
        try:
            meanwhile()
        except Exception:
            # No reason to lose the frame, or the log: `on_end` has to do without.
            logger.exception("an answer could not be made ready")


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
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a log that goes on at `next_position`.

        `on_durable` is called on the event loop with the frames of each group, in log order, before
        the futures of `append` resolve: so what is acknowledged is also visible. `on_refused` is
        called on the event loop once frames have found no room and no others are on their way.
        """
        self._config = config
        self._on_durable = on_durable
        self._on_sync = on_sync
        self._on_refused = on_refused
        self._has_refused = False
        # Frames up to here are on disk and visible; triggers may read no further.
        self.durable_position = Position(next_position - 1)
        self.failure: WalError | None = None
        self.queued_bytes = 0
        # Writers that hold their frames back until the commit under way is over.
        self.writers_held_back = 0
        self._after_commit: Callable[[], None] = lambda: None
        self._wake = threading.Condition()
        self._queue: list[_Pending] = []
        self._queued_writers = 0
        # So many writers in the queue wake the log thread.
        self._wake_at = 1
        # The log thread waits for company with a queue that it is about to take.
        self._is_gathering = False
        # Groups taken to be committed, and those of them that the event loop has heard of.
        self._groups_taken = 0
        self._groups_resolved = 0
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_commit_scheduled = False
        # From here on, only of the one who commits.
        self._next_position = next_position
        self._is_full = False
        self._place = CommitPlace()
        self._gathering = Gathering()
        self._segments = SegmentSeries(paths, node_id, config.segment_bytes_max, filesystem, clock)

    def start(self) -> None:
        """Start the log thread; call on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def written_bytes(self) -> int:
        """Bytes of frames that were written to the disk."""
        return self._segments.written_bytes

    @property
    def is_committing(self) -> bool:
        """Whether a commit is under way: what is appended now waits for the one after it."""
        return self._groups_taken != self._groups_resolved

    @property
    def is_full(self) -> bool:
        """Whether the last write found no room on the disk."""
        return self._is_full

    def call_after_commit(self, callback: Callable[[], None]) -> None:
        """Have `callback` called on the event loop after each commit."""
        self._after_commit = callback

    def append(self, encoded: EncodedFrame, *, joins: bool = False) -> asyncio.Future[DurableFrame]:
        """Queue a frame; the future resolves once it is durable and visible.

        With `joins` it may wait a moment for a commit that others are about to ask for.

        Raises:
            WalError: The log has failed before, or is being stopped.
            BackPressureError: Too many bytes wait for the disk.
        """
        assert self._loop is not None
        done: asyncio.Future[DurableFrame] = self._loop.create_future()
        self.submit(encoded, partial(_settle, done), joins=joins)
        return done

    def submit(
        self,
        encoded: EncodedFrame,
        on_end: OnEnd,
        *,
        writers: int = 1,
        joins: bool = False,
        is_last: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Queue a frame that so many `writers` wait for, to be told by `on_end`.

        `joins` as `append`. After one that `is_last` the caller calls `commit_queued` at once.
        `meanwhile` is called, if at all, while the disk is at work, and may make ready what
        `on_end` needs: the frame is neither durable nor visible then.

        Raises:
            WalError, BackPressureError: As `append`; then `on_end` is not called.
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
        pending = _Pending(encoded, writers, on_end, meanwhile)
        self.queued_bytes += encoded.nbytes
        with self._wake:
            self._queue.append(pending)
            self._queued_writers += writers
            if is_last:
                return
            if self._is_for_loop():
                self._schedule_commit(JOIN_S_MAX if joins else 0.0)
            elif self._queued_writers >= self._wake_at:
                self._wake.notify()

    def commit_queued(self) -> None:
        """Commit what is queued, if the event loop does that; call when no more is to come soon."""
        self._is_commit_scheduled = False
        with self._wake:
            if not self._queue:
                return
            if not self._is_for_loop():
                self._wake.notify()
                return
            group = self._take_queue()
        self._resolve(group, self._commit(group, _Preparation(group)))

    def _is_for_loop(self) -> bool:
        """Whether the event loop, and not the log thread, commits what is queued now."""
        # A disk that failed, a shutdown and the opening of segments are the thread's.
        return (
            self._place.is_loop
            and not self.is_committing
            and not self._is_gathering
            and not self._is_stopping
            and self.failure is None
            and self.queued_bytes <= LOOP_BYTES_MAX
            and self._segments.have_room(self.queued_bytes)
        )

    def _schedule_commit(self, patience_s: float) -> None:
        """Commit at the end of this turn of the loop: what else is queued in it still joins.

        With patience later, if nobody has had it committed by then.
        """
        assert self._loop is not None
        if patience_s > 0:
            self._loop.call_later(patience_s, self.commit_queued)
        elif not self._is_commit_scheduled:
            self._is_commit_scheduled = True
            self._loop.call_soon(self.commit_queued)

    async def stop(self) -> None:
        """Write what is queued, seal the segment, end the thread."""
        self._is_stopping = True
        with self._wake:
            self._wake.notify()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    # The log thread from here on.

    def _run(self) -> None:
        assert self._loop is not None
        take_prompt_turns()
        while group := self._next_group():
            end = self._commit(group)
            self._loop.call_soon_threadsafe(self._resolve, group, end)
        self._segments.close()

    def _next_group(self) -> list[_Pending]:
        """Wait for frames and take them all; none when the log is being stopped."""
        with self._wake:
            self._wake_at = 1
            while not self._queue and not self._is_stopping:
                self._wake.wait()
            wanted, patience_s = self._gathering.patience(
                sum(pending.encoded.nbytes for pending in self._queue)
            )
            if patience_s > 0 and self._queued_writers < wanted:
                self._gather(wanted, patience_s)
            return self._take_queue()

    def _gather(self, wanted: int, patience_s: float) -> None:
        before = self._queued_writers
        self._wake_at = wanted
        self._is_gathering = True
        deadline = time.monotonic() + patience_s
        while self._queued_writers < wanted and not self._is_stopping:
            if not self._wake.wait(deadline - time.monotonic()):
                break
        self._is_gathering = False
        self._gathering.waited(self._queued_writers - before)

    # Whoever commits: the log thread, or the event loop. Who took a group from the queue under the
    # lock is alone here until the event loop has heard of its end.

    def _take_queue(self) -> list[_Pending]:
        group, self._queue = self._queue, []
        self._queued_writers = 0
        self._groups_taken += bool(group)
        return group

    def _commit(self, group: list[_Pending], preparation: _Preparation | None = None) -> _End:
        """Make `group` durable unless the log has failed, before or now.

        `preparation` is called while the disk is at work.
        """
        if self.failure is not None:
            return _End(0, self.failure)
        for number, pending in enumerate(group):
            pending.position = Position(self._next_position + number)
        started = time.monotonic()
        try:
            self._segments.write(group, preparation)
        except NoRoomError as error:
            self._next_position = Position(self._next_position + error.durable)
            return _End(error.durable, self._no_room(error.reason))
        except OSError as error:
            self.failure = WalError(
                f"the log cannot be written: {error}",
                hint="replace the disk, then restart; queries go on meanwhile",
            )
            logger.critical("log failed, no more writes are accepted", extra=keys(error=error))
            return _End(0, self.failure)
        except Exception as error:
            # Whatever it is: a thread that ended here would leave every writer waiting.
            self._fail("the log cannot be written", error)
            return _End(0, self.failure)
        seconds = time.monotonic() - started
        if preparation is not None:
            # That was not the disk's.
            seconds -= preparation.seconds
        self._next_position = Position(self._next_position + len(group))
        if self._is_full:
            self._is_full = False
            logger.info("the log has room again")
        writers = sum(pending.writers for pending in group)
        waiting = self._queued_writers + self.writers_held_back
        self._gathering.committed(writers, waiting, seconds)
        self._place.committed(seconds)
        return _End(len(group), None, seconds)

    def _no_room(self, error: OSError) -> DiskFullError:
        if not self._is_full:
            # Once: every write that is tried meanwhile would say it again.
            self._is_full = True
            logger.error("the disk is full, writes are refused", extra=keys(error=error))
        return DiskFullError(
            f"the log has no room: {error.strerror}",
            retry_after_s=NO_ROOM_RETRY_S,
            hint="nothing of this is stored; free space on the disk, and send it again: the server "
            "goes on by itself",
        )

    def _fail(self, what: str, error: Exception) -> None:
        self.failure = WalError(
            f"{what}: {type(error).__name__}: {error}",
            hint="restart the server; its log has the details",
        )
        logger.critical("log failed, no more writes are accepted", exc_info=error)

    # The event loop again.

    def _resolve(self, group: list[_Pending], end: _End) -> None:
        """Tell those who wait for `group`; a later group may have failed already."""
        self._groups_resolved += 1
        self.queued_bytes -= sum(pending.encoded.nbytes for pending in group)
        outcomes: list[DurableFrame | WalError | DiskFullError] = []
        failure = end.failure
        if end.durable:
            try:
                outcomes += self._publish(group[: end.durable])
            except Exception as error:
                # On disk, but not visible: going on would let queries and triggers miss it.
                self._fail("a durable record cannot be applied", error)
                failure = self.failure
        if failure is not None:
            outcomes += [failure] * (len(group) - len(outcomes))
        self._has_refused |= isinstance(failure, DiskFullError)
        if self._has_refused and not self.queued_bytes:
            self._has_refused = False
            self._on_refused()
        for pending, outcome in zip(group, outcomes, strict=True):
            pending.on_end(outcome)
        if end.failure is None:
            self._on_sync(end.seconds)
        self._after_commit()

    def _publish(self, group: list[_Pending]) -> list[DurableFrame]:
        durable = [pending.durable or pending.read() for pending in group]
        self.durable_position = group[-1].position
        self._on_durable(durable)
        return durable


def _settle(
    done: asyncio.Future[DurableFrame], outcome: DurableFrame | WalError | DiskFullError
) -> None:
    """End the future of `append`."""
    if done.done():
        return
    if not isinstance(outcome, DurableFrame):
        done.set_exception(outcome)
        # A no_sync write has nobody who awaits it; the failure is logged already.
        done.exception()
    else:
        done.set_result(outcome)
