# Owns what a delete of rows is: the record in the log, and which rows it means. Conditions are on
# what makes up a row's identity alone, tags and time: so it is the same for all that was written
# about one row, whichever batch or file has it, and may be asked before values are folded. Tag and
# field names are part of the on-disk formats of log and checkpoint.
"""Deletes of rows."""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy
import pyarrow
import pyarrow.compute

from engine.ids import DatabaseId, Position
from engine.store.manifest import FileEntry
from engine.store.time_ranges import TimeRange, common

_Mask = Any

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": pyarrow.compute.equal,
    "!=": pyarrow.compute.not_equal,
    "<": pyarrow.compute.less,
    "<=": pyarrow.compute.less_equal,
    ">": pyarrow.compute.greater,
    ">=": pyarrow.compute.greater_equal,
}
_OF_TIMES: dict[str, Callable[[Any, int], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class TagIs(msgspec.Struct, frozen=True, tag="tag"):
    """A comparison of a tag with a text, bytewise; unknown where the tag is absent."""

    column: str
    comparison: str
    value: str


class TagIn(msgspec.Struct, frozen=True, tag="tag_in"):
    """Whether a tag is one of some texts; unknown where the tag is absent."""

    column: str
    values: tuple[str, ...]


class TagAbsent(msgspec.Struct, frozen=True, tag="tag_absent"):
    """Whether a row is without a tag."""

    column: str


class TimeIs(msgspec.Struct, frozen=True, tag="time"):
    """A comparison of the row's time."""

    comparison: str
    time_ns: int


class Every(msgspec.Struct, frozen=True, tag="every"):
    """All of some conditions."""

    parts: "tuple[Condition, ...]"


class Some(msgspec.Struct, frozen=True, tag="some"):
    """At least one of some conditions."""

    parts: "tuple[Condition, ...]"


class Opposite(msgspec.Struct, frozen=True, tag="not"):
    """The opposite of a condition; what is unknown stays so."""

    part: "Condition"


# With the logic of SQL: a row is meant when the condition is true, neither false nor unknown.
Condition = TagIs | TagIn | TagAbsent | TimeIs | Every | Some | Opposite


class RowDelete(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one table that are deleted.

    Attributes:
        position: Of its record in the log: what is written behind it is not meant.
        times: Of the rows that are meant, both ends inclusive.
        condition: Which of these; None for all.
    """

    position: Position
    times: TimeRange
    condition: Condition | None = None

    def concerns(self, entry: FileEntry) -> bool:
        """Whether a file may have rows that are meant.

        One with rows of later positions was made knowing the delete, and says so.
        """
        return self.position > entry.deletes_through and common(self.times, entry.times) is not None

    def covers(self, entry: FileEntry) -> bool:
        """Whether all rows of a file that it concerns are meant."""
        return self.condition is None and common(self.times, entry.times) == entry.times

    def implies(self, earlier: "RowDelete") -> bool:
        """Whether an earlier delete means nothing that this one does not."""
        return (
            self.condition in (None, earlier.condition)
            and common(self.times, earlier.times) == earlier.times
        )


class DeleteRowsRecord(
    msgspec.Struct, frozen=True, kw_only=True, tag="delete_rows", omit_defaults=True
):
    """One delete of rows, the control record of a COMMIT frame.

    Attributes:
        database_id: The database.
        table: The table.
        began: Tells it from others of its name, as LiveTable.began.
        times: As RowDelete.
        condition: As RowDelete.
    """

    database_id: DatabaseId
    table: str
    began: Position
    times: TimeRange
    condition: Condition | None = None


_encoder = msgspec.msgpack.Encoder()


def encode_delete(record: DeleteRowsRecord) -> bytes:
    """Bytes of `record` for the control part of a COMMIT frame."""
    return _encoder.encode(record)


def last_position(deletes: Sequence[RowDelete]) -> Position:
    """The position of the last of `deletes`, which are in the order of the log; 0 for none."""
    return deletes[-1].position if deletes else Position(0)


def columns_named(condition: Condition | None) -> frozenset[str]:
    """The tags that a condition is about."""
    match condition:
        case TagIs(column=column) | TagIn(column=column) | TagAbsent(column=column):
            return frozenset((column,))
        case Every(parts=parts) | Some(parts=parts):
            return frozenset().union(*(columns_named(part) for part in parts))
        case Opposite(part=part):
            return columns_named(part)
        case _:
            return frozenset()


def meant(rows: Any, delete: RowDelete) -> _Mask:
    """Which of `rows`, a ``pyarrow.Table``, are meant, as a numpy array of truth values.

    Positions are the caller's business. A tag that the table does not have is absent in each row.
    """
    times = rows.column("time").cast(pyarrow.int64()).to_numpy()
    low, high = delete.times
    mask = (times >= low) & (times <= high)
    if delete.condition is None or not mask.any():
        return mask
    return mask & _truth(rows, times, delete.condition).fill_null(False).to_numpy(
        zero_copy_only=False
    )


def without(rows: Any, deletes: Iterable[RowDelete]) -> Any:
    """`rows`, a ``pyarrow.Table``, less those that any of `deletes` means."""
    for delete in deletes:
        mask = meant(rows, delete)
        if mask.any():
            rows = rows.filter(pyarrow.array(~mask))
    return rows


def _truth(rows: Any, times: Any, condition: Condition) -> Any:
    """True, false or null for each row, as an Arrow array."""
    compute = pyarrow.compute
    match condition:
        case TagIs(column=column, comparison=comparison, value=value):
            compare = COMPARISONS[comparison]
            return _of_tag(rows, column, lambda values: compare(values, pyarrow.scalar(value)))
        case TagIn(column=column, values=wanted):
            among = pyarrow.array(wanted, pyarrow.utf8())
            return _of_tag(rows, column, lambda values: compute.is_in(values, value_set=among))
        case TagAbsent(column=column):
            if column not in rows.column_names:
                return pyarrow.array(numpy.ones(rows.num_rows, bool))
            return compute.is_null(rows.column(column)).combine_chunks()
        case TimeIs(comparison=comparison, time_ns=time_ns):
            return pyarrow.array(_OF_TIMES[comparison](times, time_ns))
        case Every(parts=parts):
            return _folded(rows, times, parts, compute.and_kleene)
        case Some(parts=parts):
            return _folded(rows, times, parts, compute.or_kleene)
        case Opposite(part=part):
            return compute.invert(_truth(rows, times, part))


def _folded(rows: Any, times: Any, parts: Iterable[Condition], join: Callable[..., Any]) -> Any:
    truth = None
    for part in parts:
        one = _truth(rows, times, part)
        truth = one if truth is None else join(truth, one)
    assert truth is not None
    return truth


def _of_tag(rows: Any, column: str, judge: Callable[[Any], Any]) -> Any:
    """What `judge` says of each value of a tag; null where it is absent."""
    if column not in rows.column_names:
        return pyarrow.nulls(rows.num_rows, pyarrow.bool_())
    parts = []
    for chunk in rows.column(column).chunks:
        # Each text is judged once, however many rows have it.
        coded = chunk if pyarrow.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        parts.append(judge(coded.dictionary).take(coded.indices))
    return pyarrow.concat_arrays(parts) if parts else pyarrow.array([], pyarrow.bool_())
