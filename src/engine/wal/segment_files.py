# Owns the files of the log's segments: gives the log the next one, prepares the one after it ahead
# of need, and seals old ones. Preparing and sealing happen on a thread of their own, so that no
# commit waits for them. A prepared file has another name until the log takes it.
"""Segment files, prepared ahead."""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from engine.filesystem import FileSystem
from engine.logs import keys
from engine.paths import DataPaths

logger = logging.getLogger(__name__)

# Zeros are written and synced in pieces, so that a commit does not queue behind all of them.
ZERO_PIECE_BYTES = 1024 * 1024
ZERO_BYTES_PER_SYNC = 4 * ZERO_PIECE_BYTES
# A log that grows faster than this gets reserved blocks only: to write each block twice would take
# the disk's bandwidth from the frames, and its frames are large enough to carry the metadata.
ZERO_FILL_GROWTH_BYTES_PER_S_MAX = 16 * 1024 * 1024

_ZEROS = memoryview(bytes(ZERO_PIECE_BYTES))


def is_worth_zeros(grown_bytes: int, seconds: float) -> bool:
    """Whether a log that grew this much in this time should get a segment filled with zeros."""
    return grown_bytes <= ZERO_FILL_GROWTH_BYTES_PER_S_MAX * seconds


class SegmentFile(msgspec.Struct, frozen=True):
    """An open segment file, allocated to its full size."""

    path: Path
    descriptor: int
    size_bytes: int
    # Its blocks are written, not only reserved: a sync of data on them changes no metadata.
    is_zero_filled: bool


class SegmentFiles:
    """Gives out segment files; `open` and `prepare` are called by the log thread only."""

    def __init__(self, paths: DataPaths, filesystem: FileSystem) -> None:
        """Nothing is touched before the first call."""
        self._paths = paths
        self._filesystem = filesystem
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-files")
        self._prepared: Future[SegmentFile | None] | None = None
        self._is_closing = threading.Event()

    def prepare(self, size_bytes: int, *, zero_filled: bool) -> None:
        """Start to make the next segment, unless that has been done."""
        if self._prepared is None:
            self._prepared = self._thread.submit(self._make_spare, size_bytes, zero_filled)

    def open(self, path: Path, size_bytes: int) -> SegmentFile:
        """Give the segment `path`, which must not exist, room for `size_bytes`.

        The caller syncs the directory before it acknowledges what it writes.
        """
        if self._prepared is not None and self._prepared.done():
            spare = self._prepared.result()
            if spare is None:
                self._prepared = None
            elif spare.size_bytes == size_bytes:
                self._filesystem.rename(spare.path, path)
                self._prepared = None
                return msgspec.structs.replace(spare, path=path)
        descriptor = self._filesystem.create_preallocated(path, size_bytes)
        return SegmentFile(path, descriptor, size_bytes, is_zero_filled=False)

    def seal(self, file: SegmentFile, end_offset: int) -> None:
        """Cut off what is allocated behind the last frame, later; the frames are durable already.

        Recovery reads a segment that was not cut as well, so a failure here costs only space.
        """
        self._thread.submit(self._cut, file, end_offset)

    def close(self) -> None:
        """Finish the sealing, drop the prepared file, end the thread."""
        self._is_closing.set()
        self._thread.shutdown(wait=True)
        spare = self._prepared.result() if self._prepared is not None else None
        if spare is not None:
            self._drop(spare.descriptor)
        self._prepared = None

    # The thread for files from here on.

    def _make_spare(self, size_bytes: int, zero_filled: bool) -> SegmentFile | None:
        path = self._paths.prepared_segment
        descriptor = -1
        try:
            # One that an earlier process left behind: how far it came is not known.
            self._filesystem.remove(path)
            descriptor = self._filesystem.create_preallocated(path, size_bytes)
            if zero_filled:
                self._fill_with_zeros(descriptor, size_bytes)
            self._filesystem.sync_file(descriptor)
        except OSError as error:
            logger.warning(
                "the next log segment could not be prepared", extra=keys(file=path, error=error)
            )
            if descriptor >= 0:
                self._drop(descriptor)
            return None
        return SegmentFile(path, descriptor, size_bytes, is_zero_filled=zero_filled)

    def _fill_with_zeros(self, descriptor: int, size_bytes: int) -> None:
        for start in range(0, size_bytes, ZERO_PIECE_BYTES):
            if self._is_closing.is_set():
                return
            piece = _ZEROS[: min(ZERO_PIECE_BYTES, size_bytes - start)]
            self._filesystem.write_at(descriptor, [piece], start)
            if (start + ZERO_PIECE_BYTES) % ZERO_BYTES_PER_SYNC == 0:
                self._filesystem.sync_file(descriptor)

    def _drop(self, descriptor: int) -> None:
        self._filesystem.close(descriptor)
        self._filesystem.remove(self._paths.prepared_segment)

    def _cut(self, file: SegmentFile, end_offset: int) -> None:
        try:
            self._filesystem.truncate(file.descriptor, end_offset)
        except OSError as error:
            logger.warning(
                "a sealed log segment could not be cut to its frames",
                extra=keys(file=file.path, error=error),
            )
        finally:
            self._filesystem.close(file.descriptor)
