# Owns the spelling of retention periods: spans as people write them, to nanoseconds and back.
"""Retention periods."""

import re

from engine.errors import RequestError

_SECOND_NS = 1_000_000_000
_DAY_S = 86_400
# As the reference system counts: a month is a twelfth of a year of 365.25 days.
_UNITS_S = {
    ("s", "sec", "secs", "second", "seconds"): 1,
    ("m", "min", "mins", "minute", "minutes"): 60,
    ("h", "hr", "hrs", "hour", "hours"): 3_600,
    ("d", "day", "days"): _DAY_S,
    ("w", "week", "weeks"): 7 * _DAY_S,
    ("M", "month", "months"): 2_630_016,
    ("y", "year", "years"): 31_557_600,
}
_SECONDS_OF = {name: seconds for names, seconds in _UNITS_S.items() for name in names}
_PART = re.compile(r"\s*(\d{1,20})\s*([a-zA-Z]+)", re.ASCII)
_SHORTEST_NS = _SECOND_NS
_LONGEST_NS = 2**63 - 1


def parse_retention(text: str) -> int:
    """Nanoseconds of a period such as ``30d``, ``1h 30m``, ``2weeks`` or ``1y``.

    Raises:
        RequestError: It is none.
    """
    total_ns, end = 0, 0
    while end < len(text.rstrip()):
        part = _PART.match(text, end)
        seconds = _SECONDS_OF.get(part[2]) if part is not None else None
        if part is None or seconds is None:
            raise RequestError(
                f"'{text}' is not a retention period",
                hint="write for example 30d, 12h, 1h 30m, 2weeks or 1y",
            )
        total_ns += int(part[1]) * seconds * _SECOND_NS
        end = part.end()
    if not _SHORTEST_NS <= total_ns <= _LONGEST_NS:
        raise RequestError(
            f"'{text}' is not a retention period",
            hint="it is at least 1s, and at most 292 years",
        )
    return total_ns


def retention_text(retention_ns: int | None) -> str:
    """A period as people read it; ``infinite`` for none."""
    if retention_ns is None:
        return "infinite"
    seconds, parts = retention_ns // _SECOND_NS, []
    for unit, size in (("d", _DAY_S), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts)
