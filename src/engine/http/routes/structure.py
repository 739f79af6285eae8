# Owns the routes on databases and tables: listing, creating, deleting.
"""Database and table routes."""

import msgspec

from engine.catalog.deleted import KEPT_NS_DEFAULT
from engine.catalog.retention import parse_retention, retention_text
from engine.errors import QueryError, RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.route_description import (
    DATABASE,
    FORMAT,
    TABLE_TYPES,
    Answer,
    JsonBody,
    Parameter,
)
from engine.http.routes.configure import read_json, table_response
from engine.http.routes.query import pick_format
from engine.http.routing import Route
from engine.http.services import Services
from engine.query.literals import parse_timestamp
from lp_core import ColumnType

_FIELD_TYPES = {
    "utf8": ColumnType.STRING,
    "int64": ColumnType.INT64,
    "uint64": ColumnType.UINT64,
    "float64": ColumnType.FLOAT64,
    "bool": ColumnType.BOOL,
}
_SWITCH = ("true", "false")


class DatabaseBody(msgspec.Struct, frozen=True):
    """POST /api/v3/configure/database."""

    db: str
    retention_period: str | None = None


class FieldBody(msgspec.Struct, frozen=True):
    """A field of a table that is created."""

    name: str
    type: str


class TableBody(msgspec.Struct, frozen=True):
    """POST /api/v3/configure/table; types: utf8, int64, uint64, float64, bool."""

    db: str
    table: str
    tags: list[str]
    fields: list[FieldBody]


def hard_delete_ns(text: str | None, now_ns: int) -> int | None:
    """When rows go: `text` is ``now``, ``never``, ``default`` or a time; None means default.

    Returns:
        A time that is not past `now_ns` means at once; None never.

    Raises:
        RequestError: It is none of these.
    """
    match text:
        case None | "default":
            return now_ns + KEPT_NS_DEFAULT
        case "never":
            return None
        case "now":
            return now_ns
        case _:
            try:
                time_ns = parse_timestamp(text)
            except QueryError:
                time_ns = None
            if time_ns is None:
                raise RequestError(
                    f"Cannot parse the timestamp: {text}",
                    hint="use now, never, default, or a time such as 2030-01-31T12:00:00Z",
                )
            return time_ns


def wanted(parameters: dict[str, str], name: str) -> str:
    """The value of a parameter of the URL.

    Raises:
        RequestError: It is missing.
    """
    if name not in parameters:
        raise RequestError(f"missing query parameter '{name}'")
    return parameters[name]


def _is_on(parameters: dict[str, str], name: str) -> bool:
    text = parameters.get(name, "false")
    if text not in _SWITCH:
        raise RequestError(f"{name} is true or false, not '{text}'")
    return text == "true"


def _field_type(field: FieldBody) -> ColumnType:
    kind = _FIELD_TYPES.get(field.type)
    if kind is None:
        raise RequestError(
            f"serde json error: unknown variant `{field.type}` for field '{field.name}'",
            hint=f"types are {', '.join(_FIELD_TYPES)}",
        )
    return kind


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    structure = services.structure

    async def list_databases(request: Request) -> Response:
        parameters = request.query_parameters()
        result_format = pick_format(parameters.get("format"), request.headers.get("accept", ""))
        columns = ["iox::database"]
        with_deleted = _is_on(parameters, "show_deleted")
        with_retention = _is_on(parameters, "show_retention")
        rows: list[dict[str, object]] = [
            {
                "iox::database": database.name,
                "retention_period": retention_text(database.retention_ns),
                "deleted": False,
            }
            for database in services.catalog.databases()
            if request.access.may_see(database.name)
        ]
        if with_retention:
            columns.append("retention_period")
        if with_deleted:
            columns.append("deleted")
            rows += [
                {"iox::database": deleted.name, "retention_period": None, "deleted": True}
                for deleted in services.catalog.deleted.all()
                if deleted.table is None and request.access.may_see(deleted.database)
            ]
        shown = [{name: row[name] for name in columns} for row in rows]
        return table_response(columns, shown, result_format)

    async def create_database(request: Request) -> Response:
        body = await read_json(request, DatabaseBody)
        period = body.retention_period
        await services.catalog_writer.create_database(
            body.db, retention_ns=None if period is None else parse_retention(period)
        )
        return Response(200)

    async def delete_database(request: Request) -> Response:
        parameters = request.query_parameters()
        name = wanted(parameters, "db")
        at_ns = hard_delete_ns(parameters.get("hard_delete_at"), services.clock.now_ns())
        await structure.delete_database(name, at_ns)
        return Response(200)

    async def create_table(request: Request) -> Response:
        body = await read_json(request, TableBody)
        columns = [(name, ColumnType.TAG) for name in body.tags]
        columns += [(field.name, _field_type(field)) for field in body.fields]
        await structure.create_table(body.db, body.table, columns)
        return Response(200)

    async def delete_table(request: Request) -> Response:
        parameters = request.query_parameters()
        database, table = wanted(parameters, "db"), wanted(parameters, "table")
        at_ns = hard_delete_ns(parameters.get("hard_delete_at"), services.clock.now_ns())
        await structure.delete_table(database, table, at_ns)
        return Response(200)

    database_path = "/api/v3/configure/database"
    table_path = "/api/v3/configure/table"
    hard_delete = Parameter(
        "hard_delete_at",
        "when the rows go: now, never, default (in 72 hours), or a time in RFC 3339",
    )
    return [
        Route(
            ("GET",),
            database_path,
            list_databases,
            "List databases",
            Right.ANY,
            parameters=(
                FORMAT,
                Parameter("show_deleted", "deleted ones too", choices=_SWITCH),
                Parameter("show_retention", "with their retention", choices=_SWITCH),
            ),
            answer=Answer(200, "a table", TABLE_TYPES),
        ),
        Route(
            ("POST",),
            database_path,
            create_database,
            "Create a database",
            Right.ADMIN,
            body=JsonBody(DatabaseBody),
        ),
        Route(
            ("DELETE",),
            database_path,
            delete_database,
            "Delete a database; its name is free at once",
            Right.ADMIN,
            parameters=(DATABASE, hard_delete),
        ),
        Route(
            ("POST",),
            table_path,
            create_table,
            "Create a table with its columns, and its database if there is none",
            Right.ADMIN,
            body=JsonBody(TableBody),
        ),
        Route(
            ("DELETE",),
            table_path,
            delete_table,
            "Delete a table; its name is free at once",
            Right.ADMIN,
            parameters=(DATABASE, Parameter("table", "table", required=True), hard_delete),
        ),
    ]
