# Owns the routes that try a plugin out without storing anything.
"""Dry runs over HTTP."""

import datetime
from typing import Any

import msgspec

from engine.clock import time_of_number
from engine.errors import RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response, json_response
from engine.http.route_description import Answer, JsonBody
from engine.http.routes.configure import read_json
from engine.http.routing import Route
from engine.http.services import Services
from engine.http.streaming import while_connected
from engine.plugins.dry_run import DryRunReport, DryRunRequest

DEFAULT_SCHEDULE = "* * * * * *"


class _TestBody(msgspec.Struct, frozen=True, kw_only=True):
    filename: str
    database: str
    input_arguments: dict[str, str] | None = None
    cache_name: str | None = None
    trigger_name: str | None = None
    permissions: list[str] | None = None

    def request(self) -> DryRunRequest:
        """What every dry run needs to know."""
        return DryRunRequest(
            filename=self.filename,
            database=self.database,
            input_arguments=self.input_arguments,
            cache_name=self.cache_name,
            trigger_name=self.trigger_name,
            permissions=self.permissions,
        )


class WalTestBody(_TestBody, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """POST /api/v3/plugin_test/wal: rows to send, or the stretch of time to take them from."""

    input_lp: str | None = None
    start: str | int | None = None
    end: str | int | None = None
    table: str | None = None


class ScheduleTestBody(_TestBody, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """POST /api/v3/plugin_test/schedule: the next tick, or all of a stretch of time."""

    schedule: str | None = None
    start: str | int | None = None
    end: str | int | None = None


class RequestTestBody(_TestBody, frozen=True, kw_only=True):
    """POST /api/v3/plugin_test/request."""

    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: str = ""


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    dry_runs = services.dry_runs

    async def wal(request: Request) -> Response:
        body = await read_json(request, WalTestBody)
        span = _span(body.start, body.end)
        if (span is None) == (body.input_lp is None):
            raise RequestError(
                "either input_lp or from and to must be given",
                hint='send {"input_lp": "cpu usage=1"}, or {"from": TIME, "to": TIME}',
            )
        if span is None:
            assert body.input_lp is not None
            work = dry_runs.wal(body.request(), body.input_lp)
        else:
            work = dry_runs.wal_history(body.request(), *span, body.table)
        return _answer(await while_connected(request.receive, work))

    async def schedule(request: Request) -> Response:
        body = await read_json(request, ScheduleTestBody)
        work = dry_runs.schedule(
            body.request(), body.schedule or DEFAULT_SCHEDULE, _span(body.start, body.end)
        )
        return _answer(await while_connected(request.receive, work), trigger_time=None)

    async def call(request: Request) -> Response:
        body = await read_json(request, RequestTestBody)
        work = dry_runs.request(body.request(), body.query, body.headers, body.body.encode())
        return _answer(await while_connected(request.receive, work))

    prefix = "/api/v3/plugin_test"
    report = Answer(200, "a report, below", ("application/json",))
    return [
        Route(
            ("POST",),
            f"{prefix}/wal",
            wal,
            "Try a write plugin, with lines or with rows of a stretch of time",
            Right.ADMIN,
            has_large_body=True,
            body=JsonBody(WalTestBody),
            answer=report,
        ),
        Route(
            ("POST",),
            f"{prefix}/schedule",
            schedule,
            "Try a schedule plugin",
            Right.ADMIN,
            has_large_body=True,
            body=JsonBody(ScheduleTestBody),
            answer=report,
        ),
        Route(
            ("POST",),
            f"{prefix}/request",
            call,
            "Try a request plugin",
            Right.ADMIN,
            has_large_body=True,
            body=JsonBody(RequestTestBody),
            answer=report,
        ),
    ]


def _answer(report: DryRunReport, **defaults: object) -> Response:
    content: dict[str, Any] = msgspec.to_builtins(report)
    return json_response({**defaults, **content})


def _span(start: str | int | None, end: str | int | None) -> tuple[int, int] | None:
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise RequestError("from and to go together", hint="send both, or none of them")
    span = _time_ns("from", start), _time_ns("to", end)
    if not all(-(2**63) <= time_ns < 2**63 for time_ns in span):
        raise RequestError("from and to must fit into 64 bits as nanoseconds since 1970")
    return span


def _time_ns(name: str, value: str | int) -> int:
    if isinstance(value, int):
        return value
    time_ns = time_of_number(value)
    if time_ns is not None:
        return time_ns
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError as error:
        raise RequestError(
            f"{name}: '{value}' is not a time",
            hint="write 2025-01-31T12:00:00Z, or nanoseconds since 1970",
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
