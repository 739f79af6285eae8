# Owns the shape of `system.last_caches` and `system.distinct_caches`.
"""The system tables of caches."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow

from engine.catalog.model import DistinctCache, LastCache

_TEXT = pyarrow.utf8()
_IDS = pyarrow.list_(pyarrow.uint16())
_NAMES = pyarrow.list_(_TEXT)
_COUNT = pyarrow.uint64()
_SECOND_NS = 1_000_000_000

_LAST = pyarrow.schema(
    [
        ("table", _TEXT),
        ("name", _TEXT),
        ("key_column_ids", _IDS),
        ("key_column_names", _NAMES),
        ("value_column_ids", _IDS),
        ("value_column_names", _NAMES),
        ("count", _COUNT),
        ("ttl", _COUNT),
    ]
)
_DISTINCT = pyarrow.schema(
    [
        ("table", _TEXT),
        ("name", _TEXT),
        ("column_ids", _IDS),
        ("column_names", _NAMES),
        ("max_cardinality", _COUNT),
        ("max_age_seconds", _COUNT),
    ]
)
# By the name of a table, the numbers of its columns.
ColumnIds = Callable[[str], Mapping[str, int]]


def last_caches_table(caches: Iterable[LastCache], ids: ColumnIds) -> Any:
    """``system.last_caches``; without value columns where a cache has all of them."""
    rows = [
        {
            "table": cache.table,
            "name": cache.name,
            "key_column_ids": _ids(cache.table, cache.key_columns, ids),
            "key_column_names": list(cache.key_columns),
            "value_column_ids": None
            if cache.value_columns is None
            else _ids(cache.table, cache.value_columns, ids),
            "value_column_names": None
            if cache.value_columns is None
            else list(cache.value_columns),
            "count": cache.count,
            "ttl": cache.ttl_ns // _SECOND_NS,
        }
        for cache in caches
    ]
    return pyarrow.Table.from_pylist(rows, _LAST)


def distinct_caches_table(caches: Iterable[DistinctCache], ids: ColumnIds) -> Any:
    """``system.distinct_caches``."""
    rows = [
        {
            "table": cache.table,
            "name": cache.name,
            "column_ids": _ids(cache.table, cache.columns, ids),
            "column_names": list(cache.columns),
            "max_cardinality": cache.cardinality_max,
            "max_age_seconds": cache.age_max_ns // _SECOND_NS,
        }
        for cache in caches
    ]
    return pyarrow.Table.from_pylist(rows, _DISTINCT)


def _ids(table: str, names: Iterable[str], ids: ColumnIds) -> list[int]:
    known = ids(table)
    # A table that is gone, or new under an old name, may lack a column.
    return [known[name] for name in names if name in known]
