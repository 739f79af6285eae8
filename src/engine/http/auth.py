# Owns who may speak to the server. There are no tokens yet: only loopback may (config.py refuses
# other addresses), and a web page of somebody else's may not make the user's browser do it (DNS
# rebinding, cross-site requests).
"""Admission of requests."""

from urllib.parse import urlsplit

from engine.errors import AuthError
from engine.http.asgi import HttpConfig, Request

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def _host_of(authority: str) -> str:
    return (urlsplit(f"//{authority}").hostname or "").lower()


class Gatekeeper:
    """Checks each request before it is routed."""

    def __init__(self, config: HttpConfig) -> None:
        self._is_open = config.without_auth
        self._hosts = LOOPBACK_NAMES | {config.host.lower()}

    def check(self, request: Request) -> None:
        """Let `request` pass.

        Raises:
            AuthError: Its Host or Origin is not this machine.
        """
        if self._is_open:
            return
        # Clients of HTTP/1.0 (load balancers, mostly) name no host; browsers always do.
        host = request.headers.get("host")
        try:
            if host and _host_of(host) not in self._hosts:
                raise AuthError(
                    f"requests for host {_host_of(host)!r} are refused while there are no tokens",
                    hint="use localhost or 127.0.0.1, or start the server with --without-auth",
                )
            origin = request.headers.get("origin")
            if origin is not None and (urlsplit(origin).hostname or "").lower() not in self._hosts:
                raise AuthError(
                    "requests from web pages of other sites are refused while there are no tokens",
                    hint="start the server with --without-auth to allow them",
                )
        except ValueError:
            raise AuthError("the Host or Origin header cannot be understood") from None
