# Owns the definitions of the caches of tables, and the rules that a new one must keep. Part of the
# catalog; what is in the caches is the business of engine.caches.
"""The table of last-value and distinct-value caches."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from engine.catalog.changes import (
    CacheChange,
    CreateDistinctCache,
    CreateLastCache,
    DeleteDistinctCache,
    DeleteLastCache,
)
from engine.catalog.model import DistinctCache, LastCache
from engine.errors import (
    AlreadyExistsError,
    CacheNotFoundError,
    CacheTableNotFoundError,
    CatalogError,
    InvalidNameError,
)
from engine.ids import DatabaseId
from lp_core.enums import ColumnType

CACHE_NAME_BYTES_MAX = 511
# Rows of a group, as in the reference system.
LAST_COUNT_MAX = 10
DEFAULT_TTL_S = 4 * 3_600
DEFAULT_CARDINALITY_MAX = 100_000
DEFAULT_AGE_MAX_S = 86_400
SPAN_S_MAX = 2**63 // 1_000_000_000

_SECOND_NS = 1_000_000_000
_LAST_KEYS = (
    ColumnType.TAG,
    ColumnType.STRING,
    ColumnType.INT64,
    ColumnType.UINT64,
    ColumnType.BOOL,
)
_DISTINCT_COLUMNS = (ColumnType.TAG, ColumnType.STRING)

_Cache = TypeVar("_Cache", LastCache, DistinctCache)
# The columns of a table without `time`, in order of first appearance.
TableColumns = Sequence[tuple[str, ColumnType]]


class LastCacheDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A cache of last rows as somebody asks for it; `columns` are those of its table."""

    table: str
    columns: TableColumns
    name: str | None = None
    key_columns: Sequence[str] | None = None
    value_columns: Sequence[str] | None = None
    count: int = 1
    ttl_s: int = DEFAULT_TTL_S


class DistinctCacheDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A cache of distinct values as somebody asks for it; `columns` are those of its table."""

    table: str
    columns: TableColumns
    wanted: Sequence[str]
    name: str | None = None
    cardinality_max: int = DEFAULT_CARDINALITY_MAX
    age_max_s: int = DEFAULT_AGE_MAX_S


class CachesImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of the caches: which there are, not what is in them."""

    last: tuple[LastCache, ...] = ()
    distinct: tuple[DistinctCache, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.last or self.distinct)


class CacheTable:
    """Caches as of the last applied change; queries read it from other threads."""

    def __init__(self) -> None:
        self._last: tuple[LastCache, ...] = ()
        self._distinct: tuple[DistinctCache, ...] = ()

    def last(self, database_id: DatabaseId, table: str | None = None) -> list[LastCache]:
        """Caches of last rows of a database, or of one table of it."""
        return _of(self._last, database_id, table)

    def distinct(self, database_id: DatabaseId, table: str | None = None) -> list[DistinctCache]:
        """Caches of distinct values of a database, or of one table of it."""
        return _of(self._distinct, database_id, table)

    def new_last(self, database_id: DatabaseId, draft: LastCacheDraft) -> CreateLastCache:
        """The change that creates a cache of last rows.

        Raises:
            CacheTableNotFoundError: The table has no columns: it is not there.
            InvalidNameError: The name breaks the rules.
            AlreadyExistsError: The table has a cache of that name.
            CatalogError: Columns, count or time to live do not fit.
        """
        types = _types(draft.table, draft.columns)
        keys = draft.key_columns
        if keys is None:
            keys = [name for name, kind in draft.columns if kind is ColumnType.TAG]
        _check_columns(keys, types, _LAST_KEYS, "a key of a last cache is a tag or a field of "
                       "strings, integers or booleans")  # fmt: skip
        values = draft.value_columns
        if values is not None:
            values = [name for name in values if name != "time"]
            _check_columns(values, types, tuple(ColumnType), "")
            both = [name for name in values if name in set(keys)]
            if both:
                raise CatalogError(f"column '{both[0]}' cannot be both a key and a value")
        if not 1 <= draft.count <= LAST_COUNT_MAX:
            raise CatalogError(
                f"count must be from 1 to {LAST_COUNT_MAX}, not {draft.count}",
                hint="query the table itself for more rows of a group",
            )
        cache = LastCache(
            database_id=database_id,
            table=draft.table,
            name=_name(draft.name, [draft.table, *keys, "last_cache"]),
            key_columns=tuple(keys),
            value_columns=None if values is None else tuple(values),
            count=draft.count,
            ttl_ns=_span_ns("ttl", draft.ttl_s),
        )
        _check_free(cache, self._last)
        return CreateLastCache(cache)

    def new_distinct(
        self, database_id: DatabaseId, draft: DistinctCacheDraft
    ) -> CreateDistinctCache:
        """The change that creates a cache of distinct values.

        Raises:
            CacheTableNotFoundError: The table has no columns: it is not there.
            InvalidNameError: The name breaks the rules.
            AlreadyExistsError: The table has a cache of that name.
            CatalogError: Columns, cardinality or age do not fit.
        """
        types = _types(draft.table, draft.columns)
        if not draft.wanted:
            raise CatalogError("a distinct cache needs at least one column")
        _check_columns(draft.wanted, types, _DISTINCT_COLUMNS,
                       "a column of a distinct cache is a tag or a field of strings")  # fmt: skip
        if draft.cardinality_max < 1:
            raise CatalogError(f"max_cardinality must be at least 1, not {draft.cardinality_max}")
        cache = DistinctCache(
            database_id=database_id,
            table=draft.table,
            name=_name(draft.name, [draft.table, *draft.wanted, "distinct_cache"]),
            columns=tuple(draft.wanted),
            cardinality_max=draft.cardinality_max,
            age_max_ns=_span_ns("max_age", draft.age_max_s),
        )
        _check_free(cache, self._distinct)
        return CreateDistinctCache(cache)

    def last_removal(self, database_id: DatabaseId, table: str, name: str) -> DeleteLastCache:
        """The change that deletes a cache of last rows.

        Raises:
            CacheNotFoundError: There is none of that name.
        """
        _check_there(self.last(database_id, table), name)
        return DeleteLastCache(database_id, table, name)

    def distinct_removal(
        self, database_id: DatabaseId, table: str, name: str
    ) -> DeleteDistinctCache:
        """The change that deletes a cache of distinct values.

        Raises:
            CacheNotFoundError: There is none of that name.
        """
        _check_there(self.distinct(database_id, table), name)
        return DeleteDistinctCache(database_id, table, name)

    def drop(self, database_id: DatabaseId, table: str | None = None) -> None:
        """Forget the caches of a database, or of one table of it, that is gone."""
        self._last = _without(self._last, database_id, table)
        self._distinct = _without(self._distinct, database_id, table)

    def apply(self, change: CacheChange) -> None:
        """Take over a durable change; one about a cache that is gone already has no effect."""
        match change:
            case CreateLastCache(cache=last):
                self._last = (*self._last, last)
            case CreateDistinctCache(cache=distinct):
                self._distinct = (*self._distinct, distinct)
            case DeleteLastCache(database_id=database_id, table=table, name=name):
                self._last = _without(self._last, database_id, table, name)
            case DeleteDistinctCache(database_id=database_id, table=table, name=name):
                self._distinct = _without(self._distinct, database_id, table, name)

    def image(self) -> CachesImage:
        """What a checkpoint keeps."""
        return CachesImage(last=self._last, distinct=self._distinct)

    def restore(self, image: CachesImage) -> None:
        """Take over what a checkpoint has kept."""
        self._last, self._distinct = image.last, image.distinct


def _of(caches: Iterable[_Cache], database_id: DatabaseId, table: str | None) -> list[_Cache]:
    return [
        cache
        for cache in caches
        if cache.database_id == database_id and table in (None, cache.table)
    ]


def _without(
    caches: Iterable[_Cache], database_id: DatabaseId, table: str | None, name: str | None = None
) -> tuple[_Cache, ...]:
    return tuple(
        cache
        for cache in caches
        if cache.database_id != database_id
        or table not in (None, cache.table)
        or name not in (None, cache.name)
    )


def _types(table: str, columns: TableColumns) -> dict[str, ColumnType]:
    if not columns:
        raise CacheTableNotFoundError(
            f"the requested resource was not found: {table}",
            hint="write a row to the table first",
        )
    return dict(columns)


def _check_columns(
    names: Sequence[str],
    types: dict[str, ColumnType],
    allowed: Sequence[ColumnType],
    rule: str,
) -> None:
    for name in names:
        if name not in types:
            raise CatalogError(
                f"the table has no column '{name}'", hint=f"it has: {', '.join(sorted(types))}"
            )
        if types[name] not in allowed:
            raise CatalogError(f"column '{name}' cannot be used: {rule}")
    if len(set(names)) != len(names):
        raise CatalogError("a column is named twice")


def _name(given: str | None, parts: Sequence[str]) -> str:
    name = "_".join(parts) if given is None else given
    if not name or len(name.encode("utf-8", "surrogatepass")) > CACHE_NAME_BYTES_MAX:
        raise InvalidNameError(
            f"the name of a cache must have 1 to {CACHE_NAME_BYTES_MAX} bytes",
            hint="" if given is not None else "give it a name: the default one is too long",
        )
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in name):
        raise InvalidNameError("the name of a cache cannot contain control characters")
    return name


def _span_ns(what: str, seconds: int) -> int:
    if not 1 <= seconds <= SPAN_S_MAX:
        raise CatalogError(f"{what} must be from 1 to {SPAN_S_MAX} seconds, not {seconds}")
    return seconds * _SECOND_NS


def _check_free(cache: _Cache, caches: Iterable[_Cache]) -> None:
    if any(one.name == cache.name for one in _of(caches, cache.database_id, cache.table)):
        raise AlreadyExistsError(
            "attempted to create a resource that already exists",
            hint=f"table '{cache.table}' has a cache named '{cache.name}': delete it first, or "
            "choose another name",
        )


def _check_there(caches: Sequence[LastCache] | Sequence[DistinctCache], name: str) -> None:
    if not any(cache.name == name for cache in caches):
        raise CacheNotFoundError(
            f"the requested resource was not found: {name}",
            hint="system.last_caches and system.distinct_caches list them",
        )
