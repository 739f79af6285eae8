# Owns the routes of dead letters: rows that a trigger could not process.
"""Dead-letter routes."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.http.access import Right
from engine.http.asgi import Request, Response, json_response
from engine.http.route_description import (
    FORMAT,
    SOME_DATABASE,
    TABLE_TYPES,
    Answer,
    JsonBody,
    Parameter,
)
from engine.http.routes.configure import read_query_or_json, table_response
from engine.http.routes.query import pick_format
from engine.http.routing import Route
from engine.http.services import Services
from engine.store.dead_letters import DeadLetter

PATH = "/api/v3/configure/processing_engine_dead_letters"

COLUMNS = ("trigger_name", "id", "num_rows", "tries", "time", "batch_id", "error")


class LettersBody(msgspec.Struct, frozen=True):
    """Names dead letters of a trigger; all of them without ids."""

    db: str
    trigger_name: str
    ids: list[str] | None = None


def _row(trigger_name: str, letter: DeadLetter) -> dict[str, Any]:
    parked = letter.parked
    return {
        "trigger_name": trigger_name,
        "id": letter.id,
        "num_rows": parked.num_rows,
        "tries": parked.tries,
        "time": datetime.fromtimestamp(parked.time_ns // 1_000_000_000, UTC).isoformat(),
        "batch_id": parked.batch_id,
        "error": parked.error,
    }


def routes(services: Services) -> list[Route]:
    """The routes of this module."""

    async def list_letters(request: Request) -> Response:
        parameters = request.query_parameters()
        database, name = parameters.get("db"), parameters.get("trigger_name")
        # Who may not read it is not told either whether it is there.
        if database is not None and request.access.may_read(database):
            services.catalog.database(database)
        result_format = pick_format(parameters.get("format"), request.headers.get("accept", ""))
        rows = [
            _row(trigger.name, letter)
            for trigger in services.catalog.triggers(database)
            if name in (None, trigger.name) and request.access.may_read(trigger.database)
            for letter in services.dead_letters.of(trigger.id)
        ]
        return table_response(COLUMNS, rows, result_format)

    async def replay(request: Request) -> Response:
        body = await read_query_or_json(request, LettersBody)
        trigger = services.catalog.trigger(body.db, body.trigger_name)
        done = await services.dispatcher.letters.replay(trigger, body.ids)
        return json_response(
            {"processed_rows": done.processed_rows, "parked_rows": done.parked_rows}
        )

    async def drop(request: Request) -> Response:
        body = await read_query_or_json(request, LettersBody)
        trigger = services.catalog.trigger(body.db, body.trigger_name)
        rows = await services.dispatcher.letters.drop(trigger, body.ids)
        return json_response({"dropped_rows": rows})

    named = JsonBody(LettersBody)
    return [
        Route(
            ("GET",),
            PATH,
            list_letters,
            "List dead letters",
            Right.ANY,
            parameters=(SOME_DATABASE, Parameter("trigger_name", "only of this trigger"), FORMAT),
            answer=Answer(200, "a table", TABLE_TYPES),
        ),
        Route(
            ("DELETE",),
            PATH,
            drop,
            "Drop dead letters",
            Right.ADMIN,
            body=named,
            answer=Answer(200, '`{"dropped_rows"}`', ("application/json",)),
        ),
        Route(
            ("POST",),
            f"{PATH}/replay",
            replay,
            "Run dead letters again",
            Right.ADMIN,
            body=named,
            answer=Answer(200, '`{"processed_rows", "parked_rows"}`', ("application/json",)),
        ),
    ]
