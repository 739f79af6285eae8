# Owns the shape of the API: a route is a method, a path and a handler, and the whole API is one
# table (app.py). Paths are exact, but for routes that end in `/*`.
"""Routes and their look-up."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from engine.http.asgi import Request, Response

Handler = Callable[[Request], Awaitable[Response]]


class Route(msgspec.Struct, frozen=True):
    """One entry of the API table."""

    methods: tuple[str, ...]
    path: str
    handler: Handler
    summary: str


class Router:
    """Finds the handler of a request."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[tuple[str, str], Handler] = {}
        self._prefixes: list[tuple[str, str, Handler]] = []
        for route in routes:
            for method in route.methods:
                if route.path.endswith("/*"):
                    self._prefixes.append((method, route.path[:-1], route.handler))
                else:
                    assert (method, route.path) not in self._exact
                    self._exact[method, route.path] = route.handler

    def find(self, method: str, path: str) -> Handler | None:
        """The handler, or None: clients rely on 404 for a wrong method as for a wrong path."""
        handler = self._exact.get((method, path))
        if handler is not None:
            return handler
        for prefix_method, prefix, prefix_handler in self._prefixes:
            if method == prefix_method and path.startswith(prefix):
                return prefix_handler
        return None
