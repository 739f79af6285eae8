# Owns one enabled WAL trigger: takes ranges of the log off the flush index, runs the plugin over
# them, and steps the cursor. Ingest never waits for it: when it is slow it lags, and later ranges
# become larger.
"""Runner of WAL triggers."""

import asyncio
import logging
import sys
import time

import msgspec

from engine.catalog.model import ErrorBehavior, Trigger
from engine.errors import EngineError, PluginError
from engine.ids import Position
from engine.logs import keys
from engine.plugins.attempts import Attempts, End
from engine.plugins.backfill import TriggerBackfill
from engine.plugins.batch import Batch
from engine.plugins.bisection import BisectionPolicy
from engine.plugins.channel import Extent, WritesRun
from engine.plugins.flush_index import FlushIndex, Interest, Selection
from engine.plugins.log_history import HistoryClosedError
from engine.plugins.parking import Parking, Replayed
from engine.plugins.past_rows import Past
from engine.plugins.retry import RetryPolicy
from engine.plugins.runs import TriggerRuns
from engine.store.backfills import BackfillTable
from engine.store.cursors import Cursor
from engine.store.dead_letters import DeadLetter
from engine.store.run_records import RunRecord, Step
from lp_core import LpCoreError

logger = logging.getLogger(__name__)


class WalRunnerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of WAL triggers."""

    # A lagging trigger gets several flushes in one call, up to this many rows; a write that is
    # larger comes in several calls.
    batch_rows_max: int = 100_000
    # Data that went through this many triggers is not handed to another one.
    hops_max: int = 8
    # Ranges that an asynchronous trigger works on at once.
    async_runs_max: int = 4
    retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    bisection: BisectionPolicy = msgspec.field(default_factory=BisectionPolicy)


class WalRunner:
    """Runs one WAL trigger until stopped."""

    def __init__(
        self,
        runs: TriggerRuns,
        cursor: Cursor,
        index: FlushIndex,
        config: WalRunnerConfig,
        *,
        table: str | None,
        backfills: BackfillTable,
        past: Past,
    ) -> None:
        trigger = runs.trigger
        self.trigger = trigger
        self.interest = Interest(
            database=trigger.database,
            table=table,
            skip_origin=None if trigger.allow_self else trigger.identity,
            hops_max=config.hops_max,
        )
        self.runs = runs
        self._attempts = Attempts(runs, config.retry)
        self.parking = Parking(self._attempts, config.bisection)
        self._past = past
        self._backfill = TriggerBackfill(runs, self.interest, backfills, past)
        self._cursor = cursor
        self._index = index
        self._config = config
        self._flushed = Position(0)
        self._flushed_s = 0.0
        # Ranges up to here are handed out (finished or running).
        self._claimed = cursor.low
        self._replays: set[asyncio.Task[Replayed]] = set()
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(config.async_runs_max if trigger.run_async else 1)
        self._running: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[None] | None = None

    def start(self, flushed: Position) -> None:
        """Begin, with the log flushed up to `flushed`."""
        self._main = asyncio.create_task(self._loop(), name=f"wal-trigger-{self.trigger.name}")
        self._flushed = flushed
        self._flushed_s = time.monotonic()
        self.wake()

    def flushed(self, position: Position, tables: frozenset[str]) -> bool:
        """The log may be read up to `position` now; what is new concerns `tables` alone.

        Returns whether there is something to do, for which it wants to be woken up.
        """
        is_for_others = self.interest.table not in {None, *tables}
        # One that has not started still waits for rows from before what was flushed so far.
        is_idle = self._main is not None and self.is_idle and not self._wake.is_set()
        is_passed = is_for_others and is_idle
        if is_passed:
            # As if it had looked: a server with hundreds of triggers wakes few of them.
            self._cursor.finish(self._claimed, position)
            self._claimed = position
        self._flushed = position
        self._flushed_s = time.monotonic()
        return not is_passed

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def check_past(self, start_ns: int, end_ns: int) -> None:
        """See whether a backfill of [start, end) can tell rows of before from later ones.

        Raises:
            PluginError: It cannot.
        """
        await self._past.check(self._backfill.wanted(start_ns, end_ns))

    @property
    def batch_rows_max(self) -> int:
        """Rows of one call."""
        return self._config.batch_rows_max

    @property
    def is_idle(self) -> bool:
        """Whether everything flushed is processed."""
        return not self._running and self._claimed >= self._flushed

    async def stop(self) -> None:
        """End; a run under way is abandoned, and runs again when the trigger starts again."""
        tasks = [*self._running, *self._replays, *([self._main] if self._main else [])]
        current = asyncio.current_task()
        for task in tasks:
            if task is not current:
                task.cancel()
        await asyncio.gather(
            *(task for task in tasks if task is not current), return_exceptions=True
        )

    async def replay(self, letters: list[DeadLetter]) -> Replayed:
        """Run dead letters again.

        Raises:
            PluginError: The trigger was stopped meanwhile.
            WalError: The outcome cannot be stored.
        """
        task = asyncio.create_task(self.parking.replay(letters))
        self._replays.add(task)
        task.add_done_callback(self._replays.discard)
        # The trigger's end cancels the task, but the end of who asks does not.
        await asyncio.wait([task])
        if task.cancelled():
            raise PluginError(
                f"trigger {self.trigger.name} was stopped before its dead letters were replayed",
                hint="enable it and try again",
            )
        return task.result()

    def say_lost(self, start: Position, end: Position, reason: str) -> None:
        """Tell that the trigger will never see the positions (`start`, `end`]."""
        self.runs.metrics.lose(start, end, self.runs.labels)
        self.runs.log("ERROR", lost_text(start, end, reason))

    async def step_over_lost(self, start: Position, end: Position) -> bool:
        """Go on behind what the log does not have any more; return whether that is stored."""
        self.say_lost(start, end, "the log does not have them any more")
        step = Step(start, end)
        failure = await self.runs.commit([], 0, RunRecord(trigger_id=self.trigger.id, step=step))
        if failure is not None:
            self.runs.report(failure)
        return failure is None

    async def _loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._backfill.is_wanted and not await self._run_backfill():
                return
            while (gap := self._next_gap()) is not None:
                await self._slots.acquire()
                # A range that is finished in part is taken as it was: its rows are counted from
                # its start.
                is_partial = self._cursor.rows_done(gap[0]) is not None
                rows_max = sys.maxsize if is_partial else self._config.batch_rows_max
                selection = self._index.select(self.interest, gap[0], gap[1], rows_max=rows_max)
                self._claimed = selection.end
                task = asyncio.create_task(self._work(selection))
                self._running.add(task)
                task.add_done_callback(self._finished)

    def _next_gap(self) -> tuple[Position, Position] | None:
        # Live rows wait for those of the past.
        if self._backfill.is_wanted:
            return None
        return self._cursor.next_gap(self._claimed, self._flushed)

    async def _run_backfill(self) -> bool:
        """Process the rows of the past; return whether to go on with the live ones."""
        if self._running:
            await asyncio.wait(self._running)
        try:
            return await self._backfill.run(self._work_on_rest)
        except HistoryClosedError:
            return False
        except PluginError as error:
            # It would be the same at the next start, and the live rows would wait for ever.
            return await self._backfill.give_up(error.message)
        except (EngineError, LpCoreError, OSError) as error:
            await self._attempts.disable(f"the rows of its backfill cannot be read: {error}")
            return False

    async def _work_on_rest(self, batch: Batch, start: int) -> bool:
        return await self._work_on(batch, start, None)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error(
                "trigger runner failed", exc_info=error, extra=keys(trigger=self.trigger.name)
            )

    async def _work(self, selection: Selection) -> None:
        if selection.over_hop_limit:
            self.runs.metrics.skipped.add(selection.over_hop_limit, *self.runs.labels)
            self.runs.log(
                "ERROR",
                f"data not delivered: it went through {self.interest.hops_max} triggers already; "
                "triggers that write to each other's tables form a cycle",
            )
        if not selection.notes:
            # Nothing for this trigger: the step need not be durable, the same is found out again.
            self._cursor.finish(selection.start, selection.end)
            return

        def record(rows_done: int | None) -> RunRecord:
            step = Step(selection.start, selection.end, rows_done)
            return RunRecord(trigger_id=self.trigger.id, step=step)

        batch = Batch(
            writes_run(self.trigger, self.interest, selection, self._flushed_s),
            record,
            selection.hops,
            f"rows of the positions {selection.start + 1} to {selection.end}",
        )
        rows_max = self._config.batch_rows_max
        done: int | None = self._cursor.rows_done(selection.start) or 0
        # Notes count the rows of other tables too; what is certainly small enough is not counted.
        is_one_call = sum(note.num_rows for note in selection.notes) <= rows_max
        while done is not None:
            end = None if is_one_call else done + rows_max
            if end is not None and end >= await batch.count():
                end = None
            if not await self._work_on(batch, done, end):
                return
            done = end

    async def _work_on(self, batch: Batch, start: int, end: int | None) -> bool:
        """Process a part of a batch; return whether to go on behind it."""
        ending = await self._attempts.run_to_end(
            batch.part(start, end),
            first_line="starting execution of wal plugin.",
            hops=batch.hops,
            record=batch.record_to(end),
            has_rows=True,
        )
        if ending.end is not End.GIVEN_UP:
            return ending.end is End.DONE
        if self.trigger.error_behavior is ErrorBehavior.RETRY:
            return await self.parking.bisect(batch, start, end, ending)
        return await self._step_over(batch, start, end)

    async def _step_over(self, batch: Batch, start: int, end: int | None) -> bool:
        """Go on behind a part that failed, and say which."""
        rows = (await batch.count() if end is None else end) - start
        self.runs.metrics.skipped.add(1, *self.runs.labels)
        self.runs.log("ERROR", f"{rows} {batch.what} are skipped")
        failure = await self.runs.commit([], 0, batch.record_to(end))
        if failure is not None:
            # The log does not take records any more; the range runs again after a restart.
            self.runs.report(failure)
        return failure is None


def lost_text(start: Position, end: Position, reason: str) -> str:
    """What a trigger's log says about positions (`start`, `end`] that it will never see."""
    return f"the positions {start + 1} to {end} are skipped: {reason}"


def writes_run(
    trigger: Trigger,
    interest: Interest,
    selection: Selection,
    flushed_s: float | None = None,
) -> WritesRun:
    """The call that delivers `selection` to the plugin of `trigger`."""
    return WritesRun(
        batch_id=f"{trigger.id}-{selection.start}-{selection.end}",
        database=interest.database,
        tables=None if interest.table is None else [interest.table],
        start=selection.start,
        end=selection.end,
        skip_origin=interest.skip_origin,
        flushed_s=flushed_s,
        extents=[
            Extent(path=note.path, start_offset=note.start_offset, end_offset=note.end_offset)
            for note in selection.notes
        ],
    )
