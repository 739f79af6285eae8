# Owns the shape of `system.databases` and `system.tables`, which only the internal database has:
# what there is on the whole server, deleted things included while their rows are kept.
"""The system tables of databases and tables."""

from typing import Any

import pyarrow

from engine.catalog.catalog import Catalog
from engine.store.live import LiveDatabase, LiveStore
from engine.store.live_table import LiveTable
from lp_core.enums import ColumnType

_TEXT = pyarrow.utf8()
_TIME = pyarrow.timestamp("s")
_DATABASES = pyarrow.schema(
    [
        ("database_name", _TEXT),
        ("retention_period_ns", pyarrow.uint64()),
        ("deleted", pyarrow.bool_()),
        ("hard_deletion_time", _TIME),
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
        ("deleted", pyarrow.bool_()),
        ("hard_deletion_time", _TIME),
        # What the reference system does not show.
        ("retention_period_ns", pyarrow.uint64()),
    ]
)


def databases_table(catalog: Catalog) -> Any:
    """The table of all databases."""
    rows: list[dict[str, object]] = [
        {
            "database_name": database.name,
            "retention_period_ns": database.retention_ns,
            "deleted": False,
        }
        for database in catalog.databases()
    ]
    rows += [
        {
            "database_name": deleted.name,
            "deleted": True,
            "hard_deletion_time": _seconds(deleted.hard_delete_ns),
        }
        for deleted in catalog.deleted.all()
        if deleted.table is None
    ]
    return pyarrow.Table.from_pylist(rows, _DATABASES)


def tables_table(catalog: Catalog, store: LiveStore) -> Any:
    """The table of all tables."""
    rows: list[dict[str, object]] = []
    for database in catalog.databases():
        live = store.database(database.name)
        tables = [] if live is None else live.tables()
        rows += [
            _row(live, table, database.name, table.name)
            | {"retention_period_ns": database.retention_of(table.name)}
            for table in tables
        ]
    hidden = {database.id: database for database in store.hidden()}
    for deleted in catalog.deleted.all():
        live = hidden.get(deleted.id)
        for table in [] if live is None else live.tables():
            name = table.name if deleted.table is None else deleted.name
            shown_in = deleted.name if deleted.table is None else deleted.database
            about = {"deleted": True, "hard_deletion_time": _seconds(deleted.hard_delete_ns)}
            rows.append(_row(live, table, shown_in, name) | about)
    return pyarrow.Table.from_pylist(rows, _TABLES)


def _row(
    live: LiveDatabase | None, table: LiveTable, database: str, name: str
) -> dict[str, object]:
    columns = () if live is None else live.columns_of(table)
    tags = [column for column, kind in columns if kind is ColumnType.TAG]
    return {
        "database_name": database,
        "table_name": name,
        "column_count": len(columns) + 1,
        "series_key_columns": ", ".join(tags),
        "last_cache_count": 0,
        "distinct_cache_count": 0,
        "deleted": False,
    }


def _seconds(time_ns: int | None) -> int | None:
    return None if time_ns is None else time_ns // 1_000_000_000
