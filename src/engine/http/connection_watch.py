# Owns the look at connections from outside granian. Its own time limit begins with the first bytes
# of a request: it waits for ever for a client that says nothing after connecting, or nothing after
# its TLS handshake, and its places for connections may all be taken by such. What the kernel knows
# of each socket is enough to tell them from those that are used.
"""Idle connections."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import resource
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from engine.http.http_config import CONNECTIONS_MAX, HttpConfig
from engine.http.tcp_traffic import Traffic, traffic_of
from engine.logs import keys
from engine.metrics import MetricsRegistry

logger = logging.getLogger(__name__)

# Address and port of the other end.
Peer = tuple[str, int]

_LOOK_INTERVAL_S = 1.0
# Turns of the event loop that a request of granian needs to become known: one to make its task, one
# to start that, and one to spare.
_TURNS_UNTIL_BUSY = 3
# With more connections than this share of the places, those go that do nothing for a moment.
_CROWDED_SHARE = 0.75
_CROWDED_IDLE_S = 1.0
# Bytes of HTTP/2's first words. Before a client has sent as many granian may not know which HTTP it
# is to speak, and has no time limit.
_PREFACE_BYTES = 24
# Addresses that one line of the log names.
_ADDRESSES_LOGGED_MAX = 10
# Milliseconds for which a client may read nothing of what it is sent, until the kernel ends it.
_UNREAD_MS_MAX = 300_000
# Seconds of silence until the kernel asks whether the other end is there, and between askings.
_PROBE_AFTER_S, _PROBE_EVERY_S = 60, 15

_DESCRIPTORS = Path("/proc/self/fd")

# Open files that a server may have in all; more are not asked for.
_OPEN_FILES_WANTED = 32_768


def places(wanted: int = CONNECTIONS_MAX) -> int:
    """How many connections, `wanted` at most, leave enough open files for everything else.

    Raises the limit of this process as far as it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raised = _OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft // 2))


class _Seen(NamedTuple):
    """What is known of a connection from looks before; seconds of the watch's clock."""

    first_s: float
    used_s: float


class ConnectionWatch:
    """Ends connections to a port that are not used, sooner when places get scarce."""

    def __init__(
        self,
        config: HttpConfig,
        busy_ports: Callable[[], set[int]],
        metrics: MetricsRegistry,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`busy_ports` gives other ends' ports of connections used since it was asked last."""
        self._config = config
        self._busy_ports = busy_ports
        self._now = now
        # When each connection was seen first, and when it was seen to be used last.
        self._seen: dict[Peer, _Seen] = {}
        self._is_prepared = False
        self.count = 0
        metrics.gauge("headrace_http_connections", "Open connections.", lambda: float(self.count))
        self._closed = metrics.counter(
            "headrace_http_connections_closed_total",
            "Connections closed: idle, idle while places were scarce, beyond an address's limit.",
            ("reason",),
        )

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            # Requests that wait for their first turn are in work, too.
            for _ in range(_TURNS_UNTIL_BUSY):
                await asyncio.sleep(0)
            asked, busy = self._now(), self._busy_ports()
            # Thousands of connections take a tenth of a second.
            try:
                await loop.run_in_executor(None, self.look, busy, asked)
            except Exception:
                logger.exception("the look at connections failed, it is tried again")
            await asyncio.sleep(_LOOK_INTERVAL_S)

    def look(self, busy: set[int], asked: float | None = None) -> None:
        """Look at all connections once.

        Those of the ports `busy` have, or had since the last look, a request in work, as of the
        time `asked` (default: now).
        """
        is_crowded = self.count > self._config.connections_max * _CROWDED_SHARE
        limit_s = self._config.idle_s
        if is_crowded:
            limit_s = min(limit_s, _CROWDED_IDLE_S)
        now = self._now()
        asked = now if asked is None else asked
        seen: dict[Peer, _Seen] = {}
        count = closed = 0
        for connection in self._connections():
            count += 1
            try:
                peer = connection.getpeername()[:2]
                traffic = traffic_of(connection)
            except OSError:
                continue  # it has ended meanwhile
            before = self._seen.get(peer)
            first_s = now if before is None else before.first_s
            used_s = now if before is None or peer[1] in busy else before.used_s
            seen[peer] = _Seen(first_s, used_s)
            # A request that has come since then may be in work.
            unknown_s = self._now() - asked
            is_idle = _idle_s(traffic, now - used_s) >= limit_s + unknown_s
            if is_idle and peer[1] not in busy:
                closed += _close(connection)
        self._seen = seen
        self.count = count
        if closed:
            self._closed.add(closed, "crowded" if is_crowded else "idle")
        if closed and is_crowded:
            logger.warning(
                "idle connections closed to make place",
                extra=keys(closed=closed, connections=count, places=self._config.connections_max),
            )
        self._close_beyond(beyond(seen, self._config.connections_per_address))

    def _close_beyond(self, peers: Mapping[str, set[Peer]]) -> None:
        """Close the connections of `peers`, which are named by address."""
        if not peers:
            return
        unwanted = set().union(*peers.values())
        closed = 0
        for connection in self._connections():
            with contextlib.suppress(OSError):
                if connection.getpeername()[:2] in unwanted:
                    closed += _close(connection)
        self._closed.add(closed, "address")
        logger.warning(
            "connections closed, too many of one address",
            extra=keys(closed=closed, addresses=" ".join(sorted(peers)[:_ADDRESSES_LOGGED_MAX])),
        )

    def _connections(self) -> Iterator[socket.socket]:
        """Sockets that clients have opened to the port; each is valid until the next is asked."""
        for path in _DESCRIPTORS.iterdir():
            try:
                descriptor = int(path.name)
                if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    continue
                # A descriptor of our own: granian's may stand for another file at any moment.
                copy = os.dup(descriptor)
            except OSError:
                continue  # closed meanwhile
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=copy) as one:
                if not self._is_ours(one):
                    continue
                if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    yield one
                elif not self._is_prepared:
                    _prepare(one)
                    self._is_prepared = True

    def _is_ours(self, one: socket.socket) -> bool:
        try:
            address = one.getsockname()
        except OSError:
            return False
        return isinstance(address, tuple) and address[1] == self._config.port


def _idle_s(traffic: Traffic, unused_s: float) -> float:
    """For how long a connection does nothing of use; no request came for `unused_s`."""
    if traffic.received_bytes < _PREFACE_BYTES:
        return max(0.0 if traffic.is_sending else traffic.silent_s, unused_s)
    if traffic.is_sending:
        return 0.0
    # Who drips heads of HTTP/2 is never silent. Twice the time, for a head may begin at its end.
    return max(traffic.silent_s, unused_s / 2)


def _close(connection: socket.socket) -> bool:
    """Whether `connection` was still open; granian reads the end of the stream, and clears up."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
        return True
    return False


def beyond(seen: Mapping[Peer, _Seen], limit: int) -> dict[str, set[Peer]]:
    """The newest connections of each address, or network of IPv6, that has more than `limit`.

    Those of this machine are not counted: they may be a proxy's, or all that there are.
    """
    if not limit or len(seen) <= limit:
        return {}
    by_address: dict[str, list[Peer]] = {}
    for peer in seen:
        address = ipaddress.ip_address(peer[0].partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        if address.is_loopback:
            continue
        name = str(address)
        if isinstance(address, ipaddress.IPv6Address):
            # What one customer of a provider has.
            name = str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
        by_address.setdefault(name, []).append(peer)
    return {
        name: set(sorted(peers, key=lambda peer: seen[peer].first_s)[limit:])
        for name, peers in by_address.items()
        if len(peers) > limit
    }


def _prepare(listening: socket.socket) -> None:
    """Set what connections inherit from the socket that they come through."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS_MAX)
