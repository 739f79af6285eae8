# Owns the shape of `system.databases` and `system.tables`, which only the internal database has.
"""The system tables of databases and of tables."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow

from engine.catalog.model import Database
from lp_core import ColumnType

_TEXT = pyarrow.utf8()
# Names and types of columns, as the live store gives them.
Columns = Sequence[tuple[str, ColumnType]]
# What is deleted is gone: the columns are there for those who ask as they ask the reference.
_DELETION = [("deleted", pyarrow.bool_()), ("hard_deletion_time", pyarrow.timestamp("s"))]
_DATABASES = pyarrow.schema(
    [
        ("database_name", _TEXT),
        ("retention_period_ns", pyarrow.uint64()),
        *_DELETION,
    ]
)
_TABLES = pyarrow.schema(
    [
        ("database_name", _TEXT),
        ("table_name", _TEXT),
        ("column_count", pyarrow.uint64()),
        ("series_key_columns", _TEXT),
        ("last_cache_count", pyarrow.uint64()),
        ("distinct_cache_count", pyarrow.uint64()),
        *_DELETION,
        # What the reference system does not show.
        ("retention_period_ns", pyarrow.uint64()),
    ]
)


def databases_table(databases: Iterable[Database]) -> Any:
    """``system.databases``; a retention of NULL is for ever."""
    rows = [
        {
            "database_name": database.name,
            "retention_period_ns": database.retention_ns,
            "deleted": False,
        }
        for database in databases
    ]
    return pyarrow.Table.from_pylist(rows, _DATABASES)


def tables_table(tables: Iterable[tuple[Database, str, Columns]]) -> Any:
    """``system.tables`` from databases, names of tables, and their columns."""
    rows = [
        {
            "database_name": database.name,
            "table_name": name,
            # With the time, which every table has.
            "column_count": len(columns) + 1,
            "series_key_columns": ", ".join(
                column for column, kind in columns if kind is ColumnType.TAG
            ),
            "last_cache_count": 0,
            "distinct_cache_count": 0,
            "deleted": False,
            "retention_period_ns": database.retention_of(name),
        }
        for database, name, columns in tables
    ]
    return pyarrow.Table.from_pylist(rows, _TABLES)
