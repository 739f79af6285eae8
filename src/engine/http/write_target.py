# Owns what the URL of a write says. The routes (routes/write.py) read it; small_writes.py keeps it
# for writes that look alike.
"""Targets of writes."""

import msgspec

from engine.ingest.write_request import WriteRequest
from lp_core import Precision


class WriteTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a write goes and how."""

    database: str
    precision: Precision
    accept_partial: bool = False
    no_sync: bool = False

    def request(self, body: bytes, client: tuple[str, int] | None) -> WriteRequest:
        """The write of `body`, which came from `client`."""
        return WriteRequest(
            database=self.database,
            precision=self.precision,
            accept_partial=self.accept_partial,
            no_sync=self.no_sync,
            body=body,
            client=client,
        )
