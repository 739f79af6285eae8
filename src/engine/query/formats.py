# Owns the bytes of query answers: JSON, JSON lines, CSV, ASCII table, Parquet and Arrow stream.
# JSON is written by lp_core; in the others values become text column by column in Arrow, and rows
# are joined there too, so that no cell costs a Python call.
"""Encoding of query results."""

import io
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec
import pyarrow
import pyarrow.compute
import pyarrow.ipc
import pyarrow.parquet

from engine.errors import RequestError
from lp_core._json_rows import foreign_columns, json_rows

_ROWS_PER_PIECE = 16_384
_TEXT = pyarrow.large_utf8()


class ResultFormat(StrEnum):
    """Formats of query answers."""

    JSON = "json"
    JSON_LINES = "jsonl"
    CSV = "csv"
    PRETTY = "pretty"
    PARQUET = "parquet"


CONTENT_TYPES = {
    ResultFormat.JSON: "application/json",
    ResultFormat.JSON_LINES: "application/jsonl",
    ResultFormat.CSV: "text/csv",
    ResultFormat.PRETTY: "text/plain; charset=utf-8",
    ResultFormat.PARQUET: "application/vnd.apache.parquet",
}

_ACCEPTED = {
    "application/vnd.apache.parquet": ResultFormat.PARQUET,
    "text/csv": ResultFormat.CSV,
    "text/plain": ResultFormat.PRETTY,
    "application/json": ResultFormat.JSON,
    "application/jsonl": ResultFormat.JSON_LINES,
}


def format_named(name: str) -> ResultFormat:
    """The format of a ``format`` parameter.

    Raises:
        RequestError: There is no such format.
    """
    try:
        return ResultFormat("jsonl" if name == "json_lines" else name)
    except ValueError as error:
        raise RequestError(
            f"unknown query format '{name}'", hint="use json, jsonl, csv, pretty or parquet"
        ) from error


def format_accepted(accept: str | None) -> ResultFormat:
    """The format that an ``Accept`` header asks for.

    Raises:
        RequestError: None of the formats is accepted.
    """
    if not accept or "*/*" in accept or "text/html" in accept:
        return ResultFormat.JSON
    for part in accept.split(","):
        chosen = _ACCEPTED.get(part.split(";", 1)[0].strip().lower())
        if chosen is not None:
            return chosen
    raise RequestError(f"invalid mime type ({accept})")


def encode(table: Any, result_format: ResultFormat) -> bytes:
    """The whole answer in one piece."""
    return b"".join(pieces(table, result_format))


def pieces(table: Any, result_format: ResultFormat) -> Iterator[bytes]:
    """The answer in pieces of some thousand rows, to be sent one after the other."""
    return _WRITERS[result_format](table)


def arrow_ipc(table: Any) -> bytes:
    """The result as an Arrow stream, for plugins."""
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


# -- formats --


def _json(table: Any) -> Iterator[bytes]:
    opening = b"["
    for rows in _json_rows(table, b","):
        # Without the comma behind the last one.
        yield opening + rows[:-1]
        opening = b","
    yield b"]" if opening == b"," else b"[]"


def _json_lines(table: Any) -> Iterator[bytes]:
    yield from _json_rows(table, b"\n")


def _csv(table: Any) -> Iterator[bytes]:
    if not table.num_rows:
        return
    yield ",".join(_csv_quoted(name) for name in table.column_names).encode() + b"\n"
    for piece in _row_pieces(table):
        cells = [_csv_cells(column) for column in piece.columns]
        rows = _element_wise(cells, ",", null_handling="replace", null_replacement="")
        yield _joined(rows, "\n") + b"\n"


def _pretty(table: Any) -> Iterator[bytes]:
    if not table.num_rows:
        yield b"++\n++"
        return
    columns = [
        [(cell or "").split("\n") for cell in [name, *_plain(column).to_pylist()]]
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    widths = [max(_width(line) for cell in column for line in cell) for column in columns]
    border = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [border]
    for number, row in enumerate(zip(*columns, strict=True)):
        for index in range(max(len(cell) for cell in row)):
            shown = [cell[index] if index < len(cell) else "" for cell in row]
            padded = (
                f" {text}{' ' * (width - _width(text))} "
                for text, width in zip(shown, widths, strict=True)
            )
            lines.append("|" + "|".join(padded) + "|")
        if number == 0:
            lines.append(border)
    lines.append(border)
    yield "\n".join(lines).encode()


def _parquet(table: Any) -> Iterator[bytes]:
    if not table.num_rows:
        return
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    yield sink.getvalue()


_WRITERS = {
    ResultFormat.JSON: _json,
    ResultFormat.JSON_LINES: _json_lines,
    ResultFormat.CSV: _csv,
    ResultFormat.PRETTY: _pretty,
    ResultFormat.PARQUET: _parquet,
}


# -- rows --


def _row_pieces(table: Any) -> Iterator[Any]:
    for start in range(0, table.num_rows, _ROWS_PER_PIECE):
        yield table.slice(start, _ROWS_PER_PIECE)


def _json_rows(table: Any, separator: bytes) -> Iterator[bytes]:
    """Some rows as JSON objects, each with the separator behind it, and so on.

    A null column is left out of its object.
    """
    keys = [msgspec.json.encode(name) + b":" for name in table.column_names]
    for batch in table.to_batches(max_chunksize=_ROWS_PER_PIECE):
        if not batch.num_rows:
            continue
        # What is written here is plain; the rest is made into JSON column by column.
        foreign = foreign_columns(batch)
        columns = batch.columns
        for number in foreign:
            made = _json_values(pyarrow.chunked_array([columns[number]])).combine_chunks()
            columns[number] = made.cast(_TEXT)
        if foreign:
            batch = pyarrow.record_batch(columns, names=batch.schema.names)
        yield json_rows(batch, keys, foreign, separator)


def _element_wise(parts: list[Any], separator: str, **options: Any) -> Any:
    return pyarrow.compute.binary_join_element_wise(*parts, _scalar(separator), **options)


def _scalar(text: str) -> Any:
    return pyarrow.scalar(text, _TEXT)


def _joined(rows: Any, separator: str) -> bytes:
    array = rows.combine_chunks() if isinstance(rows, pyarrow.ChunkedArray) else rows
    if isinstance(array, pyarrow.ChunkedArray):
        array = pyarrow.concat_arrays(array.chunks)
    whole = pyarrow.LargeListArray.from_arrays([0, len(array)], array)
    return pyarrow.compute.binary_join(whole, _scalar(separator))[0].as_buffer().to_pybytes()  # type: ignore[no-any-return]


# -- values --


def _json_values(column: Any) -> Any:
    kind = column.type
    types = pyarrow.types
    if types.is_floating(kind):
        return _floats(column, "null", "null", "null")
    if types.is_integer(kind) or types.is_boolean(kind):
        return column.cast(_TEXT)
    if types.is_nested(kind) or types.is_binary(kind):
        return _python_values(column, lambda value: msgspec.json.encode(_natural(value)).decode())
    text = _plain(column)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind):
        text = _json_escaped(text)
    return _element_wise([_scalar('"'), text, _scalar('"')], "")


def _json_escaped(text: Any) -> Any:
    compute = pyarrow.compute
    special = compute.match_substring_regex(text, '[\\x00-\\x1f"\\\\]')
    if not compute.any(special).as_py():
        return text
    # Only what needs it is encoded by value; most texts do not.
    needy = text.filter(special).to_pylist()
    encoded = pyarrow.array([msgspec.json.encode(value).decode()[1:-1] for value in needy], _TEXT)
    return compute.replace_with_mask(text.combine_chunks(), _one_chunk(special), encoded)


def _one_chunk(column: Any) -> Any:
    return pyarrow.compute.fill_null(column, False).combine_chunks()


def _csv_cells(column: Any) -> Any:
    compute = pyarrow.compute
    text = _plain(column)
    special = compute.match_substring_regex(text, '[",\\r\\n]')
    if not compute.any(special).as_py():
        return text
    doubled = compute.replace_substring(text, '"', '""')
    quoted = _element_wise([_scalar('"'), doubled, _scalar('"')], "")
    return compute.if_else(special, quoted, text)


def _csv_quoted(text: str) -> str:
    if any(sign in text for sign in '",\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _plain(column: Any) -> Any:
    """Values as text, without quotes; nulls stay null."""
    kind = column.type
    types = pyarrow.types
    if types.is_floating(kind):
        return _floats(column, "NaN", "inf", "-inf")
    if types.is_timestamp(kind):
        return _times(column)
    if types.is_duration(kind):
        return _python_durations(column)
    if types.is_nested(kind) or types.is_binary(kind) or types.is_interval(kind):
        return _python_values(column, _nested_text)
    if types.is_dictionary(kind):
        return column.cast(kind.value_type).cast(_TEXT)
    return column.cast(_TEXT)


def _floats(column: Any, nan: str, infinity: str, minus_infinity: str) -> Any:
    compute = pyarrow.compute
    text = compute.replace_substring(column.cast(_TEXT), "e+", "e")
    if compute.any(compute.equal(column, compute.floor(column))).as_py():
        # Arrow writes whole numbers without ".0", with which they would read back as integers.
        whole = compute.match_substring_regex(text, r"^-?[0-9]+$")
        text = compute.if_else(whole, _element_wise([text, _scalar(".0")], ""), text)
    if compute.all(compute.is_finite(column)).as_py() is not False:
        return text
    for value, shown in (("nan", nan), ("-nan", nan), ("inf", infinity), ("-inf", minus_infinity)):
        text = compute.if_else(compute.equal(text, _scalar(value)), _scalar(shown), text)
    return text


def _times(column: Any) -> Any:
    """ISO times with as many fraction digits of 0, 3, 6 and 9 as are needed, and their offset."""
    compute = pyarrow.compute
    if column.type.tz is not None:
        clock = compute.local_timestamp(column)
        return _element_wise([_times(clock), _offsets(column, clock)], "")
    times = column
    try:
        times, is_whole = times.cast(pyarrow.timestamp("s")), True
    except pyarrow.ArrowInvalid:
        is_whole = False
    text = compute.replace_substring(times.cast(_TEXT), " ", "T")
    if is_whole:
        return text
    for _ in range(3):
        text = compute.replace_substring_regex(text, r"(\.[0-9]*)000$", r"\1")
    return compute.replace_substring_regex(text, r"\.$", "")


def _offsets(column: Any, clock: Any) -> Any:
    """How far the clock of a zone is ahead of UTC: ``+01:00``, or ``Z`` where it is not."""
    instants = column.cast(pyarrow.timestamp(column.type.unit))
    ahead = pyarrow.compute.subtract(clock, instants).cast(pyarrow.duration("s"), safe=False)
    known = ahead.cast(pyarrow.int64()).combine_chunks().dictionary_encode()
    if isinstance(known, pyarrow.ChunkedArray):
        known = pyarrow.concat_arrays(known.chunks)
    texts = pyarrow.array(
        [_offset_text(seconds) for seconds in known.dictionary.to_pylist()], _TEXT
    )
    return pyarrow.chunked_array([texts.take(known.indices)], _TEXT)


def _offset_text(seconds: int) -> str:
    if not seconds:
        return "Z"
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02d}:{minutes:02d}"


def _python_durations(column: Any) -> Any:
    numbers = column.cast(pyarrow.duration("ns")).cast(pyarrow.int64()).to_pylist()
    shown = [None if number is None else _iso_duration(number) for number in numbers]
    return pyarrow.chunked_array([pyarrow.array(shown, _TEXT)])


def _iso_duration(total_ns: int) -> str:
    sign = "-" if total_ns < 0 else ""
    seconds, nanoseconds = divmod(abs(total_ns), 1_000_000_000)
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{sign}PT{seconds}{fraction}S"


def _python_values(column: Any, shown: Any) -> Any:
    values = _safe(column).to_pylist()
    texts = [None if value is None else shown(value) for value in values]
    return pyarrow.chunked_array([pyarrow.array(texts, _TEXT)])


def _safe(column: Any) -> Any:
    """The column with nested times as text, for Python's times are too coarse."""
    types = pyarrow.types
    kind = column.type
    if types.is_timestamp(kind):
        return _times(column)
    if types.is_struct(kind):
        chunks = []
        for chunk in column.chunks:
            fields = [
                pyarrow.concat_arrays(_safe(pyarrow.chunked_array([field])).chunks)
                for field in chunk.flatten()
            ]
            names = [field.name for field in kind]
            chunks.append(pyarrow.StructArray.from_arrays(fields, names, mask=chunk.is_null()))
        return pyarrow.chunked_array(chunks) if chunks else column
    if types.is_list(kind) and types.is_timestamp(kind.value_type):
        return column.cast(pyarrow.list_(pyarrow.utf8()))
    return column


def _natural(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _natural(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_natural(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def _nested_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_nested_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_nested_text(item) for item in value) + "]"
    return "" if value is None else str(value)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    return len(text) + wide - sum(unicodedata.combining(sign) != 0 for sign in text)
