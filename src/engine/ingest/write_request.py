# Owns the plain data of one write: what a client (or a plugin run) wants stored. No behaviour.
"""Write requests."""

import msgspec

from lp_core import Precision


class WriteRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One body of line protocol for one database."""

    database: str
    body: bytes | bytearray | memoryview
    precision: Precision = Precision.AUTO
    accept_partial: bool = True
    no_sync: bool = False
    # Who wrote it: empty for clients, else the identity of a trigger, with the number of triggers
    # that the data has passed through.
    origin: str = ""
    hops: int = 0
    # Other end of the connection that it came over; None where there is none.
    client: tuple[str, int] | None = None
