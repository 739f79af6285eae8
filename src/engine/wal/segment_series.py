# Owns the segments that this writer fills: puts frames behind each other into the one in use, syncs
# them, goes on to the next one. Called by one thread at a time, the one that commits (log.py).
"""The segment in use."""

import errno
import mmap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.clock import Clock
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.paths import DataPaths
from engine.wal.segment_files import SegmentFile, SegmentFiles, is_worth_zeros
from lp_core import EncodedFrame, SegmentReader, SegmentWriter

# In a segment that is not filled with zeros, small groups write this many zeros behind them, once:
# frames that later land on written blocks sync without a change of the file's metadata.
ZERO_AHEAD_BYTES = 1024 * 1024
ZERO_AHEAD_GROUP_BYTES_MAX = 128 * 1024

_ZEROS = memoryview(bytes(ZERO_AHEAD_BYTES))
_LOOK_BYTES = 1024 * 1024
# A new segment is made so small when the disk has no room for a whole one.
_LAST_SEGMENT_BYTES = 256 * 1024
# Of a write: there is no room, and nothing was changed that cannot be undone.
NO_ROOM_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoRoomError(Exception):
    """The disk has no room for all of a group; what was begun is undone.

    Attributes:
        durable: How many frames of the group are on the disk.
        reason: What the file system said.
    """

    def __init__(self, durable: int, reason: OSError) -> None:
        super().__init__(str(reason))
        self.durable = durable
        self.reason = reason


class _SyncFailedError(OSError):
    """A sync failed: unlike after a failed write, nobody knows what is on the disk."""


class Segment:
    """One segment file, mapped read-only for everybody who reads its frames."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        with path.open("rb") as file:
            # Covers the preallocated tail too; readers may not pass the durable end.
            self._map = mmap.mmap(file.fileno(), size_bytes, access=mmap.ACCESS_READ)
        self.reader = SegmentReader(self._map)

    def is_blank_behind(self, offset: int) -> bool:
        """Whether there are only zeros from `offset` to the end of the file."""
        for start in range(offset, len(self._map), _LOOK_BYTES):
            if self._map[start : start + _LOOK_BYTES].strip(b"\0"):
                return False
        return True


class UnplacedFrame:
    """A frame that gets its position in the log and its place in a segment."""

    __slots__ = ("encoded", "offset", "position", "segment")

    def __init__(self, encoded: EncodedFrame) -> None:
        self.encoded = encoded
        # Given when it is written, so that one which finds no room leaves no gap.
        self.position = Position(0)
        self.segment: Segment | None = None
        self.offset = 0


class SegmentSeries:
    """Segments one after the other."""

    def __init__(
        self,
        paths: DataPaths,
        node_id: str,
        segment_bytes_max: int,
        filesystem: FileSystem,
        clock: Clock,
    ) -> None:
        """Nothing is touched before the first frame."""
        self._paths = paths
        self._node_id = node_id
        self._segment_bytes_max = segment_bytes_max
        self._filesystem = filesystem
        self._clock = clock
        self.written_bytes = 0
        self._files = SegmentFiles(paths, filesystem)
        self._file: SegmentFile | None = None
        self._segment: Segment | None = None
        self._opened_at = 0.0
        self._offset = 0
        # The file's name is not durable yet.
        self._is_new = False
        # The segment's blocks are written (not only reserved) up to here.
        self._written_until = 0

    def have_room(self, nbytes: int) -> bool:
        """Whether so much goes into the segment in use."""
        return self._file is not None and self._offset + nbytes <= self._file.size_bytes

    def write(
        self, group: Sequence[UnplacedFrame], meanwhile: Callable[[], None] | None = None
    ) -> None:
        """Make `group` durable; each frame is told its place.

        `meanwhile` is called while the disk is at work: each frame has its place then, but is not
        durable.

        Raises:
            NoRoomError: The disk is full; the log goes on with what it takes later.
            OSError: What is on the disk is not known.
        """
        buffers: list[memoryview] = []
        durable = 0
        start = self._offset
        try:
            for index, frame in enumerate(group):
                nbytes = frame.encoded.nbytes
                if not self.have_room(nbytes):
                    self._flush(buffers, start)
                    durable, buffers = index, []
                    self._rotate(frame)
                    start = self._offset
                frame.encoded.seal(frame.position)
                frame.segment, frame.offset = self._segment, self._offset
                buffers.append(memoryview(frame.encoded))
                self._offset += nbytes
            self._flush(buffers, start, meanwhile)
        except OSError as error:
            if isinstance(error, _SyncFailedError) or error.errno not in NO_ROOM_ERRNOS:
                raise
            self._undo(start)
            raise NoRoomError(durable, error) from error
        self._look_ahead()

    def close(self) -> None:
        """Seal the segment in use; finish what was begun with others."""
        self._seal()
        self._files.close()

    def _flush(
        self,
        buffers: list[memoryview],
        start: int,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
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
        try:
            if meanwhile is not None:
                self._filesystem.begin_sync(self._file.descriptor, start, written)
                meanwhile()
            self._filesystem.sync_data(self._file.descriptor)
            if self._is_new:
                # Without this a crash could forget the file's name, with frames acknowledged.
                self._filesystem.sync_directory(self._file.path.parent)
                self._is_new = False
        except OSError as error:
            raise _SyncFailedError(error.errno, error.strerror) from error

    def _undo(self, end: int) -> None:
        """Leave nothing of a write that failed: the segment in use ends at `end`, with its frames.

        Raises:
            OSError: That failed, too.
        """
        file, self._file, self._segment = self._file, None, None
        if file is None:
            return
        if self._is_new:
            # Without a frame, and of a name that the next segment will have.
            self._filesystem.close(file.descriptor)
            self._filesystem.remove(file.path)
            self._filesystem.sync_directory(file.path.parent)
            return
        # Before another segment begins: in an earlier one, what is not whole is damage.
        self._filesystem.truncate(file.descriptor, end)
        self._filesystem.close(file.descriptor)

    def _rotate(self, first: UnplacedFrame) -> None:
        """Seal the segment in use and open the one that starts with `first`.

        The header becomes durable by the sync of the first frames.
        """
        self._seal()
        header = SegmentWriter(
            first_position=first.position, node_id=self._node_id, created_ns=self._clock.now_ns()
        ).header
        size = max(self._segment_bytes_max, len(header) + first.encoded.nbytes)
        path = self._paths.segment(first.position)
        try:
            self._file = self._files.open(path, size)
        except OSError as error:
            least = max(_LAST_SEGMENT_BYTES, len(header) + first.encoded.nbytes)
            if error.errno not in NO_ROOM_ERRNOS or least >= size:
                raise
            # What makes room is a record of the log as well.
            size = least
            self._file = self._files.open(path, size)
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
                self._segment_bytes_max,
                zero_filled=is_worth_zeros(self._offset, seconds),
            )

    def _seal(self) -> None:
        if self._file is not None:
            self._files.seal(self._file, self._offset)
            self._file = self._segment = None
