# Owns reading the log's files again while the server runs: frames between two positions, for those
# who come later than the frames did. May be called from any thread; the log thread goes on writing
# behind the last position that may be asked for.
"""Reading frames of the past."""

from collections.abc import Iterator
from pathlib import Path

from engine.errors import WalError
from engine.ids import Position
from engine.paths import DataPaths
from engine.wal.log import DurableFrame
from engine.wal.segment_series import Segment


def frames_between(paths: DataPaths, start: Position, end: Position) -> Iterator[DurableFrame]:
    """Frames at the positions (`start`, `end`], in order; `end` must be durable.

    Raises:
        WalError: A file of the log does not hold what it held before.
    """
    if start >= end:
        return
    segments = paths.segments()
    for number, path in enumerate(segments):
        # A file is named after its first position, so the next name tells where this one ends.
        if number + 1 < len(segments) and int(segments[number + 1].stem) <= start + 1:
            continue
        if int(path.stem) > end:
            return
        segment = _open(path)
        for frame in segment.reader.scan(verify=False):
            if start < frame.position <= end:
                yield DurableFrame(segment, frame)
            if frame.position >= end:
                # Not one step further: the log may cut off what it allocated ahead.
                return
        if segment.reader.tail is not None:
            raise WalError(f"{path}: {segment.reader.tail}")


def _open(path: Path) -> Segment:
    try:
        return Segment(path, path.stat().st_size)
    except ValueError:
        # Sealed, and thereby shortened, between the look at its size and the mapping.
        return Segment(path, path.stat().st_size)
