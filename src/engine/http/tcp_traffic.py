# Owns the reading of what Linux knows of a TCP connection.
"""What went over a TCP connection."""

import socket
import struct

import msgspec

# The part of struct tcp_info that is of interest.
_TCP_INFO_BYTES = 256
_SENT_AND_RECEIVED = struct.Struct("=24xI16xI4xI72xQ8xI")


class Traffic(msgspec.Struct, frozen=True):
    """What the kernel knows about a connection."""

    silent_s: float
    received_bytes: int
    # Whether something is under way to the client.
    is_sending: bool


def traffic_of(connection: socket.socket) -> Traffic:
    """The traffic of a connected socket so far.

    Raises:
        OSError: It has ended, or is no TCP socket.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    unacknowledged, sent_ms, received_ms, received, unsent = _SENT_AND_RECEIVED.unpack_from(info)
    return Traffic(
        silent_s=min(sent_ms, received_ms) / 1000,
        received_bytes=received,
        is_sending=bool(unacknowledged or unsent),
    )
