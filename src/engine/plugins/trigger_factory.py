# Owns the checks of a trigger that somebody wants to create: specification, plugin file, entry
# point, limits. What is wrong is said now, not at the first run.
"""Validation of new triggers."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from engine.catalog.changes import FirstBackfill
from engine.catalog.model import ErrorBehavior, Trigger
from engine.catalog.trigger_permissions import chosen_permissions, stored_permissions
from engine.clock import Clock
from engine.errors import PluginError
from engine.ids import DatabaseId, TriggerId
from engine.plugins import trigger_spec
from engine.plugins.log_history import LogHistory
from engine.plugins.past_rows import ROWS_PER_CALL_MAX
from engine.plugins.repository import PluginRepository
from engine.store.secrets import SecretStore


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
    # None for those that the server gives.
    permissions: Sequence[str] | None = None


MEMORY_MAX_BYTES_MIN = 32 * 1024 * 1024
# What the kernel takes as a limit.
MEMORY_MAX_BYTES_MAX = 2**62
# A year; timers cannot count to any number.
TIMEOUT_S_MAX = 366 * 86_400.0
CONCURRENCY_MAX = 1024
BATCH_ROWS_MAX = 100_000_000
# All times are before.
_TIME_NS_END = 2**63


class TriggerDraft(NamedTuple):
    """A trigger to be created, and the backfill that it begins with."""

    trigger: Trigger
    backfill: FirstBackfill | None = None


class TriggerFactory:
    """Turns requests into drafts for the catalog."""

    def __init__(
        self,
        repository: PluginRepository,
        clock: Clock,
        history: LogHistory,
        secrets: SecretStore,
        batch_rows_max: int,
        *,
        is_own_only: bool,
    ) -> None:
        """`batch_rows_max` is the server's limit for calls of triggers that have none.

        Triggers that are given no permissions have those for their own database with `is_own_only`,
        else all.
        """
        self._repository = repository
        self._clock = clock
        self._history = history
        self._secrets = secrets
        self._batch_rows_max = batch_rows_max
        self._is_own_only = is_own_only

    async def draft(self, request: TriggerRequest) -> TriggerDraft:
        """The trigger of `request`; ids are given by the catalog.

        Raises:
            TriggerSpecError: The specification cannot be understood.
            SecretNotFoundError: An argument names a secret that is not there.
            RequestError, InvalidNameError: One of the permissions is none for a trigger.
            PluginError: The file is missing, outside the plugin directory, cannot be fetched, does
                not compile, or has no entry point for this kind of trigger.
        """
        spec = trigger_spec.parse(request.spec)
        _check_limits(request)
        permissions = chosen_permissions(
            request.permissions, request.database, is_own_only=self._is_own_only
        )
        self._secrets.resolved(request.arguments)  # they must be there
        if request.start_from.strip().lower() != "now" and spec.kind != "wal":
            raise PluginError(
                f"a {spec.kind} trigger cannot start from the past",
                hint="only triggers with all_tables or table:NAME read the log",
            )
        # Fetches, reads and compiles files, so not on the event loop.
        plugin = await asyncio.to_thread(
            self._repository.obtain, request.plugin_filename, spec.kind
        )
        # Last: the less time passes until the trigger is there, the less the log can lose.
        start = await self._history.start_of(request.database, request.start_from)
        trigger = Trigger(
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
            start_position=start.position,
            plugin_digest=plugin.digest,
            permissions=stored_permissions(permissions),
        )
        if start.past_ns is None:
            return TriggerDraft(trigger)
        call_rows_max = min(request.batch_rows or self._batch_rows_max, ROWS_PER_CALL_MAX)
        return TriggerDraft(trigger, FirstBackfill(start.past_ns, _TIME_NS_END, call_rows_max))

    async def fetched_again(self, trigger: Trigger) -> str:
        """Fetch the code of `trigger` anew; return the hash of what is there now.

        Raises:
            PluginError: It comes from the plugin directory, cannot be fetched, or would not run.
        """
        if not self._repository.is_fetched(trigger.plugin_filename):
            raise PluginError(
                f"the plugin of trigger {trigger.name} is a file of the plugin directory: "
                f"{trigger.plugin_filename}",
                hint="change the file, or upload another with --path; the next run uses it",
            )
        kind = trigger_spec.parse(trigger.spec, now_ns=trigger_spec.ACCEPTED_BEFORE).kind
        plugin = await asyncio.to_thread(self._repository.obtain, trigger.plugin_filename, kind)
        return plugin.digest


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
