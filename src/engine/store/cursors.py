# Owns how far each WAL trigger has come. A cursor step is the control record of a COMMIT frame: so
# it becomes durable together with the rows that the run wrote back, or not at all. Pure state, no
# I/O.
"""Durable cursors of WAL triggers."""

import msgspec

from engine.ids import Position, TriggerId


class CursorStep(msgspec.Struct, frozen=True, tag="cursor_step"):
    """A run over the positions (`start`, `end`] is finished. Part of the on-disk format."""

    trigger_id: TriggerId
    start: Position
    end: Position


class RunRecord(msgspec.Struct, frozen=True, tag="run"):
    """A run without a cursor (schedule, request) wrote rows. Part of the on-disk format."""

    trigger_id: TriggerId


CommitRecord = CursorStep | RunRecord

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[CommitRecord] = msgspec.msgpack.Decoder(CommitRecord)


def encode_commit(record: CommitRecord) -> bytes:
    """Bytes of `record` for the control part of a COMMIT frame."""
    return _encoder.encode(record)


def decode_commit(content: bytes) -> CommitRecord:
    """The record encoded in `content`.

    Raises:
        msgspec.DecodeError: The bytes are not a record that this version knows.
    """
    return _decoder.decode(content)


class Cursor:
    """Finished positions of one trigger: everything up to `low`, and ranges beyond it.

    Ranges beyond `low` exist only for asynchronous triggers, whose runs may finish out of order.
    After a restart the gaps between them are run again, the ranges themselves are not.
    """

    def __init__(self, low: Position) -> None:
        self.low = low
        self.done: list[tuple[Position, Position]] = []

    def finish(self, start: Position, end: Position) -> None:
        """Mark (`start`, `end`] as finished."""
        self.done.append((start, end))
        self.done.sort()
        while self.done and self.done[0][0] <= self.low:
            self.low = max(self.low, self.done.pop(0)[1])

    def next_gap(self, after: Position, limit: Position) -> tuple[Position, Position] | None:
        """The first unfinished range (start, end] behind `after` and up to `limit`, or None."""
        start = max(self.low, after)
        for done_start, done_end in self.done:
            if start < done_start:
                return (start, min(done_start, limit)) if start < limit else None
            start = max(start, done_end)
        return (start, limit) if start < limit else None


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

    def apply(self, step: CursorStep) -> None:
        """Take over a durable step; one of a trigger that is gone has no effect."""
        cursor = self._cursors.get(step.trigger_id)
        if cursor is not None:
            cursor.finish(step.start, step.end)
