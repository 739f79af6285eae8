# Owns what happens around one run of a plugin: the framework's log lines, the time-out, the
# write-backs as one COMMIT frame with the cursor step, and the report of a failure. When to run,
# and what to do after a failure, is the runners' affair.
"""Runs: execute, commit, report."""

import asyncio
import logging
import random
from collections.abc import Callable
from enum import Enum

import msgspec

from engine.catalog.model import ErrorBehavior, Trigger
from engine.clock import Clock
from engine.errors import EngineError, PartialWriteError
from engine.metrics import MetricsRegistry
from engine.plugins.channel import Job
from engine.plugins.host import RunOutcome, Worker
from engine.plugins.plugin_log import LogEntry, PluginLog
from engine.plugins.ports import Committer, TriggerSwitch, WriteBack
from engine.plugins.retry import RetryPolicy
from engine.store.cursors import CommitRecord

logger = logging.getLogger(__name__)


class Failure(msgspec.Struct, frozen=True):
    """Why a run failed."""

    message: str
    traceback: str = ""


class Ending(Enum):
    """How the work on one event ended."""

    DONE = "done"
    GIVEN_UP = "given up"
    DISABLED = "disabled"


class RunMetrics:
    """Counters of all triggers."""

    def __init__(self, metrics: MetricsRegistry) -> None:
        labels = ("database", "trigger")
        self.runs = metrics.counter("headrace_trigger_runs_total", "Runs of plugins.", labels)
        self.errors = metrics.counter("headrace_trigger_errors_total", "Runs that failed.", labels)
        self.retries = metrics.counter(
            "headrace_trigger_retries_total", "Runs repeated after a failure.", labels
        )
        self.skipped = metrics.counter(
            "headrace_trigger_skipped_total",
            "Ranges, ticks or rows given up after failures or at the hop limit.",
            labels,
        )
        self.seconds = metrics.histogram("headrace_trigger_run_seconds", "Time of plugin runs.")


class TriggerRuns:
    """Executes the runs of one trigger."""

    def __init__(
        self,
        trigger: Trigger,
        kind: str,
        get_worker: Callable[[], Worker],
        committer: Committer,
        plugin_log: PluginLog,
        clock: Clock,
        metrics: RunMetrics,
        *,
        switch: TriggerSwitch,
        retry: RetryPolicy,
        timeout_s: float,
    ) -> None:
        """Runs of `trigger`; `kind` names them in log lines: wal, schedule or request."""
        self.trigger = trigger
        self.kind = kind
        self.metrics = metrics
        self._get_worker = get_worker
        self._committer = committer
        self._plugin_log = plugin_log
        self._clock = clock
        self._switch = switch
        self._retry = retry
        self._timeout_s = trigger.timeout_s or timeout_s

    @property
    def labels(self) -> tuple[str, str]:
        """Label values of the trigger's metrics."""
        return (self.trigger.database, self.trigger.name)

    def log(self, level: str, text: str, time_ns: int | None = None) -> None:
        """Add a line to the trigger's log."""
        self._plugin_log.add(
            LogEntry(
                time_ns=self._clock.now_ns() if time_ns is None else time_ns,
                database=self.trigger.database,
                trigger_name=self.trigger.name,
                level=level,
                text=text,
            )
        )

    async def run(
        self, job: Job, *, first_line: str, hops: int, record: CommitRecord | None
    ) -> tuple[RunOutcome | None, Failure | None]:
        """Run `job` and commit what it wrote together with `record`.

        Without a record (None) nothing is committed when nothing was written. A failed commit is a
        failed run. Failures are counted and logged here, with the traceback.
        """
        self.metrics.runs.add(1, *self.labels)
        self.log("INFO", first_line)
        outcome: RunOutcome | None = None
        try:
            outcome = await self._get_worker().run(job, self._timeout_s)
        except EngineError as error:
            failure: Failure | None = Failure(error.message)
        else:
            self.metrics.seconds.observe(outcome.duration_s)
            failure = None
            if not outcome.ok:
                failure = Failure(
                    f"{outcome.error_type}: {outcome.error_message}", outcome.traceback
                )
            elif record is not None:
                failure = await self.commit(outcome.writes, hops, record)
        if failure is None and outcome is not None:
            self.log("INFO", f"finished execution in {render_duration(outcome.duration_s)}")
        elif failure is not None:
            self.report(failure)
        return outcome, failure

    async def run_to_end(
        self, job: Job, *, first_line: str, hops: int, record: CommitRecord
    ) -> Ending:
        """Run `job` as often as the trigger's error behaviour asks for.

        A run whose worker went for another reason is repeated, whatever the behaviour: neither the
        rows nor the trigger shall pay for what another plugin did to the process of them all.
        """
        behavior = self.trigger.error_behavior
        retry = lost = 0
        while True:
            outcome, failure = await self.run(job, first_line=first_line, hops=hops, record=record)
            if failure is None:
                return Ending.DONE
            if outcome is not None and outcome.failure in ("lost", "stopped"):
                lost += 1
                # Limited all the same: it may be this plugin that does it, time and again.
                again_s = self._retry.wait_s(lost, random.random())  # noqa: S311 - jitter only
                if again_s is not None:
                    self.log("WARN", "the run is repeated: its worker was lost, not its own doing")
                    self.metrics.retries.add(1, *self.labels)
                    await asyncio.sleep(again_s)
                    continue
            if behavior is ErrorBehavior.DISABLE:
                await self._disable(failure)
                return Ending.DISABLED
            retry += 1
            wait_s = None
            if behavior is ErrorBehavior.RETRY:
                wait_s = self._retry.wait_s(retry, random.random())  # noqa: S311 - jitter only
            if wait_s is None:
                self.metrics.skipped.add(1, *self.labels)
                if retry > 1:
                    self.log("ERROR", f"giving up after {retry} runs")
                return Ending.GIVEN_UP
            self.metrics.retries.add(1, *self.labels)
            await asyncio.sleep(wait_s)

    async def _disable(self, failure: Failure) -> None:
        self.log("ERROR", f"disabling trigger {self.trigger.name} due to error")
        try:
            await self._switch.disable(self.trigger, failure.message)
        except EngineError as error:
            self.log("ERROR", f"the trigger could not be disabled: {error.message}")

    async def commit(
        self, writes: list[tuple[str, bytes]], hops: int, record: CommitRecord
    ) -> Failure | None:
        """Make `writes` and `record` durable in one frame; return why not, where it failed."""
        by_database: dict[str, list[bytes]] = {}
        for database, lines in writes:
            by_database.setdefault(database, []).append(lines)
        backs = [
            WriteBack(
                database=database,
                lines=b"\n".join(parts),
                origin=self.trigger.identity,
                hops=hops + 1,
            )
            for database, parts in by_database.items()
        ]
        try:
            await self._committer.commit(backs, record)
        except PartialWriteError as error:
            line = error.lines[0]
            return Failure(
                f"error writing back lines to {', '.join(by_database)}: {line['error_message']} "
                f"(line {line['line_number']}: {line['original_line']})"
            )
        except EngineError as error:
            return Failure(f"error writing back lines to {', '.join(by_database)}: {error.message}")
        return None

    def report(self, failure: Failure) -> None:
        """Count and log a failure."""
        self.metrics.errors.add(1, *self.labels)
        text = f"error executing {self.kind} plugin: {failure.message}"
        self.log("ERROR", f"{text}\n{failure.traceback}".rstrip() if failure.traceback else text)


def render_duration(seconds: float) -> str:
    """`seconds` as people read it: ``1s 204ms``, ``3ms 12us``."""
    microseconds = round(seconds * 1_000_000)
    parts = []
    for unit, size in (("s", 1_000_000), ("ms", 1_000), ("us", 1)):
        amount, microseconds = divmod(microseconds, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts[:2]) or "0us"
