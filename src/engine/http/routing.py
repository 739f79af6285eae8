# Owns the shape of the API: a route is a method, a path and a handler, and the whole API is one
# table (app.py). Paths are exact, but for routes that end in `/*`.
"""Routes and their look-up."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from engine.http.access import Right
from engine.http.asgi import Request, Response
from engine.http.route_description import Answer, JsonBody, Parameter, RawBody

Handler = Callable[[Request], Awaitable[Response]]


class Route(msgspec.Struct, frozen=True):
    """One entry of the API table.

    ``right`` has no default on purpose: who adds a route says who may use it. With ``READ`` and
    ``WRITE`` the handler calls ``request.access.require(database)``.
    """

    methods: tuple[str, ...]
    path: str
    handler: Handler
    summary: str
    right: Right
    # Whether the token may come as the parameter ``p`` of the URL, as version 1 has it.
    takes_password: bool = False
    # Whether its parameters, and with them the token, may come as a form in the body.
    takes_form: bool = False
    # Whether its body may have the size of bodies of rows. Others are read on the event loop.
    has_large_body: bool = False
    # What it takes and gives, for the descriptions.
    parameters: tuple[Parameter, ...] = ()
    body: JsonBody | RawBody | None = None
    answer: Answer = Answer()

    def parameters_for(self, method: str) -> tuple[Parameter, ...]:
        """Parameters of the URL when it is asked by `method`.

        A route that is asked by GET or else by a body of JSON has them in the URL with GET only.
        """
        is_in_body = isinstance(self.body, JsonBody) and len(self.methods) > 1
        return () if is_in_body and method != "GET" else self.parameters


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[tuple[str, str], Route] = {}
        self._prefixes: list[tuple[str, str, Route]] = []
        for route in routes:
            for method in route.methods:
                if route.path.endswith("/*"):
                    self._prefixes.append((method, route.path[:-1], route))
                else:
                    assert (method, route.path) not in self._exact
                    self._exact[method, route.path] = route

    def find(self, method: str, path: str) -> Route | None:
        """The route, or None: clients rely on 404 for a wrong method as for a wrong path."""
        route = self._exact.get((method, path))
        if route is not None:
            return route
        for prefix_method, prefix, prefix_route in self._prefixes:
            if method == prefix_method and path.startswith(prefix):
                return prefix_route
        return None
