# Owns the life of the Flight listener: its port, its TLS, and its end, which pyarrow alone would
# wait for as long as a client does not read. Made by server.py, run by listeners.py.
"""The listening socket of Flight."""

import asyncio
import logging
import socket
import threading

import msgspec

from engine.errors import ConfigError
from engine.flight.desk import FlightDesk
from engine.flight.peers import address_of, cut_connections
from engine.flight.strangers import Strangers
from engine.flight.streams import Streams
from engine.http.listener import TlsFiles
from engine.logs import keys
from engine.metrics import MetricsRegistry

logger = logging.getLogger(__name__)

# What the end of a connection that was cut takes at most.
_CUT_TIMEOUT_S = 2.0
# Seconds between two looks at strangers; and how many times as long as a look the pause is.
_LOOK_INTERVAL_S = 0.1
_LOOK_PAUSE = 20


class FlightConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the Flight listener."""

    host: str
    port: int
    tls: TlsFiles | None = None
    # How long a client may take nothing of an answer, which is in memory until it has been sent.
    stalled_s: float = 300.0

    @property
    def url(self) -> str:
        """The URL under which clients reach it."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"grpc+{'tcp' if self.tls is None else 'tls'}://{shown}:{self.port}"


class FlightListener:
    """Serves Flight from `start` to `stop`, both in the event loop's thread."""

    def __init__(self, config: FlightConfig, desk: FlightDesk, metrics: MetricsRegistry) -> None:
        self.config = config
        self._desk = desk
        self._calls_total = metrics.counter(
            "headrace_flight_calls_total", "Calls of Flight clients.", ("method", "result")
        )

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: The address cannot be listened on.
        """
        # Imported late: it takes a tenth of a second and some megabytes.
        import pyarrow

        from engine.flight.service import Calls, FlightService

        loop = asyncio.get_running_loop()
        self._streams = Streams(loop.time)
        self._strangers = Strangers(self.config.port)

        def on_end(method: str, is_well: bool) -> None:
            result = "ok" if is_well else "error"
            loop.call_soon_threadsafe(self._calls_total.add, 1, method, result)

        self._calls = Calls(on_end)
        config = self.config
        certificates = []
        if config.tls is not None:
            certificates = [(config.tls.certificate.read_bytes(), config.tls.key.read_bytes())]
        try:
            # gRPC would say only that it did not start.
            _check_free(config.host, config.port)
            self._service = FlightService(
                config.url, self._desk, self._calls, self._streams, self._strangers, certificates
            )
        except (pyarrow.ArrowException, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise ConfigError(
                f"cannot serve Flight on {config.url}: {reason or error}",
                hint="another program may use the port; choose one with --flight-bind",
            ) from error

        self._watches = [
            asyncio.create_task(self._cut_off_stalled()),
            asyncio.create_task(self._cut_off_strangers()),
        ]

    async def stop(self, timeout_s: float) -> None:
        """Refuse new calls, give those under way `timeout_s`, then cut them off."""
        for watch in self._watches:
            watch.cancel()
        self._calls.close()
        loop = asyncio.get_running_loop()
        is_over = asyncio.Event()

        def shut_down() -> None:
            self._service.shutdown()
            loop.call_soon_threadsafe(is_over.set)

        # A daemon, for pyarrow sets no limit to it; without it the process could not end.
        threading.Thread(target=shut_down, name="flight-stop", daemon=True).start()
        if await _within(is_over, timeout_s):
            return
        self._service.release_all()
        cut = cut_connections(self.config.port)
        logger.warning("flight connections cut off by the shutdown", extra=keys(connections=cut))
        await _within(is_over, _CUT_TIMEOUT_S)

    async def _cut_off_stalled(self) -> None:
        """End, again and again, the connections of clients that do not read."""
        config = self.config
        while True:
            await asyncio.sleep(config.stalled_s / 10)
            peers = self._streams.stalled(config.stalled_s)
            if peers:
                cut = cut_connections(config.port, {address_of(peer) for peer in peers})
                logger.warning("flight clients that do not read cut off", extra=keys(count=cut))

    async def _cut_off_strangers(self) -> None:
        """End, again and again, the connections of clients that send much and show no token."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            cut = await asyncio.to_thread(self._strangers.look)
            if cut:
                logger.warning(
                    "flight clients that sent much without a token cut off", extra=keys(count=cut)
                )
            # With thousands of connections, to HTTP too, a look takes a tenth of a second.
            await asyncio.sleep(max(_LOOK_INTERVAL_S, (loop.time() - started) * _LOOK_PAUSE))


def _check_free(host: str, port: int) -> None:
    """Raises OSError where `port` cannot be listened on."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections of a server before this one do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()


async def _within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
