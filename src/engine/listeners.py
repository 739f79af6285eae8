# Owns the life of what listens: HTTP on its address and, where asked for, on a Unix socket, and
# Flight. Made and run by server.py when everything behind it works; decides nothing about requests.
"""The listeners of a server."""

import asyncio
import logging
from collections.abc import Callable

from engine.errors import ConfigError
from engine.flight.listener import FlightListener
from engine.http.app import App
from engine.http.connection_watch import ConnectionWatch
from engine.http.http_config import HttpConfig
from engine.http.listener import GranianServer, TlsFiles, is_taken, listener, unix_listener, url_of
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
        flight: FlightListener | None,
    ) -> None:
        """Prepare them; nothing listens yet.

        Raises:
            ConfigError: The address is none, or the socket's file cannot be made.
        """
        self._app = app
        self._flight = flight
        self._address = http.host, http.port
        self.url = url_of(http.host, http.port, tls)
        self._watch = ConnectionWatch(http, app.busy_ports, app.services.metrics)
        self._serving: list[asyncio.Task[None]] = []
        self._servers: list[GranianServer] = [listener(app, http, tls)]
        self._unix_socket = None if unix_socket is None else UnixSocket(unix_socket)
        if self._unix_socket is not None:
            self._servers.append(unix_listener(app, http, self._unix_socket))

    @property
    def places(self) -> dict[str, object]:
        """Where clients reach the server, for the log."""
        places: dict[str, object] = {"url": self.url}
        if self._unix_socket is not None:
            places["socket"] = self._unix_socket.path
        places["flight"] = "off" if self._flight is None else self._flight.config.url
        return places

    async def serve(
        self,
        stop: asyncio.Event,
        drain_timeout_s: float,
        on_serving: Callable[[], None],
        on_stopping: Callable[[], None],
    ) -> None:
        """Answer requests until `stop`; then give those under way `drain_timeout_s`.

        `on_serving` is called when nothing speaks against it, `on_stopping` in between.

        Raises:
            ConfigError: An address cannot be listened on.
        """
        try:
            if await asyncio.to_thread(is_taken, *self._address):
                raise _cannot_serve(self.url, "Address already in use", "--http-bind")
            if self._flight is not None:
                self._flight.start()
            on_serving()
            try:
                await self._serve(stop, on_stopping)
            finally:
                await self._stop(drain_timeout_s)
        finally:
            if self._unix_socket is not None:
                self._unix_socket.remove()

    async def _serve(self, stop: asyncio.Event, on_stopping: Callable[[], None]) -> None:
        self._serving = [asyncio.create_task(server.serve()) for server in self._servers]
        watching = asyncio.create_task(self._watch.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({*self._serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        ended = next((task for task in self._serving if task.done()), None)
        if ended is None:
            logger.info("stopping")
            on_stopping()
            return
        # A listener ended by itself: the address is taken, or granian failed.
        stopping.cancel()
        # What granian says goes on with a trace of its own calls.
        reason = str(ended.exception() or "the listener ended").partition("\n")[0]
        if self._unix_socket is None or ended is self._serving[0]:
            place, flag = self.url, "--http-bind"
        else:
            place, flag = f"socket {self._unix_socket.path}", "--http-socket"
        raise _cannot_serve(place, reason, flag)

    async def _stop(self, drain_timeout_s: float) -> None:
        flight_end = (
            asyncio.sleep(0) if self._flight is None else self._flight.stop(drain_timeout_s)
        )
        given_up, _ = await asyncio.gather(self._app.drain(drain_timeout_s), flight_end)
        if given_up:
            logger.warning("requests cut off by the shutdown", extra=keys(requests=given_up))
        for server in self._servers:
            server.stop()  # type: ignore[no-untyped-call]  # granian leaves it untyped
        # The tasks are left alone: granian reports their end to them later, and stumbles when they
        # are cancelled.
        await asyncio.wait(self._serving, timeout=_STOP_TIMEOUT_S)


def _cannot_serve(place: str, reason: str, flag: str) -> ConfigError:
    return ConfigError(
        f"cannot serve on {place}: {reason}",
        hint=f"another program may use it; choose another with {flag}",
    )
