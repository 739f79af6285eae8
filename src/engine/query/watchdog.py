# Owns the stopping of queries: by time-out, or because nobody waits any more. One thread serves all
# queries. It never touches a query that has ended: `finish` and an interrupt exclude each other.
"""Time-outs and cancellation of queries."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from enum import StrEnum

# An interrupt that comes before DuckDB starts to execute is lost, so it is repeated.
_REPEAT_S = 0.05


class StopReason(StrEnum):
    """Why a query was stopped."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


class RunningQuery:
    """One query under way.

    Attributes:
        reason: Why it was stopped; None while it was not.
    """

    def __init__(self, interrupt: Callable[[], object], watchdog: "Watchdog") -> None:
        self.reason: StopReason | None = None
        self._interrupt = interrupt
        self._watchdog = watchdog
        self._lock = threading.Lock()
        self._is_finished = False

    def cancel(self) -> None:
        """Stop the query soon. Safe from any thread, at any time, more than once."""
        self._watchdog.watch(self, 0.0, StopReason.CANCELLED)

    def finish(self) -> None:
        """Say that the query has ended: after this nothing interrupts it."""
        with self._lock:
            self._is_finished = True

    def stop(self, reason: StopReason) -> bool:
        """Interrupt the query; whether it was still running."""
        with self._lock:
            if self._is_finished:
                return False
            self.reason = self.reason or reason
            self._interrupt()
            return True


class Watchdog:
    """Interrupts queries when their time is up."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._due: list[tuple[float, int, RunningQuery, StopReason]] = []
        self._numbers = itertools.count()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="query-watchdog", daemon=True)
        self._thread.start()

    def watch(self, query: RunningQuery, after_s: float, reason: StopReason) -> None:
        """Interrupt a query after a while unless it has finished by then."""
        with self._condition:
            entry = (time.monotonic() + after_s, next(self._numbers), query, reason)
            heapq.heappush(self._due, entry)
            if self._due[0] is entry:
                self._condition.notify()

    def close(self) -> None:
        """End the thread; queries under way are stopped first."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._is_closed:
                    waiting, self._due = self._due, []
                    break
                now = time.monotonic()
                if not self._due or self._due[0][0] > now:
                    self._condition.wait(self._due[0][0] - now if self._due else None)
                    continue
                _, _, query, reason = heapq.heappop(self._due)
            if query.stop(reason):
                self.watch(query, _REPEAT_S, reason)
        for _, _, query, _ in waiting:
            query.stop(StopReason.CANCELLED)
