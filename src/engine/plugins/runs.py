# Owns what happens around one run of a plugin: the framework's log lines, the time-out, the
# write-backs as one COMMIT frame with cursor step and state, and the report of a failure. When to
# run, and what to do after a failure, is the affair of runners and of attempts.py.
"""Runs: execute, commit, report."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext

import msgspec

from engine.catalog.model import Trigger
from engine.catalog.permissions import Action
from engine.catalog.trigger_permissions import require
from engine.clock import Clock
from engine.errors import (
    BackPressureError,
    EngineError,
    PartialWriteError,
    TriggerRightsError,
)
from engine.metrics import MetricsRegistry
from engine.plugins.channel import Job, WritesRun
from engine.plugins.host import RunOutcome, Worker
from engine.plugins.plugin_log import LogEntry, PluginLog
from engine.plugins.ports import Committer, TriggerSwitch, WriteBack
from engine.plugins.response_stream import ResponseStream
from engine.plugins.state import STATE_BYTES_MAX
from engine.store.dead_letters import DeadLetterTable
from engine.store.plugin_state import StateReads, StateTable
from engine.store.run_records import RunRecord
from engine.store.secrets import SecretStore
from lp_core import ColumnType

logger = logging.getLogger(__name__)

# A run whose state was changed under it is repeated; after so many times nobody else may change it
# meanwhile.
CONFLICTS_MAX = 3
# Between two looks whether the disk has caught up.
_ROOM_WAIT_S = 0.2
_CONFLICT_WHILE_STREAMED = (
    "another call changed the state that this one had read, after its streamed answer had begun"
)


class Failure(msgspec.Struct, frozen=True):
    """Why a run failed.

    `kind` is the outcome's, or ``write`` for what could not be stored, ``no_room`` for what could
    not be at this moment, or ``conflict`` for a state that another run changed.
    """

    message: str
    traceback: str = ""
    kind: str = "exception"

    @property
    def is_about_data(self) -> bool:
        """Whether other rows may fare better."""
        return self.kind not in ("load", "stopped")

    @property
    def is_plugins_own(self) -> bool:
        """Whether it counts against the trigger: not what others did to it."""
        return self.kind not in ("stopped", "lost", "conflict", "no_room")


class TriggerRecord(msgspec.Struct):
    """How the runs of one trigger went, as far as counters do not tell."""

    count: int = 0
    total_s: float = 0.0
    last_s: float | None = None
    max_s: float | None = None
    last_dispatch_s: float | None = None
    last_error: str | None = None
    last_error_time_ns: int | None = None
    # Positions (start, end] that the log lost before they were read: the last such range.
    lost: tuple[int, int] | None = None

    def lose(self, start: int, end: int) -> None:
        """The log has lost a range that was not read; one that follows the last joins it."""
        is_next = self.lost is not None and self.lost[1] == start
        self.lost = (self.lost[0] if self.lost is not None and is_next else start, end)

    def ran(self, seconds: float) -> None:
        """A run took so long."""
        self.count += 1
        self.total_s += seconds
        self.last_s = seconds
        self.max_s = seconds if self.max_s is None else max(self.max_s, seconds)


class RunMetrics:
    """Counters of all triggers."""

    def __init__(self, metrics: MetricsRegistry) -> None:
        labels = ("database", "trigger")
        self.runs = metrics.counter("headrace_trigger_runs_total", "Runs of plugins.", labels)
        self.errors = metrics.counter("headrace_trigger_errors_total", "Runs that failed.", labels)
        self.retries = metrics.counter(
            "headrace_trigger_retries_total", "Runs repeated after a failure.", labels
        )
        self.conflicts = metrics.counter(
            "headrace_trigger_state_conflicts_total",
            "Runs repeated because another run changed the state that they read.",
            labels,
        )
        self.parked = metrics.counter(
            "headrace_trigger_parked_rows_total", "Rows put aside as dead letters.", labels
        )
        self.skipped = metrics.counter(
            "headrace_trigger_skipped_total",
            "Ranges, ticks or rows given up after failures or at the hop limit.",
            labels,
        )
        self.seconds = metrics.histogram("headrace_trigger_run_seconds", "Time of plugin runs.")
        self.dispatch_seconds = metrics.histogram(
            "headrace_trigger_dispatch_seconds",
            "From the flush of the newest rows to the call of a WAL plugin, rows made.",
        )
        self._records: dict[tuple[str, str], TriggerRecord] = {}

    def record(self, labels: tuple[str, str]) -> TriggerRecord:
        """How the runs of the trigger with these labels went."""
        return self._records.get(labels) or TriggerRecord()

    def ran(self, seconds: float, labels: tuple[str, str]) -> None:
        """A run took so long."""
        self.seconds.observe(seconds)
        self._records.setdefault(labels, TriggerRecord()).ran(seconds)

    def dispatched(self, seconds: float, labels: tuple[str, str]) -> None:
        """The plugin of a run was called so long after the flush."""
        self.dispatch_seconds.observe(seconds)
        self._records.setdefault(labels, TriggerRecord()).last_dispatch_s = seconds

    def failed(self, text: str, time_ns: int, labels: tuple[str, str]) -> None:
        """A run failed."""
        self.errors.add(1, *labels)
        record = self._records.setdefault(labels, TriggerRecord())
        record.last_error, record.last_error_time_ns = text, time_ns

    def lose(self, start: int, end: int, labels: tuple[str, str]) -> None:
        """The log has lost positions (`start`, `end`] before they were read."""
        self.skipped.add(1, *labels)
        self._records.setdefault(labels, TriggerRecord()).lose(start, end)

    def forget_all_but(self, triggers: Iterable[Trigger]) -> None:
        """Other triggers are gone; one that is given such a name begins anew."""
        known = {(trigger.database, trigger.name) for trigger in triggers}
        for labels in set(self._records) - known:
            del self._records[labels]
        for counter in (
            *(self.runs, self.errors, self.retries),
            *(self.conflicts, self.parked, self.skipped),
        ):
            for values in [values for values in counter.values if values not in known]:
                counter.forget(*values)


class RunPorts(msgspec.Struct, frozen=True, kw_only=True):
    """What runs need from the rest of the server."""

    committer: Committer
    switch: TriggerSwitch
    state: StateTable
    dead_letters: DeadLetterTable
    plugin_log: PluginLog
    clock: Clock
    metrics: RunMetrics
    # Columns of a table of a database, as they are now.
    columns: Callable[[str, str], Iterable[tuple[str, ColumnType]]]
    secrets: SecretStore
    # What a trigger may do, as it is now.
    permissions: Callable[[Trigger], tuple[str, ...]]


class TriggerRuns:
    """Executes the runs of one trigger."""

    def __init__(
        self,
        trigger: Trigger,
        kind: str,
        get_worker: Callable[[], Worker],
        ports: RunPorts,
        *,
        timeout_s: float,
    ) -> None:
        """Runs of `trigger`; `kind` names them in log lines: wal, schedule or request."""
        self.trigger = trigger
        self.kind = kind
        self.ports = ports
        self.metrics = ports.metrics
        self._get_worker = get_worker
        self._timeout_s = trigger.timeout_s or timeout_s
        # Whoever commits what depends on the state holds it from the check until the change is
        # visible.
        self._state_lock = asyncio.Lock()

    @property
    def labels(self) -> tuple[str, str]:
        """Label values of the trigger's metrics."""
        return (self.trigger.database, self.trigger.name)

    def redacted(self, text: str) -> str:
        """`text` without the secrets among the trigger's arguments."""
        return self.ports.secrets.redacted(text, self.trigger.arguments)

    def log(self, level: str, text: str, time_ns: int | None = None) -> None:
        """Add a line to the trigger's log."""
        self.ports.plugin_log.add(
            LogEntry(
                time_ns=self.ports.clock.now_ns() if time_ns is None else time_ns,
                database=self.trigger.database,
                trigger_name=self.trigger.name,
                level=level,
                text=self.redacted(text),
            )
        )

    async def run(
        self,
        job: Job,
        *,
        first_line: str,
        hops: int,
        record: RunRecord,
        stream: ResponseStream | None = None,
        waits_for_room: bool = True,
    ) -> tuple[RunOutcome | None, Failure | None]:
        """Run `job` and commit what it wrote, and its state, together with `record`.

        A failed commit is a failed run. Failures are counted, and logged with the traceback when
        there is a first line to log; a run without one is silent. A response that the plugin
        yields piece by piece goes into `stream` while the run is under way. Without
        `waits_for_room` what the log does not take at once is a failure: somebody can come again.
        """
        if isinstance(job, WritesRun):
            job = msgspec.structs.replace(job, hops=hops)
        if first_line:
            self.log("INFO", first_line)
        conflicts = 0
        while True:
            is_alone = conflicts >= CONFLICTS_MAX
            async with self._state_lock if is_alone else nullcontext():
                outcome, failure = await self._execute(job, stream)
                is_conflict = False
                if outcome is not None and failure is None:
                    failure, is_conflict = await self._settle(
                        outcome, hops, record, is_alone=is_alone, waits=waits_for_room
                    )
            if not is_conflict:
                break
            conflicts += 1
            self.metrics.conflicts.add(1, *self.labels)
            if stream is not None and stream.has_started:
                # What the client has seen cannot be taken back, so the run cannot be repeated.
                failure = Failure(_CONFLICT_WHILE_STREAMED, kind="conflict")
                break
        if failure is not None:
            self.report(failure, is_silent=not first_line)
        elif outcome is not None and first_line:
            self.log("INFO", f"finished execution in {render_duration(outcome.duration_s)}")
        return outcome, failure

    async def _execute(
        self, job: Job, stream: ResponseStream | None
    ) -> tuple[RunOutcome | None, Failure | None]:
        self.metrics.runs.add(1, *self.labels)
        try:
            outcome = await self._get_worker().run(job, self._timeout_s, stream)
        except EngineError as error:
            return None, Failure(error.message, kind="load")
        except asyncio.CancelledError:
            self.log("WARN", "the run is cancelled: the trigger stops")
            raise
        self.metrics.ran(outcome.duration_s, self.labels)
        if outcome.dispatch_s is not None:
            self.metrics.dispatched(outcome.dispatch_s, self.labels)
        if outcome.ok:
            return outcome, None
        message = self.redacted(f"{outcome.error_type}: {outcome.error_message}")
        return outcome, Failure(message, self.redacted(outcome.traceback), outcome.failure)

    async def _settle(
        self, outcome: RunOutcome, hops: int, record: RunRecord, *, is_alone: bool, waits: bool
    ) -> tuple[Failure | None, bool]:
        """Commit a run that went well, unless its state was changed under it: then True."""
        refusal = self._refusal(outcome)
        if refusal is not None:
            return refusal, False
        reads = StateReads(keys=outcome.state_reads, all=outcome.state_scan)
        if not (outcome.state_changes or reads.keys or reads.all is not None):
            return await self.commit(outcome.writes, hops, record, waits_for_room=waits), False
        async with nullcontext() if is_alone else self._state_lock:
            state = self.ports.state.get(self.trigger.id)
            if state.is_changed_since(reads):
                return None, True
            size = state.size_after(outcome.state_changes)
            if size > STATE_BYTES_MAX and size > state.size_bytes:
                text = f"the state would take {size} bytes, the limit is {STATE_BYTES_MAX}"
                return Failure(text, kind="write"), False
            record = msgspec.structs.replace(record, state=outcome.state_changes)
            return await self.commit(outcome.writes, hops, record, waits_for_room=waits), False

    def _refusal(self, outcome: RunOutcome) -> Failure | None:
        """What is wrong with a run that wrote where its trigger has no right to; None for nothing.

        All that it wrote is refused then, for it is stored as one.
        """
        permissions = self.ports.permissions(self.trigger)
        for database, _ in outcome.writes:
            try:
                require(permissions, self.trigger.name, Action.WRITE, database)
            except TriggerRightsError as error:
                text = f"error writing back lines: {error.message}. {error.hint}"
                return Failure(self.redacted(text), kind="write")
        return None

    async def commit(
        self,
        writes: list[tuple[str, bytes]],
        hops: int,
        record: RunRecord,
        *,
        waits_for_room: bool = True,
    ) -> Failure | None:
        """Make `writes` and `record` durable in one frame; return why not, where it failed.

        Nothing is stored when there is nothing to remember. Whether the trigger may write there is
        not asked here.
        """
        by_database: dict[str, list[bytes]] = {}
        for database, lines in writes:
            by_database.setdefault(database, []).append(lines)
        if not by_database and record.is_empty:
            return None
        backs = [
            WriteBack(
                database=database,
                lines=b"\n".join(parts),
                origin=self.trigger.identity,
                hops=hops + 1,
            )
            for database, parts in by_database.items()
        ]

        async def store() -> None:
            await self.ports.committer.commit(backs, record)

        try:
            await (once_there_is_room(store) if waits_for_room else store())
        except PartialWriteError as error:
            line = error.lines[0]
            text = (
                f"error writing back lines to {', '.join(by_database)}: {line['error_message']} "
                f"(line {line['line_number']}: {line['original_line']})"
            )
            return Failure(self.redacted(text), kind="write")
        except EngineError as error:
            what = f"writing back lines to {', '.join(by_database)}" if backs else "committing"
            kind = "no_room" if isinstance(error, BackPressureError) else "write"
            return Failure(f"error {what}: {error.message}", kind=kind)
        return None

    def report(self, failure: Failure, *, is_silent: bool = False) -> None:
        """Count and log a failure."""
        self.metrics.failed(failure.message, self.ports.clock.now_ns(), self.labels)
        if is_silent:
            return
        text = f"error executing {self.kind} plugin: {failure.message}"
        self.log("ERROR", f"{text}\n{failure.traceback}".rstrip() if failure.traceback else text)


async def once_there_is_room(store: Callable[[], Awaitable[None]]) -> None:
    """Call `store` until the log takes it: the disk catches up with what waits, or the log fails.

    A client is told to come again; what a trigger has to store has nobody else to do that.
    """
    while True:
        try:
            await store()
        except BackPressureError:
            await asyncio.sleep(_ROOM_WAIT_S)
        else:
            return


def render_duration(seconds: float) -> str:
    """`seconds` as people read it: ``1s 204ms``, ``3ms 12us``."""
    microseconds = round(seconds * 1_000_000)
    parts = []
    for unit, size in (("s", 1_000_000), ("ms", 1_000), ("us", 1)):
        amount, microseconds = divmod(microseconds, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts[:2]) or "0us"
