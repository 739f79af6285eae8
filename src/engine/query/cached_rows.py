# Owns what queries take from the caches of tables in place of the tables' own rows: the contents of
# a cache that is named, and last points where these are enough.
"""Rows of caches, for queries."""

from typing import Any

import pyarrow
import pyarrow.compute

from engine.caches.table_caches import TableCaches
from engine.errors import FileDamagedError
from engine.query.dialect import TableName
from engine.query.last_points import LastPoints
from engine.query.reach import sure_end
from engine.query.rewrite import cache_of
from engine.query.views import columns_of
from engine.store.parquet_file import ARROW_TYPES
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange
from lp_core.enums import ColumnType


class CachedRows:
    """Asks the caches of tables; without any, there are none."""

    def __init__(self, caches: TableCaches | None) -> None:
        self._caches = caches

    def contents(self, database: str, table: TableName) -> Any | None:
        """The rows of the cache that a query names as `table`; None where it names none.

        Raises:
            QueryError: There is no such cache, it must be named, or a file is damaged.
            OSError: A file cannot be read.
        """
        cache = cache_of(table)
        if cache is None or self._caches is None:
            return None
        kind, name, cache_name = cache
        read = self._caches.last if kind == "last_cache" else self._caches.distinct
        return read(database, name, cache_name)

    def last_points(
        self, database: str, snapshot: TableSnapshot, times: TimeRange, points: LastPoints | None
    ) -> Any | None:
        """The last rows of each series, where these are enough for a query, and at hand.

        Args:
            database: The table's.
            snapshot: The table, as the query knows it.
            times: Which the query reaches.
            points: What it asks of last points; None when it needs other rows.

        Raises:
            OSError: A file cannot be read.
        """
        tags = {name for name, kind in snapshot.columns if kind is ColumnType.TAG}
        if self._caches is None or points is None or not points.tags <= tags:
            return None
        try:
            rows = self._caches.last_points(database, snapshot.name)
        except FileDamagedError:
            # The query may not need that file; if it does, it says so.
            return None
        columns = columns_of(snapshot)
        if rows is None or not all(
            name in rows.column_names and rows.schema.field(name).type == ARROW_TYPES[kind]
            for name, kind in columns
        ):
            # By now the name is that of another table.
            return None
        if points.has_end:
            latest_ns = pyarrow.compute.max(rows.column("time")).cast(pyarrow.int64()).as_py()
            # Later rows than that would not count, and older ones would be the last.
            if latest_ns is not None and latest_ns > sure_end(times):
                return None
        return rows.select([name for name, _ in columns])
