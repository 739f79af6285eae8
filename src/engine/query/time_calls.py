# Owns the translation of those functions of time that need more than another name in DuckDB. One
# method per function; its arguments are translated already.
"""Translation of the functions of time."""

import functools
from collections.abc import Callable

from sqlglot import exp

from engine.errors import QueryError, QueryNotSupportedError
from engine.query.kinds import Kind
from engine.query.literals import Interval, names_zone, parse_interval
from engine.query.operators import Operators, call, cast, raw
from engine.query.slots import Slot, SlotKind
from engine.query.time_formats import ISO, input_formats, output_pieces
from engine.query.zones import UTC, fixed_offset_s, zone_name

_TRUNC_UNITS = frozenset(
    (
        "microsecond",
        "millisecond",
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "quarter",
        "year",
    )
)
_PART_UNITS = _TRUNC_UNITS | frozenset(
    ("epoch", "dow", "isodow", "doy", "nanosecond", "decade", "century")
)
# By what clocks are set back in autumn, nearly everywhere.
_CLOCK_STEP_NS = 3_600_000_000_000
# Functions that make a time of a number, by nanoseconds of its unit.
_UNITS_NS = {
    "to_timestamp": 1,
    "to_timestamp_seconds": 1_000_000_000,
    "from_unixtime": 1_000_000_000,
    "to_timestamp_millis": 1_000_000,
    "to_timestamp_micros": 1_000,
    "to_timestamp_nanos": 1,
}


class TimeCalls:
    """Translates the calls of functions of time in one query."""

    def __init__(self, operators: Operators) -> None:
        self._operators = operators
        # By the name of the function.
        self.methods: dict[str, Callable[..., exp.Expr]] = {
            "now": self._now,
            "current_timestamp": self._now,
            "current_date": self._today,
            "today": self._today,
            "current_time": lambda: cast(call("headrace_us", self._now()), "TIME"),
            "date_bin": self._date_bin,
            "date_bin_wallclock": self._date_bin_wallclock,
            "date_trunc": self._date_trunc,
            "datetrunc": self._date_trunc,
            "date_part": self.date_part,
            "datepart": self.date_part,
            "tz": self._tz,
            "to_local_time": operators.clock,
            "to_char": self._to_char,
            "date_format": self._to_char,
            "to_date": self._to_date,
            "to_unixtime": self._to_unixtime,
            **{name: functools.partial(self._to_timestamp, name) for name in _UNITS_NS},
        }

    def _now(self) -> exp.Expr:
        return self._operators.slot(Slot(kind=SlotKind.NOW), Kind.TIME)

    def _today(self) -> exp.Expr:
        return cast(call("headrace_us", self._now()), "DATE")

    def _date_bin(
        self, width: exp.Expr, time: exp.Expr, origin: exp.Expr | None = None
    ) -> exp.Expr:
        operators = self._operators
        time = operators.to_time(time)
        start = raw("make_timestamp_ns(0)") if origin is None else operators.to_time(origin)
        bound = operators.width(width)
        if bound is not None:
            return _bin(bound, time, start)
        span = self._span(width, "date_bin")
        if span.months:
            return call("headrace_bin_months", raw(f"{span.months:d}"), time, start)
        return _bin(raw(f"{span.nanoseconds:d}"), time, start)

    def _span(self, width: exp.Expr, function: str) -> Interval:
        """The constant interval that is the width of a bin.

        Raises:
            QueryError: It is none, or not positive.
        """
        if isinstance(width, exp.Literal) and width.is_string:
            span = parse_interval(width.name)
        else:
            span = self._operators.constant_interval(width)
        if span is None:
            raise QueryError(f"Error during planning: {function} needs a constant interval")
        if span.months and span.nanoseconds:
            raise QueryNotSupportedError(f"{function} with months and days mixed is not supported")
        if span.months <= 0 and span.nanoseconds <= 0:
            raise QueryError(f"Error during planning: the interval of {function} must be positive")
        return span

    def _date_bin_wallclock(
        self, width: exp.Expr, time: exp.Expr, origin: exp.Expr | None = None
    ) -> exp.Expr:
        span = self._span(width, "date_bin_wallclock")
        if span.months:
            raise QueryNotSupportedError("date_bin_wallclock does not support months")
        zone = self._operators.zone(time) or UTC
        if fixed_offset_s(zone) == 0:
            return self._date_bin(width, time, origin)
        start: exp.Expr = raw("make_timestamp_ns(0)")
        if origin is not None:
            start = self._operators.to_time(origin)
        ns, time = raw(f"{span.nanoseconds:d}"), self._operators.to_time(time)
        offset_s = fixed_offset_s(zone)
        if offset_s is not None:
            start = self._operators.moved(start, -offset_s * 1_000_000_000)
            return call("headrace_bin", ns, time, start)
        # An hour that comes twice a year is told apart only by bins that fit into it.
        is_narrow = span.nanoseconds <= _CLOCK_STEP_NS
        name = "headrace_bin_narrow" if is_narrow else "headrace_bin_wide"
        return call(name, ns, time, start, exp.Literal.string(zone))

    def _date_trunc(self, unit: exp.Expr, time: exp.Expr) -> exp.Expr:
        name = self._unit(unit, _TRUNC_UNITS)
        zone = self._operators.zone(time)
        micros = call("headrace_us", self._operators.clock(time))
        made = cast(call("date_trunc", exp.Literal.string(name), micros), "TIMESTAMP_NS")
        return self._operators.instant(made, zone)

    def date_part(self, unit: exp.Expr, time: exp.Expr) -> exp.Expr:
        """``date_part('unit', time)`` and ``EXTRACT(unit FROM time)``."""
        name = self._unit(unit, _PART_UNITS)
        text = exp.Literal.string(name)
        if self._operators.kind(time) is Kind.INTERVAL:
            return call("date_part", text, time)
        time = self._operators.to_time(time) if name == "epoch" else self._operators.clock(time)
        if name == "nanosecond":
            return call("nanosecond", time)
        return call("date_part", text, call("headrace_us", time))

    @staticmethod
    def _unit(node: exp.Expr, allowed: frozenset[str]) -> str:
        name = node.name.lower().removesuffix("s") if node.name else ""
        if not isinstance(node, (exp.Literal, exp.Var)) or name not in allowed:
            raise QueryError(f"Error during planning: unknown unit of time '{node.name}'")
        return name

    def _to_unixtime(self, time: exp.Expr, *formats: exp.Expr) -> exp.Expr:
        if formats:
            return call("headrace_seconds", self._parsed(time, formats))
        if self._operators.kind(time).is_number and not isinstance(time, exp.Literal):
            return cast(call("trunc", cast(time, "DOUBLE")), "BIGINT")
        return call("headrace_seconds", self._operators.to_time(time))

    def _to_timestamp(self, name: str, value: exp.Expr, *formats: exp.Expr) -> exp.Expr:
        unit_ns = _UNITS_NS[name]
        if formats:
            if name == "from_unixtime":
                return self._tz(self._operators.to_time(value, unit_ns), *formats)
            time = self._parsed(value, formats)
        else:
            if name == "to_timestamp" and self._operators.kind(value) is Kind.FLOAT:
                raise QueryError(
                    "Error during planning: to_timestamp takes whole nanoseconds, times and texts",
                    hint="use to_timestamp_seconds for seconds",
                )
            is_exact = self._operators.kind(value).is_number or unit_ns == 1
            time = self._operators.to_time(value, unit_ns)
            if is_exact or name == "from_unixtime":
                return time
        if unit_ns == 1 or name == "to_timestamp":
            return time
        return call("headrace_bin", raw(f"{unit_ns:d}"), time, raw("make_timestamp_ns(0)"))

    def _parsed(self, text: exp.Expr, formats: tuple[exp.Expr, ...]) -> exp.Expr:
        if not all(isinstance(one, exp.Literal) and one.is_string for one in formats):
            raise QueryNotSupportedError("formats of time must be constant texts")
        # One after the other: among several formats strptime settles for microseconds.
        found: list[exp.Expr] = []
        for one in formats:
            if one.name == ISO:
                parsed = call("headrace_parse_time", self._operators.copied(text))
                found.append(call("try", parsed))
                continue
            for made in input_formats(one.name):
                copied = self._operators.copied(text)
                parsed = call("try_strptime", copied, exp.Literal.string(made))
                found.append(cast(parsed, "TIMESTAMP_NS"))
        return call("coalesce", *found, call("headrace_not_parsed", text))

    def _to_date(self, value: exp.Expr, *formats: exp.Expr) -> exp.Expr:
        if formats:
            return cast(call("headrace_us", self._parsed(value, formats)), "DATE")
        if self._operators.kind(value).is_number:
            days = call("to_days", cast(value, "INTEGER"))
            return cast(exp.Add(this=raw("DATE '1970-01-01'"), expression=days), "DATE")
        return cast(call("headrace_us", self._operators.to_time(value)), "DATE")

    def _to_char(self, time: exp.Expr, pattern: exp.Expr) -> exp.Expr:
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            raise QueryNotSupportedError("the format of to_char must be a constant text")
        time = self._operators.clock(time)
        parts: list[exp.Expr] = []
        for piece in output_pieces(pattern.name):
            text = exp.Literal.string(piece.text)
            part = call("strftime", self._operators.copied(time), text)
            if piece.is_padded:
                part = call("lpad", part, raw("2"), exp.Literal.string(" "))
            parts.append(part)
        return call("concat", *(parts or [exp.Literal.string("")]))

    def _tz(self, time: exp.Expr, zone: exp.Expr | None = None) -> exp.Expr:
        if zone is not None:
            zone_name(zone, "tz")
        return self._operators.to_time(time)

    def at_time_zone(self, node: exp.AtTimeZone) -> exp.Expr:
        """``time AT TIME ZONE 'zone'``: a time without zone is taken for the clock of the zone."""
        zone = zone_name(node.args["zone"], "AT TIME ZONE")
        bare = node.this.unnest()
        has_zone = self._operators.zone(node.this) is not None
        if isinstance(bare, exp.Literal) and bare.is_string:
            has_zone = names_zone(bare.name)
        time = self._operators.to_time(node.this)
        return time if has_zone else self._operators.instant(time, zone)


def _bin(width: exp.Expr, time: exp.Expr, start: exp.Expr) -> exp.Expr:
    name = "headrace_bin_column" if isinstance(time, exp.Column) else "headrace_bin"
    return call(name, width, time, start)
