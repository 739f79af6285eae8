# Owns the question which files of a table may have rows that are there again, in later files or
# live: everywhere else rows count as they stand. Pure functions of a snapshot.
"""Where rows of a table may be there more than once."""

import itertools
import math
from collections.abc import Sequence

import msgspec

from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN
from engine.store.manifest import FileEntry
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, clipped, common, union

# What a row that is folded takes of the memory of queries, or less: with ten tags some 600 bytes.
ROW_BYTES = 1_024
# More slices than this take longer than larger ones.
SLICES_MAX = 256
# Later rows are few when earlier ones are so many times as many.
FEW_SHARE = 4


class Doubts(msgspec.Struct, frozen=True):
    """Which rows of a snapshot may be repeated, and by which.

    Attributes:
        ranges: Times of all such rows.
        clean: Files without any.
        touched: Files with some, oldest rows first.
        live_rows: How many live rows there are, or more.
    """

    ranges: tuple[TimeRange, ...]
    clean: tuple[FileEntry, ...]
    touched: tuple[FileEntry, ...] = ()
    live_rows: int = 0

    @property
    def earlier(self) -> list[FileEntry]:
        """Those that repeat no file before them: none of these has a row that another one has."""
        return [entry for entry in self.touched if not entry.overlaps]

    @property
    def later(self) -> list[FileEntry]:
        """Those that may also repeat rows of files before them."""
        return [entry for entry in self.touched if entry.overlaps]

    @property
    def are_later_few(self) -> bool:
        """Whether rows of later files and live ones are few beside those of earlier files."""
        later_rows = sum(entry.rows for entry in self.later) + self.live_rows
        earlier_rows = sum(entry.rows for entry in self.earlier)
        return bool(earlier_rows) and later_rows * FEW_SHARE <= earlier_rows


def doubtful_ranges(snapshot: TableSnapshot) -> tuple[TimeRange, ...]:
    """Times in which a row of a file may be repeated, by a later file or a live row."""
    files = snapshot.files
    doubts = [
        (doubt, files[:index]) for index, later in enumerate(files) for doubt in later.overlaps
    ]
    doubts += [(doubt, files) for doubt in snapshot.overlap_ranges]
    parts = (common(doubt, entry.times) for doubt, earlier in doubts for entry in earlier)
    return union(part for part in parts if part is not None)


def doubts_of(snapshot: TableSnapshot, *, has_live: bool) -> Doubts:
    """The doubts of a snapshot, whose live rows are asked for or not."""
    ranges = doubtful_ranges(snapshot)
    touched = tuple(entry for entry in snapshot.files if _touches(entry, ranges))
    if not has_live and not any(entry.overlaps for entry in touched):
        # Live rows were in doubt that are not asked for: those of a moment before them, say.
        return Doubts((), snapshot.files)
    clean = tuple(entry for entry in snapshot.files if not _touches(entry, ranges))
    live_rows = sum(batch.num_rows for batch in snapshot.batches)  # type: ignore[attr-defined]
    return Doubts(ranges, clean, touched, live_rows)


def _touches(entry: FileEntry, ranges: Sequence[TimeRange]) -> bool:
    return any(common(one, entry.times) is not None for one in ranges)


def slices_of(doubts: Doubts, memory_bytes_max: int) -> list[tuple[TimeRange, Doubts]]:
    """The doubts in slices of time, which together are all of time, in order.

    Each takes about as much memory as it may, so there may be but one.

    Rows of one identity have one time, so what is folded slice by slice is folded as a whole.
    """
    starts = [TIME_NS_MIN, *_starts(doubts, memory_bytes_max // ROW_BYTES)]
    ends = [*(start - 1 for start in starts[1:]), TIME_NS_MAX]
    found = []
    for span in zip(starts, ends, strict=True):
        touched = tuple(one for one in doubts.touched if common(one.times, span) is not None)
        part = Doubts(clipped(doubts.ranges, span), (), touched, doubts.live_rows)
        found.append((span, part))
    return found


def _starts(doubts: Doubts, rows_max: int) -> list[int]:
    """The first times of slices that have about as many rows as they may; not of the first one."""
    # What is folded at once: few later rows with as many earlier ones, or else all.
    are_few = doubts.are_later_few
    weighed = [
        (one.times, 2 * one.rows if are_few else one.rows)
        for one in (doubts.later if are_few else doubts.touched)
    ]
    low, high = (
        min(one.min_time_ns for one in doubts.touched),
        max(one.max_time_ns for one in doubts.touched),
    )
    # Where live rows are, nobody knows.
    weighed.append(((low, high), 2 * doubts.live_rows if are_few else doubts.live_rows))
    total = sum(rows for _, rows in weighed)
    rows_max = max(rows_max, math.ceil(total / SLICES_MAX))
    if total <= rows_max:
        return []
    # Files are taken for even; where they begin, most rows can be told apart without looking.
    begins = sorted({one.min_time_ns for one in doubts.touched})
    starts, held = [low], 0.0
    for begin, end in itertools.pairwise([*begins, high + 1]):
        rows = sum(_share(times, count, (begin, end - 1)) for times, count in weighed)
        parts = max(1, math.ceil(rows / rows_max))
        for part in range(parts):
            start = begin + (end - begin) * part // parts
            if held + rows / parts > rows_max and start > starts[-1]:
                starts.append(start)
                held = 0.0
            held += rows / parts
    return starts[1:]


def _share(times: TimeRange, rows: int, span: TimeRange) -> float:
    """About how many of the rows between two times are within `span`."""
    part = common(times, span)
    if part is None:
        return 0.0
    return rows * ((part[1] - part[0] + 1) / (times[1] - times[0] + 1))
