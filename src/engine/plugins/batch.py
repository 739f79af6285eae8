# Owns how a batch of a WAL trigger is cut into parts: which call stands for some of its rows, and
# which record finishes them. Used where a batch is larger than a call may be, and where its bad
# rows are searched.
"""A batch of log rows and its parts."""

import asyncio
from collections.abc import Callable

import msgspec

from engine.plugins.channel import WritesRun
from engine.plugins.table_batches import Deliveries, count_rows
from engine.store.run_records import RunRecord, TableRows


class Batch:
    """The rows of one range of positions, or of the past, in the order of delivery."""

    def __init__(
        self, job: WritesRun, record: Callable[[int | None], RunRecord], hops: int, what: str
    ) -> None:
        """`job` delivers all of it.

        `record` gives what finishes so many of its rows, or with None all of them; `what` names
        it in log lines.
        """
        self.job = job
        self.hops = hops
        self.what = what
        self._record = record
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

    def record_to(self, end: int | None) -> RunRecord:
        """The record that finishes the rows before `end`."""
        return self._record(None if self._is_last(end) else end)

    async def rows(self, start: int, end: int | None) -> TableRows:
        """The rows themselves."""
        job = self.part(start, end)
        loop = asyncio.get_running_loop()
        delivery = await loop.run_in_executor(None, self._deliveries.deliver, job)
        return [(batch["table_name"], batch["rows"]) for batch in delivery.table_batches()]

    def _is_last(self, end: int | None) -> bool:
        return end is None or end == self.total
