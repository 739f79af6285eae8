# Owns one enabled schedule trigger: waits for its ticks and runs the plugin. A tick that falls into
# a run, or into a pause of the machine, is made up for by one run, not by a burst; the log says how
# many were missed.
"""Runner of schedule triggers."""

import asyncio
import logging
from datetime import UTC, datetime

from engine.clock import Clock
from engine.logs import keys
from engine.plugins.attempts import Attempts, End
from engine.plugins.channel import ScheduleRun
from engine.plugins.retry import RetryPolicy
from engine.plugins.runs import TriggerRuns
from engine.plugins.trigger_spec import Cron, Every, next_time
from engine.store.run_records import RunRecord

logger = logging.getLogger(__name__)

# Waits are cut into pieces, so that a clock that was set is noticed.
_WAIT_S_MAX = 60.0
_MISSED_COUNTED_MAX = 1_000


class ScheduleRunner:
    """Runs one schedule trigger until stopped."""

    def __init__(
        self,
        runs: TriggerRuns,
        spec: Cron | Every,
        clock: Clock,
        retry: RetryPolicy,
        *,
        async_runs_max: int,
    ) -> None:
        self.trigger = runs.trigger
        self.runs = runs
        self._attempts = Attempts(runs, retry)
        self._spec = spec
        self._clock = clock
        self._slots = asyncio.Semaphore(async_runs_max if self.trigger.run_async else 1)
        self._running: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with the first tick after now."""
        self._main = asyncio.create_task(self._loop(), name=f"schedule-trigger-{self.trigger.name}")

    async def stop(self) -> None:
        """End; a run under way is abandoned."""
        tasks = [*self._running, *([self._main] if self._main else [])]
        current = asyncio.current_task()
        for task in tasks:
            if task is not current:
                task.cancel()
        await asyncio.gather(
            *(task for task in tasks if task is not current), return_exceptions=True
        )

    async def _loop(self) -> None:
        due_ns = next_time(self._spec, self._clock.now_ns())
        while due_ns is not None:
            await self._wait_until(due_ns)
            await self._slots.acquire()
            due_ns, missed = self._latest_tick(due_ns)
            if missed:
                self.runs.log(
                    "WARN", f"{missed} ticks were missed; this run stands for all of them"
                )
            task = asyncio.create_task(self._work(due_ns))
            self._running.add(task)
            task.add_done_callback(self._finished)
            due_ns = next_time(self._spec, due_ns)
        self.runs.log("INFO", "the schedule has no further ticks")

    async def _wait_until(self, due_ns: int) -> None:
        # The wall clock is what is polled; no event tells that it has come so far.
        while (wait_s := (due_ns - self._clock.now_ns()) / 1e9) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(wait_s, _WAIT_S_MAX))

    def _latest_tick(self, due_ns: int) -> tuple[int, int]:
        """The last tick that is due, and how many were due before it."""
        now_ns = self._clock.now_ns()
        missed = 0
        while (following := next_time(self._spec, due_ns)) is not None and following <= now_ns:
            missed += 1
            due_ns = following
            if missed >= _MISSED_COUNTED_MAX:
                # Long asleep: go to the present in one step instead of counting on.
                upcoming = next_time(self._spec, now_ns)
                if isinstance(self._spec, Every) and upcoming is not None:
                    due_ns = upcoming - self._spec.duration_ns
                break
        return due_ns, missed

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error(
                "trigger runner failed", exc_info=error, extra=keys(trigger=self.trigger.name)
            )

    async def _work(self, due_ns: int) -> None:
        job = ScheduleRun(batch_id=f"{self.trigger.id}-{due_ns}", time_ns=due_ns)
        ending = await self._attempts.run_to_end(
            job,
            first_line=f"starting execution with scheduled time {render_tick(due_ns)}",
            hops=0,
            record=RunRecord(trigger_id=self.trigger.id),
        )
        if ending.end is End.GIVEN_UP:
            self.runs.metrics.skipped.add(1, *self.runs.labels)


def render_tick(time_ns: int) -> str:
    """A tick as log lines name it."""
    tick = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return tick.strftime("%Y-%m-%d %H:%M:%S UTC")
