# Owns what the plugin package needs from packages beside it (ingest, query), as Protocols that
# server.py wires.
"""Ports of the plugin package."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from engine.catalog.model import Trigger
from engine.store.past import PastRequest, PastSlice
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


class PastSource(Protocol):
    """Reads tables as they were at a position of the log. Blocking; for worker threads."""

    def check(self, request: PastRequest) -> None:
        """See whether what is asked for can be read. Raises PluginError."""

    def slice(self, request: PastRequest) -> PastSlice:
        """The first rows of what is asked for.

        Raises PluginError when they cannot be told from later ones, QueryCancelledError when the
        server stops, QueryError when they cannot be read.
        """

    def rest(self) -> None:
        """Nobody reads for now: give memory back."""

    def close(self) -> None:
        """Break off what is read. May be called from any thread."""


class TriggerSwitch(Protocol):
    """Turns triggers off."""

    async def disable(self, trigger: Trigger, reason: str) -> None:
        """Disable `trigger` durably. Raises EngineError."""
