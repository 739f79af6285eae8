# Owns how far each WAL trigger has come. Steps come from the control records of COMMIT frames
# (run_records.py): so a step becomes durable together with the rows that the run wrote back, or not
# at all. Pure state, no I/O.
"""Durable cursors of WAL triggers."""

import msgspec

from engine.ids import Position, TriggerId
from engine.store.run_records import Step


class CursorImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a checkpoint keeps of a cursor.

    Attributes:
        partial: Start, end and finished rows of ranges that are finished in part.
    """

    trigger_id: TriggerId
    low: Position
    done: tuple[tuple[Position, Position], ...] = ()
    partial: tuple[tuple[Position, Position, int], ...] = ()


class Cursor:
    """Finished positions of one trigger: everything up to `low`, and ranges beyond it.

    Ranges beyond `low` exist only for asynchronous triggers, whose runs may finish out of order.
    After a restart the gaps between them are run again, the ranges themselves are not. A range
    may be finished in part, row by row: it must be handed out again exactly as it was.
    """

    def __init__(self, low: Position) -> None:
        self.low = low
        self.done: list[tuple[Position, Position]] = []
        # By start of the range: its end, and how many of its rows are finished.
        self._partial: dict[Position, tuple[Position, int]] = {}

    def apply(self, step: Step) -> None:
        """Take over a durable step."""
        if step.rows_done is None:
            self.finish(step.start, step.end)
        else:
            self._partial[step.start] = (step.end, step.rows_done)

    def finish(self, start: Position, end: Position) -> None:
        """Mark (`start`, `end`] as finished."""
        for begin, (stop, _) in list(self._partial.items()):
            if begin < end and start < stop:
                del self._partial[begin]
        done: list[tuple[Position, Position]] = []
        for begin, stop in sorted([*self.done, (start, end)]):
            # Ranges that touch are one: who counts what is left sees no seams between them.
            if done and begin <= done[-1][1]:
                done[-1] = done[-1][0], max(done[-1][1], stop)
            else:
                done.append((begin, stop))
        self.done = done
        self._join()

    def _join(self) -> None:
        while self.done and self.done[0][0] <= self.low:
            self.low = max(self.low, self.done.pop(0)[1])

    def pass_over(self, position: Position) -> None:
        """Note that there is nothing up to `position`.

        A range that has begun, in part or in a run, stays as it is: its rows come later.
        """
        self.low = max(self.low, position)
        self._join()

    def rows_done(self, start: Position) -> int | None:
        """Rows finished of the range that begins at `start`; None unless it is finished in part."""
        partial = self._partial.get(start)
        return None if partial is None else partial[1]

    def image(self, trigger_id: TriggerId) -> CursorImage:
        """What a checkpoint keeps."""
        return CursorImage(
            trigger_id=trigger_id,
            low=self.low,
            done=tuple(self.done),
            partial=tuple((start, end, rows) for start, (end, rows) in self._partial.items()),
        )

    @classmethod
    def of_image(cls, image: CursorImage) -> "Cursor":
        """The cursor that a checkpoint has kept."""
        cursor = cls(image.low)
        cursor.done = list(image.done)
        cursor._partial = {start: (end, rows) for start, end, rows in image.partial}
        return cursor

    def next_gap(self, after: Position, limit: Position) -> tuple[Position, Position] | None:
        """The first unfinished range (start, end] behind `after` and up to `limit`, or None.

        It is, or ends before, a range that is finished in part; such a one may begin before `low`.
        """
        start = max(self.low, after)
        for done_start, done_end in self.done:
            if start < done_start:
                limit = min(done_start, limit)
                break
            start = max(start, done_end)
        if start >= limit:
            return None
        for begin, (end, _) in self._partial.items():
            if begin <= start < end:
                return begin, end
        return start, min([limit, *(begin for begin in self._partial if begin > start)])


class CursorTable:
    """Cursors of all WAL triggers."""

    def __init__(self) -> None:
        self._cursors: dict[TriggerId, Cursor] = {}

    def begin(self, trigger_id: TriggerId, position: Position) -> None:
        """A trigger exists from now on and has nothing to do up to `position`."""
        self._cursors[trigger_id] = Cursor(position)

    def end(self, trigger_id: TriggerId) -> None:
        """The trigger is gone."""
        self._cursors.pop(trigger_id, None)

    def get(self, trigger_id: TriggerId) -> Cursor | None:
        """Cursor of the trigger, None when it has none."""
        return self._cursors.get(trigger_id)

    def apply(self, trigger_id: TriggerId, step: Step) -> None:
        """Take over a durable step; one of a trigger that is gone has no effect."""
        cursor = self._cursors.get(trigger_id)
        if cursor is not None:
            cursor.apply(step)

    def images(self) -> list[CursorImage]:
        """What a checkpoint keeps."""
        return [cursor.image(trigger_id) for trigger_id, cursor in self._cursors.items()]

    def restore(self, images: list[CursorImage]) -> None:
        """Take over what a checkpoint has kept."""
        self._cursors = {image.trigger_id: Cursor.of_image(image) for image in images}
