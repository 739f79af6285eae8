# Stands in for the store: batches that carry a pyarrow record batch, and a catalog over them.
"""Fakes of what the query side reads."""

import contextlib
from collections.abc import Mapping, Sequence

import pyarrow

from engine.store.snapshot import TableSnapshot
from lp_core.enums import ColumnType

TYPES = {
    ColumnType.TAG: pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8()),
    ColumnType.INT64: pyarrow.int64(),
    ColumnType.UINT64: pyarrow.uint64(),
    ColumnType.FLOAT64: pyarrow.float64(),
    ColumnType.BOOL: pyarrow.bool_(),
    ColumnType.STRING: pyarrow.utf8(),
    ColumnType.TIME: pyarrow.timestamp("ns"),
}


class FakeBatch:
    """Looks like a table batch of lp_core."""

    def __init__(self, columns: Mapping[str, ColumnType], rows: Sequence[Mapping[str, object]]):
        self.schema = (*columns.items(), ("time", ColumnType.TIME))
        arrays = [
            pyarrow.array([row.get(name) for row in rows], TYPES[kind])
            for name, kind in self.schema
        ]
        names = [name for name, _ in self.schema]
        self._batch = pyarrow.record_batch(arrays, names=names)
        self.num_rows = len(rows)
        times = [row["time"] for row in rows]
        self.min_time_ns, self.max_time_ns = (min(times), max(times)) if rows else (0, 0)

    def __arrow_c_array__(self, requested_schema=None):
        return self._batch.__arrow_c_array__(requested_schema)


def snapshot(name, columns, rows, overlap_ranges=()):
    batches = tuple(FakeBatch(columns, [row]) for row in rows)
    return TableSnapshot(
        name=name,
        columns=tuple(columns.items()),
        batches=batches,
        overlap_ranges=tuple(overlap_ranges),
    )


class FakeCatalog:
    """One database `db` with the given tables."""

    def __init__(self, *tables, system=None):
        self.tables = {table.name: table for table in tables}
        self.system = system or {}

    def has_database(self, name):
        return name == "db"

    def retention_ns(self, database):
        return None

    def table_names(self, database):
        return list(self.tables)

    def snapshot(self, database, table):
        return self.tables.get(table)

    def reading(self):
        return contextlib.nullcontext()

    def system_table(self, database, name):
        return self.system.get(name)


CPU_COLUMNS = {
    "host": ColumnType.TAG,
    "usage": ColumnType.FLOAT64,
    "cores": ColumnType.INT64,
    "total": ColumnType.UINT64,
    "up": ColumnType.BOOL,
    "note": ColumnType.STRING,
}
SECOND = 1_000_000_000
T0 = 1_735_689_600 * SECOND  # 2025-01-01T00:00:00Z
CPU_ROWS = [
    {"host": "a", "usage": 1.5, "cores": 6, "total": 7, "up": True, "note": "5", "time": T0},
    {"host": "b", "usage": 2.5, "cores": 5, "up": False, "time": T0 + 60 * SECOND},
    {"host": "a", "cores": 7, "note": "it's", "time": T0 + 3600 * SECOND + 123_456_789},
]


def cpu(name="cpu"):
    return snapshot(name, CPU_COLUMNS, CPU_ROWS)
