# Owns the route that deletes rows.
"""Row routes."""

import msgspec

from engine.clock import time_of_number
from engine.errors import QueryError, RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response, json_response
from engine.http.route_description import Answer, JsonBody
from engine.http.routes.configure import read_query_or_json
from engine.http.routing import Route
from engine.http.services import Services
from engine.query.delete_conditions import parse_condition
from engine.query.delete_sql import DELETE_TIME_NS_MAX, delete_text
from engine.query.formats import ResultFormat
from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN, parse_timestamp
from engine.store.time_ranges import TimeRange


class DeleteRowsBody(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """DELETE /api/v3/configure/table/rows: from inclusive, to exclusive."""

    db: str
    table: str
    where: str | None = None
    start: str | int | None = None
    end: str | int | None = None
    dry_run: bool = False


class _Count(msgspec.Struct):
    rows: int


def _time_ns(name: str, value: str | int) -> int:
    text = str(value).strip()
    time_ns = time_of_number(text)
    if time_ns is None:
        try:
            time_ns = parse_timestamp(text)
        except QueryError:
            time_ns = None
    if time_ns is None or abs(time_ns) > DELETE_TIME_NS_MAX:
        raise RequestError(
            f"'{name}' is not a time: {text}",
            hint="write for example 2030-01-31T12:00:00Z, or nanoseconds since 1970",
        )
    return time_ns


def _times(body: DeleteRowsBody) -> TimeRange:
    if body.where is None and body.start is None and body.end is None:
        raise RequestError(
            "nothing says which rows to delete",
            hint="give a condition, or a beginning or end of time; or delete the table",
        )
    low = TIME_NS_MIN if body.start is None else _time_ns("from", body.start)
    high = TIME_NS_MAX if body.end is None else _time_ns("to", body.end) - 1
    if low > high:
        raise RequestError("no time is from 'from' to 'to', which is exclusive")
    return low, high


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    deleter = services.row_deleter

    async def delete_rows(request: Request) -> Response:
        body = await read_query_or_json(request, DeleteRowsBody)
        columns = deleter.columns(body.db, body.table)
        times = _times(body)
        condition = None if body.where is None else parse_condition(body.where, columns)
        if body.dry_run:
            table = body.table.replace('"', '""')
            sql = (
                f'SELECT count(*) AS "rows" FROM "{table}" '  # noqa: S608 quoted, and checked again
                f"WHERE {delete_text(times, condition)}"
            )
            answer = await services.queries.encoded(body.db, sql, None, ResultFormat.JSON)
            (count,) = msgspec.json.decode(answer, type=list[_Count])
            return json_response({"rows": count.rows})
        return json_response(
            {"position": await deleter.delete(body.db, body.table, times, condition)}
        )

    return [
        Route(
            ("DELETE",),
            "/api/v3/configure/table/rows",
            delete_rows,
            "Delete rows written before, by tags and time; with `dry_run` only count them",
            Right.ADMIN,
            body=JsonBody(DeleteRowsBody, may_be_parameters=True),
            answer=Answer(
                200,
                '`{"position"}` of the log behind which they are gone, or `{"rows"}`',
                ("application/json",),
            ),
        ),
    ]
