# Owns how a batch of a WAL trigger is cut into parts: which call stands for some of its rows, and
# which cursor step finishes them. Used where a batch is larger than a call may be, and where its
# bad rows are searched.
"""A batch of log rows and its parts."""

import asyncio

import msgspec

from engine.plugins.channel import WritesRun
from engine.plugins.table_batches import Deliveries, count_rows
from engine.store.run_records import Step, TableRows


class Batch:
    """The rows of one range of positions, in the order of delivery."""

    def __init__(self, job: WritesRun, step: Step, hops: int) -> None:
        """`job` delivers all of it, `step` finishes all of it."""
        self.job = job
        self.step = step
        self.hops = hops
        # Known once somebody has counted.
        self.total: int | None = None
        self._deliveries = Deliveries()

    async def count(self) -> int:
        """Number of rows; reads the log the first time."""
        if self.total is None:
            loop = asyncio.get_running_loop()
            self.total = await loop.run_in_executor(None, count_rows, self.job)
        return self.total

    def part(self, start: int, end: int | None) -> WritesRun:
        """The call over the rows from `start` to before `end`, or to the last."""
        if start == 0 and self._is_last(end):
            return self.job
        return msgspec.structs.replace(
            self.job,
            row_start=start,
            row_end=end,
            batch_id=f"{self.job.batch_id}-{start}-{'end' if end is None else end}",
        )

    def step_to(self, end: int | None) -> Step:
        """The step that finishes the rows before `end`."""
        if self._is_last(end):
            return self.step
        return msgspec.structs.replace(self.step, rows_done=end)

    async def rows(self, start: int, end: int | None) -> TableRows:
        """The rows themselves."""
        job = self.part(start, end)
        loop = asyncio.get_running_loop()
        delivery = await loop.run_in_executor(None, self._deliveries.deliver, job)
        return [(batch["table_name"], batch["rows"]) for batch in delivery.table_batches()]

    def _is_last(self, end: int | None) -> bool:
        return end is None or end == self.total
