# Owns the running triggers: follows the catalog, ticks the flush interval, and answers what workers
# ask for (queries, writes, log lines). No plugin code runs in this process.
"""Dispatch of events to triggers."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import NoReturn

import msgspec

from engine.catalog.catalog import Catalog
from engine.catalog.changes import (
    CatalogChange,
    CreateDatabase,
    CreateTrigger,
    DeleteDatabase,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    HideDatabase,
    SetTriggerPermissions,
    UpdateTrigger,
)
from engine.catalog.model import Trigger, identity_of, trigger_of
from engine.catalog.permissions import Action
from engine.catalog.trigger_permissions import permissions_of, require
from engine.clock import Clock
from engine.errors import EngineError, PluginError
from engine.ids import Position, TriggerId
from engine.logs import keys
from engine.metrics import MetricsRegistry
from engine.plugins import trigger_spec
from engine.plugins.backfill_desk import BackfillDesk
from engine.plugins.channel import QueryParameter
from engine.plugins.dead_letter_desk import DeadLetterDesk
from engine.plugins.flush_index import FlushIndex
from engine.plugins.host import PluginHost, Worker
from engine.plugins.log_history import HistoryClosedError, LogHistory
from engine.plugins.past_rows import Past
from engine.plugins.plugin_log import LogEntry, PluginLog
from engine.plugins.ports import Committer, Questioner, TriggerSwitch, WriteBack
from engine.plugins.repository import PluginRepository
from engine.plugins.request_runner import RequestAnswer, RequestCall, RequestRunner
from engine.plugins.runs import RunMetrics, RunPorts, TriggerRuns
from engine.plugins.schedule_runner import ScheduleRunner
from engine.plugins.services import WorkerTrigger
from engine.plugins.ticker import tick
from engine.plugins.trigger_status import StatusBoard
from engine.plugins.turns import Turns
from engine.plugins.wal_runner import WalRunner, WalRunnerConfig, lost_text
from engine.store.backfills import BackfillTable
from engine.store.cursors import CursorTable
from engine.store.dead_letters import DeadLetterTable
from engine.store.plugin_state import StateTable
from engine.store.secrets import SecretStore
from engine.wal.log import DurableFrame
from lp_core import ColumnType, LpCoreError

logger = logging.getLogger(__name__)

_REAP_INTERVAL_S = 30.0
# For runs of a trigger that is disabled or deleted; then their worker is killed.
_CANCEL_GRACE_S = 1.0

_Runner = WalRunner | ScheduleRunner | RequestRunner


class DispatcherConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the dispatcher."""

    flush_interval_s: float = 1.0
    run_timeout_s: float = 300.0
    # A worker without work for this long ends, unless its cache holds something.
    worker_idle_s: float = 600.0
    wal: WalRunnerConfig = msgspec.field(default_factory=WalRunnerConfig)


class DispatcherPorts(msgspec.Struct, frozen=True, kw_only=True):
    """What the dispatcher needs from the rest of the server."""

    catalog: Catalog
    cursors: CursorTable
    state: StateTable
    dead_letters: DeadLetterTable
    backfills: BackfillTable
    index: FlushIndex
    history: LogHistory
    past: Past
    # Per database with WAL triggers, the position that all of these have passed.
    passed_positions: Callable[[], dict[str, Position]]
    committer: Committer
    questioner: Questioner
    switch: TriggerSwitch
    clock: Clock
    metrics: MetricsRegistry
    # Columns of a table of a database, as they are now.
    columns: Callable[[str, str], Iterable[tuple[str, ColumnType]]]
    secrets: SecretStore


class Dispatcher:
    """Runs every enabled trigger."""

    def __init__(
        self,
        config: DispatcherConfig,
        repository: PluginRepository,
        ports: DispatcherPorts,
        plugin_log: PluginLog,
    ) -> None:
        self._config = config
        self._repository = repository
        self._ports = ports
        self._plugin_log = plugin_log
        self._run_ports = RunPorts(
            committer=ports.committer,
            switch=ports.switch,
            state=ports.state,
            dead_letters=ports.dead_letters,
            plugin_log=plugin_log,
            clock=ports.clock,
            metrics=RunMetrics(ports.metrics),
            columns=ports.columns,
            secrets=ports.secrets,
            permissions=lambda trigger: permissions_of(self._current(trigger)),
        )
        self.board = StatusBoard(
            ports.cursors,
            ports.index,
            ports.dead_letters,
            ports.backfills,
            self._run_ports.metrics,
            ports.clock,
            self._worker_pid,
        )
        self.letters = DeadLetterDesk(ports.dead_letters, ports.committer, self._wal_runner)
        self.backfills = BackfillDesk(ports.backfills, ports.committer, self._wal_runner)
        self.board.register(ports.metrics, ports.catalog.triggers)
        self._host: PluginHost | None = None
        self._runners: dict[TriggerId, _Runner] = {}
        self._durable = Position(0)
        self._flushed = Position(0)
        self._turns = Turns()
        self._ticker: asyncio.Task[NoReturn] | None = None
        self._reaped_at_s = 0.0
        self._chores: set[asyncio.Task[None]] = set()
        # Of these, the starts of triggers, which a stop does not wait for: the disk may be full.
        self._beginnings: set[asyncio.Task[None]] = set()
        # One at a time restores dropped notes.
        self._looking_back = asyncio.Lock()

    # PluginServices, called by the host on behalf of workers.

    async def query(
        self,
        trigger: WorkerTrigger,
        sql: str,
        params: dict[str, QueryParameter] | None,
        database: str,
    ) -> bytes:
        """Answer a plugin's query, if its trigger may read the database."""
        self._require(trigger, Action.READ, database)
        return await self._ports.questioner.arrow_ipc(database, sql, params)

    async def write(
        self, trigger: WorkerTrigger, database: str, lines: bytes, no_sync: bool, hops: int
    ) -> None:
        """Store a plugin's ``write_sync`` at once, if its trigger may write the database."""
        self._require(trigger, Action.WRITE, database)
        await self._ports.committer.write(
            WriteBack(
                database=database,
                lines=lines,
                origin=trigger.identity,
                hops=hops + 1,
                no_sync=no_sync,
            )
        )

    def log(self, trigger: WorkerTrigger, level: str, text: str, time_ns: int) -> None:
        """Keep a plugin's log line."""
        runner = self._runners.get(trigger_of(trigger.identity))
        if runner is not None:
            runner.runs.log(level, text, time_ns)

    def state_get(self, trigger: WorkerTrigger, key: str) -> tuple[bytes | None, int]:
        """Read one value of a trigger's state."""
        return self._ports.state.get(trigger_of(trigger.identity)).get(key)

    def state_items(
        self, trigger: WorkerTrigger, prefix: str
    ) -> tuple[list[tuple[str, bytes]], int]:
        """List a trigger's state."""
        state = self._ports.state.get(trigger_of(trigger.identity))
        return state.items(prefix), state.position

    def _require(self, trigger: WorkerTrigger, action: Action, database: str) -> None:
        # Not what it could do when its worker began: what was taken from it is gone at once.
        current = self._ports.catalog.trigger_by_id(trigger_of(trigger.identity))
        permissions = trigger.permissions if current is None else permissions_of(current)
        require(permissions, trigger.name, action, database)

    # Life.

    async def start(self, host: PluginHost, durable: Position) -> None:
        """Start every enabled trigger, with the log durable up to `durable`."""
        self._host = host
        self._durable = durable
        self._flush()
        for trigger in self._ports.catalog.triggers():
            if not trigger.disabled:
                self._begin(trigger)
        self._reaped_at_s = self._ports.clock.monotonic_s()
        beats = tick(self._config.flush_interval_s, self._beat)
        self._ticker = asyncio.create_task(beats, name="flush-ticker")

    async def stop(self) -> None:
        """Stop every trigger. Ranges of abandoned runs run again at the next start."""
        self._ports.history.close()
        self._ports.past.close()
        for beginning in self._beginnings:
            beginning.cancel()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await asyncio.gather(*(runner.stop() for runner in self._runners.values()))
        self._runners.clear()
        await asyncio.gather(*self._chores, return_exceptions=True)

    def on_durable(self, frames: list[DurableFrame], changes: list[CatalogChange]) -> None:
        """Frames became durable; `changes` are the catalog changes among them."""
        for durable in frames:
            self._ports.index.add(durable)
        self._durable = frames[-1].position
        for change in changes:
            self._follow(change)

    async def request(self, call: RequestCall) -> RequestAnswer | None:
        """Run the request trigger of `call`'s path; None when no enabled trigger has it."""
        spec = f"request:{call.path}"
        for runner in self._runners.values():
            if isinstance(runner, RequestRunner) and runner.trigger.spec == spec:
                return await runner.call(call)
        return None

    def lost(self, trigger: Trigger, start: Position, end: Position) -> None:
        """A trigger has lost the positions (`start`, `end`]: the log is over its budget."""
        reason = "the log that is kept for triggers is over its limit"
        self._run_ports.metrics.lose(start, end, (trigger.database, trigger.name))
        # It may be disabled, and have no runner.
        self._plugin_log.add(
            LogEntry(
                time_ns=self._ports.clock.now_ns(),
                database=trigger.database,
                trigger_name=trigger.name,
                level="ERROR",
                text=lost_text(start, end, reason),
            )
        )

    # Inside.

    async def _beat(self) -> None:
        self._flush()
        now = self._ports.clock.monotonic_s()
        if self._host is not None and now - self._reaped_at_s > _REAP_INTERVAL_S:
            self._reaped_at_s = now
            await self._host.reap_idle(self._config.worker_idle_s)

    def _flush(self) -> None:
        """Let triggers read up to what is durable now; wake only those that it concerns."""
        if self._durable <= self._flushed:
            return
        self._flushed = self._durable
        touched = self._ports.index.flush(self._flushed)
        for runner in self._runners.values():
            if isinstance(runner, WalRunner):
                tables = touched.get(runner.trigger.database)
                if tables is not None and runner.flushed(self._flushed, tables):
                    self._turns.add(runner.wake)
        self._ports.index.prune(self._ports.passed_positions(), self._flushed)

    def _follow(self, change: CatalogChange) -> None:
        match change:
            case CreateDatabase() | UpdateTrigger() | SetTriggerPermissions():
                pass  # which code and rights a trigger has is looked up at each run
            case CreateTrigger(trigger=trigger):
                if not trigger.disabled:
                    self._begin(trigger)
            case EnableTrigger(trigger_id=trigger_id):
                enabled = self._ports.catalog.trigger_by_id(trigger_id)
                if enabled is not None:
                    self._begin(enabled)
            case DisableTrigger(trigger_id=trigger_id):
                self._end(trigger_id)
            case DeleteTrigger(trigger_id=trigger_id):
                self._end(trigger_id)
                self._run_ports.metrics.forget_all_but(self._ports.catalog.triggers())
            case DeleteDatabase(name=name):
                self._end_orphans(name)
            case HideDatabase(deleted=deleted):
                self._end_orphans(deleted.database)

    def _end_orphans(self, database: str) -> None:
        """End the triggers that went with `database`, and forget what is kept of it."""
        for trigger_id in list(self._runners):
            if self._ports.catalog.trigger_by_id(trigger_id) is None:
                self._end(trigger_id)
        self._ports.index.forget_database(database)
        self._run_ports.metrics.forget_all_but(self._ports.catalog.triggers())
        self._plugin_log.forget(database)

    def _begin(self, trigger: Trigger) -> None:
        spec = trigger_spec.parse(trigger.spec, now_ns=trigger_spec.ACCEPTED_BEFORE)
        runs = TriggerRuns(
            trigger,
            spec.kind,
            lambda: self._worker(trigger),
            self._run_ports,
            timeout_s=self._config.run_timeout_s,
        )
        async_runs_max = self._async_runs_max(trigger)
        runner: _Runner
        match spec:
            case trigger_spec.Cron() | trigger_spec.Every():
                runner = ScheduleRunner(
                    runs,
                    spec,
                    self._ports.clock,
                    self._config.wal.retry,
                    async_runs_max=async_runs_max,
                )
                self._runners[trigger.id] = runner
                runner.start()
            case trigger_spec.Request():
                self._runners[trigger.id] = RequestRunner(
                    runs,
                    self._ports.clock,
                    self._config.wal.retry,
                    async_runs_max=async_runs_max,
                )
            case _:
                cursor = self._ports.cursors.get(trigger.id)
                assert cursor is not None
                table = spec.name if isinstance(spec, trigger_spec.Table) else None
                config = msgspec.structs.replace(
                    self._config.wal,
                    async_runs_max=async_runs_max,
                    batch_rows_max=trigger.batch_rows or self._config.wal.batch_rows_max,
                )
                runner = WalRunner(
                    runs,
                    cursor,
                    self._ports.index,
                    config,
                    table=table,
                    backfills=self._ports.backfills,
                    past=self._ports.past,
                )
                self._runners[trigger.id] = runner
                if cursor.low < self._ports.index.floor(trigger.database):
                    beginning = self._do(self._begin_in_the_past(runner, cursor.low))
                    self._beginnings.add(beginning)
                    beginning.add_done_callback(self._beginnings.discard)
                else:
                    runner.start(self._flushed)
        logger.info(
            "trigger started",
            extra=keys(trigger=trigger.name, database=trigger.database, spec=trigger.spec),
        )

    def _end(self, trigger_id: TriggerId) -> None:
        runner = self._runners.pop(trigger_id, None)
        if runner is None:
            return
        worker = None if self._host is None else self._host.detach(runner.trigger.identity)
        # Not awaited here: the change may come from the runner itself (disable on error).
        self._do(self._wind_up(runner, worker))

    def _do(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        chore = asyncio.create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)
        return chore

    async def _begin_in_the_past(self, runner: WalRunner, start: Position) -> None:
        """Start a trigger that wants frames which the index has dropped."""
        database = runner.trigger.database
        index = self._ports.index
        async with self._looking_back:
            begins_at = self._ports.history.begins_at()
            if start < begins_at and not await runner.step_over_lost(start, begins_at):
                return
            start = max(start, begins_at)
            floor = index.floor(database)
            if start < floor:
                try:
                    notes = await self._ports.history.notes(
                        database, start, floor, index.note_rows_max
                    )
                except HistoryClosedError:
                    return
                except (EngineError, LpCoreError, OSError) as error:
                    reason = f"the log before its start cannot be read: {error}"
                    runner.runs.log("ERROR", reason)
                    await self._ports.switch.disable(runner.trigger, reason)
                    return
                if self._runners.get(runner.trigger.id) is not runner:
                    return  # disabled or deleted meanwhile
                index.restore(database, notes, start)
        if self._runners.get(runner.trigger.id) is runner:
            runner.start(self._flushed)

    async def _wind_up(self, runner: _Runner, worker: Worker | None) -> None:
        await runner.stop()
        if worker is not None:
            await worker.close(_CANCEL_GRACE_S)
        if self._host is not None and runner.trigger.id not in self._runners:
            # Its last steps may have asked for another one. Enabled again, the trigger has it now.
            await self._host.drop(runner.trigger.identity, grace_s=_CANCEL_GRACE_S)
        if not self._ports.catalog.has_database(runner.trigger.database):
            # Its last words would be read in a later database of that name.
            self._plugin_log.forget(runner.trigger.database)
        logger.info(
            "trigger stopped",
            extra=keys(trigger=runner.trigger.name, database=runner.trigger.database),
        )

    def _worker(self, trigger: Trigger) -> Worker:
        if self._host is None:
            raise PluginError("the plugin host is not running")
        current = self._current(trigger)
        path = self._repository.locate(trigger.plugin_filename, current.plugin_digest)
        return self._host.worker(
            WorkerTrigger(
                database=trigger.database,
                name=trigger.name,
                identity=trigger.identity,
                plugin_path=str(path),
                kind=trigger_spec.parse(trigger.spec, now_ns=trigger_spec.ACCEPTED_BEFORE).kind,
                arguments=self._ports.secrets.resolved(trigger.arguments),
                run_async=trigger.run_async,
                async_limit=self._async_runs_max(trigger),
                memory_bytes_max=trigger.memory_max_bytes,
                permissions=permissions_of(current),
            )
        )

    def _current(self, trigger: Trigger) -> Trigger:
        """`trigger` as it is now: runners know it as it was when they began."""
        return self._ports.catalog.trigger_by_id(trigger.id) or trigger

    def _wal_runner(self, trigger_id: TriggerId) -> WalRunner | None:
        runner = self._runners.get(trigger_id)
        return runner if isinstance(runner, WalRunner) else None

    def _worker_pid(self, trigger_id: TriggerId) -> int | None:
        return None if self._host is None else self._host.worker_pid(identity_of(trigger_id))

    def _async_runs_max(self, trigger: Trigger) -> int:
        return trigger.concurrency or self._config.wal.async_runs_max
