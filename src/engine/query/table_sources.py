# Owns how the tables that a query names become visible to it: which rows they have in memory, which
# in files, and under which names DuckDB sees them. The executor asks, once for each query.
"""Tables of queries."""

import difflib
import itertools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow

from engine.errors import TableNotFoundError
from engine.query import catalog_tables
from engine.query.cached_rows import CachedRows
from engine.query.dialect import TableName
from engine.query.file_views import Repeats, Streaming, standing_sql, view_sql, within
from engine.query.last_points import LastPoints
from engine.query.lookups import Lookups
from engine.query.questions import Columns
from engine.query.reach import EVERYTHING
from engine.query.scans import Register, RepeatedRows, quoted
from engine.query.series_rows import SeriesRows
from engine.query.slice_stream import SliceStream
from engine.query.views import ArrowTables, QueryCatalog, Reach, columns_of, kinds_of
from engine.store.file_faults import FileFaults
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange
from lp_core.enums import ColumnType

# How much is compared to guess which table is meant.
_NAMES_LOOKED_AT, _NAME_LOOKED_AT = 1_000, 200


class Found(msgspec.Struct, frozen=True):
    """A table that a query names.

    Attributes:
        columns: Of the table.
        rows: All of its rows within reach; those that are in memory, where there is a snapshot.
        snapshot: Which files have rows within reach that `rows` has not.
        database: That has the table, if `rows` are all live ones: then rows of files that these
            repeat may be looked up, and folded slice by slice.
        times: Rows outside of these do not matter.
        is_looked_up: Whether that was tried.
        repeated: By path of a file, the rows of it that later ones may repeat, where they were
            looked up.
        folded: What these become with the later ones; None where the query is to fold them.
        left_out: Numbers of files of which the query has by other means what is not `repeated`.
    """

    columns: Columns
    rows: Any
    snapshot: TableSnapshot | None = None
    database: str | None = None
    times: TimeRange = EVERYTHING
    is_looked_up: bool = False
    repeated: Mapping[str, RepeatedRows] | None = None
    folded: Any | None = None
    left_out: Collection[int] = ()


class TableSources:
    """Finds tables; any thread may ask."""

    def __init__(
        self,
        catalog: QueryCatalog,
        cached: CachedRows,
        faults: FileFaults | None,
        *,
        files_directory: Path | None,
        decoded_bytes_max: int,
        lookup_bytes_max: int,
        memory_bytes_max: int,
    ) -> None:
        """Find what `catalog` and the caches of tables have; as QueryConfig says the rest."""
        self._catalog = catalog
        self._cached = cached
        self._faults = faults
        self._directory = files_directory or Path()
        self._tables = ArrowTables()
        self._memory_bytes_max = memory_bytes_max
        self._lookups = Lookups(self._directory, lookup_bytes_max)
        self._series = (
            None
            if files_directory is None or not decoded_bytes_max
            else SeriesRows(files_directory, decoded_bytes_max)
        )

    def forget(self, database: str, table: str | None = None) -> None:
        """Drop what is kept in memory of a table, or of all tables of a database."""
        self._tables.forget(database, table)
        self._lookups.forget(database, table)

    def release(self) -> None:
        """Give back the memory of rows that tables have in files by now."""
        for database, table in self._tables.kept():
            snapshot = self._catalog.snapshot(database, table)
            if snapshot is not None:
                self._tables.table(database, snapshot)
            else:
                self._tables.forget(database, table)

    def files_removed(self) -> None:
        """Forget files that are gone."""
        self._lookups.files_removed()
        if self._series is not None:
            self._series.files_removed()

    def close(self) -> None:
        """Do nothing more in the background."""
        if self._series is not None:
            self._series.close()

    def find(
        self, database: str, table: TableName, reach: Reach, points: LastPoints | None
    ) -> Found:
        """The table that a query names, as far as the query reaches.

        Raises:
            TableNotFoundError: There is none.
            FileDamagedError: It needs rows of a file that cannot be read.
            QueryError, OSError: As CachedRows.
        """
        if table.schema == "iox":
            return self._user_table(database, table, reach, points)
        rows = self._cached.contents(database, table)
        if table.schema == "system":
            rows = catalog_tables.system_table(self._catalog, database, table.name)
        elif table.schema == "information_schema":
            rows = catalog_tables.information_schema(self._catalog, database, table.name)
        if rows is None:
            raise not_found(table)
        return Found(catalog_tables.kinds_of_schema(rows.schema), rows)

    def looked_up(self, cursor: duckdb.DuckDBPyConnection, found: Found) -> Found:
        """`found`, with the rows of files that later ones repeat, if there may be any.

        Raises:
            duckdb.Error: It was interrupted.
        """
        snapshot = found.snapshot
        if found.database is None or snapshot is None or found.is_looked_up:
            return found
        known = self._lookups.of(cursor, found.database, snapshot, found.rows)
        if known is None:
            return msgspec.structs.replace(found, is_looked_up=True)
        return msgspec.structs.replace(
            found, repeated=known.rows, folded=known.folded, is_looked_up=True
        )

    def show(
        self,
        cursor: duckdb.DuckDBPyConnection,
        view: str,
        found: Found,
        renamed: dict[str, str],
        names: frozenset[str] | None,
    ) -> str | None:
        """Make one table visible in the cursor under the name `view`.

        Returns:
            The SELECT that the query must define as `view`, for a table that has files.
        """
        found = self.looked_up(cursor, found)
        rows, snapshot = found.rows, found.snapshot
        if renamed:
            rows = rows.rename_columns([renamed.get(name, name) for name in rows.column_names])
        if snapshot is None or (not snapshot.files and snapshot.least_time_ns is None):
            cursor.register(view, rows)
            return None
        live_view = None
        if rows.num_rows or not snapshot.files:
            live_view = f"{view} live"
            cursor.register(live_view, rows)
        register = _registering(cursor, view)
        repeats = streaming = None
        if found.repeated is not None:
            repeats = Repeats(found.repeated, register, found.left_out, found.folded)
        elif found.database is not None:
            views = {} if live_view is None else {live_view: rows}
            streaming = Streaming(
                lambda selects: register(SliceStream(cursor, selects, views)),
                found.times,
                self._memory_bytes_max,
            )
        return view_sql(snapshot, renamed, self._directory, live_view, names, repeats, streaming)

    def standing(
        self,
        cursor: duckdb.DuckDBPyConnection,
        view: str,
        found: Found,
        renamed: dict[str, str],
        names: frozenset[str] | None,
    ) -> str:
        """The SELECT of all rows of the files that later ones do not repeat, once looked up."""
        assert found.snapshot is not None
        repeats = Repeats(found.repeated or {}, _registering(cursor, view))
        return standing_sql(found.snapshot, renamed, self._directory, names, repeats)

    def _user_table(
        self, database: str, table: TableName, reach: Reach, points: LastPoints | None
    ) -> Found:
        snapshot = self._catalog.snapshot(database, table.name)
        if snapshot is None:
            self._tables.forget(database, table.name)
            raise self._missing(database, table)
        columns = kinds_of(columns_of(snapshot))
        rows = self._cached.last_points(database, snapshot, reach.times, points)
        if rows is not None:
            return Found(columns, rows)
        rows = self._tables.table(database, snapshot, reach)
        snapshot = within(snapshot, reach.times)
        if self._faults is not None:
            self._faults.refuse(snapshot.files)
        if self._series is not None and snapshot.files:
            picked = self._series.picked(snapshot, reach)
            if picked is not None:
                rows = pyarrow.concat_tables([rows, *picked.tables], promote_options="default")
                snapshot = msgspec.structs.replace(snapshot, files=picked.left)
        # Of rows that were picked by a tag, DuckDB looks only at those of that tag.
        is_whole = not any(
            kind is ColumnType.TAG and name in reach.texts for name, kind in snapshot.columns
        )
        return Found(columns, rows, snapshot, database if is_whole else None, reach.times)

    def _missing(self, database: str, table: TableName) -> TableNotFoundError:
        names = self._catalog.table_names(database)
        like = next((name for name in names if name.lower() == table.name.lower()), None)
        if like is not None:
            return not_found(table, f'did you mean "{like}", in double quotes?')
        near = difflib.get_close_matches(table.name[:_NAME_LOOKED_AT], names[:_NAMES_LOOKED_AT], 1)
        return not_found(table, f"did you mean '{near[0]}'?" if near else "")


def not_found(table: TableName, hint: str = "") -> TableNotFoundError:
    """What is told of a table that is not there."""
    return TableNotFoundError(f"Error during planning: table '{table}' not found", hint=hint)


def _registering(cursor: duckdb.DuckDBPyConnection, view: str) -> Register:
    numbers = itertools.count()

    def register(rows: Any) -> str:
        name = f"{view} {next(numbers)}"
        cursor.register(name, rows)
        return quoted(name)

    return register
