# Owns the routes that show and change what the server logs while it runs.
"""Log level routes."""

import difflib
import logging

import msgspec

from engine import logs
from engine.errors import RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.route_description import FORMAT, TABLE_TYPES, Answer, JsonBody
from engine.http.routes.configure import read_json, table_response
from engine.http.routes.query import pick_format
from engine.http.routing import Route
from engine.http.services import Services
from engine.logs import keys
from engine.setting_values import parse_level

logger = logging.getLogger(__name__)

PATH = "/api/v3/configure/log_level"


class LogLevelBody(msgspec.Struct, frozen=True):
    """Without a logger, for all; a level of null takes back what was set for a logger."""

    level: str | None
    logger: str | None = None


def _level_of(body: LogLevelBody) -> str | None:
    """The level that is asked for; None to take it back.

    Raises:
        RequestError: There is no such level or logger.
    """
    if body.level is None and body.logger is None:
        raise RequestError(
            "only the level of a logger can be taken back", hint="name it as 'logger'"
        )
    try:
        level = None if body.level is None else parse_level(body.level)
    except ValueError as error:
        raise RequestError(str(error)) from error
    known = logs.loggers()
    if body.logger is not None and body.logger not in known:
        nearest = difflib.get_close_matches(body.logger, known, 1)
        raise RequestError(
            f"there is no logger '{body.logger}'",
            hint=f"did you mean '{nearest[0]}'?"
            if nearest
            else "loggers are named as in the log, such as engine.query",
        )
    return level


def _note(body: LogLevelBody) -> None:
    logger.warning("log level set", extra=keys(logger=body.logger or "root", level=body.level))


def routes(services: Services) -> list[Route]:
    """The routes of this module."""

    async def show(request: Request) -> Response:
        result_format = pick_format(
            request.query_parameters().get("format"), request.headers.get("accept", "")
        )
        rows = [{"logger": name, "level": level} for name, level in logs.levels().items()]
        return table_response(["logger", "level"], rows, result_format)

    async def change(request: Request) -> Response:
        body = await read_json(request, LogLevelBody)
        level = _level_of(body)
        before = logger.isEnabledFor(logging.WARNING)
        if before:
            _note(body)
        logs.set_level(level, body.logger or "root")
        if not before:
            _note(body)
        return Response(200)

    return [
        Route(
            ("GET",),
            PATH,
            show,
            "The levels of the server's log",
            Right.ADMIN,
            parameters=(FORMAT,),
            answer=Answer(200, "rows", TABLE_TYPES),
        ),
        Route(
            ("PUT",),
            PATH,
            change,
            "Set a level of the server's log until it ends",
            Right.ADMIN,
            body=JsonBody(LogLevelBody),
            answer=Answer(200, "set"),
        ),
    ]
