# Owns the shape of results: DuckDB's types become those that clients and plugins of the reference
# system know (64-bit numbers, times in nanoseconds without zone, no decimals).
"""Normal form of query results."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy
import pyarrow
import pyarrow.compute

from engine.errors import QueryError
from engine.query.views import original_name

_MONTH_DAY_NANO = numpy.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])
_NS_PER_DAY = 86_400 * 1_000_000_000


def normalised(table: Any, zones: Mapping[str, str], has_sums: Callable[[], bool]) -> Any:
    """The same result with the types and column names that users know.

    Args:
        table: What DuckDB answered.
        zones: The zones of columns that are times of a zone.
        has_sums: Whether whole numbers may be sums, which beyond 64 bits are told as doubles.

    Raises:
        QueryError: A time lies outside of what nanoseconds can hold, or arithmetic has left 64
            bits.
    """
    columns = [_column(column, has_sums) for column in table.columns]
    for number, name in enumerate(table.column_names):
        if name in zones and pyarrow.types.is_timestamp(columns[number].type):
            # Only the type changes: a time is an instant with and without a zone.
            columns[number] = columns[number].cast(pyarrow.timestamp("ns", zones[name]))
    names = [original_name(name) for name in table.column_names]
    return pyarrow.table(columns, names=names)


def _column(column: Any, has_sums: Callable[[], bool]) -> Any:
    types = pyarrow.types
    kind = column.type
    if types.is_decimal(kind):
        return _from_decimal(column, has_sums)
    if types.is_integer(kind) and kind not in (pyarrow.int64(), pyarrow.uint64()):
        return column.cast(pyarrow.int64())
    if types.is_floating(kind) and kind != pyarrow.float64():
        return column.cast(pyarrow.float64())
    if types.is_timestamp(kind) and kind != pyarrow.timestamp("ns"):
        try:
            return column.cast(pyarrow.timestamp("ns"))
        except pyarrow.ArrowInvalid as error:
            raise QueryError("a time in the result is outside of the years 1677 to 2262") from error
    if types.is_interval(kind):
        return _from_interval(column)
    if types.is_null(kind):
        return column.cast(pyarrow.int64())
    return column


def _from_decimal(column: Any, has_sums: Callable[[], bool]) -> Any:
    # Sums of whole numbers are 128 bits wide in DuckDB, as is what becomes of numbers with a sign
    # and numbers without one.
    wanted = [pyarrow.int64(), pyarrow.uint64()] if column.type.scale == 0 else []
    for whole in wanted:
        try:
            return column.cast(whole)
        except pyarrow.ArrowInvalid:
            continue
    if wanted and not has_sums():
        raise QueryError(
            "Execution error: Out of Range Error: Overflow in arithmetic of whole numbers, which "
            "have 64 bits",
            hint="make one of them a double: CAST(x AS DOUBLE)",
        )
    return column.cast(pyarrow.float64())


def _from_interval(column: Any) -> Any:
    """Spans without months as durations; with months they have no fixed length and stay."""
    chunks = []
    for chunk in column.chunks:
        buffer = chunk.buffers()[1]
        spans = numpy.frombuffer(buffer, _MONTH_DAY_NANO)[chunk.offset : chunk.offset + len(chunk)]
        valid = chunk.is_valid()
        if spans["months"][valid.to_numpy(zero_copy_only=False)].any():
            return column
        total = spans["days"].astype(numpy.int64) * _NS_PER_DAY + spans["nanoseconds"]
        nulls = numpy.invert(valid.to_numpy(zero_copy_only=False))
        chunks.append(pyarrow.array(total, mask=nulls).cast(pyarrow.duration("ns")))
    return pyarrow.chunked_array(chunks, pyarrow.duration("ns"))
