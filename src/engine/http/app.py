# Owns the ASGI application: the API table, and for every request the order admit → route → handle →
# answer.
"""The ASGI application."""

import asyncio
import logging
from typing import Any

from engine.errors import EngineError
from engine.http.asgi import (
    ClientGoneError,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    ShuttingDownError,
    json_response,
)
from engine.http.auth import Gatekeeper
from engine.http.error_responses import error_response, internal_error_response
from engine.http.routes import configure, dead_letters, health, plugins, query, retention, write
from engine.http.routing import Route, Router
from engine.http.services import Services
from engine.logs import keys

logger = logging.getLogger(__name__)

_CORS_HEADERS = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "*"),
    ("access-control-allow-headers", "*"),
    ("access-control-max-age", "86400"),
]

# Any word may be a method; only these get a time series of their own.
_METHODS_COUNTED = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})

# These answer even when the server is full or stopping.
_ALWAYS_ANSWERED = frozenset({"/health", "/api/v1/health", "/ping", "/metrics"})


def routes(services: Services) -> list[Route]:
    """The whole API."""
    return [
        *health.routes(services),
        *write.routes(services),
        *query.routes(services),
        *configure.routes(services),
        *retention.routes(services),
        *dead_letters.routes(services),
        *plugins.routes(services),
    ]


class App:
    """Called by granian once per request."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._router = Router(routes(services))
        self._gatekeeper = Gatekeeper(services.config)
        self._active: set[asyncio.Task[Any]] = set()
        self._requests = services.metrics.counter(
            "headrace_http_requests_total", "Requests answered.", ("method", "status")
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive, self._services.gate, self._services.config)
        task = asyncio.current_task()
        assert task is not None
        self._active.add(task)
        try:
            response = await self._answer(request)
            method = request.method if request.method in _METHODS_COUNTED else "other"
            self._requests.add(1, method, str(response.status))
            await response.send(send)
        finally:
            self._active.discard(task)
            self._services.gate.release(request.admitted_bytes)

    async def drain(self, timeout_s: float) -> int:
        """Stop taking bodies, wait for requests under way; return how many were given up."""
        self._services.gate.close()
        if self._active:
            await asyncio.wait(self._active, timeout=timeout_s)
        left = [task for task in self._active if not task.done()]
        for task in left:
            task.cancel()
        return len(left)

    async def _answer(self, request: Request) -> Response:
        try:
            self._gatekeeper.check(request)
            if request.method == "OPTIONS":
                return Response(204, headers=list(_CORS_HEADERS))
            handler = self._router.find(request.method, request.path)
            if handler is None:
                return json_response(
                    {"error": "not found", "code": "not_found", "hint": f"no route {request.path}"},
                    404,
                )
            if request.path not in _ALWAYS_ANSWERED:
                self._admit()
            response = await handler(request)
        except ClientGoneError as error:
            logger.debug("client gone", extra=keys(path=request.path))
            return error_response(error)
        except EngineError as error:
            return error_response(error)
        except Exception:
            logger.exception("request failed", extra=keys(method=request.method, path=request.path))
            return internal_error_response()
        response.headers.append(_CORS_HEADERS[0])
        return response

    def _admit(self) -> None:
        gate = self._services.gate
        if gate.is_closed:
            raise ShuttingDownError("the server is shutting down")
        if gate.is_full:
            raise gate.back_pressure()
