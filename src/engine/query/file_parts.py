# Owns the groups of single Parquet files that queries in two steps have asked for: of each file the
# rows of the first step, computed by DuckDB when a question comes for the second time. Files never
# change, so what was computed stays true; what was not used for longest goes first.
"""Groups of files, kept in memory."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from engine.query.file_views import doubtful_ranges
from engine.store.manifest import FileEntry
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, common

# Of a file whose groups are more than this share of its rows nothing is gained.
WORTH_SHARE = 8
_QUESTIONS_MAX = 1_024
# What an entry takes beside its rows.
_ENTRY_BYTES = 1_024
# Path of the file, text of the first step.
_Key = tuple[str, str]


class FileParts:
    """A cache of groups; any thread may use it."""

    def __init__(self, bytes_max: int) -> None:
        """Keep up to `bytes_max`."""
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        # Rows of the first step; None where there are too many. Oldest use first.
        self._known: OrderedDict[_Key, Any | None] = OrderedDict()
        self._asked: OrderedDict[str, None] = OrderedDict()
        self.size_bytes = 0

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
    ) -> dict[str, Any]:
        """The groups of the files that are worth it, by path; computed where they are not known."""
        found = {}
        for entry in files:
            key = (entry.path, question)
            with self._lock:
                is_known = key in self._known
                rows = self._known.get(key)
                if is_known:
                    self._known.move_to_end(key)
            if not is_known:
                rows = computed(entry)
                if rows.num_rows * WORTH_SHARE > entry.rows:
                    rows = None
                self._put(key, rows)
            if rows is not None:
                found[entry.path] = rows
        return found

    def forget_removed(self, directory: Path) -> None:
        """Forget what is known of files that are not in the directory any more."""
        with self._lock:
            paths = {path for path, _ in self._known}
        gone = {path for path in paths if not (directory / path).exists()}
        with self._lock:
            for key in [key for key in self._known if key[0] in gone]:
                self.size_bytes -= _size(self._known.pop(key))

    def _put(self, key: _Key, rows: Any | None) -> None:
        with self._lock:
            if key not in self._known:
                self._known[key] = rows
                self.size_bytes += _size(rows)
            while self.size_bytes > self._bytes_max:
                _, gone = self._known.popitem(last=False)
                self.size_bytes -= _size(gone)


def _size(rows: Any | None) -> int:
    return _ENTRY_BYTES + (0 if rows is None else int(rows.nbytes))


def coverable(snapshot: TableSnapshot, times: TimeRange) -> list[FileEntry]:
    """The files of which all rows lie between `times`, count, and are repeated by no others."""
    doubts = doubtful_ranges(snapshot)
    low, high = times
    if snapshot.least_time_ns is not None:
        low = max(low, snapshot.least_time_ns)
    return [
        entry
        for entry in snapshot.files
        if low <= entry.min_time_ns
        and entry.max_time_ns <= high
        and not any(common(one, entry.times) is not None for one in doubts)
        and not any(delete.concerns(entry) for delete in snapshot.deletes)
    ]
