# Owns the limit to what clients send before their token is known. pyarrow takes in whole messages,
# of any size, before it asks anybody; the kernel says how much has come.
"""Clients that nobody knows yet."""

import contextlib
import socket
import threading

from engine.flight.peers import Address, connections_to
from engine.http.tcp_traffic import traffic_of

# Far more than a question, its values and a handshake take.
STRANGER_BYTES_MAX = 4 * 1024 * 1024


class Strangers:
    """Cuts off who sends much without having shown a token that is good."""

    def __init__(self, port: int, bytes_max: int = STRANGER_BYTES_MAX) -> None:
        self._port = port
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._known: set[Address] = set()

    def admitted(self, address: Address) -> None:
        """A call from `address` had a good token; any thread may say so."""
        with self._lock:
            self._known.add(address)

    def look(self) -> int:
        """Look at all connections once; return how many were cut off."""
        present: set[Address] = set()
        count = 0
        with self._lock:
            known = set(self._known)
        for address, connection in connections_to(self._port):
            present.add(address)
            # A client that has gone meanwhile needs no cutting.
            with contextlib.suppress(OSError):
                is_much = traffic_of(connection).received_bytes > self._bytes_max
                if is_much and address not in known:
                    connection.shutdown(socket.SHUT_RDWR)
                    count += 1
        with self._lock:
            # The next connection from there is another one.
            self._known -= known - present
        return count
