# Owns the life of what listens: HTTP on its address and, where asked for, on a Unix socket. Made
# and run by server.py when everything behind it works; decides nothing about requests.
"""The listeners of a server."""

import asyncio
import logging
from collections.abc import Callable

from granian.server.embed import Server as GranianServer

from engine.errors import ConfigError
from engine.http.app import App
from engine.http.http_config import HttpConfig
from engine.http.listener import TlsFiles, listener, unix_listener, url_of
from engine.http.unix_socket import UnixSocket, UnixSocketConfig
from engine.logs import keys

logger = logging.getLogger(__name__)

# A connection that never ends keeps granian's loop; nothing of ours depends on it.
_STOP_TIMEOUT_S = 1.0


class Listeners:
    """Everything that the server listens on, started and stopped together."""

    def __init__(
        self,
        app: App,
        http: HttpConfig,
        tls: TlsFiles | None,
        unix_socket: UnixSocketConfig | None,
    ) -> None:
        """Prepare them; nothing listens yet.

        Raises:
            ConfigError: The socket's file cannot be made.
        """
        self._app = app
        self.url = url_of(http.host, http.port, tls)
        self._servers: list[GranianServer] = [listener(app, http.host, http.port, tls)]
        self._unix_socket = None if unix_socket is None else UnixSocket(unix_socket)
        if self._unix_socket is not None:
            self._servers.append(unix_listener(app, self._unix_socket))

    @property
    def places(self) -> dict[str, object]:
        """Where clients reach the server, for the log."""
        if self._unix_socket is None:
            return {"url": self.url}
        return {"url": self.url, "socket": self._unix_socket.path}

    async def serve(
        self, stop: asyncio.Event, drain_timeout_s: float, on_stopping: Callable[[], None]
    ) -> None:
        """Answer requests until `stop`; then give those under way `drain_timeout_s`.

        `on_stopping` is called in between.

        Raises:
            ConfigError: An address cannot be listened on.
        """
        try:
            await self._serve(stop, drain_timeout_s, on_stopping)
        finally:
            if self._unix_socket is not None:
                self._unix_socket.remove()

    async def _serve(
        self, stop: asyncio.Event, drain_timeout_s: float, on_stopping: Callable[[], None]
    ) -> None:
        serving = [asyncio.create_task(server.serve()) for server in self._servers]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({*serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        ended = next((task for task in serving if task.done()), None)
        if ended is not None:
            # A listener ended by itself: the address is taken, or granian failed.
            stopping.cancel()
            error = ended.exception()
            unix_socket = self._unix_socket
            is_unix = unix_socket is not None and ended is not serving[0]
            place = f"socket {unix_socket.path}" if unix_socket and is_unix else self.url
            flag = "--http-socket" if is_unix else "--http-bind"
            raise ConfigError(
                f"cannot serve on {place}: {error or 'the listener ended'}",
                hint=f"another program may use it; choose another with {flag}",
            )
        logger.info("stopping")
        on_stopping()
        given_up = await self._app.drain(drain_timeout_s)
        if given_up:
            logger.warning("requests cut off by the shutdown", extra=keys(requests=given_up))
        for server in self._servers:
            server.stop()  # type: ignore[no-untyped-call]  # granian leaves it untyped
        # The tasks are left alone: granian reports their end to them later, and stumbles when they
        # are cancelled.
        await asyncio.wait(serving, timeout=_STOP_TIMEOUT_S)
