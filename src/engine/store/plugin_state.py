# Owns the durable state of triggers: encoded values by key, each with the position of its last
# change, from which it can be told whether a run read something that another run has changed since.
# Pure state, no I/O; changed on the event loop (or by recovery) alone.
"""Durable state of triggers."""

from collections.abc import Iterable

import msgspec

from engine.ids import Position, TriggerId
from engine.store.run_records import StateChange


class StateReads(msgspec.Struct, frozen=True, kw_only=True):
    """What a run saw of the state, as positions of the last change.

    Attributes:
        keys: Position for each key that was read; 0 for one that was absent.
        all: Position of the whole state, when the run listed it.
    """

    keys: list[tuple[str, int]] = []
    all: int | None = None


class StateImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of a trigger's state: key, value and position of each entry."""

    trigger_id: TriggerId
    position: Position
    entries: tuple[tuple[str, bytes, Position], ...]


class TriggerState:
    """The state of one trigger."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[bytes, Position]] = {}
        self.size_bytes = 0
        # Of the last change of any key.
        self.position = Position(0)

    def copy(self) -> "TriggerState":
        """Another one that holds the same, for now."""
        twin = TriggerState()
        twin._entries, twin.size_bytes, twin.position = (
            dict(self._entries),
            self.size_bytes,
            self.position,
        )
        return twin

    def get(self, key: str) -> tuple[bytes | None, Position]:
        """Value and position of the last change; (None, 0) for an absent key."""
        return self._entries.get(key, (None, Position(0)))

    def items(self, prefix: str) -> list[tuple[str, bytes]]:
        """Keys that begin with `prefix`, sorted, with their values."""
        return sorted(
            (key, value) for key, (value, _) in self._entries.items() if key.startswith(prefix)
        )

    def image(self, trigger_id: TriggerId) -> StateImage:
        """What a checkpoint keeps."""
        return StateImage(
            trigger_id=trigger_id,
            position=self.position,
            entries=tuple((key, *entry) for key, entry in self._entries.items()),
        )

    @classmethod
    def of_image(cls, image: StateImage) -> "TriggerState":
        """The state that a checkpoint has kept."""
        state = cls()
        state.position = image.position
        state._entries = {key: (value, position) for key, value, position in image.entries}
        state.size_bytes = sum(_size(key, value) for key, value, _ in image.entries)
        return state

    def is_changed_since(self, reads: StateReads) -> bool:
        """Whether a run that saw `reads` would see something else now."""
        if reads.all is not None and reads.all != self.position:
            return True
        return any(self.get(key)[1] != position for key, position in reads.keys)

    def size_after(self, changes: Iterable[StateChange]) -> int:
        """Bytes that the state would take with `changes`."""
        size = self.size_bytes
        for key, value in dict(changes).items():
            size += _size(key, value) - _size(key, self.get(key)[0])
        return size

    def apply(self, changes: Iterable[StateChange], position: Position) -> None:
        """Take over durable changes."""
        changes = list(changes)
        self.size_bytes = self.size_after(changes)
        self.position = position
        for key, value in changes:
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = (value, position)


def _size(key: str, value: bytes | None) -> int:
    return 0 if value is None else len(key.encode()) + len(value)


class StateTable:
    """The states of all triggers."""

    def __init__(self) -> None:
        self._states: dict[TriggerId, TriggerState] = {}

    def get(self, trigger_id: TriggerId) -> TriggerState:
        """State of the trigger; an empty one when it has none."""
        return self._states.get(trigger_id) or TriggerState()

    def apply(
        self, trigger_id: TriggerId, changes: Iterable[StateChange], position: Position
    ) -> None:
        """Take over durable changes."""
        self._states.setdefault(trigger_id, TriggerState()).apply(changes, position)

    def end(self, trigger_id: TriggerId) -> None:
        """The trigger is gone."""
        self._states.pop(trigger_id, None)

    def images(self) -> list[StateImage]:
        """What a checkpoint keeps."""
        return [state.image(trigger_id) for trigger_id, state in self._states.items()]

    def restore(self, images: list[StateImage]) -> None:
        """Take over what a checkpoint has kept."""
        self._states = {image.trigger_id: TriggerState.of_image(image) for image in images}
