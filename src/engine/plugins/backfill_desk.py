# Owns what people ask about backfills: begin one, durably. Running is the affair of the trigger's
# runner (backfill.py).
"""Requests about backfills."""

import asyncio
from collections.abc import Callable

from engine.catalog.model import Trigger
from engine.errors import AlreadyExistsError, PluginError
from engine.ids import TriggerId
from engine.plugins.past_rows import ROWS_PER_CALL_MAX
from engine.plugins.ports import Committer
from engine.plugins.wal_runner import WalRunner
from engine.store.backfills import BackfillTable
from engine.store.run_records import BackfillStep, RunRecord

_TIME_NS_MAX = 2**63 - 1


class BackfillDesk:
    """Serves requests about the backfills of all triggers."""

    def __init__(
        self,
        table: BackfillTable,
        committer: Committer,
        runner_of: Callable[[TriggerId], WalRunner | None],
    ) -> None:
        """`runner_of` gives the runner of an enabled WAL trigger."""
        self._table = table
        self._committer = committer
        self._runner_of = runner_of
        # Between the look and the record nobody else may begin one.
        self._one_at_a_time = asyncio.Lock()

    async def begin(self, trigger: Trigger, start_ns: int, end_ns: int) -> None:
        """Begin the backfill of the rows of [start, end) from before `trigger` began.

        Raises:
            AlreadyExistsError: One is under way.
            PluginError, WalError: As they say.
        """
        if not trigger.is_fed_by_log:
            raise PluginError(
                f"trigger {trigger.name} does not run on rows, which a backfill hands over",
                hint="only triggers with all_tables or table:NAME do",
            )
        if not -_TIME_NS_MAX <= start_ns < end_ns <= _TIME_NS_MAX:
            raise PluginError(
                "the stretch of time ends before it begins", hint="--from before --to"
            )
        runner = self._runner_of(trigger.id)
        if runner is None:
            raise PluginError(
                f"trigger {trigger.name} does not run",
                hint=f"headrace enable trigger {trigger.name} --database {trigger.database}",
            )
        async with self._one_at_a_time:
            if self._table.active(trigger.id) is not None:
                raise AlreadyExistsError(
                    f"a backfill of trigger {trigger.name} is under way",
                    hint="system.processing_engine_triggers tells how far it is",
                )
            await runner.check_past(start_ns, end_ns)
            step = BackfillStep(
                start_ns=start_ns,
                end_ns=end_ns,
                call_rows_max=min(runner.batch_rows_max, ROWS_PER_CALL_MAX),
            )
            await self._committer.commit([], RunRecord(trigger_id=trigger.id, backfill=step))
        runner.wake()
