# Owns the groups of single Parquet files that queries in two steps have asked for: of each file the
# rows of the first step, computed by DuckDB when a question comes for the second time, or told by
# what is known of the file. Files never change, so what was computed stays true.
"""Groups of files, kept in memory."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow

from engine.query.doubts import doubtful_ranges
from engine.query.group_parts import GREATEST_TIME, LEAST_TIME, ROWS
from engine.query.kept import Kept
from engine.query.scans import RepeatedRows
from engine.store.manifest import FileEntry
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, common

# Of a file whose groups are more than this share of its rows nothing is gained.
WORTH_SHARE = 8
_QUESTIONS_MAX = 1_024
# What an entry takes beside its rows.
_ENTRY_BYTES = 1_024
# Nobody knows how large groups will be; with less room than this it is not tried.
_ROOM_BYTES = 1 << 20


class FileParts:
    """A cache of groups; any thread may use it."""

    def __init__(self, kept: Kept) -> None:
        """Keep groups in `kept`, by the text of the first step."""
        self.kept = kept
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, None] = OrderedDict()

    def is_asked_again(self, question: str) -> bool:
        """Whether a question is not asked for the first time, as far as it is remembered."""
        with self._lock:
            is_known = question in self._asked
            self._asked[question] = None
            self._asked.move_to_end(question)
            if len(self._asked) > _QUESTIONS_MAX:
                self._asked.popitem(last=False)
        return is_known

    def of(
        self,
        question: str,
        files: Iterable[FileEntry],
        computed: Callable[[FileEntry], Any],
        repeated: Mapping[str, RepeatedRows],
    ) -> dict[str, Any]:
        """The groups of the files that are worth it, by path; computed where they are not known.

        They are those of all rows but the `repeated` ones of a path.
        """
        found = {}
        for entry in files:
            key = (entry.path, question)
            mark = repeated[entry.path].mark if entry.path in repeated else b""
            groups: _Groups | None = self.kept.get(key)
            if groups is not None and groups.rows is not None and groups.mark != mark:
                # Other rows of the file are repeated by now.
                self.kept.forget(key)
                groups = None
            if groups is None and self.kept.has_room(_ROOM_BYTES):
                rows = computed(entry)
                is_worth_it = rows.num_rows * WORTH_SHARE <= entry.rows
                groups = _Groups(rows if is_worth_it else None, mark)
                self.kept.put(key, groups, groups.size_bytes)
            if groups is not None and groups.rows is not None:
                found[entry.path] = groups.rows
        return found


class _Groups(NamedTuple):
    """The groups of one file but for the rows of a mark; None where they are too many."""

    rows: Any | None
    mark: bytes

    @property
    def size_bytes(self) -> int:
        """What they take in memory."""
        return _ENTRY_BYTES + (0 if self.rows is None else int(self.rows.nbytes))


def coverable(
    snapshot: TableSnapshot, times: TimeRange, repeated: Mapping[str, RepeatedRows]
) -> list[FileEntry]:
    """The files of which all rows lie between `times`, count, and are repeated by no others.

    Or only by those of which it is known which ones they repeat: of a path in `repeated`.
    """
    doubts = doubtful_ranges(snapshot)
    low, high = times
    if snapshot.least_time_ns is not None:
        low = max(low, snapshot.least_time_ns)
    return [
        entry
        for entry in snapshot.files
        if low <= entry.min_time_ns
        and entry.max_time_ns <= high
        and (
            entry.path in repeated
            or not any(common(one, entry.times) is not None for one in doubts)
        )
        and not any(delete.concerns(entry) for delete in snapshot.deletes)
    ]


def told(
    files: Sequence[FileEntry], asked: Sequence[str], repeated: Mapping[str, RepeatedRows]
) -> Any:
    """The one row of the first step that the files give, but for the `repeated` rows.

    All others count as they stand. Of these the times are among the told ones, since whatever
    becomes of such a row keeps its time.
    """
    left_out = sum(len(repeated[entry.path].numbers) for entry in files if entry.path in repeated)
    count = sum(entry.rows for entry in files) - left_out
    rows = {
        ROWS: pyarrow.scalar(count, pyarrow.int64()),
        LEAST_TIME: _time(min(entry.min_time_ns for entry in files)),
        GREATEST_TIME: _time(max(entry.max_time_ns for entry in files)),
    }
    columns = [pyarrow.array([rows[name]]) for name in asked]
    return pyarrow.table(columns, names=[f"a{place}" for place in range(len(asked))])


def _time(time_ns: int) -> Any:
    return pyarrow.scalar(time_ns, pyarrow.timestamp("ns"))
