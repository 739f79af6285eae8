# Owns the route that streams whole tables out.
"""Export route."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from engine.errors import RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.route_description import DATABASE, Answer, Parameter
from engine.http.routing import Route
from engine.http.services import Services
from engine.http.streaming import StreamedResponse
from engine.plugins.log_history import parse_time
from engine.query.export import CONTENT_TYPES, TIME_NS_MAX, TIME_NS_MIN, ExportFormat
from engine.store.time_ranges import TimeRange

# The client is given time for each of these, not for a whole slice of the table.
_SENT_BYTES = 1024 * 1024


def _times(parameters: dict[str, str]) -> TimeRange:
    """From `from` on, until before `to`."""
    low = parse_time(parameters["from"]) if parameters.get("from") else TIME_NS_MIN
    high = parse_time(parameters["to"]) - 1 if parameters.get("to") else TIME_NS_MAX
    return _bounded(low), _bounded(high)


def _bounded(time_ns: int) -> int:
    return min(max(time_ns, TIME_NS_MIN), TIME_NS_MAX)


def _format(name: str) -> ExportFormat:
    try:
        return ExportFormat(name)
    except ValueError:
        raise RequestError(
            f"unknown export format '{name}'", hint="use lp, csv, jsonl or parquet"
        ) from None


class _Pieces:
    """The pieces of an export, each made in a query's thread."""

    def __init__(self, services: Services, database: str, pieces: Iterator[bytes]) -> None:
        self._services = services
        self._database = database
        self._pieces = pieces
        self._first: bytes | None = None

    async def begin(self) -> None:
        """Make the first piece, so that what is wrong is told by a status."""
        self._first = await self._next()

    async def _next(self) -> bytes | None:
        return await self._services.queries.run(
            self._database, "export", "export", lambda: next(self._pieces, None)
        )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        piece, self._first = self._first, None
        while piece is not None:
            for at in range(0, len(piece), _SENT_BYTES):
                yield piece[at : at + _SENT_BYTES]
            piece = await self._next()

    async def aclose(self) -> None:
        """Nothing is open between two pieces."""
        await asyncio.sleep(0)


def routes(services: Services) -> list[Route]:
    """The routes of this module."""

    async def export(request: Request) -> Response:
        parameters = request.query_parameters()
        if "db" not in parameters:
            raise RequestError("missing query parameter 'db'")
        database = parameters["db"]
        request.access.require(database)
        export_format = _format(parameters.get("format", "lp"))
        made = services.queries.export(
            database, times=_times(parameters), plain=parameters.get("plain") == "true"
        )
        table = parameters.get("table")
        tables = services.queries.table_names(database) if table is None else [table]
        pieces = _Pieces(services, database, made.pieces(tables, export_format))
        await pieces.begin()
        return StreamedResponse(
            200,
            headers=[("content-type", CONTENT_TYPES[export_format])],
            pieces=pieces,
            receive=request.receive,
        )

    return [
        Route(
            ("GET",),
            "/api/v3/export",
            export,
            "Rows of whole tables, streamed, in order of time; a cut connection means that it is "
            "not whole",
            Right.READ,
            parameters=(
                DATABASE,
                Parameter("table", "only this table; other forms than lp need one"),
                Parameter("format", "form of the rows (default lp)", choices=tuple(ExportFormat)),
                Parameter("from", "rows from this time on: RFC 3339 or nanoseconds"),
                Parameter("to", "rows before this time"),
                Parameter("plain", "true: no lines in front that tell types"),
            ),
            answer=Answer(200, "the file", tuple(CONTENT_TYPES.values())),
        )
    ]
