# Owns what people ask about dead letters: find them by their ids, run them again, drop them.
# Running is the affair of the trigger's runner (parking.py).
"""Requests about dead letters."""

from collections.abc import Callable, Sequence

from engine.catalog.model import Trigger
from engine.errors import DeadLetterNotFoundError, PluginError
from engine.ids import TriggerId
from engine.plugins.parking import Replayed
from engine.plugins.ports import Committer
from engine.plugins.wal_runner import WalRunner
from engine.store.dead_letters import DeadLetter, DeadLetterTable
from engine.store.run_records import RunRecord


class DeadLetterDesk:
    """Serves requests about the dead letters of all triggers."""

    def __init__(
        self,
        table: DeadLetterTable,
        committer: Committer,
        runner_of: Callable[[TriggerId], WalRunner | None],
    ) -> None:
        """`runner_of` gives the runner of an enabled WAL trigger."""
        self._table = table
        self._committer = committer
        self._runner_of = runner_of

    async def replay(self, trigger: Trigger, ids: Sequence[str] | None) -> Replayed:
        """Run dead letters of `trigger` again; all of them when no ids are given.

        Raises:
            DeadLetterNotFoundError, PluginError, WalError: As they say.
        """
        letters = self._letters(trigger, ids)
        runner = self._runner_of(trigger.id)
        if runner is None:
            raise PluginError(
                f"trigger {trigger.name} does not run",
                hint=f"headrace enable trigger {trigger.name} --database {trigger.database}",
            )
        return await runner.replay(letters)

    async def drop(self, trigger: Trigger, ids: Sequence[str] | None) -> int:
        """Forget dead letters of `trigger`, durably; return the number of rows.

        Raises:
            DeadLetterNotFoundError, PluginError, WalError: As they say.
        """
        letters = self._letters(trigger, ids)
        runner = self._runner_of(trigger.id)
        for letter in letters:
            if runner is not None and runner.parking.is_replaying(letter):
                raise PluginError(f"the dead letter {letter.id} is being replayed")
        if letters:
            gone = [letter.id for letter in letters]
            await self._committer.commit([], RunRecord(trigger_id=trigger.id, unparked=gone))
        return sum(letter.parked.num_rows for letter in letters)

    def _letters(self, trigger: Trigger, ids: Sequence[str] | None) -> list[DeadLetter]:
        if ids is None:
            return self._table.of(trigger.id)
        letters = []
        for letter_id in ids:
            letter = self._table.get(trigger.id, letter_id)
            if letter is None:
                raise DeadLetterNotFoundError(
                    f"trigger {trigger.name} has no dead letter {letter_id}",
                    hint=f"headrace dead-letters list --database {trigger.database}",
                )
            letters.append(letter)
        return letters
