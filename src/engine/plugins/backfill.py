# Owns the backfill of one trigger: takes rows of the past in order of time, cuts them into calls,
# and has each processed as rows of the log are. Each call's record says how far it is, so a crash
# costs the call under way and doubles nothing.
"""Backfill of a trigger."""

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from engine.plugins.batch import Batch
from engine.plugins.channel import WritesRun
from engine.plugins.flush_index import Interest
from engine.plugins.past_rows import CHARACTERS_PER_CALL_MAX, Past, PastRow, Wanted
from engine.plugins.runs import TriggerRuns
from engine.store.backfills import BackfillTable
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

    async def run(self, work: Work) -> bool:
        """Do it, from where it stands; return whether it came to its end.

        Raises:
            PluginError, WalError, LpCoreError, OSError: The past cannot be read.
        """
        trigger_id = self._runs.trigger.id
        step = self._table.active(trigger_id)
        if step is None:
            return True
        span = (step.start_ns, step.end_ns)
        wanted = Wanted(
            interest=self._interest,
            before=self._table.start(trigger_id),
            span=span,
            without=self._table.covered(trigger_id),
            after=step.done,
        )
        self._runs.log("INFO", f"backfill goes on behind {step.rows} rows")
        async for rows in _calls(self._past.rows(wanted), step.call_rows_max):
            batch = self._batch(step, rows)
            if not await work(batch, step.rows_done):
                return False
            step = msgspec.structs.replace(
                step, done=rows[-1].key, rows_done=0, rows=step.rows + len(rows)
            )
        self._runs.log("INFO", f"backfill is done: {step.rows} rows")
        return await self._end(step)

    async def give_up(self, reason: str) -> bool:
        """End it where it stands, loudly; return whether that is stored.

        Times that it has not come to count as not dealt with.
        """
        step = self._table.active(self._runs.trigger.id)
        if step is None:
            return True
        text = f"backfill ends after {step.rows} rows: {reason}"
        self._runs.log("ERROR", text)
        self._runs.metrics.failed(text, self._runs.ports.clock.now_ns(), self._runs.labels)
        reached_ns = step.start_ns if step.done is None else step.done[0] + 1
        return await self._end(
            msgspec.structs.replace(step, end_ns=min(step.end_ns, reached_ns), rows_done=0)
        )

    async def _end(self, step: BackfillStep) -> bool:
        end = msgspec.structs.replace(step, is_done=True)
        record = RunRecord(trigger_id=self._runs.trigger.id, backfill=end)
        failure = await self._runs.commit([], 0, record)
        if failure is not None:
            self._runs.report(failure)
        return failure is None

    def _batch(self, step: BackfillStep, rows: list[PastRow]) -> Batch:
        trigger = self._runs.trigger
        tables: dict[str, list[dict[str, object]]] = {}
        for row in rows:
            tables.setdefault(row.table, []).append(row.row)
        columns = self._runs.ports.columns
        first = "-".join(map(str, rows[0].key))
        job = WritesRun(
            database=trigger.database,
            inline=list(tables.items()),  # type: ignore[arg-type]  # rows of the log hold no more
            inline_types={
                table: {name: int(kind) for name, kind in columns(trigger.database, table)}
                for table in tables
            },
            batch_id=f"{trigger.id}-backfill-{step.start_ns}-{step.end_ns}-{first}",
        )

        def record(rows_done: int | None) -> RunRecord:
            if rows_done is not None:
                so_far = msgspec.structs.replace(step, rows_done=rows_done)
            else:
                so_far = msgspec.structs.replace(
                    step, done=rows[-1].key, rows_done=0, rows=step.rows + len(rows)
                )
            return RunRecord(trigger_id=trigger.id, backfill=so_far)

        what = f"rows from {rows[0].key[0]} to {rows[-1].key[0]} of the backfill"
        return Batch(job, record, max(row.hops for row in rows), what)


async def _calls(
    pieces: AsyncIterator[list[PastRow]], rows_max: int
) -> AsyncIterator[list[PastRow]]:
    """The same rows as calls; where one ends depends on the rows before it in the call alone."""
    call: list[PastRow] = []
    characters = 0
    async for piece in pieces:
        for row in piece:
            call.append(row)
            characters += sum(len(value) for value in row.row.values() if isinstance(value, str))
            if len(call) == rows_max or characters > CHARACTERS_PER_CALL_MAX:
                yield call
                call, characters = [], 0
    if call:
        yield call
