# Owns the bytes of InfluxQL answers: version 1's JSON and CSV, whole or in chunks, and the one
# table that version 3 makes of all series.
"""Encoding of InfluxQL results."""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow

from engine.errors import RequestError
from engine.influxql.lexer import UNITS_NS
from engine.influxql.results import Series, StatementResult
from engine.influxql.tables import values_array

MEASUREMENT = "iox::measurement"

_NS_PER_SECOND = 1_000_000_000
# Below this every whole number has a float of its own.
_WHOLE_MAX = 1e15
# How version 1 packs times.
_TIME_EXTENSION = 5
_PACKED_TIME = struct.Struct(">qI")


class Form(msgspec.Struct, frozen=True):
    """How a client wants its answer."""

    # Nanoseconds of the unit of times; None for text.
    epoch_ns: int | None = None
    is_pretty: bool = False
    # Rows of one chunk; None for all at once.
    chunk_rows: int | None = None
    # Whether it is to be MessagePack.
    is_packed: bool = False


Answerer = Callable[[Sequence[StatementResult], Form], bytes]


def answer_accepted(accept: str, form: Form) -> tuple[Answerer, str]:
    """What makes the answer for an Accept header, the first known type of which counts.

    Chunks are of JSON, which clients of version 1 read there though they ask for MessagePack.
    """
    for part in accept.split(","):
        match part.partition(";")[0].strip().lower():
            case "application/json":
                break
            case "application/csv" | "text/csv":
                return csv_answer, "application/csv"
            case "application/x-msgpack" if form.chunk_rows is None:
                return msgpack_answer, "application/x-msgpack"
    return json_answer, "application/json"


def epoch_ns(text: str) -> int | None:
    """Nanoseconds of the unit that an ``epoch`` parameter names, None without one.

    Raises:
        RequestError: It names none.
    """
    if not text:
        return None
    unit = UNITS_NS.get("ns" if text == "n" else text)
    if unit is None:
        raise RequestError(f"unknown epoch '{text}'", hint="use ns, u, ms, s, m, h, d or w")
    return unit


def json_answer(results: Sequence[StatementResult], form: Form) -> bytes:
    """Version 1's JSON; with chunks, one document after the other."""
    if form.chunk_rows is None:
        content = [_statement(index, result, form) for index, result in enumerate(results)]
        return _encoded({"results": content}, form) + b"\n"
    documents = [
        _encoded({"results": [part]}, form)
        for index, result in enumerate(results)
        for part in _parts(index, result, form, form.chunk_rows)
    ]
    return b"\n".join(documents) + b"\n"


def msgpack_answer(results: Sequence[StatementResult], form: Form) -> bytes:
    """The same as MessagePack, in which floats stay floats, and times are not text.

    Without a unit they are version 1's extension: seconds and nanoseconds since 1970, big-endian.
    """
    form = msgspec.structs.replace(form, is_packed=True)
    content = [_statement(index, result, form) for index, result in enumerate(results)]
    return msgspec.msgpack.encode({"results": content})


def csv_answer(results: Sequence[StatementResult], form: Form) -> bytes:
    """Version 1's CSV: a header where the columns change, times as numbers."""
    form = msgspec.structs.replace(form, epoch_ns=form.epoch_ns or 1)
    lines: list[str] = []
    last: list[str] = []
    for result in results:
        if result.error:
            lines += ["error", _csv_cell(result.error)]
        for series in result.series:
            if series.columns != last:
                lines += [""] * bool(lines)
                lines.append(",".join(map(_csv_cell, ["name", "tags", *series.columns])))
                last = series.columns
            tags = ",".join(f"{key}={value}" for key, value in series.tags.items())
            for row in _rows(series, series.values, form):
                lines.append(",".join(map(_csv_cell, [series.name, tags, *row])))
    return "".join(f"{line}\n" for line in lines).encode()


def table(all_series: Sequence[Series]) -> Any:
    """All series as one Arrow table, with the measurement first."""
    names: dict[str, None] = {MEASUREMENT: None}
    for series in all_series:
        ordered = [*series.columns[:1], *series.tags, *series.columns[1:]]
        names.update(dict.fromkeys(ordered))
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for series in all_series:
        count = len(series.values)
        by_name = dict(
            zip(series.columns, map(list, zip(*series.values, strict=True)), strict=True)
        )
        by_name |= {key: [value] * count for key, value in series.tags.items()}
        by_name[MEASUREMENT] = [series.name] * count
        for name, column in columns.items():
            column += by_name.get(name) or [None] * count
    has_time = any(series.has_time for series in all_series)
    return pyarrow.table(
        {
            name: _array(values, is_time=has_time and name == "time")
            for name, values in columns.items()
        }
    )


def _array(values: list[Any], *, is_time: bool) -> Any:
    return pyarrow.array(values, pyarrow.timestamp("ns")) if is_time else values_array(values)


def _statement(index: int, result: StatementResult, form: Form) -> dict[str, Any]:
    shown: dict[str, Any] = {"statement_id": index}
    if result.series:
        shown["series"] = [_series(series, series.values, form) for series in result.series]
    elif form.is_packed and not result.error:
        shown["series"] = []
    if result.error:
        shown["error"] = result.error
    return shown


def _parts(
    index: int, result: StatementResult, form: Form, chunk_rows: int
) -> Iterator[dict[str, Any]]:
    if not result.series:
        yield _statement(index, result, form)
    for number, series in enumerate(result.series):
        for start in range(0, len(series.values), chunk_rows):
            is_partial = start + chunk_rows < len(series.values)
            shown = _series(series, series.values[start : start + chunk_rows], form)
            if is_partial:
                shown["partial"] = True
            part: dict[str, Any] = {"statement_id": index, "series": [shown]}
            if is_partial or number + 1 < len(result.series):
                part["partial"] = True
            yield part


def _series(series: Series, values: list[list[Any]], form: Form) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": series.name} if series.name else {}
    if series.tags:
        shown["tags"] = series.tags
    return {**shown, "columns": series.columns, "values": _rows(series, values, form)}


def _rows(series: Series, values: list[list[Any]], form: Form) -> list[list[Any]]:
    shown = _finite if form.is_packed else _value
    if not series.has_time:
        return [[shown(value) for value in row] for row in values]
    zone = ZoneInfo(series.zone) if series.zone else UTC
    return [[_time(row[0], form, zone), *(shown(value) for value in row[1:])] for row in values]


def _time(time_ns: int, form: Form, zone: tzinfo) -> int | str | msgspec.msgpack.Ext:
    if form.epoch_ns is not None:
        return time_ns // form.epoch_ns
    seconds, nanos = divmod(time_ns, _NS_PER_SECOND)
    if form.is_packed:
        return msgspec.msgpack.Ext(_TIME_EXTENSION, _PACKED_TIME.pack(seconds, nanos))
    text = datetime.fromtimestamp(seconds, zone).isoformat(timespec="seconds")
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    offset = text[19:]
    return f"{text[:19]}{fraction}{'Z' if offset == '+00:00' else offset}"


def _finite(value: Any) -> Any:
    return None if type(value) is float and not math.isfinite(value) else value


def _value(value: Any) -> Any:
    if type(value) is float:
        if not math.isfinite(value):
            return None
        if value.is_integer() and abs(value) < _WHOLE_MAX:
            return int(value)
    return value


def _encoded(content: object, form: Form) -> bytes:
    encoded = msgspec.json.encode(content)
    return msgspec.json.format(encoded, indent=4) if form.is_pretty else encoded


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if any(letter in text for letter in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text
