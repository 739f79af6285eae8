from collections.abc import Iterable
from typing import Protocol, TypeAlias

from lp_core._batch import TableBatch, WriteBatch

class _ArrowArrayExportable(Protocol):
    def __arrow_c_array__(
        self, requested_schema: object | None = None
    ) -> tuple[object, object]: ...

class _ArrowStreamExportable(Protocol):
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

_Table: TypeAlias = TableBatch | WriteBatch | _ArrowArrayExportable | _ArrowStreamExportable

def build_lines(
    source: _Table,
    *,
    measurement: str | None = None,
    tags: Iterable[str] | None = None,
    time: str | None = "time",
) -> bytes:
    """Return the rows of a table as lines of line protocol, each with a line feed at its end.

    Nulls are left out. Dictionaries of texts become tags unless ``tags`` says otherwise; integers,
    floats, booleans and texts of any width become fields. The time is written in nanoseconds.

    Args:
        source: A ``TableBatch``, a ``WriteBatch``, or any table with ``__arrow_c_stream__`` or
            ``__arrow_c_array__``, as pyarrow, polars and pandas have.
        measurement: Name of the table; a batch of lp_core has its own.
        tags: Names of the columns that are tags.
        time: Name of the column of times, a timestamp of any unit and zone, a date, or an int64 of
            nanoseconds. None leaves the time to the server.

    Raises:
        InvalidKeyError: No line can carry the name of a column.
        InvalidLineError: No line can carry a row: it has no field, or a text that does not fit.
        InvalidMeasurementError: No line can carry the name of the table.
        TypeError: The source is no table, or a column is of a type that no line can carry.
        ValueError: A float is not finite, a time is null or out of range, or a column is missing.
    """
