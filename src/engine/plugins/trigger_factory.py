# Owns the checks of a trigger that somebody wants to create: specification, plugin file, entry
# point, limits. What is wrong is said now, not at the first run.
"""Validation of new triggers."""

import asyncio
from pathlib import Path

import msgspec

from engine.catalog.model import ErrorBehavior, Trigger
from engine.clock import Clock
from engine.errors import PluginError, PluginPathError
from engine.ids import DatabaseId, TriggerId
from engine.plugins import loader, trigger_spec
from engine.plugins.log_history import LogHistory


class TriggerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger as somebody asks for it."""

    database: str
    name: str
    plugin_filename: str
    spec: str
    arguments: dict[str, str] | None = None
    run_async: bool = False
    error_behavior: ErrorBehavior = ErrorBehavior.LOG
    disabled: bool = False
    allow_self: bool = False
    timeout_s: float | None = None
    memory_max_bytes: int | None = None
    concurrency: int | None = None
    batch_rows: int | None = None
    start_from: str = "now"


MEMORY_MAX_BYTES_MIN = 32 * 1024 * 1024
# What the kernel takes as a limit.
MEMORY_MAX_BYTES_MAX = 2**62
# A year; timers cannot count to any number.
TIMEOUT_S_MAX = 366 * 86_400.0
CONCURRENCY_MAX = 1024
BATCH_ROWS_MAX = 100_000_000


class TriggerFactory:
    """Turns requests into drafts for the catalog."""

    def __init__(self, plugin_dir: Path, clock: Clock, history: LogHistory) -> None:
        self._plugin_dir = plugin_dir
        self._clock = clock
        self._history = history

    async def draft(self, request: TriggerRequest) -> Trigger:
        """The trigger of `request`; ids are given by the catalog.

        Raises:
            TriggerSpecError: The specification cannot be understood.
            PluginError: The file is missing, outside the plugin directory, does not compile, or has
            no
                entry point for this kind of trigger.
        """
        spec = trigger_spec.parse(request.spec)
        if request.plugin_filename.startswith("gh:"):
            raise PluginPathError(
                f"plugins cannot be fetched yet: {request.plugin_filename}",
                hint="put the file into the plugin directory and leave the gh: prefix out",
            )
        _check_limits(request)
        start_position = await self._history.position_of(request.database, request.start_from)
        if start_position is not None and spec.kind != "wal":
            raise PluginError(
                f"a {spec.kind} trigger cannot start from the past",
                hint="only triggers with all_tables or table:NAME read the log",
            )
        path = loader.resolve(self._plugin_dir, request.plugin_filename)
        # Reads and compiles files, so not on the event loop.
        await asyncio.get_running_loop().run_in_executor(None, loader.check, path, spec.kind)
        return Trigger(
            id=TriggerId(0),
            database_id=DatabaseId(0),
            database=request.database,
            name=request.name,
            plugin_filename=request.plugin_filename,
            spec=spec.canonical(),
            arguments=request.arguments,
            run_async=request.run_async,
            error_behavior=request.error_behavior,
            disabled=request.disabled,
            allow_self=request.allow_self,
            timeout_s=request.timeout_s,
            memory_max_bytes=request.memory_max_bytes,
            concurrency=request.concurrency,
            batch_rows=request.batch_rows,
            created_ns=self._clock.now_ns(),
            start_position=start_position,
        )


def _check_limits(request: TriggerRequest) -> None:
    timeout_s, memory = request.timeout_s, request.memory_max_bytes
    if timeout_s is not None and not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise PluginError(f"the time-out must be more than 0 and at most {TIMEOUT_S_MAX:.0f} s")
    if memory is not None and not MEMORY_MAX_BYTES_MIN <= memory <= MEMORY_MAX_BYTES_MAX:
        raise PluginError(
            f"a worker cannot be limited to {memory} bytes of memory",
            hint=f"set a limit of at least {MEMORY_MAX_BYTES_MIN} bytes",
        )
    if request.concurrency is not None:
        if not 1 <= request.concurrency <= CONCURRENCY_MAX:
            raise PluginError(f"the concurrency must be between 1 and {CONCURRENCY_MAX}")
        if not request.run_async:
            raise PluginError(
                "only an asynchronous trigger has a concurrency",
                hint="create it with --run-asynchronous, or leave --concurrency out",
            )
    if request.batch_rows is not None and not 1 <= request.batch_rows <= BATCH_ROWS_MAX:
        raise PluginError(f"a batch has between 1 and {BATCH_ROWS_MAX} rows")
