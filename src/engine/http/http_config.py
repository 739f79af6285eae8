# Owns the settings of the HTTP interface.
"""HTTP settings."""

import msgspec

CONNECTIONS_MAX = 10_000
# So many that five addresses are needed to take all places. A proxy elsewhere may need more.
CONNECTIONS_PER_ADDRESS = 2_000


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the HTTP interface."""

    host: str = "127.0.0.1"
    port: int = 8181
    # Where Flight is served, for clients that look for it here; None where it is not.
    flight_bind: tuple[str, int] | None = None
    # Bytes of a body, as received and again after decompression.
    body_bytes_max: int = 10 * 1024 * 1024
    # The same of all bodies but those of rows, plugins' code and requests to plugins.
    json_bytes_max: int = 1024 * 1024
    # Seconds that a client may be silent within its body, and that the whole body may take.
    receive_idle_s: float = 15.0
    receive_total_s: float = 300.0
    # Seconds for which the rest of a body that is too large is still taken in.
    discard_s: float = 5.0
    # Seconds for which a connection may do nothing, and in which the head of a request must come.
    idle_s: float = 30.0
    # Connections at one time; further ones wait until others end.
    connections_max: int = CONNECTIONS_MAX
    # Connections of one other machine at one time; 0 for any number.
    connections_per_address: int = CONNECTIONS_PER_ADDRESS
    # Microseconds for which the server stays awake for the next small write; 0 for none.
    busy_poll_us: int = 300
    # Bodies being received or processed at one time, in bytes; more are refused with 503.
    bodies_bytes_max: int = 512 * 1024 * 1024
    without_auth: bool = False
    # Paths that need no token even when tokens exist.
    paths_without_token: frozenset[str] = frozenset()
