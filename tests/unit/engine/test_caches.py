"""The rules that a new cache must keep."""

from collections.abc import Callable

import pytest

from engine.catalog.caches import DistinctCacheDraft, LastCacheDraft
from engine.catalog.catalog import Catalog
from engine.catalog.changes import (
    CatalogChange,
    DeleteDatabase,
    DeleteTable,
    HideDatabase,
    HideTable,
)
from engine.catalog.model import Deleted
from engine.errors import (
    AlreadyExistsError,
    CacheNotFoundError,
    CacheTableNotFoundError,
    CatalogError,
    InvalidNameError,
)
from engine.ids import DatabaseId
from lp_core.enums import ColumnType

ID = DatabaseId(1)
COLUMNS = (
    ("host", ColumnType.TAG),
    ("region", ColumnType.TAG),
    ("usage", ColumnType.FLOAT64),
    ("state", ColumnType.STRING),
)


@pytest.fixture
def catalog() -> Catalog:
    catalog = Catalog()
    catalog.apply(catalog.new_database("db", created_ns=0, retention_ns=None))
    return catalog


def last(**about: object) -> LastCacheDraft:
    return LastCacheDraft(**({"table": "cpu", "columns": COLUMNS} | about))  # type: ignore[arg-type]


def hidden(table: str | None) -> Deleted:
    return Deleted(
        id=ID if table is None else DatabaseId(2),
        name="x",
        database="db",
        table=table,
        deleted_ns=0,
        hard_delete_ns=None,
    )


def distinct(**about: object) -> DistinctCacheDraft:
    known = {"table": "cpu", "columns": COLUMNS, "wanted": ["host"]}
    return DistinctCacheDraft(**(known | about))  # type: ignore[arg-type]


def test_names_and_keys_that_are_not_given_come_from_the_table(catalog: Catalog) -> None:
    made = catalog.caches.new_last(ID, last()).cache
    assert (made.name, made.key_columns) == ("cpu_host_region_last_cache", ("host", "region"))
    assert (made.value_columns, made.count, made.ttl_ns) == (None, 1, 14_400_000_000_000)
    other = catalog.caches.new_distinct(ID, distinct(wanted=["region", "state"])).cache
    assert other.name == "cpu_region_state_distinct_cache"
    assert (other.cardinality_max, other.age_max_ns) == (100_000, 86_400_000_000_000)


@pytest.mark.parametrize(
    ("draft", "error", "said"),
    [
        (last(columns=()), CacheTableNotFoundError, "not found: cpu"),
        (last(key_columns=["x"]), CatalogError, "no column 'x'"),
        (last(key_columns=["usage"]), CatalogError, "column 'usage' cannot be used: a key of"),
        (last(key_columns=["host", "host"]), CatalogError, "named twice"),
        (last(value_columns=["host", "usage"]), CatalogError, "both a key and a value"),
        (last(value_columns=["y"]), CatalogError, "no column 'y'"),
        (last(count=0), CatalogError, "from 1 to 10, not 0"),
        (last(count=11), CatalogError, "from 1 to 10, not 11"),
        (last(ttl_s=0), CatalogError, "ttl must be from 1"),
        (last(name=""), InvalidNameError, "must have 1 to 511 bytes"),
        (last(name="a\n"), InvalidNameError, "control characters"),
        (distinct(wanted=[]), CatalogError, "at least one column"),
        (distinct(wanted=["usage"]), CatalogError, "a column of a distinct cache"),
        (distinct(cardinality_max=0), CatalogError, "at least 1, not 0"),
        (distinct(age_max_s=0), CatalogError, "max_age must be from 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    catalog: Catalog,
    draft: LastCacheDraft | DistinctCacheDraft,
    error: type[CatalogError],
    said: str,
) -> None:
    caches = catalog.caches
    make = caches.new_last if isinstance(draft, LastCacheDraft) else caches.new_distinct
    with pytest.raises(error, match=said):
        make(ID, draft)  # type: ignore[operator]


def test_a_name_is_free_again_once_its_cache_is_deleted(catalog: Catalog) -> None:
    caches = catalog.caches
    for make, remove in (
        (lambda: caches.new_last(ID, last(name="c")), caches.last_removal),
        (lambda: caches.new_distinct(ID, distinct(name="c")), caches.distinct_removal),
    ):
        _check_name(catalog, make, remove)


def _check_name(catalog: Catalog, make: Callable, remove: Callable) -> None:  # type: ignore[type-arg]
    catalog.apply(make())
    with pytest.raises(AlreadyExistsError):
        make()
    with pytest.raises(CacheNotFoundError):
        remove(ID, "cpu", "d")
    with pytest.raises(CacheNotFoundError):
        remove(ID, "mem", "c")
    catalog.apply(remove(ID, "cpu", "c"))
    catalog.apply(make())


@pytest.mark.parametrize("gone", [DeleteTable(ID, "db", "cpu"), HideTable(ID, hidden("cpu"))])
@pytest.mark.parametrize("last_gone", [DeleteDatabase(ID, "db"), HideDatabase(hidden(None))])
def test_caches_go_with_their_table_and_database(
    catalog: Catalog, gone: CatalogChange, last_gone: CatalogChange
) -> None:
    caches = catalog.caches
    for name in ("cpu", "mem"):
        catalog.apply(caches.new_last(ID, last(table=name)))
        catalog.apply(caches.new_distinct(ID, distinct(table=name)))
    again = Catalog()
    again.restore(catalog.image())
    assert again.caches.image() == caches.image()
    catalog.apply(gone)
    assert [cache.table for cache in (*caches.last(ID), *caches.distinct(ID))] == ["mem", "mem"]
    assert (caches.last(ID, "cpu"), len(caches.last(ID, "mem"))) == ([], 1)
    catalog.apply(last_gone)
    assert (caches.last(ID), caches.distinct(ID)) == ([], [])
