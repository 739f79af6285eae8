# Owns what is known of a trigger at a moment: how far it is, how its runs went, what its worker
# takes. The system table and the metrics both read it here. Queries ask from other threads, so
# nothing here changes anything.
"""Status of triggers."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.catalog.model import Trigger
from engine.clock import Clock
from engine.ids import TriggerId
from engine.metrics import MetricsRegistry
from engine.plugins.flush_index import FlushIndex, Interest
from engine.plugins.runs import RunMetrics
from engine.store.backfills import BackfillTable
from engine.store.cursors import CursorTable
from engine.store.dead_letters import DeadLetterTable

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class TriggerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger at a moment; counts are since the start of the server.

    Attributes:
        cursor: Position up to which everything is processed; None when no log feeds it.
        lag_rows: Rows that wait for it, those of other tables in the same writes included.
        lag_seconds: Since the oldest of them was written.
        parked_rows: Rows in its dead letters.
        last_dispatch_seconds: From the flush of the newest rows to the call of the plugin.
        is_backfilling: Whether rows from before it began are handed to it.
        backfilled_rows: How many of them were.
        skipped: Positions that the log lost before they were read, the last such range.
        worker_pid: Process that runs it, None while there is none; the two after are about it.
    """

    cursor: int | None = None
    lag_rows: int = 0
    lag_seconds: float = 0.0
    runs: int = 0
    errors: int = 0
    retries: int = 0
    parked_rows: int = 0
    is_backfilling: bool = False
    backfilled_rows: int = 0
    skipped: str | None = None
    last_error: str | None = None
    last_error_time_ns: int | None = None
    last_run_seconds: float | None = None
    mean_run_seconds: float | None = None
    max_run_seconds: float | None = None
    last_dispatch_seconds: float | None = None
    worker_pid: int | None = None
    worker_memory_bytes: int | None = None
    worker_cpu_seconds: float | None = None


class StatusBoard:
    """Looks the status of triggers up."""

    def __init__(
        self,
        cursors: CursorTable,
        index: FlushIndex,
        dead_letters: DeadLetterTable,
        backfills: BackfillTable,
        metrics: RunMetrics,
        clock: Clock,
        worker_pid: Callable[[TriggerId], int | None],
    ) -> None:
        """The last argument gives the process of a trigger's worker."""
        self._cursors = cursors
        self._index = index
        self._dead_letters = dead_letters
        self._backfills = backfills
        self._metrics = metrics
        self._clock = clock
        self._worker_pid = worker_pid

    def status(self, trigger: Trigger) -> TriggerStatus:
        """The status of `trigger` now."""
        labels = (trigger.database, trigger.name)
        metrics = self._metrics
        cursor = self._cursors.get(trigger.id)
        lag_rows, lag_seconds = self.lag(trigger)
        record = metrics.record(labels)
        pid = self._worker_pid(trigger.id)
        memory, cpu = (None, None) if pid is None else process_usage(pid)
        return TriggerStatus(
            cursor=None if cursor is None else cursor.low,
            lag_rows=lag_rows,
            lag_seconds=lag_seconds,
            runs=int(metrics.runs.value(*labels)),
            errors=int(metrics.errors.value(*labels)),
            retries=int(metrics.retries.value(*labels)),
            parked_rows=self._dead_letters.num_rows(trigger.id),
            is_backfilling=self._backfills.active(trigger.id) is not None,
            backfilled_rows=self._backfills.rows(trigger.id),
            skipped=None if record.lost is None else f"{record.lost[0] + 1}-{record.lost[1]}",
            last_error=record.last_error,
            last_error_time_ns=record.last_error_time_ns,
            last_run_seconds=record.last_s,
            mean_run_seconds=record.total_s / record.count if record.count else None,
            max_run_seconds=record.max_s,
            last_dispatch_seconds=record.last_dispatch_s,
            worker_pid=pid,
            worker_memory_bytes=memory,
            worker_cpu_seconds=cpu,
        )

    def register(self, metrics: MetricsRegistry, triggers: Callable[[], list[Trigger]]) -> None:
        """Show the status of all `triggers` among the metrics."""
        for name, text, read in (
            ("lag_rows", "Rows that wait for a WAL trigger.", lambda it: self.lag(it)[0]),
            ("lag_seconds", "Age of the oldest of them.", lambda it: self.lag(it)[1]),
            (
                "dead_letter_rows",
                "Rows in dead letters.",
                lambda it: self._dead_letters.num_rows(it.id),
            ),
            ("worker_memory_bytes", "Resident memory of the worker.", self._worker_memory),
            ("worker_cpu_seconds", "Processor time of the worker.", self._worker_cpu),
        ):
            metrics.gauges(
                f"headrace_trigger_{name}",
                text,
                ("database", "trigger"),
                _reader(triggers, read),
            )

    def _worker_memory(self, trigger: Trigger) -> float | None:
        pid = self._worker_pid(trigger.id)
        return None if pid is None else process_usage(pid)[0]

    def _worker_cpu(self, trigger: Trigger) -> float | None:
        pid = self._worker_pid(trigger.id)
        return None if pid is None else process_usage(pid)[1]

    def lag(self, trigger: Trigger) -> tuple[int, float]:
        """Rows that wait for `trigger`, and the age of the oldest in seconds."""
        cursor = self._cursors.get(trigger.id)
        if cursor is None:
            return 0, 0.0
        interest = Interest(
            database=trigger.database,
            table=trigger.spec.removeprefix("table:") if ":" in trigger.spec else None,
            skip_origin=None if trigger.allow_self else trigger.identity,
            hops_max=0,
        )
        rows, since_ns = self._index.waiting(interest, cursor.low, list(cursor.done))
        if since_ns is None:
            return 0, 0.0
        return rows, max(0.0, (self._clock.now_ns() - since_ns) / 1e9)


def _reader(
    triggers: Callable[[], list[Trigger]], read: Callable[[Trigger], float | None]
) -> Callable[[], list[tuple[tuple[str, str], float]]]:
    def numbers() -> list[tuple[tuple[str, str], float]]:
        return [
            ((trigger.database, trigger.name), float(number))
            for trigger in triggers()
            if (number := read(trigger)) is not None
        ]

    return numbers


def process_usage(pid: int) -> tuple[int | None, float | None]:
    """Resident memory in bytes and processor time in seconds; None for a process that is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        # Behind the name, which may contain anything, in parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return None, None
    return int(pages) * _PAGE_BYTES, (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
