# Owns the routes that create and delete caches of tables.
"""Cache routes."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from engine.catalog.caches import (
    DEFAULT_AGE_MAX_S,
    DEFAULT_CARDINALITY_MAX,
    DEFAULT_TTL_S,
    DistinctCacheDraft,
    LastCacheDraft,
)
from engine.catalog.model import DistinctCache, LastCache
from engine.http.access import Right
from engine.http.asgi import Request, Response, json_response
from engine.http.route_description import Answer, JsonBody
from engine.http.routes.configure import read_json, read_query_or_json
from engine.http.routing import Route
from engine.http.services import Services
from engine.store.parquet_file import field_ids
from lp_core.enums import ColumnType

_SECOND_NS = 1_000_000_000
_Whole = Annotated[int, msgspec.Meta(ge=0)]


class LastCacheBody(msgspec.Struct, frozen=True):
    """POST /api/v3/configure/last_cache; keys are the tags where none are given."""

    db: str
    table: str
    name: str | None = None
    key_columns: list[str] | None = None
    value_columns: list[str] | None = None
    count: _Whole | None = None
    ttl: _Whole | None = None


class DistinctCacheBody(msgspec.Struct, frozen=True):
    """POST /api/v3/configure/distinct_cache."""

    db: str
    table: str
    columns: list[str]
    name: str | None = None
    max_cardinality: _Whole | None = None
    max_age: _Whole | None = None


class CacheNameBody(msgspec.Struct, frozen=True):
    """Names a cache of a table."""

    db: str
    table: str
    name: str


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    writer = services.catalog_writer

    def columns(database: str, table: str) -> Sequence[tuple[str, ColumnType]]:
        """The columns of a table; none where there is no such table."""
        found = services.store.database(database)
        return () if found is None or found.table(table) is None else found.columns(table)

    def batch(database: str, name: str, operation: dict[str, Any]) -> Response:
        """The change in the words of the reference system, which knows it as a batch."""
        about = {
            "time_ns": services.clock.now_ns(),
            "database_id": services.catalog.database(database).id,
            "database_name": database,
            "ops": [{name: operation}],
        }
        content = {
            "catalog_batch": {"Database": about},
            "sequence_number": services.position(),
        }
        return json_response(content, 201)

    def ids(database: str, cache: LastCache | DistinctCache, names: Sequence[str]) -> list[int]:
        known = field_ids(columns(database, cache.table))
        return [known[name] for name in names if name in known]

    async def create_last_cache(request: Request) -> Response:
        body = await read_json(request, LastCacheBody)
        cache = await writer.create_last_cache(
            body.db,
            lambda: LastCacheDraft(
                table=body.table,
                columns=columns(body.db, body.table),
                name=body.name,
                key_columns=body.key_columns,
                value_columns=body.value_columns,
                count=1 if body.count is None else body.count,
                ttl_s=DEFAULT_TTL_S if body.ttl is None else body.ttl,
            ),
        )
        values = cache.value_columns
        shown = {
            "table_name": cache.table,
            "cache_name": cache.name,
            "key_column_ids": ids(body.db, cache, cache.key_columns),
            "key_column_names": cache.key_columns,
            "value_columns": "all_non_key_columns"
            if values is None
            else {"explicit": {"column_ids": ids(body.db, cache, values)}},
            "value_column_names": values,
            "count": cache.count,
            "ttl": cache.ttl_ns // _SECOND_NS,
        }
        return batch(body.db, "CreateLastCache", shown)

    async def create_distinct_cache(request: Request) -> Response:
        body = await read_json(request, DistinctCacheBody)
        cache = await writer.create_distinct_cache(
            body.db,
            lambda: DistinctCacheDraft(
                table=body.table,
                columns=columns(body.db, body.table),
                wanted=body.columns,
                name=body.name,
                cardinality_max=DEFAULT_CARDINALITY_MAX
                if body.max_cardinality is None
                else body.max_cardinality,
                age_max_s=DEFAULT_AGE_MAX_S if body.max_age is None else body.max_age,
            ),
        )
        shown = {
            "table_name": cache.table,
            "cache_name": cache.name,
            "column_ids": ids(body.db, cache, cache.columns),
            "column_names": cache.columns,
            "max_cardinality": cache.cardinality_max,
            "max_age_seconds": cache.age_max_ns // _SECOND_NS,
        }
        return batch(body.db, "CreateDistinctCache", shown)

    async def delete_last_cache(request: Request) -> Response:
        body = await read_query_or_json(request, CacheNameBody)
        await writer.delete_last_cache(body.db, body.table, body.name)
        return Response(200)

    async def delete_distinct_cache(request: Request) -> Response:
        body = await read_query_or_json(request, CacheNameBody)
        await writer.delete_distinct_cache(body.db, body.table, body.name)
        return Response(200)

    made = Answer(201, "the change of the catalog", ("application/json",))
    name = JsonBody(CacheNameBody, may_be_parameters=True)
    last_path = "/api/v3/configure/last_cache"
    distinct_path = "/api/v3/configure/distinct_cache"
    return [
        Route(
            ("POST",),
            last_path,
            create_last_cache,
            "Keep the last rows of each series, or of other groups, of a table at hand",
            Right.ADMIN,
            body=JsonBody(LastCacheBody),
            answer=made,
        ),
        Route(
            ("DELETE",),
            last_path,
            delete_last_cache,
            "Delete a cache of last rows",
            Right.ADMIN,
            body=name,
        ),
        Route(
            ("POST",),
            distinct_path,
            create_distinct_cache,
            "Keep the values that columns of a table have at hand",
            Right.ADMIN,
            body=JsonBody(DistinctCacheBody),
            answer=made,
        ),
        Route(
            ("DELETE",),
            distinct_path,
            delete_distinct_cache,
            "Delete a cache of distinct values",
            Right.ADMIN,
            body=name,
        ),
    ]
