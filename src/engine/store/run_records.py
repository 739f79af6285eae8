# Owns what one run of a trigger makes durable besides its rows: the control record of a COMMIT
# frame (manifest.py has another kind). Cursor, state and dead letters are all in it, so one frame
# moves them together, or not at all. Tags and field names are part of the on-disk format; fields
# are only ever added, with a default.
"""Records of plugin runs and their encoding."""

from typing import Any

import msgspec

from engine.ids import Position, TriggerId
from engine.store.manifest import FilesRecord
from engine.store.past import PastKey
from engine.store.row_deletes import DeleteRowsRecord

# One change of a trigger's state: key and encoded value, None for a key that goes.
StateChange = tuple[str, bytes | None]
# Rows as a plugin is handed them, by table.
TableRows = list[tuple[str, list[dict[str, Any]]]]


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a run has come in the positions (`start`, `end`].

    Attributes:
        rows_done: Rows finished from the start on, in the order of delivery; None for all of them.
    """

    start: Position
    end: Position
    rows_done: int | None = None


class ParkedRows(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rows that a trigger could not process, with the reason: a dead letter.

    Attributes:
        rows: Encoded TableRows: kept as bytes, they take a fraction of the memory.
        tries: Runs that these rows were part of.
        hops: Triggers that the rows went through before.
    """

    batch_id: str
    num_rows: int
    rows: bytes
    error: str
    traceback: str = ""
    tries: int = 1
    hops: int = 0
    time_ns: int = 0


class Retry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A dead letter was run again and failed again."""

    id: str
    error: str
    traceback: str = ""
    time_ns: int = 0


class BackfillStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a backfill has come: the rows of [`start_ns`, `end_ns`) from before a trigger began.

    Attributes:
        call_rows_max: Rows of one call.
        done: As builds before files were read wrote it: time, position and number of a row.
        rows_done: Rows finished of the call behind the finished ones, in the order of delivery.
        rows: Rows of the finished calls.
        is_done: Nothing is left.
        behind: Key of the last row of the finished calls; None for none.
        call_end: Key of the last row of the call that is finished in part; rows past retention may
            have gone from it since.
        reached: Its last finished row, by table and then by key, which is the order of delivery.
    """

    start_ns: int
    end_ns: int
    call_rows_max: int
    done: tuple[int, int, int] | None = None
    rows_done: int = 0
    rows: int = 0
    is_done: bool = False
    behind: PastKey | None = None
    call_end: PastKey | None = None
    reached: PastKey | None = None

    @property
    def is_of_old_order(self) -> bool:
        """Whether it says how far it is in the order of the log, which files do not know."""
        return self.done is not None or (self.rows_done > 0 and self.call_end is None)


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, tag="result", omit_defaults=True):
    """What a run changes beside tables.

    Attributes:
        step: Where the cursor goes; None for runs that no log feeds.
        state: Changes of the trigger's state.
        parked: New dead letters.
        unparked: Ids of dead letters that are dealt with.
        retried: Dead letters that failed again.
        backfill: Where the trigger's backfill stands.
    """

    trigger_id: TriggerId
    step: Step | None = None
    state: list[StateChange] = []
    parked: list[ParkedRows] = []
    unparked: list[str] = []
    retried: list[Retry] = []
    backfill: BackfillStep | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.step or self.is_long)

    @property
    def is_long(self) -> bool:
        """Whether it has more in it than a step."""
        changes = self.state or self.parked or self.unparked or self.retried
        return bool(changes) or self.backfill is not None


class _CursorStepForm(msgspec.Struct, frozen=True, tag="cursor_step"):
    """Short form of the commonest record: a whole step and nothing else."""

    trigger_id: TriggerId
    start: Position
    end: Position


class _RunForm(msgspec.Struct, frozen=True, tag="run"):
    """Short form of a record of which only the trigger is to be said."""

    trigger_id: TriggerId


_encoder = msgspec.msgpack.Encoder()
_Form = RunRecord | FilesRecord | DeleteRowsRecord | _CursorStepForm | _RunForm
_decoder: msgspec.msgpack.Decoder[_Form] = msgspec.msgpack.Decoder(_Form)
_rows_decoder: msgspec.msgpack.Decoder[TableRows] = msgspec.msgpack.Decoder(TableRows)


def encode_record(record: RunRecord) -> bytes:
    """Bytes of `record` for the control part of a COMMIT frame."""
    if record.is_long:
        return _encoder.encode(record)
    step = record.step
    if step is None:
        return _encoder.encode(_RunForm(record.trigger_id))
    if step.rows_done is None:
        return _encoder.encode(_CursorStepForm(record.trigger_id, step.start, step.end))
    return _encoder.encode(record)


def decode_record(content: bytes) -> RunRecord | FilesRecord | DeleteRowsRecord:
    """The record encoded in `content`, the control part of a COMMIT frame.

    Raises:
        msgspec.DecodeError: The bytes are not a record that this version knows.
    """
    record = _decoder.decode(content)
    match record:
        case _CursorStepForm(trigger_id=trigger_id, start=start, end=end):
            return RunRecord(trigger_id=trigger_id, step=Step(start, end))
        case _RunForm(trigger_id=trigger_id):
            return RunRecord(trigger_id=trigger_id)
        case _:
            return record


def encode_rows(tables: TableRows) -> bytes:
    """Bytes of the rows of a dead letter."""
    return _encoder.encode(tables)


def decode_rows(content: bytes) -> TableRows:
    """The rows of a dead letter."""
    return _rows_decoder.decode(content)
