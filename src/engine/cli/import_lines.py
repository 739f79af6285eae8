# Owns the line that a row of a table makes: what its cells mean by the type of their column, and
# how a line spells that. What no line can carry is refused before it could break those around it.
"""Lines of rows."""

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

TIME_TYPES = ("dateTime:number", "dateTime:RFC3339", "dateTime")
TYPES = ("tag", "double", "long", "unsignedLong", "boolean", "string")
IGNORED = "ignored"
UNIT_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
INTEGER = re.compile(r"[+-]?\d+")
NAME_ESCAPES, TABLE_ESCAPES = re.compile("[ ,=]"), re.compile("[ ,]")
_PLAIN = re.compile(r"[\w./:-]+")
# A backslash in front keeps it in the name.
_BARE_CONTROL = re.compile(r"(?<!\\)[\t\n\x00]")
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?"
)
_TRUE, _FALSE = ("true", "t"), ("false", "f")


class Columns(NamedTuple):
    """What the columns of a file are."""

    table: str
    names: list[str]
    types: list[str]


class Row(NamedTuple):
    """A record of a file: where it begins and ends, its text, and its cells by their names."""

    line: int
    end: int
    lines: int
    text: bytes
    # None where there is none, text where that says what is wrong.
    cells: dict[str, Any] | str | None


def parse_time(cell: Any, unit_ns: int) -> int:
    """Nanoseconds of a time in RFC 3339, or of a number in units.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(cell, int) and not isinstance(cell, bool):
        return cell * unit_ns
    text = str(cell)
    if INTEGER.fullmatch(text):
        return int(text) * unit_ns
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is not a time: write RFC 3339 or a whole number")
    date, clock, fraction, zone = found.groups()
    moment = datetime.fromisoformat(f"{date}T{clock}{zone or 'Z'}".upper())
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + int(
        (fraction or "").ljust(9, "0")
    )


def of_text(cell: Any, kind: str) -> Any:
    """The value of a cell of CSV."""
    if kind == "boolean":
        word = cell.lower()
        if word not in (*_TRUE, *_FALSE):
            raise ValueError(f"'{cell}' is not true or false")
        return word in _TRUE
    if kind == "double":
        return float(cell)
    if kind in ("long", "unsignedLong"):
        return int(cell)
    return cell


def of_json(cell: Any, kind: str) -> Any:
    """The value of a member of a JSON object."""
    is_number = isinstance(cell, int | float) and not isinstance(cell, bool)
    wanted = {
        "boolean": isinstance(cell, bool),
        "double": is_number,
        "long": is_number and isinstance(cell, int),
        "unsignedLong": is_number and isinstance(cell, int),
        "string": isinstance(cell, str),
        "tag": isinstance(cell, str) or is_number,
    }
    if not wanted[kind]:
        raise ValueError(f"{json.dumps(cell)} is not of the type {kind}")
    return cell


def line_of(row: Row, columns: Columns, unit_ns: int, value_of: Callable[[Any, str], Any]) -> str:
    """The line of a row, with its end.

    Raises:
        ValueError: It makes none.
    """
    cells = row.cells
    assert cells is not None
    if isinstance(cells, str):
        raise ValueError(cells)  # noqa: TRY004 - it is what is wrong with the row
    tags, fields = [_name(columns.table, TABLE_ESCAPES)], []
    time_ns = None
    for name, kind in zip(columns.names, columns.types, strict=True):
        cell = cells.get(name)
        if cell is None or kind == IGNORED:
            continue
        try:
            if kind in TIME_TYPES:
                time_ns = parse_time(cell, unit_ns)
            elif kind != "tag":
                fields.append(f"{_name(name)}={_spelled(value_of(cell, kind), kind)}")
            elif cell != "":
                tags.append(f"{_name(name)}={_name(str(value_of(cell, kind)))}")
        except (ValueError, OverflowError) as error:
            raise ValueError(f"column '{name}': {error}") from error
    strange = next((name for name in cells if name not in columns.names), None)
    if strange is not None:
        raise ValueError(f"column '{strange}' is not in the first rows: name it with --types")
    if time_ns is None:
        raise ValueError("it has no time")
    if not fields:
        raise ValueError("it has no field")
    return f"{','.join(tags)} {','.join(fields)} {time_ns}\n"


def _name(text: str, escapes: re.Pattern[str] = NAME_ESCAPES) -> str:
    """A name or the value of a tag, as a line spells it."""
    if _PLAIN.fullmatch(text):
        return text
    if not text or text.endswith("\\") or _BARE_CONTROL.search(text):
        raise ValueError(
            f"{text!r} cannot stand in a line: it is empty, ends with a backslash, or has a tab or "
            "line break"
        )
    return escapes.sub(r"\\\g<0>", text)


def _spelled(value: Any, kind: str) -> str:
    """The value of a field, as a line spells it."""
    match kind:
        case "double":
            number = float(value)
            if not math.isfinite(number):
                raise ValueError(f"{value} is not finite")
            return repr(number).replace("e+", "e")
        case "long":
            if not -(1 << 63) <= value < 1 << 63:
                raise ValueError(f"{value} needs more than 64 bits")
            return f"{value}i"
        case "unsignedLong":
            if not 0 <= value < 1 << 64:
                raise ValueError(f"{value} is no unsigned number of 64 bits")
            return f"{value}u"
        case "boolean":
            return "t" if value else "f"
        case _:
            return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
