# Owns the backfill of one trigger: takes rows of the past in order of time, cuts them into calls,
# and has each processed as rows of the log are. Each call's record says how far it is, so a crash
# costs the call under way and doubles nothing.
"""Backfill of a trigger."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import msgspec

from engine.plugins.batch import Batch
from engine.plugins.channel import WritesRun
from engine.plugins.flush_index import Interest
from engine.plugins.past_rows import CHARACTERS_PER_CALL_MAX, Past, PastRow, Wanted
from engine.plugins.runs import TriggerRuns
from engine.store.backfills import BackfillTable
from engine.store.past import PastKey, order_of
from engine.store.run_records import BackfillStep, RunRecord

# Takes a batch and the number of its rows that are done; tells whether to go on behind it.
Work = Callable[[Batch, int], Awaitable[bool]]


class TriggerBackfill:
    """Hands one trigger the rows from before it began."""

    def __init__(
        self, runs: TriggerRuns, interest: Interest, table: BackfillTable, past: Past
    ) -> None:
        self._runs = runs
        self._interest = interest
        self._table = table
        self._past = past

    @property
    def is_wanted(self) -> bool:
        """Whether there is one to do."""
        return self._table.active(self._runs.trigger.id) is not None

    def wanted(self, start_ns: int, end_ns: int, after: PastKey | None = None) -> Wanted:
        """The rows of these times that a backfill would hand over."""
        trigger_id = self._runs.trigger.id
        return Wanted(
            database=self._interest.database,
            table=self._interest.table,
            before=self._table.start(trigger_id),
            span=(start_ns, end_ns),
            without=self._table.covered(trigger_id),
            after=after,
        )

    async def run(self, work: Work) -> bool:
        """Do it, from where it stands; return whether it came to its end.

        Raises:
            EngineError, OSError: The past cannot be read.
        """
        step = self._table.active(self._runs.trigger.id)
        if step is None:
            return True
        if step.is_of_old_order:
            return await self.give_up(
                "an older build began it in the order of the log, in which rows of files cannot be "
                "found again"
            )
        self._runs.log("INFO", f"backfill goes on behind {step.rows} rows")
        rows_of_past = self._past.rows(self.wanted(step.start_ns, step.end_ns, step.behind))
        async with (
            aclosing(rows_of_past) as pieces,
            aclosing(_calls(pieces, step.call_rows_max, step.call_end)) as calls,
        ):
            async for rows in calls:
                call = _Call(rows, step)
                # What was left to do of it may be past retention by now.
                is_to_do = call.rows_done < len(rows)
                if is_to_do and not await work(self._batch(call), call.rows_done):
                    return False
                step = call.finished()
        self._runs.log("INFO", f"backfill is done: {step.rows} rows")
        return await self._end(step)

    async def give_up(self, reason: str) -> bool:
        """End it where it stands, loudly; return whether that is stored.

        Times that it has not come to count as not dealt with.
        """
        step = self._table.active(self._runs.trigger.id)
        if step is None:
            return True
        reached = step.behind or step.done
        reached_ns = step.start_ns if reached is None else reached[0] + 1
        where = f"; begin another one from {reached_ns} on"
        if step.rows_done:
            where += f", of which the first {step.rows_done} rows were handed over already"
        text = f"backfill ends after {step.rows} rows: {reason}{where}"
        self._runs.log("ERROR", text)
        self._runs.metrics.failed(text, self._runs.ports.clock.now_ns(), self._runs.labels)
        return await self._end(
            msgspec.structs.replace(step, end_ns=min(step.end_ns, reached_ns), rows_done=0)
        )

    async def _end(self, step: BackfillStep) -> bool:
        end = msgspec.structs.replace(step, is_done=True, call_end=None, reached=None)
        record = RunRecord(trigger_id=self._runs.trigger.id, backfill=end)
        failure = await self._runs.commit([], 0, record)
        if failure is not None:
            self._runs.report(failure)
        return failure is None

    def _batch(self, call: "_Call") -> Batch:
        trigger = self._runs.trigger
        tables: dict[str, list[dict[str, object]]] = {}
        for row in call.delivered:
            tables.setdefault(row.table, []).append(row.row)
        columns = self._runs.ports.columns
        times = call.rows[0].key[0], call.rows[-1].key[0]
        job = WritesRun(
            database=trigger.database,
            inline=list(tables.items()),  # type: ignore[arg-type]  # rows of tables hold no more
            inline_types={
                table: {name: int(kind) for name, kind in columns(trigger.database, table)}
                for table in tables
            },
            batch_id=f"{trigger.id}-backfill-{call.step.start_ns}-{call.step.end_ns}-{times[0]}-"
            f"{call.step.rows}",
        )

        def record(rows_done: int | None) -> RunRecord:
            so_far = call.finished() if rows_done is None else call.finished_in_part(rows_done)
            return RunRecord(trigger_id=trigger.id, backfill=so_far)

        # Files do not know through how many triggers rows went.
        return Batch(job, record, 0, f"rows from {times[0]} to {times[1]} of the backfill")


class _Call:
    """The rows of one call, and what finishes them."""

    def __init__(self, rows: list[PastRow], step: BackfillStep) -> None:
        """`step` is how far the backfill is before it."""
        self.rows = rows
        self.step = step
        # Sorting is stable: within a table they stay in the order of their keys.
        self.delivered = sorted(rows, key=lambda row: row.table)

    @property
    def rows_done(self) -> int:
        """How many of its rows are finished already."""
        reached, end = self.step.reached, self.step.call_end
        if reached is None or end is None or order_of(self.rows[0].key) > order_of(end):
            # None of the rows that it was finished in part with is there any more.
            return 0
        place = reached[1], order_of(reached)
        return sum((row.table, order_of(row.key)) <= place for row in self.delivered)

    def finished(self) -> BackfillStep:
        """How far the backfill is behind it."""
        return msgspec.structs.replace(
            self.step,
            behind=self.rows[-1].key,
            rows=self.step.rows + len(self.rows),
            rows_done=0,
            call_end=None,
            reached=None,
        )

    def finished_in_part(self, rows_done: int) -> BackfillStep:
        """How far the backfill is when so many of its rows are finished."""
        return msgspec.structs.replace(
            self.step,
            rows_done=rows_done,
            call_end=self.rows[-1].key,
            reached=self.delivered[rows_done - 1].key if rows_done else None,
        )


async def _calls(
    pieces: AsyncIterator[list[PastRow]], rows_max: int, first_end: PastKey | None = None
) -> AsyncGenerator[list[PastRow], None]:
    """The same rows as calls; the first one, finished in part, ends where it ended before."""
    call: list[PastRow] = []
    characters = 0
    first_place = None if first_end is None else order_of(first_end)
    async for piece in pieces:
        for row in piece:
            if first_place is not None:
                if order_of(row.key) <= first_place:
                    call.append(row)
                    continue
                first_place = None
                if call:
                    yield call
                    call = []
            call.append(row)
            characters += sum(len(value) for value in row.row.values() if isinstance(value, str))
            if len(call) == rows_max or characters > CHARACTERS_PER_CALL_MAX:
                yield call
                call, characters = [], 0
    if call:
        yield call
