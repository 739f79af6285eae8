# Owns the text form of "when does a trigger run": every accepted spelling, the one canonical text,
# and the time of the next tick. Pure: reads no clock unless the caller leaves `now_ns` out.
"""Trigger specifications."""

import re
import time
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from engine.errors import TriggerSpecError

NS_PER_SECOND = 1_000_000_000
EVERY_NS_MIN = 1_000_000
EVERY_NS_MAX = 31_557_600 * NS_PER_SECOND  # 365.25 days, the reference's limit

# In place of an instant: whether a schedule fires was checked when it was created.
ACCEPTED_BEFORE = 0

Kind = Literal["wal", "schedule", "request"]


class AllTables(msgspec.Struct, frozen=True, tag="all_tables"):
    """Runs on every write to the trigger's database."""

    @property
    def kind(self) -> Kind:
        """Kind of plugin entry point that this specification calls."""
        return "wal"

    def canonical(self) -> str:
        """The one text that stands for this specification."""
        return "all_tables"


class Table(msgspec.Struct, frozen=True, tag="table"):
    """Runs on writes to one table of the trigger's database."""

    name: str

    @property
    def kind(self) -> Kind:
        """Kind of plugin entry point that this specification calls."""
        return "wal"

    def canonical(self) -> str:
        """The one text that stands for this specification."""
        return f"table:{self.name}"


class Cron(msgspec.Struct, frozen=True, tag="cron"):
    """Runs at the times of a cron expression, in UTC; the seconds field, if any, comes first."""

    expression: str

    @property
    def kind(self) -> Kind:
        """Kind of plugin entry point that this specification calls."""
        return "schedule"

    def canonical(self) -> str:
        """The one text that stands for this specification."""
        return f"cron:{self.expression}"


class Every(msgspec.Struct, frozen=True, tag="every"):
    """Runs at the multiples of a duration since the Unix epoch."""

    duration_ns: int

    @property
    def kind(self) -> Kind:
        """Kind of plugin entry point that this specification calls."""
        return "schedule"

    def canonical(self) -> str:
        """The one text that stands for this specification."""
        return f"every:{format_duration(self.duration_ns)}"


class Request(msgspec.Struct, frozen=True, tag="request"):
    """Runs on HTTP requests to ``/api/v3/engine/<path>``."""

    path: str

    @property
    def kind(self) -> Kind:
        """Kind of plugin entry point that this specification calls."""
        return "request"

    def canonical(self) -> str:
        """The one text that stands for this specification."""
        return f"request:{self.path}"


TriggerSpec = AllTables | Table | Cron | Every | Request

FORMS_HINT = (
    "expect one of the following forms: 'table:<TABLE_NAME>', 'all_tables', "
    "'cron:<CRON_EXPRESSION>', 'every:<DURATION>', or 'request:<PATH>'"
)


def parse(text: str, *, now_ns: int | None = None) -> TriggerSpec:
    """Reads a trigger specification in any accepted spelling.

    Args:
        text: What the user wrote.
        now_ns: A cron expression must fire after this instant; the current time when left out.
            Pass ACCEPTED_BEFORE for a specification that was accepted once: it is never refused.

    Raises:
        TriggerSpecError: The text is not a specification, or one that would never run.
    """
    spec = text.strip()
    if spec in ("all_tables", "all-tables"):
        return AllTables()
    prefix, separator, rest = spec.partition(":")
    rest = rest.strip()
    if separator:
        match prefix:
            case "table":
                return _parse_table(text, rest)
            case "cron" | "schedule":
                return _parse_cron(text, rest, time.time_ns() if now_ns is None else now_ns)
            case "every":
                return _parse_every(text, rest)
            case "request":
                return _parse_request(text, rest)
            case _:
                pass
    raise _refusal(text, "unknown form", FORMS_HINT)


def next_time(spec: TriggerSpec, after_ns: int) -> int | None:
    """First tick strictly after an instant, both in nanoseconds since the Unix epoch (UTC).

    None when the specification is not a schedule or has no further tick.
    """
    match spec:
        case Every(duration_ns):
            return (after_ns // duration_ns + 1) * duration_ns
        case Cron(expression):
            return _next_cron_time(expression, after_ns)
        case _:
            return None


def _refusal(text: str, context: str, hint: str) -> TriggerSpecError:
    return TriggerSpecError(f"failed to parse trigger from {text}: {context}", hint=hint)


def _parse_table(text: str, name: str) -> Table:
    if not name:
        raise _refusal(text, "table name is empty", "write 'table:<TABLE_NAME>' or 'all_tables'")
    return Table(name)


def _parse_request(text: str, path: str) -> Request:
    path = path.lstrip("/")
    hint = "write 'request:<PATH>'; the plugin then answers at /api/v3/engine/<PATH>"
    if not path:
        raise _refusal(text, "request path is empty", hint)
    if re.search(r"[\x00-\x20\x7f?#]", path):
        raise _refusal(text, "request path contains a space, '?', '#' or a control character", hint)
    if any(segment in (".", "..") for segment in path.split("/")):
        raise _refusal(text, "request path contains a '.' or '..' segment", hint)
    return Request(path)


# --- every ------------------------------------------------------------------------------------

_UNIT_NS = {
    unit: size
    for size, units in (
        (1, "ns nsec nanos nanosecond nanoseconds"),
        (1_000, "us µs usec micros microsecond microseconds"),
        (1_000_000, "ms msec millis millisecond milliseconds"),
        (NS_PER_SECOND, "s sec secs second seconds"),
        (60 * NS_PER_SECOND, "m min mins minute minutes"),
        (3_600 * NS_PER_SECOND, "h hr hrs hour hours"),
        (86_400 * NS_PER_SECOND, "d day days"),
        (604_800 * NS_PER_SECOND, "w wk wks week weeks"),
        (2_630_016 * NS_PER_SECOND, "M month months"),  # 30.44 days
        (31_557_600 * NS_PER_SECOND, "y yr yrs year years"),  # 365.25 days
    )
    for unit in units.split()
}
_DURATION_ITEM = re.compile(r"\s*([0-9]{1,20})\s*([A-Za-zµ]+)\s*")
_DURATION_HINT = "write whole numbers with units, such as '10s', '500ms' or '1h 30m'"

# (size, name, plural name), greatest first; the reference echoes durations with these.
_FORMAT_UNITS = (
    (31_557_600 * NS_PER_SECOND, "year", "years"),
    (2_630_016 * NS_PER_SECOND, "month", "months"),
    (86_400 * NS_PER_SECOND, "day", "days"),
    (3_600 * NS_PER_SECOND, "h", "h"),
    (60 * NS_PER_SECOND, "m", "m"),
    (NS_PER_SECOND, "s", "s"),
    (1_000_000, "ms", "ms"),
    (1_000, "us", "us"),
    (1, "ns", "ns"),
)


def _parse_every(text: str, duration: str) -> Every:
    total_ns = 0
    offset = 0
    while offset < len(duration):
        item = _DURATION_ITEM.match(duration, offset)
        if item is None or item[2] not in _UNIT_NS:
            raise _refusal(text, "couldn't parse to duration", _DURATION_HINT)
        total_ns += int(item[1]) * _UNIT_NS[item[2]]
        offset = item.end()
    if not duration:
        raise _refusal(text, "couldn't parse to duration", _DURATION_HINT)
    if total_ns > EVERY_NS_MAX:
        raise _refusal(
            text, "don't support every schedules of over 1 year", "use a duration of up to 365.25d"
        )
    if total_ns < EVERY_NS_MIN:
        raise _refusal(
            text, "don't support every schedules of under 1 ms", "use a duration of at least 1ms"
        )
    return Every(total_ns)


def format_duration(duration_ns: int) -> str:
    """Writes a duration as people do: ``1h 30m``."""
    parts = []
    for size, name, plural in _FORMAT_UNITS:
        count, duration_ns = divmod(duration_ns, size)
        if count:
            parts.append(f"{count}{name if count == 1 else plural}")
    return " ".join(parts) or "0s"


# --- cron -------------------------------------------------------------------------------------

_CRON_HINT = (
    "write 5 fields (minute hour day month weekday), 6 (second first) or 7 (year last), such as "
    "'*/5 * * * *' or '0 */5 * * * *'; weekdays are 0-7 with Sunday as 0 or 7, or names"
)
# It is taken apart for each tick, on the event loop.
_CRON_CHARACTERS_MAX = 1024
_SHORTHANDS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_LONG_NAMES = re.compile(
    r"\b(january|february|march|april|june|july|august|september|sept|october|november|december|"
    r"sunday|monday|tuesday|tues|wednesday|thursday|thurs|thur|friday|saturday)\b"
)


def _parse_cron(text: str, expression: str, now_ns: int) -> Cron:
    fields = expression.split()
    expression = " ".join(fields)
    if len(expression) > _CRON_CHARACTERS_MAX and now_ns != ACCEPTED_BEFORE:
        raise _refusal(text, "cron expression is too long", _CRON_HINT)
    lowered = expression.lower()
    if lowered.startswith("@"):
        if lowered not in _SHORTHANDS:
            raise _refusal(text, f"unknown cron shorthand {expression}", _CRON_HINT)
    elif len(fields) not in (5, 6, 7):
        raise _refusal(text, f"cron expression has {len(fields)} fields", _CRON_HINT)
    # H (hashed) and R (random) would mean another schedule after every restart.
    elif any(part[:1] in "hr" for field in lowered.split() for part in field.split(",") if part):
        raise _refusal(text, "H and R fields are not supported", _CRON_HINT)
    try:
        first_ns = _next_cron_time(expression, now_ns)
    except (ValueError, KeyError, TypeError) as error:
        raise _refusal(text, f"invalid cron expression: {error}", _CRON_HINT) from error
    # An accepted one may be over by now, and the search ends after 50 years.
    if first_ns is None and now_ns != ACCEPTED_BEFORE:
        raise _refusal(
            text,
            "cron schedule never triggers",
            "check that the day exists in the month, and that the year is neither over nor more "
            "than 50 years ahead",
        )
    return Cron(lowered if lowered.startswith("@") else expression)


def _next_cron_time(expression: str, after_ns: int) -> int | None:
    from croniter import CroniterBadDateError

    start = datetime.fromtimestamp(after_ns // NS_PER_SECOND, tz=UTC)
    try:
        tick: datetime = _croniter(expression, start).get_next(datetime)
    except (CroniterBadDateError, OverflowError):
        return None
    return int(tick.timestamp()) * NS_PER_SECOND


def _croniter(expression: str, start: datetime) -> Any:
    from croniter import croniter  # 60 ms to import, and most processes never schedule

    short_names = _LONG_NAMES.sub(lambda name: name[0][:3], expression.lower())
    # Plain crontab (5 fields) fires when day of month OR weekday match; with a seconds field the
    # reference's rule holds, which wants both.
    is_crontab = len(short_names.split()) <= 5
    return croniter(short_names, start, day_or=is_crontab, second_at_beginning=True)
