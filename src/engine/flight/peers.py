# Owns the way from gRPC's name of a client to its address and to the socket of its connection,
# which pyarrow does not give.
"""The other ends of connections."""

import contextlib
import os
import socket
from collections.abc import Container, Iterator
from pathlib import Path
from urllib.parse import unquote

Address = tuple[str, int]


def address_of(peer: str) -> Address:
    """Host and port in gRPC's name of a peer, such as ``ipv4:127.0.0.1:50000``."""
    kind, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return peer, 0
    return host.strip("[]"), int(port)


def connections_to(port: int) -> Iterator[tuple[Address, socket.socket]]:
    """The connections of clients to our own `port`; each is valid until the next is asked."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if not str(entry.readlink()).startswith("socket:"):
                continue
            # A number of its own, which nobody else closes meanwhile.
            number = os.dup(int(entry.name))
        except OSError:
            continue  # closed meanwhile
        with socket.socket(fileno=number) as connection:
            if connection.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            try:
                is_ours = connection.getsockname()[1] == port
                client = connection.getpeername()
            except OSError:
                continue  # it listens, or is gone already
            if is_ours:
                # Addresses of IPv4 are shown so on sockets of both families.
                yield (client[0].removeprefix("::ffff:"), client[1]), connection


def cut_connections(port: int, addresses: Container[Address] | None = None) -> int:
    """End the connections that clients, or those at `addresses`, have to our own `port`.

    A call whose client does not read waits inside of gRPC, where nothing of ours reaches it but the
    end of its connection.

    Returns:
        How many there were.
    """
    count = 0
    for address, connection in connections_to(port):
        if addresses is None or address in addresses:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
                count += 1
    return count
