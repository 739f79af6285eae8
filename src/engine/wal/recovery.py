# Owns what happens to the log's files when a server starts: read every whole frame in order, cut a
# torn tail off the last segment, save the rest of a damaged one (salvage.py), and say exactly what
# is gone. Frames go to the caller one by one.
"""Reading the log back after a stop or a crash."""

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.damage import Damage, DamageBook
from engine.errors import RecoveryError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.paths import DataPaths
from engine.wal.log import DurableFrame
from engine.wal.salvage import HEADER_BYTES, Content, read_tolerantly, save, sorted_out
from engine.wal.segment_series import Segment
from lp_core import FormatVersionError, FrameCorruptError

logger = logging.getLogger(__name__)

CUT_SUFFIX = ".cut"
# In front of the first frame there can be.
_BEGINNING = Position(0)


class RecoveryReport(msgspec.Struct, kw_only=True):
    """What recovery found.

    Attributes:
        cut_bytes: Cut off the tail of the last segment: never acknowledged.
        cut_file: Where they are kept; None when it was clean.
        damaged_files: Log files with parts that are not whole though the log goes on behind them.
    """

    segments: int = 0
    frames: int = 0
    bytes: int = 0
    last_position: Position = _BEGINNING
    cut_bytes: int = 0
    cut_file: str | None = None
    damaged_files: int = 0


def recover(
    paths: DataPaths,
    filesystem: FileSystem,
    apply: Callable[[DurableFrame], None],
    book: DamageBook,
    *,
    after: Position = _BEGINNING,
) -> RecoveryReport:
    """Hand every whole frame of the log behind `after` to `apply`, in order, and mend the files.

    What is not whole at the end of the last segment is a torn write, for nobody was told that it is
    safe: it is cut off. Anywhere else it is damage: it goes into `book`, and all other frames are
    handed out. In the last segment, whole frames behind such a part may mean either, since a disk
    does not write in order what was not synced. They are taken, and what is missing is noted.

    Raises:
        RecoveryError: A segment was written by a newer version, or by another log.
        OSError: The files cannot be read, or not be mended.
    """
    segments = paths.segments()
    recovery = _Recovery(paths, filesystem, apply, book, after)
    for index, path in enumerate(segments):
        follower = Position(int(segments[index + 1].stem)) if index + 1 < len(segments) else None
        # A file is named after its first position, so the next name tells where this one ends.
        if follower is not None and follower <= after + 1:
            continue
        try:
            recovery.read(path, follower)
        except FormatVersionError as error:
            raise RecoveryError(
                f"{path}: {error}", hint="start the version that wrote it, or a newer one"
            ) from error
    return recovery.report


class _Recovery:
    """The reading of one segment after the other."""

    def __init__(
        self,
        paths: DataPaths,
        filesystem: FileSystem,
        apply: Callable[[DurableFrame], None],
        book: DamageBook,
        after: Position,
    ) -> None:
        self.report = RecoveryReport()
        self._node_id = paths.node_dir.name
        self._filesystem = filesystem
        self._apply_new = apply
        self._book = book
        self._after = after

    def read(self, path: Path, follower: Position | None) -> None:
        """Take the frames of one file; the next one begins with `follower`; None: there is none."""
        report = self.report
        first = Position(int(path.stem))
        if not report.last_position:
            # What was before is in files and checkpoints, but for what is missing.
            report.last_position = min(Position(first - 1), self._after)
        self._note_gap(path, first)
        size = path.stat().st_size
        # So much is not whole, and why, as far as that can be seen here.
        reason = "not readable" if self._is_unreadable(path) else ""
        segment = None
        try:
            if size and not reason:
                segment = Segment(path, size)
        except FrameCorruptError:
            pass  # the mending looks at it again, and says it
        if segment is not None:
            report.segments += 1
            frames = self._scan(segment)
            end = segment.reader.end_offset
            if segment.reader.tail is None and segment.is_blank_behind(end):
                if follower is None and not frames:
                    # The log goes on with a file of this very name.
                    self._remove(path)
                elif follower is None and size > end:
                    self._filesystem.truncate_path(path, end)
                return
        self._mend(path, first, follower, size, reason)

    def _is_unreadable(self, path: Path) -> bool:
        try:
            self._filesystem.read_ahead(path)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return True
        return False

    def _scan(self, segment: Segment, applied: Position = _BEGINNING) -> int:
        """Apply the frames behind `applied`; return how many the file has."""
        report = self.report
        frames = 0
        for frame in segment.reader.scan():
            frames += 1
            if frame.position <= applied:
                continue
            if frame.position <= report.last_position:
                raise RecoveryError(
                    f"{segment.path}: position {frame.position} at byte {frame.offset} does not "
                    f"follow {report.last_position}",
                    hint="the files of two logs are mixed in this directory",
                )
            self._note_gap(segment.path, Position(frame.position))
            if frame.position > self._after:
                self._apply_new(DurableFrame(segment, frame))
                report.frames += 1
                report.bytes += frame.nbytes
            report.last_position = Position(frame.position)
        return frames

    def _mend(
        self, path: Path, first: Position, follower: Position | None, size: int, reason: str
    ) -> None:
        """Cut off what was torn, or save what is good, of a file that is not whole.

        Frames that were applied stay where they are; the others are applied now.
        """
        report = self.report
        content = read_tolerantly(path, self._filesystem, size)
        found = sorted_out(
            content, after=Position(first - 1), limit=follower, node_id=self._node_id
        )
        has_holes = any(gap.before is not None for gap in found.gaps) and bool(found.frames)
        if follower is None and not reason and not has_holes:
            self._cut(path, content, found)
        else:
            kept = save(
                path,
                self._filesystem,
                self._book,
                content,
                found,
                limit=follower,
                reason=reason,
            )
            report.damaged_files += 1
            tail = found.gaps[-1] if found.gaps and found.gaps[-1].before is None else None
            if follower is None and tail is not None:
                report.cut_bytes = tail.end - tail.start
                report.cut_file = str(self._book.path(kept))
        if found.last > report.last_position:
            # The file is another one now; frames that come again have the places they had.
            self._scan(Segment(path, path.stat().st_size), report.last_position)

    def _cut(self, path: Path, content: bytes, found: Content) -> None:
        """Cut off what is behind the last frame, keeping it beside (without the zeros)."""
        end = HEADER_BYTES
        if found.frames:
            offset, frame = found.frames[-1]
            end = offset + len(frame)
        start = end if found.frames else 0
        torn = content[start:].rstrip(b"\0")
        if torn and found.gaps:
            kept = path.with_name(path.name + CUT_SUFFIX)
            self._filesystem.write_whole(kept, torn)
            self.report.cut_bytes = len(torn)
            self.report.cut_file = str(kept)
            logger.warning(
                "torn tail cut off the log",
                extra=keys(
                    file=path.name,
                    offset_bytes=start,
                    cut_bytes=len(torn),
                    reason=found.gaps[-1].reason,
                    kept=kept.name,
                ),
            )
        if found.frames:
            self._filesystem.truncate_path(path, end)
        else:
            self._remove(path)

    def _note_gap(self, path: Path, position: Position) -> None:
        """Note that the log has nothing between its last frame and `position`, unless known."""
        after = self.report.last_position
        if position <= after + 1 or self._book.knows_gap(after, position):
            return
        self._book.note(
            Damage(
                kind="log",
                file=self._book.relative(path),
                reason="frames before are missing",
                found_ns=self._book.now_ns(),
                after_position=after,
                before_position=position,
                content=("unknown",),
            )
        )

    def _remove(self, path: Path) -> None:
        self._filesystem.remove(path)
        self._filesystem.sync_directory(path.parent)
