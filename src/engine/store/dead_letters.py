# Owns the rows that triggers could not process, until somebody replays or drops them. They arrive
# and go by the records of COMMIT frames. Pure state, no I/O; changed on the event loop (or by
# recovery), read by queries from other threads.
"""Dead letters of triggers."""

from collections.abc import Iterable

import msgspec

from engine.ids import Position, TriggerId
from engine.store.run_records import ParkedRows, Retry

# What a letter takes besides rows and traceback, about.
_LETTER_BYTES = 400


class DeadLetter(msgspec.Struct, frozen=True):
    """Parked rows; `id` is unique in the log and stays."""

    id: str
    trigger_id: TriggerId
    parked: ParkedRows

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, about."""
        parked = self.parked
        return _LETTER_BYTES + len(parked.rows) + len(parked.traceback) + len(parked.error)


class DeadLetterTable:
    """The dead letters of all triggers, each trigger's in the order of parking."""

    def __init__(self) -> None:
        self._letters: dict[TriggerId, dict[str, DeadLetter]] = {}
        self._sizes: dict[TriggerId, int] = {}

    def park(self, trigger_id: TriggerId, parked: Iterable[ParkedRows], position: Position) -> None:
        """Keep `parked`, which a frame at `position` holds."""
        for number, rows in enumerate(parked):
            letter = DeadLetter(f"{position}-{number}", trigger_id, rows)
            self._letters.setdefault(trigger_id, {})[letter.id] = letter
            self._sizes[trigger_id] = self.size_bytes(trigger_id) + letter.size_bytes

    def unpark(self, trigger_id: TriggerId, ids: Iterable[str]) -> None:
        """Forget letters; one that is gone already has no effect."""
        for letter_id in ids:
            letter = self._letters.get(trigger_id, {}).pop(letter_id, None)
            if letter is not None:
                self._sizes[trigger_id] -= letter.size_bytes

    def retried(self, trigger_id: TriggerId, retries: Iterable[Retry]) -> None:
        """Note how letters failed again; one that is gone already has no effect."""
        letters = self._letters.get(trigger_id, {})
        for retry in retries:
            letter = letters.get(retry.id)
            if letter is None:
                continue
            parked = msgspec.structs.replace(
                letter.parked,
                error=retry.error,
                traceback=retry.traceback,
                time_ns=retry.time_ns,
                tries=letter.parked.tries + 1,
            )
            letters[retry.id] = renewed = DeadLetter(letter.id, trigger_id, parked)
            self._sizes[trigger_id] += renewed.size_bytes - letter.size_bytes

    def end(self, trigger_id: TriggerId) -> None:
        """The trigger is gone."""
        self._letters.pop(trigger_id, None)
        self._sizes.pop(trigger_id, None)

    def of(self, trigger_id: TriggerId) -> list[DeadLetter]:
        """Letters of a trigger, oldest first."""
        return list(self._letters.get(trigger_id, {}).values())

    def get(self, trigger_id: TriggerId, letter_id: str) -> DeadLetter | None:
        """One letter, None when it is gone."""
        return self._letters.get(trigger_id, {}).get(letter_id)

    def num_rows(self, trigger_id: TriggerId) -> int:
        """Rows parked by a trigger."""
        return sum(letter.parked.num_rows for letter in self.of(trigger_id))

    def size_bytes(self, trigger_id: TriggerId) -> int:
        """Memory that the trigger's letters take, about."""
        return self._sizes.get(trigger_id, 0)

    def images(self) -> list[DeadLetter]:
        """What a checkpoint keeps: all letters, each trigger's in the order of parking."""
        return [letter for letters in self._letters.values() for letter in letters.values()]

    def restore(self, letters: Iterable[DeadLetter]) -> None:
        """Take over what a checkpoint has kept."""
        self._letters, self._sizes = {}, {}
        for letter in letters:
            self._letters.setdefault(letter.trigger_id, {})[letter.id] = letter
            self._sizes[letter.trigger_id] = self.size_bytes(letter.trigger_id) + letter.size_bytes
