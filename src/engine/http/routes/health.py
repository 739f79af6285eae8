# Owns /health, /ping and /metrics.
"""Health, version and metrics."""

import uuid

import engine
from engine.http.access import Right
from engine.http.asgi import Request, Response, json_response
from engine.http.route_description import Answer
from engine.http.routing import Route
from engine.http.services import Services
from engine.metrics import CONTENT_TYPE


def routes(services: Services) -> list[Route]:
    """The routes of this module."""
    process_id = str(uuid.uuid4())

    async def health(request: Request) -> Response:
        failures = services.health.failures()
        if failures:
            return json_response(
                {
                    "status": "fail",
                    "error": "; ".join(failures),
                    "code": "unhealthy",
                    "hint": "queries still work; see the log, and mend the cause",
                },
                503,
            )
        if _is_of_version_2(request):
            return json_response(
                {
                    "name": "headrace",
                    "status": "pass",
                    "message": "ready for queries and writes",
                    "checks": [
                        {"name": "damage", "status": "fail", "message": message}
                        for message in services.health.damage()
                    ],
                    "version": engine.__version__,
                }
            )
        return Response(200, b"OK", "text/plain; charset=utf-8")

    async def ping(request: Request) -> Response:
        if _is_of_version_1(request):
            return Response(204)
        return json_response(
            {"product_name": "Headrace", "version": engine.__version__, "process_id": process_id}
        )

    async def metrics(request: Request) -> Response:
        return Response(200, services.metrics.render().encode(), CONTENT_TYPE)

    return [
        *(
            Route(
                ("GET", "HEAD"),
                path,
                health,
                "Whether the server is healthy",
                Right.NONE,
                answer=Answer(200, "`OK`; when it is not, 503 with the reason", ("text/plain",)),
            )
            for path in ("/health", "/api/v1/health")
        ),
        Route(
            ("GET", "HEAD", "POST"),
            "/ping",
            ping,
            "Name and version of the server",
            Right.NONE,
            answer=Answer(
                200, "name and version; 204 for clients of version 1", ("application/json",)
            ),
        ),
        Route(
            ("GET",),
            "/metrics",
            metrics,
            "Metrics in the Prometheus text format",
            Right.METRICS,
            answer=Answer(200, "samples", ("text/plain",)),
        ),
    ]


def _is_of_version_1(request: Request) -> bool:
    """Whether a client insists on the answer that version 1 gives to a ping.

    Some want MessagePack; Go's, which says nothing of what it accepts, waits for a leader, or has a
    name.
    """
    accept = request.headers.get("accept", "")
    return (
        (accept != "" and "json" not in accept and "*" not in accept)
        or "wait_for_leader" in request.query_parameters()
        or request.headers.get("user-agent") == "InfluxDBClient"
    )


def _is_of_version_2(request: Request) -> bool:
    """Whether a client reads the status; most say that they accept JSON, Go's has a name."""
    return "application/json" in request.headers.get("accept", "") or request.headers.get(
        "user-agent", ""
    ).startswith("influxdb-client-")
