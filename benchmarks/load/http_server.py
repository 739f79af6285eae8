# Owns the servers that the HTTP ceiling is measured with: granian with an application of a few lines, and
# granian with Headrace's ASGI layer in front of a route that only reads the body. Run as a program of its own.
"""Servers that take a body and store nothing: `python http_server.py bare|layer PORT`."""

import gc
import sys

import uvloop
from granian.server import embed

from engine.catalog.tokens import TokenTable
from engine.clock import SystemClock
from engine.http.access import Right
from engine.http.app import App
from engine.http.asgi import Response
from engine.http.bodies import BodyGate
from engine.http.http_config import HttpConfig
from engine.http.listener import listener
from engine.http.routing import Route, Router
from engine.metrics import MetricsRegistry
from engine.server import _GARBAGE_OBJECTS


async def bare(scope, receive, send):
    """The least that an application can do with a body."""
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    # The health check has none.
    status = 204 if body else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Services:
    """As much of the server as its ASGI layer needs; whatever else routes ask for is another of these."""

    def __init__(self, **given):
        self.__dict__.update(given)

    def __getattr__(self, name):
        return _Services()

    def __call__(self, *arguments, **named):
        return _Services()


async def _read(request):
    await request.body()
    return Response(204)


def layer(config):
    """Headrace's application with one route, which reads the body."""
    services = _Services(
        config=config,
        gate=BodyGate(config),
        clock=SystemClock(),
        metrics=MetricsRegistry(),
        catalog=_Services(tokens=TokenTable()),
        cluster_uuid="00000000-0000-0000-0000-000000000000",
    )
    app = App(services)
    table = [
        Route((method,), path, _read, "", Right.NONE)
        for method, path in (("POST", "/write"), ("GET", "/health"))
    ]
    app._router = Router(table)
    return app


def main():
    kind, port = sys.argv[1], int(sys.argv[2])
    config = HttpConfig(port=port)
    app = bare if kind == "bare" else layer(config)
    uvloop.run(_serve(app, config))


async def _serve(app, config):
    # As the server does.
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS)
    server = listener(app, config, None)
    # The bare one by granian's own way of handing requests over, the other by ours.
    await (embed.Server.serve(server) if app is bare else server.serve())


if __name__ == "__main__":
    main()
