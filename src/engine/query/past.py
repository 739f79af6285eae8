# Owns the reading of tables as they were at a position of the log, in the order of time: live
# batches up to there and files up to there, each row once, as a query at that moment gave it. Takes
# a new look at the tables for each slice, so that files are held no longer than one. Called from
# worker threads; blocking.
"""The past of tables."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy
import pyarrow

from engine.catalog.catalog import Catalog
from engine.clock import Clock
from engine.errors import PluginError, QueryCancelledError, QueryError
from engine.ids import Position
from engine.query.file_views import view_sql, within
from engine.query.locked_database import locked_database
from engine.query.past_sizes import Extent, end_of_slice
from engine.query.past_sql import sorted_rows_sql
from engine.query.views import ArrowTables, Reach, distinct_names
from engine.store.live import LiveStore
from engine.store.past import (
    PastKey,
    PastRequest,
    PastSlice,
    PastTable,
    in_order_of_writes,
    tags_of_key,
)
from engine.store.readers import Readers
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange

_MEMORY_BYTES_MAX = 256 * 1024 * 1024
# Scans of files after which the database is made anew: it remembers the footer of each for ever.
_SCANS_MAX = 2_000
_BATCH_ROWS = 8_192
# When the memory does not do, a slice is tried again with so much less.
_SMALLER = 8
_LIVE_VIEW = "live"


class _Source(msgspec.Struct, frozen=True, eq=False):
    """A table with rows in question, and where they lie in time."""

    snapshot: TableSnapshot
    extents: list[Extent]
    min_time_ns: int

    @property
    def name(self) -> str:
        return self.snapshot.name


class PastReader:
    """Reads slices of the past."""

    def __init__(
        self,
        store: LiveStore,
        catalog: Catalog,
        readers: Readers,
        clock: Clock,
        created: Callable[[str], Position],
        files_directory: Path,
    ) -> None:
        """`created` tells where a database begins in the log.

        `readers` keeps files while they are read, `clock` tells what is past retention.
        """
        self._store = store
        self._catalog = catalog
        self._readers = readers
        self._clock = clock
        self._created = created
        self._directory = files_directory
        # Guards what follows.
        self._lock = threading.Lock()
        self._database: duckdb.DuckDBPyConnection | None = None
        self._scans = 0
        self._cursors: set[duckdb.DuckDBPyConnection] = set()
        self._live = ArrowTables()
        self._live_tables: set[tuple[str, str]] = set()
        self._is_closed = False

    def check(self, request: PastRequest) -> None:
        """See whether what is asked for can be read.

        Raises:
            PluginError: A file has rows from before and from behind the position.
        """
        with self._readers.reading():
            self._sources(request)

    def slice(self, request: PastRequest) -> PastSlice:
        """The first rows of what is asked for; nothing of it is held when this returns.

        Raises:
            PluginError: A file has rows from before and from behind the position.
            QueryCancelledError: The server stops.
            QueryError: The rows cannot be read.
        """
        with self._cursor() as cursor, self._readers.reading():
            sources = self._sources(request)
            if not sources:
                return PastSlice(tables=[], next_ns=None)
            low = max(request.start_ns, min(source.min_time_ns for source in sources))
            high = end_of_slice(
                [extent for source in sources for extent in source.extents],
                low,
                request.end_ns,
                rows_max=request.rows_max,
                bytes_max=request.bytes_max,
            )
            limit = request.rows_max
            while True:
                try:
                    return _Filling(self, cursor, request, low, high, limit).fill(sources)
                except duckdb.InterruptException as error:
                    raise QueryCancelledError("the server is shutting down") from error
                except duckdb.OutOfMemoryException as error:
                    # Rows lie closer than the files' extents promise, or are larger.
                    if high - low > 1:
                        high = low + max(1, (high - low) // _SMALLER)
                    elif limit > 1:
                        limit = max(1, limit // _SMALLER)
                    else:
                        raise QueryError(f"a row of the past is too large: {error}") from error
                except (duckdb.Error, OSError, pyarrow.ArrowException) as error:
                    self.check_open()
                    raise QueryError(f"the past cannot be read: {error}") from error

    def rest(self) -> None:
        """Give memory back: nobody wants to read for now."""
        with self._lock:
            self._live = ArrowTables()
            self._live_tables = set()
            self._database = None
            self._scans = 0

    def close(self) -> None:
        """Break off what is read, from any thread."""
        with self._lock:
            self._is_closed = True
            for cursor in self._cursors:
                cursor.interrupt()

    def check_open(self) -> None:
        """Break off reading when the server stops.

        Raises:
            QueryCancelledError: It does.
        """
        if self._is_closed:
            raise QueryCancelledError("the server is shutting down")

    def rows_sql(
        self,
        cursor: duckdb.DuckDBPyConnection,
        database: str,
        snapshot: TableSnapshot,
        times: TimeRange,
    ) -> tuple[str, dict[str, str]] | None:
        """A SELECT of the rows of `snapshot` between `times`, and others; None: it has none.

        Beside it come the names that columns have in DuckDB, where they differ.
        """
        names = [*(name for name, _ in snapshot.columns), "time"]
        renamed = distinct_names(names)
        live_view = None
        key = (database, snapshot.name)
        if not snapshot.batches and key in self._live_tables:
            # They are in files by now.
            self._live_tables.discard(key)
            self._live.forget(*key)
        if snapshot.batches:
            self._live_tables.add(key)
            rows = self._live.table(database, snapshot, Reach(times))
            if rows.num_rows:
                live_view = _LIVE_VIEW
                cursor.register(
                    live_view,
                    rows.rename_columns([renamed.get(name, name) for name in rows.column_names]),
                )
        if live_view is None and not snapshot.files:
            return None
        with self._lock:
            self._scans += len(snapshot.files)
        return view_sql(snapshot, renamed, self._directory, live_view), renamed

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._lock:
            self.check_open()
            if self._database is None or self._scans > _SCANS_MAX:
                self._scans = 0
                self._database = locked_database(
                    memory_limit_bytes=_MEMORY_BYTES_MAX,
                    # It is in no hurry: writes and queries are.
                    threads=1,
                    temp_directory="",
                    temp_bytes_max=0,
                    files_directory=self._directory,
                )
            cursor = self._database.cursor()
            self._cursors.add(cursor)
        try:
            yield cursor
        finally:
            with self._lock:
                self._cursors.discard(cursor)
                cursor.close()

    def _sources(self, request: PastRequest) -> list[_Source]:
        """The tables that have rows in question, by name."""
        database = self._store.database(request.database)
        if database is None or request.before <= self._created(request.database):
            return []
        names = database.table_names() if request.table is None else [request.table]
        sources = []
        times = (request.start_ns, request.end_ns - 1)
        for name in names:
            table = database.table(name)
            if table is None or not table.may_have_rows(times):
                continue
            found = database.as_of(name, request.before)
            if found is None:
                continue
            source = self._source(request, found)
            if source is not None:
                sources.append(source)
        return sources

    def _source(self, request: PastRequest, found: TableSnapshot) -> _Source | None:
        times = (request.start_ns, request.end_ns - 1)
        snapshot = within(found, times)
        for entry in snapshot.files:
            if entry.first_position <= request.before < entry.last_position:
                raise PluginError(
                    f"the file {entry.path} has rows of the positions {entry.first_position} to "
                    f"{entry.last_position}, and the trigger began at {request.before}, between "
                    "these: which of them it had already cannot be told",
                    hint="delete the trigger and create it again: then it begins behind all "
                    "files, and its backfill may have all rows before",
                )
        retention_ns = None
        if self._catalog.has_database(request.database):
            retention_ns = self._catalog.database(request.database).retention_of(found.name)
        files = tuple(entry for entry in snapshot.files if entry.last_position <= request.before)
        snapshot = msgspec.structs.replace(
            snapshot,
            files=files,
            least_time_ns=None if retention_ns is None else self._clock.now_ns() - retention_ns,
        )
        row_bytes = 16 * (len(snapshot.columns) + 1)
        extents = [
            Extent(entry.min_time_ns, entry.max_time_ns, entry.rows, entry.memory_bytes)
            for entry in files
        ]
        batches: Any = snapshot.batches
        extents += [
            Extent(batch.min_time_ns, batch.max_time_ns, batch.num_rows, batch.num_rows * row_bytes)
            for batch in batches
            if batch.num_rows and batch.min_time_ns <= times[1] and batch.max_time_ns >= times[0]
        ]
        if not extents:
            return None
        return _Source(snapshot, extents, min(extent.min_time_ns for extent in extents))


class _Filling:
    """The making of one slice: rows between two times, of which the second comes closer."""

    def __init__(
        self,
        reader: PastReader,
        cursor: duckdb.DuckDBPyConnection,
        request: PastRequest,
        low: int,
        high: int,
        limit: int,
    ) -> None:
        self._reader = reader
        self._cursor = cursor
        self._request = request
        self._low = low
        self._high = high
        self._limit = limit
        self._held: list[PastTable] = []
        self._rows = self._bytes = 0

    def fill(self, sources: list[_Source]) -> PastSlice:
        """The slice, of `sources`, which are in the order of their names."""
        for source in sources:
            self._reader.check_open()
            if source.min_time_ns >= self._high:
                continue
            rows, is_whole = self._read(source)
            if rows is not None and rows.rows.num_rows:
                self._hold(rows)
                if not is_whole:
                    last_ns = int(_times(rows)[-1])
                    if last_ns == self._low:
                        self._end_at(last_ns + 1)
                        return self._behind_last()
                    # Of that time there may be more.
                    self._end_at(last_ns)
            if self._is_too_much() and not self._shrink():
                return self._behind_last()
        is_end = self._high >= self._request.end_ns
        return PastSlice(tables=self._held, next_ns=None if is_end else self._high)

    def _read(self, source: _Source) -> tuple[PastTable | None, bool]:
        """The first rows of a table; and whether these are all before the end of the slice."""
        after = self._request.after
        start = self._low
        if after is not None and after[0] == start:
            if source.name < after[1]:
                start += 1
        else:
            after = None
        if start >= self._high:
            return None, True
        times = (start, self._high - 1)
        snapshot = within(source.snapshot, times)
        made = self._reader.rows_sql(self._cursor, self._request.database, snapshot, times)
        if made is None:
            return None, True
        view, renamed = made
        tags, others = in_order_of_writes(snapshot.columns)
        names = [*tags, *others, "time"]
        quoted = {name: _quoted(renamed.get(name, name)) for name in names}
        limit = min(self._limit, self._rows_that_fit(source))
        sql, parameters = sorted_rows_sql(
            view,
            list(quoted.values()),
            [quoted[tag] for tag in tags],
            quoted["time"],
            (start, self._high),
            after if after is not None and after[1] == source.name else None,
            limit,
        )
        rows, is_whole = self._answer(sql, parameters)
        table = PastTable(name=source.name, tags=tags, rows=rows.rename_columns(names))
        return table, is_whole and rows.num_rows < limit

    def _answer(self, sql: str, parameters: list[str]) -> tuple[Any, bool]:
        reader: Any = self._cursor.sql(sql, params=parameters or None).to_arrow_reader(_BATCH_ROWS)
        batches: list[Any] = []
        size = 0
        try:
            for batch in reader:
                batches.append(batch)
                size += batch.nbytes
                if size > self._request.bytes_max:
                    return pyarrow.Table.from_batches(batches, reader.schema), False
        except (OSError, pyarrow.ArrowException) as error:
            # What fails while the answer streams out arrives through Arrow.
            if "Out of Memory" in str(error):
                raise duckdb.OutOfMemoryException(str(error)) from error
            raise
        return pyarrow.Table.from_batches(batches, reader.schema), True

    def _rows_that_fit(self, source: _Source) -> int:
        row_bytes = max(extent.size_bytes // extent.rows for extent in source.extents)
        return max(1, self._request.bytes_max // max(1, row_bytes))

    def _hold(self, table: PastTable) -> None:
        self._held.append(table)
        self._rows += table.rows.num_rows
        self._bytes += table.rows.nbytes

    def _is_too_much(self) -> bool:
        request = self._request
        return self._rows > 2 * request.rows_max or self._bytes > 2 * request.bytes_max

    def _shrink(self) -> bool:
        """End the slice earlier; False when all that is left is of one time, and still too much."""
        times = numpy.sort(numpy.concatenate([_times(table) for table in self._held]))
        self._end_at(max(int(times[len(times) // 2]), self._low + 1))
        return self._high > self._low + 1 or not self._is_too_much()

    def _end_at(self, high: int) -> None:
        self._high = high
        held, self._held = self._held, []
        self._rows = self._bytes = 0
        for table in held:
            # Compared as Python numbers: the end may be beyond what 64 bits hold.
            count = bisect_left(_times(table), high)
            if count:
                self._hold(msgspec.structs.replace(table, rows=table.rows.slice(0, count)))

    def _behind_last(self) -> PastSlice:
        """The slice up to the last row of the last table, all being of one time."""
        table = self._held[-1]
        last = table.rows.slice(table.rows.num_rows - 1)
        tags = tags_of_key([last.column(tag)[0].as_py() for tag in table.tags])
        key: PastKey = (self._low, table.name, tags)
        return PastSlice(tables=self._held, next_ns=self._low, after=key)


def _times(table: PastTable) -> Any:
    return table.rows.column("time").cast(pyarrow.int64()).to_numpy()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
