# Owns /health, /ping and /metrics.
"""Health, version and metrics."""

import uuid

import engine
from engine.http.access import Right
from engine.http.asgi import Request, Response, json_response
from engine.http.routing import Route
from engine.http.services import Services
from engine.metrics import CONTENT_TYPE


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    process_id = str(uuid.uuid4())

    async def health(request: Request) -> Response:
        failures = services.health.failures()
        if failures:
            return json_response({"status": "fail", "error": "; ".join(failures)}, 503)
        return Response(200, b"OK", "text/plain; charset=utf-8")

    async def ping(request: Request) -> Response:
        request_id = str(uuid.uuid4())
        answer = json_response(
            {"product_name": "Headrace", "version": engine.__version__, "process_id": process_id}
        )
        answer.headers.extend(
            [
                ("X-Influxdb-Build", "Core"),
                ("X-Influxdb-Version", engine.__version__),
                ("Request-Id", request_id),
                ("X-Request-Id", request_id),
            ]
        )
        return answer

    async def metrics(request: Request) -> Response:
        return Response(200, services.metrics.render().encode(), CONTENT_TYPE)

    return [
        Route(("GET",), "/health", health, "Whether the server is healthy", Right.NONE),
        Route(("GET",), "/api/v1/health", health, "Whether the server is healthy", Right.NONE),
        Route(("GET", "POST", "HEAD"), "/ping", ping, "Name and version of the server", Right.NONE),
        Route(
            ("GET",), "/metrics", metrics, "Metrics in the Prometheus text format", Right.METRICS
        ),
    ]
