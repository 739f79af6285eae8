# Owns how a query result, an Arrow IPC stream, becomes what a plugin gets: plain dicts of plain
# Python scalars, every column present, or a table of a library. Runs in the worker; pyarrow is
# imported at the first query only.
"""Query results as lists of dicts, or as tables."""

import datetime
import decimal
import importlib
from collections.abc import Callable
from typing import Any, Literal

_NS_PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


ResultForm = Literal["rows", "arrow", "pandas", "polars"]


def result_from_stream(stream: bytes, form: ResultForm) -> Any:
    """Decodes an Arrow IPC stream into what the plugin asked for.

    Raises:
        ImportError: The library of that form is not installed.
    """
    if form == "rows":
        return rows_from_stream(stream)
    import pyarrow as pa

    return in_form(pa.ipc.open_stream(stream).read_all(), form)


def in_form(table: Any, form: ResultForm) -> Any:
    """A ``pyarrow.Table`` as another kind of table.

    Raises:
        ImportError: The library of that form is not installed.
    """
    if form == "arrow":
        return table
    try:
        library = importlib.import_module(form)
    except ImportError as error:
        raise ImportError(
            f"as_='{form}' needs {form}, which is not installed: headrace install package {form}"
        ) from error
    return table.to_pandas() if form == "pandas" else library.from_arrow(table)


def rows_from_stream(stream: bytes) -> list[dict[str, Any]]:
    """Decodes an Arrow IPC stream into one dict per row, as `rows_of_table`."""
    import pyarrow as pa

    return rows_of_table(pa.ipc.open_stream(stream).read_all())


def rows_of_table(table: Any) -> list[dict[str, Any]]:
    """One dict for each row of a ``pyarrow.Table``.

    Timestamps become int nanoseconds, decimals int or float, dates and times ISO text. Of columns
    with the same name the last one wins.
    """
    import pyarrow as pa

    names = table.column_names
    columns = [_values(pa, column) for column in table.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(pa: Any, column: Any) -> list[Any]:
    types = pa.types
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_timestamp(kind) or types.is_duration(kind):
        return _scaled(pa, column.cast(pa.int64()), _NS_PER_UNIT[kind.unit])
    if types.is_integer(kind):
        return _integers(pa, column)
    # numpy makes Python objects of a whole column in C; to_pylist makes an Arrow scalar for each.
    if types.is_floating(kind) and not column.null_count:
        return _list(column.to_numpy())
    if types.is_boolean(kind) or types.is_string(kind) or types.is_large_string(kind):
        return _list(column.to_numpy())
    values = _list(column.to_pylist())
    if types.is_floating(kind):
        return values
    convert = _integral if types.is_decimal(kind) and kind.scale <= 0 else _plain
    return [convert(value) for value in values]


def _list(values: Any) -> list[Any]:
    return values if isinstance(values, list) else list(values.tolist())


def _integers(pa: Any, column: Any) -> list[Any]:
    if not column.null_count:
        return _list(column.to_numpy())
    # With nulls numpy would fall back to floats and lose digits.
    values = _list(column.fill_null(pa.scalar(0, column.type)).to_numpy())
    present = _list(column.is_valid().to_numpy())
    return [value if is_there else None for value, is_there in zip(values, present, strict=True)]


def _scaled(pa: Any, column: Any, factor: int) -> list[Any]:
    values = _integers(pa, column)
    if factor == 1:
        return values
    return [None if value is None else value * factor for value in values]


def _integral(value: decimal.Decimal | None) -> int | None:
    return None if value is None else int(value)


def _plain(value: Any) -> Any:
    convert = _CONVERSIONS.get(type(value))
    return value if convert is None else convert(value)


def _timestamp_ns(value: datetime.datetime) -> int:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
    delta = aware - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return _duration_ns(delta)


def _duration_ns(value: datetime.timedelta) -> int:
    return ((value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds) * 1_000


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    decimal.Decimal: lambda value: (
        int(value) if value == value.to_integral_value() else float(value)
    ),
    datetime.datetime: _timestamp_ns,
    datetime.timedelta: _duration_ns,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    list: lambda values: [_plain(value) for value in values],
    dict: lambda fields: {name: _plain(value) for name, value in fields.items()},
    tuple: lambda values: tuple(_plain(value) for value in values),
}
