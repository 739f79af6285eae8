# Owns the meaning of timestamp and interval text in queries, and the only function that writes a
# value into SQL text. Pure functions; knows nothing of syntax trees.
"""Timestamps, intervals and SQL literals."""

import datetime
import math
import re
from typing import NamedTuple

from engine.errors import QueryError

TIME_NS_MIN = -(2**63)
TIME_NS_MAX = 2**63 - 1
# DuckDB takes these two for infinity, and makes them of no number; they compare as what they are.
_INFINITIES = {-TIME_NS_MAX: "-infinity", TIME_NS_MAX: "infinity"}

_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - all arithmetic here is in UTC without zone

_TIMESTAMP = re.compile(
    r"""\s*(\d{4})-(\d{1,2})-(\d{1,2})
    (?:(?:[Tt]|\s+)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?)?
    \s*([Zz]|UTC|utc|[+-]\d{2}(?::?\d{2})?)?\s*\Z""",
    re.VERBOSE | re.ASCII,
)

_NS_PER_UNIT = {
    "nanosecond": 1,
    "microsecond": 1_000,
    "millisecond": 1_000_000,
    "second": 1_000_000_000,
    "minute": 60 * 1_000_000_000,
    "hour": 3_600 * 1_000_000_000,
    "day": 86_400 * 1_000_000_000,
    "week": 7 * 86_400 * 1_000_000_000,
}
_MONTHS_PER_UNIT = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200}
_UNIT_ALIASES = {
    "ns": "nanosecond",
    "nanos": "nanosecond",
    "us": "microsecond",
    "µs": "microsecond",
    "micros": "microsecond",
    "ms": "millisecond",
    "millis": "millisecond",
    "s": "second",
    "sec": "second",
    "secs": "second",
    "m": "minute",
    "min": "minute",
    "mins": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "d": "day",
    "w": "week",
    "mon": "month",
    "mons": "month",
    "y": "year",
    "yr": "year",
    "yrs": "year",
    "centuries": "century",
}
_INTERVAL_PART = re.compile(r"\s*([+-]?)\s*(\d{1,20}(?:\.\d{1,20})?)\s*([A-Za-zµ]+)\s*,?")
_CLOCK_PART = re.compile(
    r"\s*([+-]?)(\d{1,20}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s*\Z", re.ASCII
)


class Interval(NamedTuple):
    """A span of time: calendar months and exact nanoseconds."""

    months: int
    nanoseconds: int

    def negated(self) -> "Interval":
        """The same span backwards."""
        return Interval(-self.months, -self.nanoseconds)


def parse_timestamp(text: str) -> int | None:
    """Nanoseconds since the epoch of a timestamp text, or None when it is not one.

    Accepts a date alone, ``T`` or a space before the clock time, up to nine (or more, cut off)
    fraction digits, and ``Z``, ``UTC`` or a numeric offset; without a zone the text means UTC.

    Raises:
        QueryError: The text is a timestamp outside of what 64-bit nanoseconds can hold.
    """
    match = _TIMESTAMP.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime.datetime(  # noqa: DTZ001 - the offset is applied below
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None
    delta = moment - _EPOCH
    seconds = delta.days * 86_400 + delta.seconds - _offset_seconds(zone)
    time_ns = seconds * 1_000_000_000 + int((fraction or "0")[:9].ljust(9, "0"))
    if not TIME_NS_MIN <= time_ns <= TIME_NS_MAX:
        raise QueryError(f"timestamp {text!r} is outside of the years 1677 to 2262")
    return time_ns


def names_zone(text: str) -> bool:
    """Whether a timestamp text says in which zone it is."""
    match = _TIMESTAMP.match(text)
    return match is not None and match.group(8) is not None


def _offset_seconds(zone: str | None) -> int:
    if zone is None or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return seconds if zone[0] == "+" else -seconds


def parse_interval(text: str) -> Interval | None:
    """The span that a text like ``5 minutes`` or ``interval 1h30m`` means, or None.

    Raises:
        QueryError: It is longer than 64-bit nanoseconds (or 32-bit months) can hold.
    """
    rest = text.strip()
    if rest[:8].lower() == "interval":
        rest = rest[8:].strip().strip("'")
    clock = _CLOCK_PART.match(rest)
    months, total_ns = 0, 0
    if clock is None and not rest:
        return None
    while clock is None and rest:
        part = _INTERVAL_PART.match(rest)
        if part is None:
            return None
        sign = -1 if part.group(1) == "-" else 1
        unit = _unit(part.group(3))
        if unit in _NS_PER_UNIT:
            total_ns += sign * _scaled(part.group(2), _NS_PER_UNIT[unit])
        elif unit in _MONTHS_PER_UNIT and "." not in part.group(2):
            months += sign * int(part.group(2)) * _MONTHS_PER_UNIT[unit]
        else:
            return None
        rest = rest[part.end() :]
        clock = _CLOCK_PART.match(rest)
    if clock is not None:
        total_ns += _clock_ns(clock)
    if abs(months) >= 2**31 or not TIME_NS_MIN <= total_ns <= TIME_NS_MAX:
        raise QueryError(f"the interval {text!r} is too long")
    return Interval(months, total_ns)


def _unit(text: str) -> str:
    unit = text.lower()
    unit = _UNIT_ALIASES.get(unit, unit)
    return unit[:-1] if unit.endswith("s") else unit


def _scaled(number: str, factor: int) -> int:
    whole, _, fraction = number.partition(".")
    if not fraction:
        return int(whole) * factor
    scale: int = 10 ** len(fraction)
    return int(whole + fraction) * factor // scale


def _clock_ns(match: re.Match[str]) -> int:
    sign, hours, minutes, seconds, fraction = match.groups()
    total = (int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)) * 1_000_000_000
    total += int((fraction or "0").ljust(9, "0"))
    return -total if sign == "-" else total


def time_sql(time_ns: int) -> str:
    """SQL of a nanosecond timestamp."""
    if time_ns in _INFINITIES:
        return f"CAST('{_INFINITIES[time_ns]}' AS TIMESTAMP_NS)"
    return f"make_timestamp_ns({time_ns:d})"


def at_least_sql(column: str, time_ns: int) -> str:
    """The condition that a timestamp column, given as SQL, has that time or a later one."""
    return f"({column} >= {time_sql(time_ns)})"


def between_sql(column: str, least_ns: int, greatest_ns: int) -> str:
    """The condition that a timestamp column, given as SQL, has a time from one to the other."""
    least = at_least_sql(column, least_ns)
    if greatest_ns >= TIME_NS_MAX:
        return least
    return f"({least} AND NOT {at_least_sql(column, greatest_ns + 1)})"


def interval_sql(interval: Interval) -> str:
    """SQL of an interval; DuckDB's intervals have microseconds, so what is finer is cut off."""
    return f"INTERVAL '{interval.months:d} months {interval.nanoseconds // 1000:d} microseconds'"


def value_sql(value: object) -> str:
    """SQL of a parameter value: text, number, truth value or None.

    Raises:
        QueryError: The value is of another type, or a text that SQL cannot hold.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return f"{value:d}"
    if isinstance(value, float):
        return f"{value!r}::DOUBLE" if math.isfinite(value) else f"'{value!r}'::DOUBLE"
    if isinstance(value, str):
        if "\x00" in value:
            raise QueryError("a text in a query may not contain the NUL character")
        return "'" + value.replace("'", "''") + "'"
    raise QueryError(
        f"a query parameter is a text, number, truth value or null, not {type(value).__name__}"
    )
