# Owns the routes of InfluxQL: version 1's /query and version 3's. They read the same statements and
# differ in parameters, in the form of the answer and of errors.
"""InfluxQL routes."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import msgspec

from engine.errors import EngineError, ForbiddenError, QueryNotSupportedError, RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.forms import URLENCODED, form_of, is_form, media_type, text_of
from engine.http.influxql_answers import InfluxqlAnswers, InfluxqlQuestion
from engine.http.json_text import decoded
from engine.http.route_description import FORMAT, TABLE_TYPES, Answer, JsonBody, Parameter, RawBody
from engine.http.routes.query import WATCH_AFTER_S, Scalar, bound_values, pick_format
from engine.http.routing import Route
from engine.http.services import Services
from engine.http.streaming import while_connected
from engine.influxql.rendering import Form, answer_accepted, epoch_ns
from engine.influxql.results import StatementResult, check_cells, num_cells
from engine.query.formats import CONTENT_TYPES, encode

_CHUNK_ROWS = 10_000
_CHUNK_SIZE = re.compile(r"[1-9][0-9]{0,17}")
# Longer answers are worked on in threads, so that the loop goes on.
_INLINE_ROWS_MAX = 500


class InfluxqlBody(msgspec.Struct, frozen=True):
    """A question in InfluxQL as JSON."""

    q: str
    db: str = ""
    format: str | None = None
    # A value, or its kind and its text: {"regex": "^a"}.
    params: dict[str, Scalar | dict[str, Scalar]] | None = None


async def _parameters(request: Request) -> dict[str, str]:
    """Parameters of version 1: those of the URL, over which those of a form in the body win."""
    parameters = request.query_parameters()
    if request.method == "GET":
        if not request.query_string:
            raise RequestError("missing query parameters 'db' and 'q'")
        return parameters
    body = await request.body()
    content_type = request.headers.get("content-type", "")
    if is_form(content_type):
        fields = form_of(body, content_type)
        # As version 1 has it: an urlencoded form wins over the URL, one in parts does not.
        is_first = media_type(content_type) == URLENCODED
        return {**parameters, **fields} if is_first else {**fields, **parameters}
    text = text_of(body)
    if text.strip() and (
        "q" not in parameters or media_type(content_type) == "application/vnd.influxql"
    ):
        return {**parameters, "q": text}
    return parameters


def _form(parameters: dict[str, str]) -> Form:
    chunk_rows: int | None = None
    if parameters.get("chunked") == "true":
        text = parameters.get("chunk_size", "")
        if text and not _CHUNK_SIZE.fullmatch(text):
            raise RequestError(f"chunk_size must be a number above 0, not '{text}'")
        chunk_rows = int(text) if text else _CHUNK_ROWS
    return Form(
        epoch_ns=epoch_ns(parameters.get("epoch", "")),
        is_pretty=parameters.get("pretty") == "true",
        chunk_rows=chunk_rows,
    )


def _said(error: EngineError) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message


async def _made(
    make: Callable[[list[StatementResult], Form], bytes], results: list[StatementResult], form: Form
) -> bytes:
    """The answer, made in a thread where it is long."""
    rows = sum(len(series.values) for result in results for series in result.series)
    if rows <= _INLINE_ROWS_MAX:
        return make(results, form)
    return await asyncio.get_running_loop().run_in_executor(None, make, results, form)


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    answers = InfluxqlAnswers(services)

    async def query_v1(request: Request) -> Response:
        parameters = await _parameters(request)
        text = parameters.get("q", "")
        if not text:
            raise RequestError("expected a query to be provided in the query string or body")
        form, values = _form(parameters), bound_values(parameters)
        database, policy = parameters.get("db", ""), parameters.get("rp", "")
        results: list[StatementResult] = []
        cells = 0
        try:
            statements = await answers.parsed(text, values)
        except QueryNotSupportedError as error:
            # A statement like any other, for those who know the language.
            request.access.none_required()
            results.append(StatementResult(error=_said(error)))
            statements = []
        try:
            for statement in statements:
                question = InfluxqlQuestion(
                    statement=statement,
                    text=text,
                    database=database,
                    policy=policy,
                    may_create=request.method == "POST",
                )
                series = await while_connected(
                    request.receive,
                    answers.series(request.access, question),
                    after_s=WATCH_AFTER_S,
                )
                cells += num_cells(series)
                check_cells(cells)
                results.append(StatementResult(series))
        except ForbiddenError:
            raise
        except EngineError as error:
            # Clients of version 1 look for failures of statements in an answer that is well.
            request.access.none_required()
            results.append(StatementResult(error=_said(error)))
        make, kind = answer_accepted(request.headers.get("accept", ""), form)
        return Response(200, await _made(make, results, form), kind)

    async def query_v3(request: Request) -> Response:
        if request.method == "GET":
            parameters = request.query_parameters()
            if "q" not in parameters:
                raise RequestError("serde error: missing field `q`")
            question = InfluxqlBody(
                parameters["q"],
                parameters.get("db", ""),
                parameters.get("format"),
                bound_values(parameters),
            )
        else:
            question = decoded(await request.body(), InfluxqlBody)
        result_format = pick_format(question.format, request.headers.get("accept", ""))
        table = await while_connected(
            request.receive,
            answers.table(
                request.access,
                question.q,
                question.params or {},
                question.db,
                may_create=request.method == "POST",
            ),
            after_s=WATCH_AFTER_S,
        )
        content = await asyncio.get_running_loop().run_in_executor(
            None, encode, table, result_format
        )
        return Response(200, content, CONTENT_TYPES[result_format])

    return _table(query_v1, query_v3)


def _table(query_v1: Any, query_v3: Any) -> list[Route]:
    return [
        Route(
            ("GET", "POST"),
            "/query",
            query_v1,
            "Run InfluxQL as version 1 does",
            Right.INFLUXQL,
            takes_password=True,
            takes_form=True,
            parameters=(
                Parameter("q", "statements, separated by semicolons", required=True),
                Parameter("db", "database, unless the statement names it"),
                Parameter("rp", "other than autogen and default: the database is `db/rp`"),
                Parameter(
                    "epoch",
                    "unit of times; text without",
                    choices=("ns", "u", "ms", "s", "m", "h", "d", "w"),
                ),
                Parameter("pretty", "`true` for JSON with line breaks"),
                Parameter("chunked", "`true` for one document for each chunk of rows"),
                Parameter("chunk_size", "rows of a chunk (default 10000)", False, "integer"),
                Parameter("params", "JSON object with the values of `$name`"),
                Parameter("u", "ignored"),
                Parameter("p", "a token"),
            ),
            body=RawBody(
                URLENCODED,
                "the parameters as a form (urlencoded, or in parts: `q` may be a file), "
                "or the statements themselves",
                required=False,
            ),
            answer=Answer(
                200,
                '`{"results"}`; what fails in a statement is its `error`',
                ("application/json", "application/csv", "application/x-msgpack"),
            ),
        ),
        Route(
            ("GET", "POST"),
            "/api/v3/query_influxql",
            query_v3,
            "Run one statement of InfluxQL",
            Right.INFLUXQL,
            parameters=(
                Parameter("q", "a statement", required=True),
                Parameter("db", "database, unless the statement names it"),
                FORMAT,
                Parameter("params", "JSON object with the values of `$name`"),
            ),
            body=JsonBody(InfluxqlBody),
            answer=Answer(200, "rows, `iox::measurement` first", TABLE_TYPES),
        ),
    ]
