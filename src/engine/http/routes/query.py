# Owns the SQL route: reads the question from URL or body, picks the answer's format.
"""Query routes."""

from typing import Any

import msgspec

from engine.errors import RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.json_text import decoded
from engine.http.route_description import (
    DATABASE,
    FORMAT,
    TABLE_TYPES,
    Answer,
    JsonBody,
    Parameter,
)
from engine.http.routing import Route
from engine.http.services import Services
from engine.http.streaming import while_connected
from engine.query.formats import CONTENT_TYPES, ResultFormat, format_accepted, format_named

# From then on it is worth looking whether the client of a query is still there.
WATCH_AFTER_S = 0.05


# What a placeholder may stand for. Said here so that anything else is refused where it begins:
# millions of lists would take the event loop seconds to read.
Scalar = str | int | float | bool | None


class QueryBody(msgspec.Struct, frozen=True):
    """A question as JSON."""

    db: str
    q: str
    format: str | None = None
    params: dict[str, Scalar] | None = None


def pick_format(name: str | None, accept: str) -> ResultFormat:
    """The answer's format from the ``format`` parameter or, without one, the Accept header.

    Raises:
        RequestError: Neither names a known format.
    """
    return format_accepted(accept) if name is None else format_named(name)


def bound_values(parameters: dict[str, str]) -> dict[str, Any]:
    """Values of ``$name``, from the ``params`` parameter of the URL.

    Raises:
        RequestError: It is not a JSON object.
    """
    text = parameters.get("params") or "{}"
    what = "query parameter 'params' is not a JSON object"
    # Go's client of version 1 sends null where it has none.
    return {} if text == "null" else decoded(text, dict[str, Any], what)


def _from_url(request: Request) -> QueryBody:
    parameters = request.query_parameters()
    missing = [name for name in ("db", "q") if name not in parameters]
    if missing:
        raise RequestError(
            "missing query parameters " + " and ".join(f"'{name}'" for name in missing),
            hint="for example /api/v3/query_sql?db=NAME&q=SELECT+1",
        )
    params = bound_values(parameters)
    return QueryBody(parameters["db"], parameters["q"], parameters.get("format"), params)


def _from_body(body: bytes) -> QueryBody:
    return decoded(body, QueryBody, hint='send {"db": "NAME", "q": "SELECT …"}')


def routes(services: Services) -> list[Route]:
    """The routes of this module."""

    async def query_sql(request: Request) -> Response:
        question = (
            _from_url(request) if request.method == "GET" else _from_body(await request.body())
        )
        request.access.require(question.db)
        result_format = pick_format(question.format, request.headers.get("accept", ""))
        content = await while_connected(
            request.receive,
            services.queries.encoded(question.db, question.q, question.params, result_format),
            after_s=WATCH_AFTER_S,
        )
        return Response(200, content, CONTENT_TYPES[result_format])

    return [
        Route(
            ("GET", "POST"),
            "/api/v3/query_sql",
            query_sql,
            "Run a SQL query",
            Right.READ,
            parameters=(
                DATABASE,
                Parameter("q", "SQL", required=True),
                FORMAT,
                Parameter("params", "JSON object with the values of `$name`"),
            ),
            body=JsonBody(QueryBody),
            answer=Answer(200, "rows", TABLE_TYPES),
        )
    ]
