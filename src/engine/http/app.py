# Owns the ASGI application: the API table, and for every request the order admit → route → handle →
# answer.
"""The ASGI application."""

import asyncio
import logging
from functools import partial
from typing import Any

from engine.errors import EngineError, ForbiddenError
from engine.http import openapi
from engine.http.answer_headers import PREFLIGHT_HEADERS, AnswerHeaders, request_id_of
from engine.http.asgi import (
    HandedOver,
    Request,
    Response,
    Scope,
    Send,
    SentHeaders,
    without_body,
)
from engine.http.auth import Gatekeeper
from engine.http.bodies import ClientGoneError, Receive, ShuttingDownError
from engine.http.compression import compressed
from engine.http.error_responses import (
    disk_full,
    error_response,
    internal_error_response,
    not_found_response,
)
from engine.http.granian_worker import Watcher, answer
from engine.http.grpc_answer import grpc_answer, is_grpc
from engine.http.routes import (
    backups,
    caches,
    configure,
    dead_letters,
    export,
    health,
    influxql,
    log_levels,
    packages,
    plugin_files,
    plugin_tests,
    plugins,
    query,
    retention,
    rows,
    secrets,
    structure,
    tokens,
    write,
)
from engine.http.routing import Route, Router
from engine.http.services import Services
from engine.http.small_writes import SmallWrites
from engine.logs import RequestMark, keys

logger = logging.getLogger(__name__)

# Any word may be a method; only these get a time series of their own.
_METHODS_COUNTED = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})

# These answer even when the server is full or stopping.
_ALWAYS_ANSWERED = frozenset({"/health", "/api/v1/health", "/ping", "/metrics"})


def routes(services: Services) -> list[Route]:
    """The whole API."""
    table = [
        *health.routes(services),
        *write.routes(services),
        *query.routes(services),
        *export.routes(services),
        *influxql.routes(services),
        *configure.routes(services),
        *structure.routes(services),
        *rows.routes(services),
        *retention.routes(services),
        *caches.routes(services),
        *backups.routes(services),
        *dead_letters.routes(services),
        *plugin_files.routes(services),
        *plugin_tests.routes(services),
        *packages.routes(services),
        *secrets.routes(services),
        *tokens.routes(services),
        *log_levels.routes(services),
        *plugins.routes(services),
    ]
    table.append(openapi.route(table))
    return table


def _nowhere(method: str, path: str) -> str:
    """What to tell about a path that nothing answers."""
    if path.startswith("/api/v2/"):
        instead = "of version 2 there is /api/v2/write alone; ask SQL at /api/v3/query_sql or "
        return f"no route {method} {path}: {instead}InfluxQL at /query, not Flux"
    return f"no route {method} {path}; /openapi.json lists what there is"


class App:
    """Called by granian once per request."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._router = Router(routes(services))
        # Decides for every listener, not for HTTP alone.
        self.gatekeeper = Gatekeeper(
            services.config, services.catalog.tokens, services.clock, services.metrics
        )
        self._headers = AnswerHeaders(services.cluster_uuid)
        self._loop: asyncio.AbstractEventLoop | None = None
        # Requests in work, and the other end of each.
        self._active: dict[asyncio.Task[Any], tuple[str, int] | None] = {}
        # The other ends of requests answered since somebody asked.
        self._answered: set[tuple[str, int] | None] = set()
        metrics = services.metrics
        self._requests = metrics.counter(
            "headrace_http_requests_total", "Requests answered.", ("method", "status")
        )
        self._small_writes = SmallWrites(
            services.pipeline,
            services.gate,
            self.gatekeeper,
            self._headers,
            self._requests,
            self._serve_handed_over,
            busy_poll_us=services.config.busy_poll_us,
            is_idle=lambda: not self._active,
        )
        self._errors = metrics.counter(
            "headrace_http_errors_total", "Requests answered with an error, by its code.", ("code",)
        )
        metrics.gauge(
            "headrace_http_requests_active",
            "Requests being answered.",
            lambda: float(len(self._active) + len(self._small_writes.requests)),
        )
        metrics.gauge(
            "headrace_http_body_bytes",
            "Bytes of request bodies being received or processed.",
            lambda: float(services.gate.bytes_in_flight),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)

    def takes(self, watcher: Watcher) -> bool:
        """Whether a request is answered without a task; called in granian's thread."""
        return self._small_writes.takes(watcher)

    async def _serve_handed_over(self, watcher: Watcher, state: HandedOver) -> None:
        await answer(partial(self._serve, handed_over=state), watcher)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, handed_over: HandedOver | None = None
    ) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        # Given the loop, it does not ask the system for the process as Python 3.11 does to find it.
        task = asyncio.current_task(self._loop)
        assert task is not None
        request = Request(scope, receive, self.services.gate, task, handed_over)
        request_id = request_id_of(request)
        mark = RequestMark(request_id)
        self._active[task] = request.connection
        try:
            response = await self._answer(request)
            if request.merged_to is not None:
                self._small_writes.learn(request)
            if response.error_code:
                self._errors.add(1, response.error_code)
            if response.status >= 400:
                await request.discard_body()
            method = request.method if request.method in _METHODS_COUNTED else "other"
            self._requests.add(1, method, str(response.status))
            if request.method == "HEAD":
                send = without_body(send)
            await self._send(request, response, send, self._headers.of(response, request_id))
        finally:
            mark.is_over = True
            self._answered.add(self._active.pop(task))
            self.services.gate.release(request.admitted_bytes)

    async def _send(
        self, request: Request, response: Response, send: Send, common: SentHeaders
    ) -> None:
        """Send an answer; what goes wrong once its status is out is told here, or nowhere.

        The exception passes: with it granian cuts the connection.
        """
        said = keys(method=request.method, path=request.path)
        try:
            await response.send(send, common)
        except TimeoutError:
            logger.warning("client did not take its answer, which is cut off", extra=said)
            raise
        except ConnectionError:
            logger.debug("client gone", extra=said)
            raise
        except EngineError as error:
            self._errors.add(1, error.code)
            said["keys"]["error"] = error.message
            logger.error("answer broken off", extra=said)  # noqa: TRY400 it is said in full
            raise
        except Exception:
            self._errors.add(1, "internal_error")
            logger.exception("answer broken off", extra=said)
            raise

    def busy_ports(self) -> set[int]:
        """Ports of the clients whose requests are in work, or were since the last time."""
        answered, self._answered = self._answered, set()
        answered.update(self._active.values(), self._small_writes.connections())
        return {connection[1] for connection in answered if connection is not None}

    async def drain(self, timeout_s: float) -> int:
        """Stop taking bodies, wait for requests under way; return how many were given up."""
        self.services.gate.close()
        small = self._small_writes
        small.hand_over_unread()
        under_way = {*self._active, *small.handed_over, asyncio.create_task(small.all_over())}
        await asyncio.wait(under_way, timeout=timeout_s)
        left = [task for task in self._active if not task.done()]
        for task in left:
            task.cancel()
        return len(left) + small.give_up()

    async def _answer(self, request: Request) -> Response:
        try:
            if request.method == "OPTIONS":
                self.gatekeeper.check_site(request)
                return Response(204, headers=list(PREFLIGHT_HEADERS))
            route = self._router.find(request.method, request.path)
            if route is not None and not route.has_large_body:
                request.body_limit = self.services.gate.small
            # Before anything is said about the path: strangers do not learn what exists.
            request.access = await self.gatekeeper.admit(request, route)
            if route is None and is_grpc(request):
                return grpc_answer(self.services.config.flight_bind)
            if route is None:
                return not_found_response(_nowhere(request.method, request.path))
            if request.path not in _ALWAYS_ANSWERED and not request.is_tried:
                self._admit()
            response = await route.handler(request)
            assert request.access.is_checked or response.status >= 400, route.path
        except ForbiddenError as error:
            self.gatekeeper.count_forbidden()
            return error_response(error)
        except ClientGoneError as error:
            logger.debug("client gone", extra=keys(path=request.path))
            return error_response(error)
        except EngineError as error:
            return error_response(error)
        except Exception as error:
            said = keys(method=request.method, path=request.path)
            full = disk_full(error)
            if full is not None:
                logger.warning("no room on the disk", extra=said)
                return error_response(full)
            logger.exception("request failed", extra=said)
            return internal_error_response()
        return await compressed(request, response)

    def _admit(self) -> None:
        gate = self.services.gate
        if gate.is_closed:
            raise ShuttingDownError("the server is shutting down")
        if gate.is_full:
            raise gate.back_pressure()
