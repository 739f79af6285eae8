# Owns what the plugin host and the rest of the server say to each other: what a trigger is to a
# worker, and what the server does when plugin code asks for it. No behaviour.
"""The contract between the plugin host and the server."""

from typing import Protocol

import msgspec

from engine.catalog.trigger_permissions import EVERYTHING
from engine.plugins.channel import EntryPointKind, LogLevel, QueryParameter


class WorkerTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to know of its trigger.

    Attributes:
        identity: Unique text of the trigger on this server; marks the origin of what it writes.
        plugin_path: Absolute path, as ``loader.resolve`` returns it.
        async_limit: Runs at once when ``run_async``.
        memory_bytes_max: Replaces the host's setting when not None.
        permissions: What it may ask of the server; looked up there, never told to the worker.
        is_dry_run: Nothing that it does lasts, but what it caches for the next dry run.
    """

    database: str
    name: str
    identity: str
    plugin_path: str
    kind: EntryPointKind
    arguments: dict[str, str] | None = None
    run_async: bool = False
    async_limit: int = 16
    memory_bytes_max: int | None = None
    permissions: tuple[str, ...] = EVERYTHING
    is_dry_run: bool = False


class PluginServices(Protocol):
    """What the rest of the server does for plugins."""

    async def query(
        self,
        trigger: WorkerTrigger,
        sql: str,
        params: dict[str, QueryParameter] | None,
        database: str,
    ) -> bytes:
        """Runs SQL and returns an Arrow IPC stream; a refusal raises EngineError."""

    async def write(
        self, trigger: WorkerTrigger, database: str, lines: bytes, no_sync: bool, hops: int
    ) -> None:
        """Writes lines at once, of a run whose data has these hops.

        A refusal raises EngineError.
        """

    def state_get(self, trigger: WorkerTrigger, key: str) -> tuple[bytes | None, int]:
        """Value and position of the last change; (None, 0) for an absent key."""

    def state_items(
        self, trigger: WorkerTrigger, prefix: str
    ) -> tuple[list[tuple[str, bytes]], int]:
        """Keys with that prefix and their values, and the position of the last change of any."""

    def log(self, trigger: WorkerTrigger, level: LogLevel, text: str, time_ns: int) -> None:
        """Takes a line that a plugin logged."""
