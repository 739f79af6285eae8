# Owns the three write routes: v3, v2 and v1. They differ in parameters and error bodies only.
"""Write routes."""

from functools import lru_cache
from time import perf_counter

from engine.errors import EngineError, RequestError
from engine.http.access import Right
from engine.http.asgi import Request, Response, query_parameters
from engine.http.error_responses import v2_error_response
from engine.http.route_description import DATABASE, Answer, Parameter, RawBody
from engine.http.routing import Route
from engine.http.services import Services
from engine.http.write_target import WriteTarget
from engine.ingest.pipeline import PRECISION_NAMES, precision_of
from lp_core import Precision

# v1 and v2 names of precisions; their default is nanoseconds, without guessing.
_LEGACY_PRECISIONS = {
    "": Precision.NANOSECOND,
    "ns": Precision.NANOSECOND,
    "n": Precision.NANOSECOND,
    "us": Precision.MICROSECOND,
    "u": Precision.MICROSECOND,
    "ms": Precision.MILLISECOND,
    "s": Precision.SECOND,
    "m": Precision.MINUTE,
    "h": Precision.HOUR,
}
# Clients send the same few query strings all the time.
_TARGETS_KEPT_MAX = 256
_DEFAULT_RETENTION_POLICIES = frozenset({"", "''", "autogen", "default"})


def _boolean(parameters: dict[str, str], name: str, *, default: bool) -> bool:
    text = parameters.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise RequestError(f"query parameter '{name}' must be true or false, not '{text}'")
    return text == "true"


def _legacy_precision(parameters: dict[str, str]) -> Precision:
    text = parameters.get("precision", "")
    precision = _LEGACY_PRECISIONS.get(text)
    if precision is None:
        raise RequestError(f"invalid precision '{text}'", hint="use ns, us, ms, s, m or h")
    return precision


@lru_cache(_TARGETS_KEPT_MAX)
def _v3_target(query_string: str) -> WriteTarget:
    parameters = query_parameters(query_string)
    database = parameters.get("db")
    if database is None:
        raise RequestError("missing query parameter 'db'", hint="add ?db=NAME to the URL")
    return WriteTarget(
        database=database,
        precision=precision_of(parameters.get("precision", "auto")),
        accept_partial=_boolean(parameters, "accept_partial", default=True),
        no_sync=_boolean(parameters, "no_sync", default=False),
    )


@lru_cache(_TARGETS_KEPT_MAX)
def _v2_target(query_string: str) -> WriteTarget:
    parameters = query_parameters(query_string)
    database = parameters.get("bucket", "")
    if not database:
        raise RequestError("missing bucket value")
    return WriteTarget(database=database, precision=_legacy_precision(parameters))


@lru_cache(_TARGETS_KEPT_MAX)
def _v1_target(query_string: str) -> WriteTarget:
    parameters = query_parameters(query_string)
    database = parameters.get("db", "")
    if not database:
        raise RequestError("no db destination provided", hint="add ?db=NAME to the URL")
    policy = parameters.get("rp", "").lower()
    if policy not in _DEFAULT_RETENTION_POLICIES:
        database = f"{database}/{policy}"
    return WriteTarget(database=database, precision=_legacy_precision(parameters))


def routes(services: Services) -> list[Route]:
    """The routes of this module."""

    async def write(request: Request, target: WriteTarget) -> Response:
        request.access.require(target.database)
        if request.handed_over is not None and request.handed_over.failure is not None:
            raise request.handed_over.failure
        body = await request.body()
        begun = perf_counter()
        written = target.request(body, request.connection)
        await services.pipeline.write(written)
        services.pipeline.write_seconds.observe(perf_counter() - begun)
        if services.pipeline.is_for_merging(written):
            request.merged_to = target
        return Response(204)

    async def write_v3(request: Request) -> Response:
        return await write(request, _v3_target(request.query_string))

    async def write_v2(request: Request) -> Response:
        try:
            return await write(request, _v2_target(request.query_string))
        except EngineError as error:
            return v2_error_response(error)

    async def write_v1(request: Request) -> Response:
        # A password may stand in the query string: what is remembered is bounded, and in memory.
        return await write(request, _v1_target(request.query_string))

    lines = RawBody("text/plain", "line protocol, UTF-8; gzip with Content-Encoding")
    stored = Answer(204, "stored")
    precision = Parameter(
        "precision",
        "unit of the timestamps (default ns)",
        choices=("ns", "n", "us", "u", "ms", "s", "m", "h"),
    )
    return [
        Route(
            ("POST",),
            "/api/v3/write_lp",
            write_v3,
            "Write line protocol",
            Right.WRITE,
            parameters=(
                DATABASE,
                Parameter(
                    "precision",
                    "unit of the timestamps (default auto)",
                    choices=tuple(PRECISION_NAMES),
                ),
                Parameter(
                    "accept_partial",
                    "keep good lines beside bad ones (default true)",
                    False,
                    "boolean",
                ),
                Parameter("no_sync", "do not wait for the disk (default false)", False, "boolean"),
            ),
            has_large_body=True,
            body=lines,
            answer=stored,
        ),
        Route(
            ("POST",),
            "/api/v2/write",
            write_v2,
            "Write line protocol as to version 2; all or nothing",
            Right.WRITE,
            parameters=(
                Parameter("bucket", "database", required=True),
                precision,
                Parameter("org", "ignored"),
            ),
            has_large_body=True,
            body=lines,
            answer=stored,
        ),
        Route(
            ("POST",),
            "/write",
            write_v1,
            "Write line protocol as to version 1; all or nothing",
            Right.WRITE,
            takes_password=True,
            parameters=(
                DATABASE,
                Parameter("rp", "other than autogen and default: the database is `db/rp`"),
                precision,
                Parameter("u", "ignored"),
                Parameter("p", "a token"),
                Parameter("consistency", "ignored"),
            ),
            has_large_body=True,
            body=lines,
            answer=stored,
        ),
    ]
