# Owns how far the backfills of triggers are: the rows from before a trigger began, in order of
# their times. Moved by the records of COMMIT frames, as the cursor is. Pure state, no I/O; changed
# on the event loop (or by recovery) alone.
"""Backfills of triggers."""

import msgspec

from engine.ids import Position, TriggerId
from engine.store.run_records import BackfillStep

# Times from the first to before the second.
Span = tuple[int, int]


class BackfillImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a checkpoint keeps of the backfills of a trigger.

    Attributes:
        start: Where the trigger begins.
        active: The backfill under way.
        covered: Times that earlier ones have dealt with.
        rows: Rows that those have handed over.
    """

    trigger_id: TriggerId
    start: Position
    active: BackfillStep | None = None
    covered: list[Span] = []
    rows: int = 0


class BackfillTable:
    """Where triggers begin, and what was handed to them of the time before."""

    def __init__(self) -> None:
        self._starts: dict[TriggerId, Position] = {}
        self._active: dict[TriggerId, BackfillStep] = {}
        self._covered: dict[TriggerId, list[Span]] = {}
        self._rows: dict[TriggerId, int] = {}

    def begin(self, trigger_id: TriggerId, start: Position) -> None:
        """A trigger is there; what lies behind `start` is its cursor's."""
        self._starts[trigger_id] = start

    def end(self, trigger_id: TriggerId) -> None:
        """The trigger is gone."""
        for table in (self._starts, self._active, self._covered, self._rows):
            table.pop(trigger_id, None)

    def start(self, trigger_id: TriggerId) -> Position:
        """Up to where a backfill reads: later rows reach the trigger by its cursor."""
        return self._starts.get(trigger_id, Position(0))

    def active(self, trigger_id: TriggerId) -> BackfillStep | None:
        """The backfill under way, as it is now."""
        return self._active.get(trigger_id)

    def covered(self, trigger_id: TriggerId) -> list[Span]:
        """Times that earlier backfills have dealt with, in order."""
        return list(self._covered.get(trigger_id, ()))

    def rows(self, trigger_id: TriggerId) -> int:
        """Rows that backfills have handed over."""
        active = self._active.get(trigger_id)
        return self._rows.get(trigger_id, 0) + (active.rows if active is not None else 0)

    def images(self) -> list[BackfillImage]:
        """What a checkpoint keeps."""
        return [
            BackfillImage(
                trigger_id=trigger_id,
                start=start,
                active=self._active.get(trigger_id),
                covered=self.covered(trigger_id),
                rows=self._rows.get(trigger_id, 0),
            )
            for trigger_id, start in self._starts.items()
        ]

    def restore(self, images: list[BackfillImage]) -> None:
        """Take over what a checkpoint has kept."""
        for image in images:
            trigger_id = image.trigger_id
            self._starts[trigger_id] = image.start
            if image.active is not None:
                self._active[trigger_id] = image.active
            self._covered[trigger_id] = list(image.covered)
            self._rows[trigger_id] = image.rows

    def apply(self, trigger_id: TriggerId, step: BackfillStep) -> None:
        """Take over a durable step."""
        if not step.is_done:
            self._active[trigger_id] = step
            return
        self._active.pop(trigger_id, None)
        self._rows[trigger_id] = self._rows.get(trigger_id, 0) + step.rows
        spans = [*self._covered.get(trigger_id, ()), (step.start_ns, step.end_ns)]
        self._covered[trigger_id] = merged(spans)


def merged(spans: list[Span]) -> list[Span]:
    """The same times as few spans, in order."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
