# Owns every decision about files and segments: what to persist, into which windows, what to merge,
# what to drop, which log files may go. Pure functions of numbers; persister.py and its neighbours
# do what is decided here.
"""Decisions about persisting, compaction, retention and the log's files."""

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec
import numpy

from engine.ids import Position
from engine.store.manifest import FileEntry
from engine.store.time_ranges import common

_SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * _SECOND_NS
DAY_NS = 24 * HOUR_NS
WEEK_NS = 7 * DAY_NS
# Longer than any reader needs, so that data of decades gives hundreds of files, not thousands.
ERA_NS = 52 * WEEK_NS

# A step that would make more files than this takes longer windows, however long.
FILES_PER_STEP_MAX = 64
# And windows of up to a day, rather than files of fewer rows: small ones would only be merged soon
# after, and opening a file takes a query as long as reading thousands of rows.
ROWS_PER_FILE_WANTED = 500_000
# So many files in one window are merged whatever their sizes.
FILES_PER_WINDOW_MAX = 8
# A large file is merged with later ones once these have this share of its size.
_WORTH_SHARE = 8
# Few rows that are in other files too stay apart from so many times as many that are not, unless so
# many files follow each other: a file is in doubt as a whole, and queries look at all of its rows.
_CLEAN_SHARE = 8
_PARTED_FILES_MAX = 2 * FILES_PER_WINDOW_MAX


class SegmentExtent(msgspec.Struct, frozen=True):
    """A sealed file of the log: the positions (`before`, `last`] and its size."""

    before: Position
    last: Position
    size_bytes: int


class Compaction(msgspec.Struct, frozen=True):
    """Files of one table to be merged, oldest rows first, and the window that the result is for."""

    files: tuple[FileEntry, ...]
    window_start_ns: int
    window_ns: int


def levels_of(window_ns: int) -> tuple[int, ...]:
    """Lengths of windows, the shortest first; each is a multiple of the one before."""
    levels = [window_ns]
    for longer in (HOUR_NS, DAY_NS, WEEK_NS, ERA_NS):
        if longer > levels[-1] and longer % levels[-1] == 0:
            levels.append(longer)
    return tuple(levels)


def persist_through(
    sealed: Sequence[SegmentExtent],
    persisted: Position,
    *,
    due_bytes: int,
    step_bytes_max: int,
) -> Position | None:
    """The position up to which the next step takes rows; None when it is not time for one.

    Whole segments, at least one, together not more than `step_bytes_max`.
    """
    waiting = [segment for segment in sealed if segment.last > persisted]
    if not waiting or sum(segment.size_bytes for segment in waiting) < due_bytes:
        return None
    through, size = waiting[0].last, waiting[0].size_bytes
    for segment in waiting[1:]:
        size += segment.size_bytes
        if size > step_bytes_max:
            break
        through = segment.last
    return through


def window_for(times: "numpy.typing.NDArray[numpy.int64]", levels: Sequence[int]) -> int:
    """The shortest window with which rows of these times give few enough files."""
    if not len(times):
        return levels[0]
    wanted = min(max(2, len(times) // ROWS_PER_FILE_WANTED), FILES_PER_STEP_MAX)
    for window_ns in levels:
        # Longer windows than a day keep apart files that could be merged, so they need more reason.
        most = wanted if window_ns < DAY_NS else FILES_PER_STEP_MAX
        if _windows_are_few(times, window_ns, most):
            return window_ns
    return levels[-1]


def _windows_are_few(times: "numpy.typing.NDArray[numpy.int64]", window_ns: int, most: int) -> bool:
    if int(times.max()) // window_ns - int(times.min()) // window_ns < most:
        return True
    return len(numpy.unique(times // window_ns)) <= most


def expired(files: Iterable[FileEntry], least_time_ns: int) -> tuple[FileEntry, ...]:
    """Files of which no row is to be kept."""
    return tuple(entry for entry in files if entry.max_time_ns < least_time_ns)


def next_compactions(
    files: Sequence[FileEntry],
    levels: Sequence[int],
    *,
    memory_bytes_max: int,
    cuts: Sequence[Position] = (),
    unreadable: frozenset[int] = frozenset(),
) -> list[Compaction]:
    """What to merge next among the files of one table, in windows of one length; none: all is well.

    Of two files that have rows of the same time, the later one wins. So only files that follow each
    other, among those that reach into a window, may be merged: one between them that is left out
    would fall behind its successors. And what comes of it has no rows from both sides of one of
    the `cuts`, which rise. Files whose numbers are `unreadable` stay as they are.
    """
    if len(files) < 2:
        return []
    newest_ns = max(entry.max_time_ns for entry in files)
    for window_ns in levels:
        found = []
        for start_ns, members in windows(files, window_ns).items():
            is_open = start_ns <= newest_ns < start_ns + window_ns
            # One run of a window at most: another one may come after it in the order of files.
            runs = _runs(members, window_ns, memory_bytes_max, cuts, unreadable)
            for run in itertools.chain.from_iterable(_parted(run, members) for run in runs):
                if _is_worthwhile(run, window_ns, is_open=is_open):
                    found.append(Compaction(tuple(run), start_ns, window_ns))
                    break
        if found:
            return found
    return []


def windows(files: Sequence[FileEntry], window_ns: int) -> dict[int, list[FileEntry]]:
    """The files that reach into each window of that length in which at least two lie wholly."""
    inside: dict[int, int] = {}
    for entry in files:
        if divides(entry, window_ns):
            start_ns = entry.window_start_ns // window_ns * window_ns
            inside[start_ns] = inside.get(start_ns, 0) + 1
    others = [entry for entry in files if not divides(entry, window_ns)]
    found: dict[int, list[FileEntry]] = {
        start_ns: [] for start_ns in sorted(inside) if inside[start_ns] >= 2
    }
    for entry in files:
        start_ns = entry.window_start_ns // window_ns * window_ns
        if divides(entry, window_ns) and start_ns in found:
            found[start_ns].append(entry)
    for start_ns, members in found.items():
        around = [
            entry
            for entry in others
            if entry.min_time_ns < start_ns + window_ns and entry.max_time_ns >= start_ns
        ]
        if around:
            found[start_ns] = sorted([*members, *around], key=lambda entry: entry.order)
    return found


def divides(entry: FileEntry, window_ns: int) -> bool:
    """Whether the window of a file lies wholly in one of that length.

    Shorter ones need not: they may be from before `--persist-window` was another one.
    """
    return window_ns % entry.window_ns == 0


def _runs(
    members: Sequence[FileEntry],
    window_ns: int,
    memory_bytes_max: int,
    cuts: Sequence[Position],
    unreadable: frozenset[int],
) -> list[list[FileEntry]]:
    """Files that follow each other, lie within the window, and fit into memory together."""
    runs: list[list[FileEntry]] = [[]]
    size = 0
    # Least position of the files of the last run.
    first = Position(0)
    for entry in members:
        if not divides(entry, window_ns) or entry.number in unreadable:
            runs.append([])
            size = 0
            continue
        size += entry.memory_bytes
        first = min(first, entry.first_position) if runs[-1] else entry.first_position
        if size > memory_bytes_max or straddles(first, entry.last_position, cuts):
            runs.append([])
            size, first = entry.memory_bytes, entry.first_position
        runs[-1].append(entry)
    return [run for run in runs if len(run) >= 2]


def _parted(
    run: Sequence[FileEntry], members: Sequence[FileEntry]
) -> Sequence[Sequence[FileEntry]]:
    """`run` in parts where few of its rows are in others of the `members`, its window's files."""
    rows = sum(entry.rows for entry in run)
    if rows < ROWS_PER_FILE_WANTED or len(run) >= _PARTED_FILES_MAX:
        return [run]
    own = {entry.number for entry in run}
    doubtful = {
        entry.number
        for entry in run
        if any(
            other.number not in own
            and other.order < entry.order
            and any(common(doubt, other.times) is not None for doubt in entry.overlaps)
            for other in (members if entry.overlaps else ())
        )
    }
    if sum(entry.rows for entry in run if entry.number in doubtful) * _CLEAN_SHARE > rows:
        return [run]
    parts = (
        list(part) for _, part in itertools.groupby(run, key=lambda entry: entry.number in doubtful)
    )
    return [part for part in parts if len(part) >= 2]


def straddles(first: Position, last: Position, cuts: Sequence[Position]) -> bool:
    """Whether one of the `cuts`, which rise, parts the positions from `first` to `last`."""
    return bisect_left(cuts, first) < bisect_left(cuts, last)


def _is_worthwhile(run: Sequence[FileEntry], window_ns: int, *, is_open: bool) -> bool:
    if len(run) >= FILES_PER_WINDOW_MAX:
        return True
    if is_open:
        # More is about to come: merging now would mean merging again.
        return False
    sizes = sorted(entry.memory_bytes for entry in run)
    if all(entry.window_ns < window_ns for entry in run):
        return True
    return sum(sizes[:-1]) * _WORTH_SHARE >= sizes[-1]


def removable(sealed: Sequence[SegmentExtent], passed: Position) -> list[SegmentExtent]:
    """Log files that hold nothing behind `passed`."""
    return [segment for segment in sealed if segment.last <= passed]


def skipped_through(
    sealed: Sequence[SegmentExtent], covered: Position, *, kept_bytes_max: int
) -> Position:
    """Up to where triggers lose what they have not read, so that the log fits its budget; 0: none.

    Only what is in files and covered by checkpoints can go at all.
    """
    excess = sum(segment.size_bytes for segment in sealed) - kept_bytes_max
    through = Position(0)
    for segment in sealed:
        if excess <= 0 or segment.last > covered:
            break
        excess -= segment.size_bytes
        through = segment.last
    return through
