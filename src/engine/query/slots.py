# Owns the places of a translated query that differ from call to call (values of parameters, and the
# moment of now()): what a value means where it goes, and how it is written as SQL.
"""Slots of translated queries."""

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from engine.errors import QueryError
from engine.query.literals import (
    TIME_NS_MAX,
    TIME_NS_MIN,
    interval_sql,
    parse_interval,
    parse_timestamp,
    time_sql,
    value_sql,
)

_NUMBER = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*\Z", re.ASCII)
# Python refuses to read whole numbers of more digits.
_NUMBER_TEXT_MAX = 400
SLOT_MARK = re.compile("\x00(\\d+)\x00")


class SlotKind(StrEnum):
    """As what a value is used, which decides how it is written."""

    NOW = "now"
    VALUE = "value"
    TIME = "time"
    NUMBER = "number"
    TEXT = "text"
    INTERVAL = "interval"
    WIDTH = "width"


class Slot(msgspec.Struct, frozen=True):
    """A place in a query where a value goes.

    Attributes:
        kind: As what it is used.
        name: Parameter name without ``$``; empty for ``now()``.
        unit_ns: What a number means when a time is wanted.
        unit_text: Unit word after an interval parameter.
    """

    kind: SlotKind
    name: str = ""
    unit_ns: int = 1
    unit_text: str = ""


def slot_mark(index: int) -> str:
    """What stands for a slot while the SQL is generated; cannot occur in a user's query."""
    return f"\x00{index}\x00"


def is_number_text(text: str) -> bool:
    """Whether a text spells a number."""
    return len(text) <= _NUMBER_TEXT_MAX and _NUMBER.match(text) is not None


def number_sql(text: str) -> str:
    """SQL of a number that is given as text."""
    try:
        return value_sql(int(text))
    except ValueError:
        return value_sql(float(text))


def bound(slot: Slot, parameters: Mapping[str, object], now_ns: int) -> str:
    """SQL of the value that goes into a slot.

    Raises:
        QueryError: The parameter is missing or has a value that does not fit.
    """
    if slot.kind is SlotKind.NOW:
        return time_sql(now_ns)
    try:
        value = parameters[slot.name]
    except KeyError:
        raise QueryError(f"No value found for placeholder with name ${slot.name}") from None
    if value is None:
        return "NULL"
    sql = _WRITERS[slot.kind](slot, value)
    # "-" before a negative number would start a comment.
    return f"({sql})" if sql.startswith("-") else sql


def _value(slot: Slot, value: object) -> str:
    return value_sql(value)


def _number(slot: Slot, value: object) -> str:
    if isinstance(value, str) and is_number_text(value):
        return number_sql(value)
    return value_sql(value)


def _text(slot: Slot, value: object) -> str:
    if isinstance(value, bool):
        return value_sql(str(value).lower())
    return value_sql(str(value) if isinstance(value, (int, float)) else value)


def time_of(slot: Slot, value: object) -> int:
    """Nanoseconds since the epoch that a parameter means where a time is wanted.

    Raises:
        QueryError: It means none.
    """
    try:
        time_ns = _nanoseconds(slot, value)
    except (ValueError, OverflowError):
        # Not a number, or infinite.
        time_ns = None
    if time_ns is None or not TIME_NS_MIN <= time_ns <= TIME_NS_MAX:
        raise QueryError(f"the value of ${slot.name} is not a timestamp: {value!r}")
    return time_ns


def _nanoseconds(slot: Slot, value: object) -> int | None:
    if isinstance(value, str):
        time_ns = parse_timestamp(value)
        if time_ns is None and is_number_text(value) and "." not in value:
            time_ns = int(float(value) if "e" in value.lower() else int(value)) * slot.unit_ns
        return time_ns
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value * slot.unit_ns)
    return None


def _time(slot: Slot, value: object) -> str:
    return time_sql(time_of(slot, value))


def _interval(slot: Slot, value: object) -> str:
    interval = parse_interval(f"{value} {slot.unit_text}".strip())
    if interval is None:
        raise QueryError(f"the value of ${slot.name} is not an interval: {value!r}")
    return interval_sql(interval)


def _width(slot: Slot, value: object) -> str:
    interval = parse_interval(f"{value} {slot.unit_text}".strip())
    if interval is None or interval.months or interval.nanoseconds <= 0:
        raise QueryError(f"the value of ${slot.name} is not a fixed interval: {value!r}")
    return f"{interval.nanoseconds:d}"


_WRITERS = {
    SlotKind.VALUE: _value,
    SlotKind.NUMBER: _number,
    SlotKind.TEXT: _text,
    SlotKind.TIME: _time,
    SlotKind.INTERVAL: _interval,
    SlotKind.WIDTH: _width,
}
