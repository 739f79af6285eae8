# Owns what tests of the Flight listener share: a server that has one, and clients of it.
"""Flight in tests."""

import socket
from pathlib import Path
from typing import Any

from tests.support.server import ServerProcess, free_port


class FlightServer(ServerProcess):
    """A server that serves Flight as well."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.flight_port = free_port()
        super().__init__(directory, "--flight-bind", f"127.0.0.1:{self.flight_port}", *flags)

    def is_up(self) -> bool:
        """Whether both listeners answer now."""
        try:
            socket.create_connection(("127.0.0.1", self.flight_port), timeout=30).close()
        except OSError:
            return False
        return super().is_up()

    def flight(self, **options: Any) -> Any:
        """A bare client."""
        from pyarrow import flight

        scheme = "grpc+tls" if options else "grpc+tcp"
        return flight.connect(f"{scheme}://127.0.0.1:{self.flight_port}", **options)


def call_options(
    database: str | None = "db", token: str | None = None, *, timeout_s: float | None = None
) -> Any:
    """The options of a call: its headers, and how long it may take."""
    from pyarrow import flight

    headers = []
    if database is not None:
        headers.append((b"database", database.encode()))
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    return flight.FlightCallOptions(headers=headers, timeout=timeout_s)


def command(name: str, *fields: tuple[int, int | bytes | str]) -> bytes:
    """A message of Flight SQL in its Any."""
    from engine.flight import protobuf

    url = f"type.googleapis.com/arrow.flight.protocol.sql.{name}"
    return protobuf.write([(1, url), (2, protobuf.write(fields))])
