# Owns time zones in queries. A time is an instant everywhere; its zone, if it has one, belongs to
# the type of a column and is known before the query runs. Pure functions.
"""Time zones."""

import re
import zoneinfo

from sqlglot import exp

from engine.errors import QueryError

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})?\Z", re.ASCII)
_ARROW_TIMESTAMP = re.compile(
    r"""Timestamp\(\s*(\w+)\s*(?:,\s*(?:None|(?:Some\()?"([^"]*)"\)?)\s*)?\)\Z"""
)
_ARROW_UNITS_NS = {
    "ns": 1,
    "Nanosecond": 1,
    "µs": 1_000,
    "us": 1_000,
    "Microsecond": 1_000,
    "ms": 1_000_000,
    "Millisecond": 1_000_000,
    "s": 1_000_000_000,
    "Second": 1_000_000_000,
}
_SECONDS_PER_DAY = 86_400

UTC = "UTC"


def zone_name(node: exp.Expr | None, function: str) -> str:
    """The zone that a text in a query names, in the form in which Arrow has it.

    Raises:
        QueryError: It is not a text, or no zone has that name.
    """
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise QueryError(f"Error during planning: {function} requires the name of a time zone")
    if node.name != UTC and fixed_offset_s(node.name) is not None:
        sign, hours, minutes = _parts(node.name)
        return f"{sign}{hours}:{minutes}"
    try:
        zoneinfo.ZoneInfo(node.name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise QueryError(
            f"Error during planning: {function} requires a valid timezone string, got {node.name!r}"
        ) from error
    return node.name


def fixed_offset_s(zone: str) -> int | None:
    """Seconds that a zone like ``+05:30`` is ahead of UTC; None if it is not such a zone."""
    if zone == UTC:
        return 0
    if _OFFSET.match(zone) is None:
        return None
    sign, hours, minutes = _parts(zone)
    seconds = int(hours) * 3600 + int(minutes) * 60
    if seconds >= _SECONDS_PER_DAY:
        return None
    return seconds if sign == "+" else -seconds


def arrow_timestamp(name: str) -> tuple[int, str | None]:
    """Unit in nanoseconds and zone of an Arrow type such as ``Timestamp(Nanosecond, None)``.

    The unit is 0 if it is the name of another type. Times stay nanoseconds whatever the unit.
    """
    match = _ARROW_TIMESTAMP.match(name)
    if match is None:
        return 0, None
    unit_ns = _ARROW_UNITS_NS.get(match.group(1), 0)
    zone = match.group(2)
    if zone is not None and unit_ns:
        zone = zone_name(exp.Literal.string(zone), "arrow_cast")
    return unit_ns, zone


def _parts(zone: str) -> tuple[str, str, str]:
    match = _OFFSET.match(zone)
    assert match is not None
    sign, hours, minutes = match.groups()
    return sign, hours, minutes or "00"
