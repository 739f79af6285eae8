# Owns what the plugin package needs from packages beside it (ingest, query), as Protocols that
# server.py wires.
"""Ports of the plugin package."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from engine.catalog.model import Trigger
from engine.store.run_records import RunRecord


class WriteBack(msgspec.Struct, frozen=True, kw_only=True):
    """Lines (nanosecond timestamps) that a plugin wrote for one database."""

    database: str
    lines: bytes
    origin: str
    hops: int
    no_sync: bool = False


class Committer(Protocol):
    """Makes the result of a run durable."""

    async def commit(self, writes: Sequence[WriteBack], record: RunRecord) -> None:
        """Store all `writes` and `record` together, or nothing. Raises EngineError."""

    async def write(self, write: WriteBack) -> None:
        """Store one write at once, outside any commit. Raises EngineError."""


class Questioner(Protocol):
    """Answers the queries of plugins."""

    async def arrow_ipc(
        self, database: str, sql: str, params: Mapping[str, object] | None
    ) -> bytes:
        """The answer as an Arrow IPC stream. Raises QueryError or DatabaseNotFoundError."""


class TriggerSwitch(Protocol):
    """Turns triggers off."""

    async def disable(self, trigger: Trigger, reason: str) -> None:
        """Disable `trigger` durably. Raises EngineError."""
