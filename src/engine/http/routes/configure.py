# Owns the configuration routes of triggers, and the reading of JSON bodies.
"""Configuration routes."""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from engine.catalog.model import ErrorBehavior, Trigger
from engine.catalog.trigger_permissions import chosen_permissions, permissions_of
from engine.errors import RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response, UnsupportedMediaTypeError, json_response
from engine.http.json_text import decoded
from engine.http.route_description import FORMAT, SOME_DATABASE, TABLE_TYPES, Answer, JsonBody
from engine.http.routes.query import pick_format
from engine.http.routing import Route
from engine.http.services import Services
from engine.plugins.log_history import parse_time
from engine.plugins.trigger_factory import TriggerRequest
from engine.query.formats import CONTENT_TYPES, ResultFormat, encode
from engine.query.system_tables import table_of_rows

_Body = TypeVar("_Body")

_JSON_TYPES = re.compile(r"application/(json|[^;]*\+json)\s*(;.*)?\Z", re.IGNORECASE)


class TriggerSettings(msgspec.Struct, frozen=True):
    """How a trigger runs."""

    run_async: bool = False
    error_behavior: str = "log"
    timeout_s: float | None = None
    memory_max_bytes: int | None = None
    concurrency: int | None = None
    batch_rows: int | None = None
    allow_self: bool = False
    start_from: str = "now"
    permissions: list[str] | None = None


class TriggerBody(msgspec.Struct, frozen=True):
    """POST /api/v3/configure/processing_engine_trigger."""

    db: str
    trigger_name: str
    plugin_filename: str
    trigger_specification: str
    trigger_settings: TriggerSettings = msgspec.field(default_factory=TriggerSettings)
    trigger_arguments: dict[str, str] | None = None
    disabled: bool = False


class BackfillBody(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """POST …/backfill: the times of the rows; up to now without an end."""

    db: str
    trigger_name: str
    start: str | int
    end: str | int | None = None


class TriggerRightsBody(msgspec.Struct, frozen=True):
    """POST …/permissions: what a trigger may do from now on."""

    db: str
    trigger_name: str
    permissions: list[str]


class TriggerNameBody(msgspec.Struct, frozen=True):
    """Names a trigger."""

    db: str
    trigger_name: str
    force: bool = False


async def read_json(request: Request, kind: type[_Body]) -> _Body:
    """The body as `kind`.

    Raises:
        RequestError: It is not JSON of that shape, or not declared as JSON.
    """
    body = await request.body()
    if not _JSON_TYPES.match(request.headers.get("content-type", "")):
        raise UnsupportedMediaTypeError("unacceptable content-type, expected: application/json")
    return decoded(body, kind)


async def read_query_or_json(request: Request, kind: type[_Body]) -> _Body:
    """`kind` from the URL's parameters where there are any, else from the body.

    Raises:
        RequestError: A field is missing or of the wrong type.
    """
    if not request.query_string:
        return await read_json(request, kind)
    try:
        return msgspec.convert(request.query_parameters(), kind, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(f"serde error: {error}") from error


def error_behavior_of(text: str) -> ErrorBehavior:
    """The behaviour that `text` names, in any case.

    Raises:
        RequestError: It names none.
    """
    try:
        return ErrorBehavior(text.lower())
    except ValueError:
        raise RequestError(
            f"unknown error behavior '{text}'", hint="use log, retry or disable"
        ) from None


def _trigger_row(trigger: Trigger) -> dict[str, Any]:
    return {
        "database": trigger.database,
        "trigger_name": trigger.name,
        "plugin_filename": trigger.plugin_filename,
        "trigger_specification": trigger.spec,
        "run_async": trigger.run_async,
        "error_behavior": trigger.error_behavior.value,
        "disabled": trigger.disabled,
        "disabled_reason": trigger.disabled_reason,
        "permissions": ", ".join(permissions_of(trigger)),
    }


def table_response(
    columns: Sequence[str], rows: list[dict[str, Any]], result_format: ResultFormat
) -> Response:
    """`rows` in the format that the client asked for."""
    content = encode(table_of_rows(columns, rows), result_format)
    return Response(200, content, CONTENT_TYPES[result_format])


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    writer = services.catalog_writer

    async def list_triggers(request: Request) -> Response:
        parameters = request.query_parameters()
        database = parameters.get("db")
        # Who may not read it is not told either whether it is there.
        if database is not None and request.access.may_read(database):
            services.catalog.database(database)
        result_format = pick_format(parameters.get("format"), request.headers.get("accept", ""))
        rows = [
            _trigger_row(trigger)
            for trigger in services.catalog.triggers(database)
            if request.access.may_read(trigger.database)
        ]
        return table_response(TRIGGER_COLUMNS, rows, result_format)

    async def create_trigger(request: Request) -> Response:
        body = await read_query_or_json(request, TriggerBody)
        settings = body.trigger_settings
        draft = await services.trigger_factory.draft(
            TriggerRequest(
                database=body.db,
                name=body.trigger_name,
                plugin_filename=body.plugin_filename,
                spec=body.trigger_specification,
                arguments=body.trigger_arguments,
                run_async=settings.run_async,
                error_behavior=error_behavior_of(settings.error_behavior),
                disabled=body.disabled,
                allow_self=settings.allow_self,
                timeout_s=settings.timeout_s,
                memory_max_bytes=settings.memory_max_bytes,
                concurrency=settings.concurrency,
                batch_rows=settings.batch_rows,
                start_from=settings.start_from,
                permissions=settings.permissions,
            )
        )
        await writer.create_trigger(draft.trigger, draft.backfill)
        return Response(200)

    async def delete_trigger(request: Request) -> Response:
        body = await read_query_or_json(request, TriggerNameBody)
        await writer.delete_trigger(body.db, body.trigger_name, force=body.force)
        return Response(200)

    async def enable_trigger(request: Request) -> Response:
        body = await read_query_or_json(request, TriggerNameBody)
        await writer.enable_trigger(body.db, body.trigger_name)
        return Response(200)

    async def disable_trigger(request: Request) -> Response:
        body = await read_query_or_json(request, TriggerNameBody)
        await writer.disable_trigger(body.db, body.trigger_name)
        return Response(200)

    async def set_permissions(request: Request) -> Response:
        body = await read_json(request, TriggerRightsBody)
        permissions = chosen_permissions(body.permissions, body.db, is_own_only=False)
        await writer.set_trigger_permissions(body.db, body.trigger_name, permissions)
        return Response(200)

    async def backfill(request: Request) -> Response:
        body = await read_json(request, BackfillBody)
        trigger = services.catalog.trigger(body.db, body.trigger_name)
        start_ns = parse_time(str(body.start))
        end_ns = services.clock.now_ns() if body.end is None else parse_time(str(body.end))
        await services.dispatcher.backfills.begin(trigger, start_ns, end_ns)
        return json_response({"from": start_ns, "to": end_ns})

    trigger_path = "/api/v3/configure/processing_engine_trigger"
    tables = Answer(200, "a table", TABLE_TYPES)
    trigger_name = JsonBody(TriggerNameBody, may_be_parameters=True)
    return [
        Route(
            ("GET",),
            trigger_path,
            list_triggers,
            "List triggers",
            Right.ANY,
            parameters=(SOME_DATABASE, FORMAT),
            answer=tables,
        ),
        Route(
            ("POST",),
            trigger_path,
            create_trigger,
            "Create a trigger",
            Right.ADMIN,
            body=JsonBody(TriggerBody),
        ),
        Route(
            ("DELETE",),
            trigger_path,
            delete_trigger,
            "Delete a trigger",
            Right.ADMIN,
            body=trigger_name,
        ),
        Route(
            ("POST",),
            f"{trigger_path}/enable",
            enable_trigger,
            "Enable a trigger",
            Right.ADMIN,
            body=trigger_name,
        ),
        Route(
            ("POST",),
            f"{trigger_path}/disable",
            disable_trigger,
            "Disable a trigger",
            Right.ADMIN,
            body=trigger_name,
        ),
        Route(
            ("POST",),
            f"{trigger_path}/permissions",
            set_permissions,
            "Set what a trigger may do from now on, with permissions as those of tokens",
            Right.ADMIN,
            body=JsonBody(TriggerRightsBody),
        ),
        Route(
            ("POST",),
            f"{trigger_path}/backfill",
            backfill,
            "Hand a trigger rows of the past; 409 while a backfill is under way",
            Right.ADMIN,
            body=JsonBody(BackfillBody),
            answer=Answer(200, '`{"from", "to"}` in nanoseconds', ("application/json",)),
        ),
    ]


TRIGGER_COLUMNS = (
    "database",
    "trigger_name",
    "plugin_filename",
    "trigger_specification",
    "run_async",
    "error_behavior",
    "disabled",
    "disabled_reason",
    "permissions",
)
