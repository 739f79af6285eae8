# Owns what happens to the log's files when a server starts: read every whole frame in order, cut a
# torn tail off the last segment, and say exactly what was cut. Frames go to the caller one by one.
"""Reading the log back after a stop or a crash."""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.errors import RecoveryError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.logs import keys
from engine.paths import DataPaths
from engine.wal.log import DurableFrame
from engine.wal.segment_series import Segment
from lp_core import FormatVersionError, FrameCorruptError

logger = logging.getLogger(__name__)

CUT_SUFFIX = ".cut"
# In front of the first frame there can be.
_BEGINNING = Position(0)


class RecoveryReport(msgspec.Struct, kw_only=True):
    """What recovery found."""

    segments: int = 0
    frames: int = 0
    bytes: int = 0
    last_position: Position = Position(0)
    # Bytes cut off the tail of the last segment, and where they are kept; None when it was clean.
    cut_bytes: int = 0
    cut_file: str | None = None


def recover(
    paths: DataPaths,
    filesystem: FileSystem,
    apply: Callable[[DurableFrame], None],
    *,
    after: Position = _BEGINNING,
) -> RecoveryReport:
    """Hand every whole frame of the log behind `after` to `apply`, in order, and mend the tail.

    A bad frame can only be a torn write when nothing follows its segment: a segment is synced
    before the next one is created. In an earlier segment it is damage, and the start is refused.

    Raises:
        RecoveryError: A segment before the last one is damaged, or was written by a newer version.
        OSError: The files cannot be read.
    """
    report = RecoveryReport()
    segments = paths.segments()

    def apply_new(durable: DurableFrame) -> None:
        if durable.position > after:
            apply(durable)
            report.frames += 1
            report.bytes += durable.frame.nbytes

    for index, path in enumerate(segments):
        is_last = index == len(segments) - 1
        # A file is named after its first position, so the next name tells where this one ends.
        if not is_last and int(segments[index + 1].stem) <= after + 1:
            continue
        try:
            _recover_segment(path, filesystem, apply_new, report, is_last=is_last)
        except FormatVersionError as error:
            raise RecoveryError(
                f"{path}: {error}", hint="start the version that wrote it, or a newer one"
            ) from error
    return report


def _recover_segment(
    path: Path,
    filesystem: FileSystem,
    apply: Callable[[DurableFrame], None],
    report: RecoveryReport,
    *,
    is_last: bool,
) -> None:
    size = path.stat().st_size
    try:
        segment = Segment(path, size) if size else None
    except FrameCorruptError as error:
        if not is_last:
            raise _damaged(path, error) from error
        segment = None
    if segment is None:
        # A crash between the creation of the file and the sync of its header: nothing in it was
        # acknowledged.
        _cut(path, filesystem, 0, size, "the header is not whole", report)
        return
    report.segments += 1
    frames = 0
    for frame in segment.reader.scan():
        if frame.position <= report.last_position:
            raise RecoveryError(
                f"{path}: position {frame.position} at byte {frame.offset} does not follow "
                f"{report.last_position}",
                hint="the files of two logs are mixed in this directory",
            )
        apply(DurableFrame(segment, frame))
        frames += 1
        report.last_position = Position(frame.position)
    end, tail = segment.reader.end_offset, segment.reader.tail
    if tail is not None:
        if not is_last:
            raise _damaged(path, tail) from tail
        # The log goes on with a file of this very name when no frame is left in this one.
        _cut(path, filesystem, end if frames else 0, size, tail.reason, report)
    elif is_last and not frames:
        _remove(path, filesystem)
    elif is_last and size > end:
        _truncate(path, filesystem, end)


def _damaged(path: Path, error: FrameCorruptError) -> RecoveryError:
    return RecoveryError(
        f"{path}: {error}; the log goes on after it, so this is damage, not a torn write",
        hint="restore the file from a backup, or move it aside to start without its rows",
    )


def _cut(
    path: Path, filesystem: FileSystem, end: int, size: int, reason: str, report: RecoveryReport
) -> None:
    """Cut `path` at `end`, keeping the cut bytes beside it (without the preallocated zeros)."""
    with path.open("rb") as file:
        file.seek(end)
        torn = file.read().rstrip(b"\0")
    kept = path.with_name(path.name + CUT_SUFFIX)
    filesystem.write_whole(kept, torn)
    report.cut_bytes = len(torn)
    report.cut_file = str(kept)
    logger.warning(
        "torn tail cut off the log",
        extra=keys(
            file=path.name, offset_bytes=end, cut_bytes=len(torn), reason=reason, kept=kept.name
        ),
    )
    if end == 0:
        _remove(path, filesystem)
    else:
        _truncate(path, filesystem, end)


def _remove(path: Path, filesystem: FileSystem) -> None:
    filesystem.remove(path)
    filesystem.sync_directory(path.parent)


def _truncate(path: Path, filesystem: FileSystem, end: int) -> None:
    with path.open("r+b") as file:
        filesystem.truncate(file.fileno(), end)
