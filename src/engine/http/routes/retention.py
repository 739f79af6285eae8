# Owns the routes that say how long the rows of a database, or of one table of it, are kept.
"""Retention routes."""

import msgspec

from engine.catalog.retention import parse_retention
from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.route_description import DATABASE, Answer, JsonBody, Parameter
from engine.http.routes.configure import read_json
from engine.http.routes.structure import wanted
from engine.http.routing import Route
from engine.http.services import Services


class RetentionBody(msgspec.Struct, frozen=True):
    """PUT /api/v3/configure/database; without a period, rows are kept for ever."""

    db: str
    retention_period: str | None = None
    table: str | None = None


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    writer = services.structure

    async def update_database(request: Request) -> Response:
        body = await read_json(request, RetentionBody)
        period = body.retention_period
        await writer.set_retention(
            body.db, body.table, None if period is None else parse_retention(period)
        )
        return Response(200)

    async def set_retention(request: Request) -> Response:
        parameters = request.query_parameters()
        period = wanted(parameters, "duration")
        await writer.set_retention(
            wanted(parameters, "db"), parameters.get("table"), parse_retention(period)
        )
        return Response(204)

    async def clear_retention(request: Request) -> Response:
        parameters = request.query_parameters()
        await writer.set_retention(wanted(parameters, "db"), parameters.get("table"), None)
        return Response(204)

    path = "/api/v3/configure/database"
    table = Parameter("table", "of this table alone")
    duration = Parameter("duration", "such as 30d", required=True)
    return [
        Route(
            ("PUT",),
            path,
            update_database,
            "Set or clear the retention of a database or a table",
            Right.ADMIN,
            body=JsonBody(RetentionBody),
        ),
        Route(
            ("POST",),
            f"{path}/retention_period",
            set_retention,
            "Set a retention",
            Right.ADMIN,
            parameters=(DATABASE, table, duration),
            answer=Answer(204),
        ),
        Route(
            ("DELETE",),
            f"{path}/retention_period",
            clear_retention,
            "Clear a retention",
            Right.ADMIN,
            parameters=(DATABASE, table),
            answer=Answer(204),
        ),
    ]
