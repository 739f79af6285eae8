# Owns what is known of rows of files that later ones repeat, live or in later files: which they
# are, and their values. Files never change, so where a row of some tags and time is in one is
# looked up once, and then holds whatever becomes of later rows. Bounded in rows and bytes; where
# there is more, or something cannot be read, nothing is known, and rows are folded as without this.
"""Rows of files that later ones repeat."""

import hashlib
import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import numpy
import pyarrow

from engine.query.doubts import FEW_SHARE, Doubts, doubts_of
from engine.query.file_views import Repeats, folded_sql, later_sql
from engine.query.literals import between_sql
from engine.query.scans import (
    FILE_INDEX,
    FILE_ROW_NUMBER,
    RepeatedRows,
    key_columns,
    quoted,
    scan_sql,
    scanned_columns,
    select_sql,
)
from engine.store.manifest import FileEntry
from engine.store.parquet_file import field_ids
from engine.store.snapshot import TableSnapshot

# Later rows that are looked up, and rows that are found by them, for each table.
LATER_ROWS_MAX = 1 << 17
# Of fewer rows all are folded in no time.
EARLIER_ROWS_MIN = 1 << 16
# Rows that are read at once, if they are read as a stream: the fewest that DuckDB gives.
_BATCH_ROWS = 2_048

_LIVE, _LATER, _KNOWN = "headrace later live", "headrace later keys", "headrace known keys"
_NONE = RepeatedRows(numpy.zeros(0, numpy.int64), pyarrow.table({}), b"")


class _Later:
    """Which later rows there are; keeps none of them alive."""

    def __init__(self, doubts: Doubts, live: Any) -> None:
        self._files = [entry.path for entry in doubts.later]
        self._ranges = doubts.ranges
        self._live = weakref.ref(live) if live.num_rows else None

    def is_same(self, other: "_Later | None") -> bool:
        """Whether these are the rows of `other`."""
        if other is None or (self._files, self._ranges) != (other._files, other._ranges):
            return False
        if self._live is None or other._live is None:
            return self._live is other._live
        return self._live() is other._live()


class _Found(NamedTuple):
    """What was found in one file of the first so many of the keys."""

    keys: int
    repeated: RepeatedRows


class _Known(NamedTuple):
    """What is known of one table; never changed.

    Attributes:
        columns: Of the table.
        keys: Of later rows, in the order in which they were met, each once.
        times: Of the keys.
        files: By path, what was found of the keys.
        later: Whose keys are all among them.
        asked: Paths of files that were asked for since then.
        folded: What the rows of these files become with the later ones, if it is kept.
        is_folded_refused: Whether that was found to be too much.
        refused_later: Later rows that are too many to be looked up.
        refused_files: Paths of files that have too many such rows.
    """

    columns: tuple[Any, ...]
    keys: Any = None
    times: Any = numpy.zeros(0, numpy.int64)
    files: Mapping[str, _Found] = {}
    later: _Later | None = None
    asked: frozenset[str] | None = None
    folded: Any = None
    is_folded_refused: bool = False
    refused_later: _Later | None = None
    refused_files: frozenset[str] | None = None

    def without(self, gone: Set[str]) -> "_Known":
        """What is left when files are gone, by their paths."""
        if gone.isdisjoint(self.files):
            return self
        files = {path: found for path, found in self.files.items() if path not in gone}
        left = self._replace(files=files)
        if self.asked is None or gone.isdisjoint(self.asked):
            return left
        return left._replace(asked=None, folded=None)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        size = 0 if self.keys is None else int(self.keys.nbytes + self.times.nbytes)
        size += 0 if self.folded is None else int(self.folded.nbytes)
        for found in self.files.values():
            size += int(found.repeated.rows.nbytes + found.repeated.numbers.nbytes)
        return size


class LookedUp(NamedTuple):
    """What later rows repeat.

    Attributes:
        rows: By path, of each file in doubt that repeats none before it: the rows that later ones
            may repeat. Others may be among them.
        folded: What these become with the later rows, once it was asked for again.
    """

    rows: dict[str, RepeatedRows]
    folded: Any | None


class _TooManyLater(Exception):  # noqa: N818 - no error, but an answer
    """There are more later rows than are looked up."""


class _TooManyFound(Exception):  # noqa: N818 - no error, but an answer
    """There are more rows in files than are kept."""


class Lookups:
    """Finds rows that later ones repeat; any thread may ask."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        """Look into files in `directory`, and keep up to `bytes_max` of what is found."""
        self._directory = directory
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        # By database and table; oldest use first.
        self._tables: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._sizes_bytes: dict[tuple[str, str], int] = {}

    def forget(self, database: str, table: str | None = None) -> None:
        """Drop what is kept of a table, or of a whole database."""
        with self._lock:
            for key in list(self._tables):
                if key[0] == database and table in (None, key[1]):
                    del self._tables[key], self._sizes_bytes[key]

    def files_removed(self) -> None:
        """Forget files that are gone."""
        with self._lock:
            paths = {path for known in self._tables.values() for path in known.files}
        # The lock is not held over looks at the disk.
        gone = {path for path in paths if not (self._directory / path).exists()}
        with self._lock:
            for key, known in self._tables.items():
                left = known.without(gone)
                if left is not known:
                    self._tables[key] = left
                    self._sizes_bytes[key] = left.size_bytes

    def of(
        self,
        cursor: duckdb.DuckDBPyConnection,
        database: str,
        snapshot: TableSnapshot,
        live: Any,
    ) -> LookedUp | None:
        """What `live` rows or those of later files may repeat; None where it is not known.

        Raises:
            duckdb.Error: It was interrupted.
        """
        doubts = doubts_of(snapshot, has_live=bool(live.num_rows))
        if not self._bytes_max or not _is_worth_it(snapshot, doubts):
            return None
        key = (database, snapshot.name)
        with self._lock:
            known = self._tables.get(key)
        if known is None or known.columns != snapshot.columns:
            known = _Known(snapshot.columns)
        later = _Later(doubts, live)
        paths = frozenset(entry.path for entry in doubts.earlier)
        if later.is_same(known.refused_later) or paths == known.refused_files:
            return None
        search = _Search(cursor, self._directory, snapshot, doubts, self._bytes_max)
        try:
            found = _looked_up(search, known, later, live)
            if found.asked != paths:
                found = found._replace(asked=paths, folded=None, is_folded_refused=False)
            elif found.folded is None and not found.is_folded_refused and not search.has_deletes:
                found = search.with_folded(found, live)
        except duckdb.InterruptException:
            raise
        except (duckdb.Error, pyarrow.ArrowException, OSError):
            # The query itself comes across the same, and says what it is.
            return None
        except _TooManyLater:
            self._keep(key, known._replace(refused_later=later))
            return None
        except _TooManyFound:
            self._keep(key, known._replace(refused_files=paths))
            return None
        self._keep(key, found)
        # What deletes leave of the rows, each query is told by conditions.
        folded = None if search.has_deletes else found.folded
        return LookedUp(search.repeated(found), folded)

    def _keep(self, key: tuple[str, str], known: _Known) -> None:
        with self._lock:
            if self._tables.get(key) is known:
                self._tables.move_to_end(key)
                return
        size_bytes = known.size_bytes
        with self._lock:
            self._tables[key] = known
            self._tables.move_to_end(key)
            self._sizes_bytes[key] = size_bytes
            total_bytes = sum(self._sizes_bytes.values())
            while total_bytes > self._bytes_max:
                gone, _ = self._tables.popitem(last=False)
                total_bytes -= self._sizes_bytes.pop(gone)


class _Search:
    """Looks for rows of one snapshot, by the cursor of a query."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        directory: Path,
        snapshot: TableSnapshot,
        doubts: Doubts,
        bytes_max: int,
    ) -> None:
        self._bytes_max = bytes_max
        self._numbers = itertools.count()
        # Whether rows in files may be deleted.
        self.has_deletes = any(
            delete.concerns(entry) for delete in snapshot.deletes for entry in doubts.touched
        )
        self._cursor = cursor
        self._directory = directory
        self._snapshot = snapshot
        self._doubts = doubts
        self._names = {name: f"c{number}" for name, number in field_ids(snapshot.columns).items()}
        self._columns = scanned_columns(snapshot, self._names)
        self._keys = key_columns(self._columns)

    def with_keys(self, known: _Known, live: Any) -> _Known:
        """`known` with the keys of all later rows.

        Raises:
            _TooManyLater: There are more than are looked up, or than are worth it.
        """
        # Rows that are deleted or past their retention as well: another query may see them yet, or
        # once more, and is to find all keys of the same later rows.
        unhidden = msgspec.structs.replace(self._snapshot, least_time_ns=None, deletes=())
        later = later_sql(
            unhidden,
            self._doubts,
            self._names,
            self._directory,
            self._live_view(live),
            key_columns,
        )
        names = ", ".join(column.name for column in self._keys)
        keys = self._few_rows(select_sql(names, f"({later})"), LATER_ROWS_MAX, self._bytes_max)
        earlier_rows = sum(entry.rows for entry in self._doubts.earlier)
        if keys is None or keys.num_rows * FEW_SHARE > earlier_rows:
            raise _TooManyLater
        self._cursor.register(_LATER, keys)
        keys = self._rows(select_sql(f"DISTINCT {names}", f'"{_LATER}"'))
        if known.keys is not None:
            self._cursor.register(_LATER, keys)
            self._cursor.register(_KNOWN, known.keys)
            new = self._rows(
                select_sql("a.*", f'"{_LATER}" AS a ANTI JOIN "{_KNOWN}" AS b ON {self._on()}')
            )
            if not new.num_rows:
                return known
            joined = pyarrow.concat_tables([known.keys, new])
            if joined.num_rows <= LATER_ROWS_MAX:
                return known._replace(keys=joined, times=_times(joined))
        return known._replace(keys=keys, times=_times(keys), files={}, folded=None)

    def with_files(self, known: _Known) -> _Known:
        """`known` with what the files in doubt have of all keys.

        Raises:
            _TooManyFound: It is more than is kept.
        """
        count = len(known.times)
        if all(_keys_of(known.files.get(entry.path)) == count for entry in self._doubts.earlier):
            return known
        files = dict(known.files)
        behind: dict[int, list[FileEntry]] = {}
        for entry in self._doubts.earlier:
            found = files.get(entry.path)
            start = 0 if found is None else found.keys
            times = known.times[start:]
            if ((times >= entry.min_time_ns) & (times <= entry.max_time_ns)).any():
                behind.setdefault(start, []).append(entry)
            elif found is not None:
                files[entry.path] = found._replace(keys=count)
            else:
                files[entry.path] = _Found(count, _NONE)
        bytes_left = self._bytes_max
        for start, entries in behind.items():
            found_rows = self._found(known, start, entries, bytes_left)
            bytes_left -= sum(one.rows.nbytes for one in found_rows)
            for entry, repeated in zip(entries, found_rows, strict=True):
                before = files.get(entry.path)
                if before is not None:
                    repeated = _joined(before.repeated, repeated)
                files[entry.path] = _Found(count, repeated)
        known = known._replace(files=files)
        if self._is_too_much(known):
            # What this query needs.
            files = {entry.path: files[entry.path] for entry in self._doubts.earlier}
            known = known._replace(files=files, folded=None)
        if self._is_too_much(known):
            raise _TooManyFound
        return known

    def _is_too_much(self, known: _Known) -> bool:
        return _count(known.files) > LATER_ROWS_MAX or known.size_bytes > self._bytes_max

    def with_folded(self, known: _Known, live: Any) -> _Known:
        """`known` with what the rows become with the later ones, if there is room for it."""
        repeats = Repeats(self.repeated(known), self._register)
        # Rows past their retention go when they are shown: time goes on.
        ageless = msgspec.structs.replace(self._snapshot, least_time_ns=None)
        live_view = self._live_view(live)
        sql = folded_sql(ageless, self._doubts, self._names, self._directory, live_view, repeats)
        # Each is one of those found, or one of the later ones.
        folded = self._few_rows(sql, 2 * LATER_ROWS_MAX, self._bytes_max - known.size_bytes)
        return known._replace(folded=folded, is_folded_refused=folded is None)

    def repeated(self, known: _Known) -> dict[str, RepeatedRows]:
        """The rows of each file in doubt."""
        return {entry.path: known.files[entry.path].repeated for entry in self._doubts.earlier}

    def _live_view(self, live: Any) -> str | None:
        if not live.num_rows:
            return None
        renamed = live.rename_columns([self._names[name] for name in live.column_names])
        self._cursor.register(_LIVE, renamed)
        return _LIVE

    def _register(self, rows: Any) -> str:
        name = f"headrace repeated {next(self._numbers)}"
        self._cursor.register(name, rows)
        return quoted(name)

    def _found(
        self, known: _Known, start: int, entries: Sequence[FileEntry], bytes_max: int
    ) -> list[RepeatedRows]:
        """The rows of each file with one of the keys from `start` on.

        Raises:
            _TooManyFound: There are more than are kept, or they take more than `bytes_max`.
        """
        keys, times = known.keys.slice(start), known.times[start:]
        self._cursor.register(_LATER, keys)
        columns = ", ".join(column.name for column in self._columns)
        select = select_sql(
            f"{FILE_INDEX}, {FILE_ROW_NUMBER}, {columns}",
            f"{scan_sql(entries, self._columns, self._directory)} AS a "
            f'SEMI JOIN "{_LATER}" AS b ON {self._on()}',
            [between_sql(self._keys[-1].name, int(times.min()), int(times.max()))],
        )
        rows = self._few_rows(select, LATER_ROWS_MAX, bytes_max)
        if rows is None:
            raise _TooManyFound
        places = rows.column(0).to_numpy().astype(numpy.int64)
        numbers = rows.column(1).to_numpy()
        order = numpy.lexsort((numbers, places))
        rows = rows.remove_column(0)
        bounds = numpy.searchsorted(places[order], numpy.arange(len(entries) + 1))
        # Those of each file are a copy: a slice would keep what all files have alive.
        return [
            _repeated(rows.take(pyarrow.array(order[low:high])))
            for low, high in itertools.pairwise(bounds)
        ]

    def _rows(self, sql: str) -> Any:
        return self._cursor.sql(sql).to_arrow_table()

    def _few_rows(self, sql: str, rows_max: int, bytes_max: int) -> Any | None:
        """The rows of a SELECT; None once there are more than `rows_max`, or they take too much.

        A LIMIT would have DuckDB hold all of them first.
        """
        reader = self._reader(sql)
        try:
            batches, rows, size_bytes = [], 0, 0
            for batch in reader:
                rows += batch.num_rows
                size_bytes += batch.nbytes
                if rows > rows_max or size_bytes > bytes_max:
                    return None
                batches.append(batch)
            return pyarrow.Table.from_batches(batches, reader.schema).combine_chunks()
        finally:
            reader.close()

    def _reader(self, sql: str) -> Any:
        return self._cursor.sql(sql).to_arrow_reader(_BATCH_ROWS)

    def _on(self) -> str:
        return " AND ".join(
            f"a.{column.name} IS NOT DISTINCT FROM b.{column.name}" for column in self._keys
        )


def _looked_up(search: _Search, known: _Known, later: _Later, live: Any) -> _Known:
    """`known` with what the files in doubt have of the keys of the later rows.

    Raises:
        _TooManyLater, _TooManyFound: As the search.
    """
    found = known
    if not later.is_same(known.later):
        found = search.with_keys(known, live)._replace(later=later, asked=None)
    try:
        return search.with_files(found)
    except _TooManyFound:
        if known.keys is None:
            raise
        # Perhaps by keys of rows that are written anew by now.
        fresh = search.with_keys(_Known(known.columns), live)._replace(later=later)
        if len(fresh.times) == len(found.times):
            raise
        return search.with_files(fresh)


def _is_worth_it(snapshot: TableSnapshot, doubts: Doubts) -> bool:
    later_rows = sum(entry.rows for entry in doubts.later)
    earlier_rows = sum(entry.rows for entry in doubts.earlier)
    return (
        earlier_rows >= EARLIER_ROWS_MIN
        and later_rows <= LATER_ROWS_MAX
        # A column of that name would hide DuckDB's own.
        and not any(name.lower() in (FILE_INDEX, FILE_ROW_NUMBER) for name, _ in snapshot.columns)
    )


def _keys_of(found: _Found | None) -> int:
    return -1 if found is None else found.keys


def _count(files: Mapping[str, _Found]) -> int:
    return sum(len(found.repeated.numbers) for found in files.values())


def _times(keys: Any) -> Any:
    return keys.column(keys.num_columns - 1).cast(pyarrow.int64()).to_numpy()


def _joined(first: RepeatedRows, second: RepeatedRows) -> RepeatedRows:
    if not first.mark or not second.mark:
        return first if first.mark else second
    numbers = pyarrow.chunked_array([pyarrow.array(first.numbers), pyarrow.array(second.numbers)])
    rows = pyarrow.concat_tables([first.rows, second.rows]).add_column(0, FILE_ROW_NUMBER, numbers)
    return _repeated(rows.sort_by(FILE_ROW_NUMBER))


def _repeated(rows: Any) -> RepeatedRows:
    """Rows whose first column is their number, in its order."""
    numbers = rows.column(0).to_numpy()
    mark = hashlib.blake2b(numbers.tobytes(), digest_size=16).digest() if len(numbers) else b""
    return RepeatedRows(numbers, rows.remove_column(0).combine_chunks(), mark)
