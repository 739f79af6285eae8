# Owns the translation of those functions that need more than another name in DuckDB. One method per
# function; its arguments are translated already.
"""Translation of function calls."""

import functools
from collections.abc import Callable

from sqlglot import exp

from engine.errors import QueryError, QueryNotSupportedError
from engine.query import patterns
from engine.query.functions import INTERNAL, ON_DOUBLES, PLAIN
from engine.query.kinds import ARROW_NAME_OF_KIND, Kind
from engine.query.literals import Interval, names_zone, parse_interval
from engine.query.operators import Operators, call, cast, raw
from engine.query.template import Slot, SlotKind
from engine.query.time_formats import ISO, input_formats, output_pieces
from engine.query.zones import UTC, arrow_timestamp, fixed_offset_s, zone_name

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

_ARROW_TYPES = {
    "Int8": "TINYINT",
    "Int16": "SMALLINT",
    "Int32": "INT",
    "Int64": "BIGINT",
    "UInt8": "UTINYINT",
    "UInt16": "USMALLINT",
    "UInt32": "UINTEGER",
    "UInt64": "UBIGINT",
    "Float32": "REAL",
    "Float64": "DOUBLE",
    "Utf8": "VARCHAR",
    "LargeUtf8": "VARCHAR",
    "Utf8View": "VARCHAR",
    "Dictionary(Int32, Utf8)": "VARCHAR",
    "Boolean": "BOOLEAN",
    "Date32": "DATE",
    "Interval(MonthDayNano)": "INTERVAL",
}
# By what clocks are set back in autumn, nearly everywhere.
_CLOCK_STEP_NS = 3_600_000_000_000
_WITH_NULLS: dict[str, type[exp.Func]] = {
    "first_value": exp.FirstValue,
    "last_value": exp.LastValue,
    "nth_value": exp.NthValue,
    "lag": exp.Lag,
    "lead": exp.Lead,
}
_UNITS_NS = {
    "to_timestamp": 1,
    "to_timestamp_seconds": 1_000_000_000,
    "from_unixtime": 1_000_000_000,
    "to_timestamp_millis": 1_000_000,
    "to_timestamp_micros": 1_000,
    "to_timestamp_nanos": 1,
}


def is_windowed(node: exp.Expr) -> bool:
    """Whether a call is the function of an ``OVER`` clause."""
    parent = node.parent
    while isinstance(parent, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        node, parent = parent, parent.parent
    return isinstance(parent, exp.Window) and parent.this is node


class Calls:
    """Translates the function calls of one query."""

    def __init__(self, operators: Operators) -> None:
        self._operators = operators
        self._methods: dict[str, Callable[..., exp.Expr]] = {
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
            "nth_value": self._nth_value,
            "median": self._median,
            "approx_median": self._approx_median,
            "approx_percentile_cont": self._approx_percentile,
            "approx_distinct": self._approx_distinct,
            "arrow_cast": self._arrow_cast,
            "arrow_typeof": self._arrow_typeof,
            "regexp_count": patterns.count,
            "regexp_instr": patterns.position,
            "regexp_like": patterns.like,
            "regexp_match": patterns.matched,
            "regexp_replace": patterns.replaced,
            "to_hex": lambda value: call("lower", call("to_hex", value)),
            "encode": functools.partial(_coded, {"base64": "base64", "hex": "hex"}),
            "decode": functools.partial(_coded, {"base64": "unbase64", "hex": "unhex"}),
            "digest": _digest,
            "repeat": lambda text, count: call("headrace_repeat", text, count),
            "lpad": functools.partial(_padded, "lpad"),
            "rpad": functools.partial(_padded, "rpad"),
            "log": _log,
            "power": self._power,
            "pow": self._power,
            "nvl2": lambda value, known, missing: call("headrace_nvl2", value, known, missing),
            "string_to_array": _split,
            "string_to_list": _split,
            "named_struct": _named_struct,
            "get_field": lambda struct, name: call("struct_extract", struct, name),
            "headrace_interpolated": self._interpolated,
            **dict.fromkeys(("array_sort", "list_sort"), _sorted),
            **dict.fromkeys(
                ("array_to_string", "array_join", "list_to_string", "list_join"), _joined
            ),
        }

    def translate(self, node: exp.Anonymous) -> exp.Expr:
        """What takes the place of a call.

        Raises:
            QueryError: The arguments do not fit the function.
        """
        name = node.name.lower()
        arguments = node.expressions
        if name in INTERNAL:
            return node
        if name in PLAIN:
            if name in ON_DOUBLES and arguments:
                node.set("expressions", [cast(arguments[0], "DOUBLE"), *arguments[1:]])
            node.set("this", PLAIN[name].name)
            return node
        if name in ("first_value", "last_value") or (name == "nth_value" and is_windowed(node)):
            node.set("this", name if is_windowed(node) else name.removesuffix("_value"))
            return node
        if name in _UNITS_NS:
            return self._to_timestamp(name, *arguments)
        if name.startswith("selector_"):
            return self._selector(node)
        try:
            return self._methods[name](*arguments)
        except TypeError as error:
            raise QueryError(
                f"Error during planning: {name} does not take {len(arguments)} arguments"
            ) from error

    # -- time -------------------------------------------------------------------------------------

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
            return call("headrace_bin", bound, time, start)
        span = self.span(width, "date_bin")
        if span.months:
            return call("headrace_bin_months", raw(f"{span.months:d}"), time, start)
        return call("headrace_bin", raw(f"{span.nanoseconds:d}"), time, start)

    def span(self, width: exp.Expr, function: str) -> Interval:
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
        span = self.span(width, "date_bin_wallclock")
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

    # -- aggregates -------------------------------------------------------------------------------

    def _nth_value(self, value: exp.Expr, number: exp.Expr) -> exp.Expr:
        # Outside of a window. The order stands behind the last argument.
        if isinstance(number, exp.Order):
            value = exp.Order(this=value, expressions=number.expressions)
            number = number.this
        return call("list_extract", call("array_agg", value), number)

    def _like_argument(self, made: exp.Expr, value: exp.Expr) -> exp.Expr:
        """A middle of whole numbers is a whole number, cut off."""
        if self._operators.kind(value).is_whole:
            return cast(call("trunc", made), "BIGINT")
        return made

    def _median(self, value: exp.Expr) -> exp.Expr:
        return self._like_argument(call("median", value), value)

    def _approx_median(self, value: exp.Expr) -> exp.Expr:
        return self._approx_percentile(value, raw("0.5"))

    def _approx_percentile(
        self,
        value: exp.Expr,
        share: exp.Expr,
        _centroids: exp.Expr | None = None,
    ) -> exp.Expr:
        self._operators.adapt(share, Kind.FLOAT)
        made = call("approx_quantile", cast(value, "DOUBLE"), cast(share, "REAL"))
        return self._like_argument(made, value)

    def _interpolated(self, value: exp.Expr, *points: exp.Expr) -> exp.Expr:
        is_whole = self._operators.kind(value).is_whole
        name = "headrace_interpolated_whole" if is_whole else "headrace_interpolated"
        return call(name, value, *points)

    def _approx_distinct(self, value: exp.Expr) -> exp.Expr:
        # DuckDB's sketch is coarse on small sets, where the reference's is practically exact.
        return call("count", exp.Distinct(expressions=[value]))

    def within_group(self, node: exp.WithinGroup) -> exp.Expr:
        """``percentile(share) WITHIN GROUP (ORDER BY value)``."""
        function, order = node.this, node.expression
        name = function.name.lower()
        known = {
            "approx_percentile_cont": "approx_quantile",
            "quantile_cont": "quantile_cont",
            "percentile_cont": "quantile_cont",
        }
        fits = isinstance(order, exp.Order) and len(order.expressions) == 1 and function.expressions
        if name not in known or not fits:
            raise QueryNotSupportedError(f"{name} with WITHIN GROUP is not supported")
        ordered, share = order.expressions[0], function.expressions[0]
        if ordered.args.get("desc"):
            share = exp.Sub(this=raw("1"), expression=exp.paren(share, copy=False))
        if known[name] == "approx_quantile":
            share = cast(share, "REAL")
        made = call(known[name], cast(ordered.this, "DOUBLE"), share)
        return self._like_argument(made, ordered.this) if name.startswith("approx") else made

    def ignore_nulls(self, node: exp.IgnoreNulls) -> exp.Expr:
        """``first_value(x ORDER BY t) IGNORE NULLS`` in a window or outside of one."""
        function = node.this
        if not isinstance(function, exp.Anonymous):
            raise QueryError("Error during planning: IGNORE NULLS needs a function before it")
        if is_windowed(node):
            # Only behind functions that it knows does the library write IGNORE NULLS.
            made = _WITH_NULLS.get(function.name.lower())
            if made is None:
                raise QueryNotSupportedError(f"IGNORE NULLS of {function.name} is not supported")
            names = [name for name in made.arg_types if name in ("this", "offset", "default")]
            node.set("this", made(**dict(zip(names, function.expressions, strict=False))))
            return node
        value = function.expressions[0]
        value = value.this if isinstance(value, exp.Order) else value
        return self._where_known(function, value)

    def _selector(self, node: exp.Anonymous) -> exp.Expr:
        if isinstance(node.parent, exp.Bracket):
            return node  # the bracket takes one half of it
        return call("headrace_selected", self.selected(node, "value"), self.selected(node, "time"))

    def selected(self, node: exp.Anonymous, half: str) -> exp.Expr:
        """The ``value`` or the ``time`` of a selector."""
        if len(node.expressions) != 2 or half not in ("value", "time"):
            raise QueryError(
                f"Error during planning: use {node.name}(field, time)['value'] or ['time']"
            )
        value, time = (self._operators.copied(part) for part in node.expressions)
        which = node.name.lower().removeprefix("selector_")
        if half == "value":
            if which in ("min", "max"):
                return call(which, value)
            return call("arg_min" if which == "first" else "arg_max", value, time)
        if which in ("first", "last"):
            return self._where_known(call("min" if which == "first" else "max", time), value)
        # Of several equal extremes the earliest counts.
        if which == "min":
            return self._where_known(
                call("arg_min", time, call("row", value, self._operators.copied(time))), value
            )
        later = exp.Neg(this=call("epoch_ns", self._operators.copied(time)))
        return self._where_known(call("arg_max", time, call("row", value, later)), value)

    def _where_known(self, aggregate: exp.Expr, value: exp.Expr) -> exp.Filter:
        copied = exp.paren(self._operators.copied(value), copy=False)
        known = exp.Not(this=exp.Is(this=copied, expression=exp.Null()))
        return exp.Filter(this=aggregate, expression=exp.Where(this=known))

    # -- types and text ---------------------------------------------------------------------------

    def _arrow_cast(self, value: exp.Expr, type_name: exp.Expr) -> exp.Expr:
        name = type_name.name
        unit_ns, zone = arrow_timestamp(name)
        if unit_ns:
            has_zone = self._operators.zone(value) is not None
            bare = value.unnest()
            if isinstance(bare, exp.Literal) and bare.is_string:
                has_zone = names_zone(bare.name)
            is_clock = zone and not has_zone and not self._operators.kind(value).is_number
            time = self._operators.to_time(value, unit_ns)
            return self._operators.instant(time, zone) if is_clock else time
        duckdb_type = _ARROW_TYPES.get(name)
        if duckdb_type is None or not isinstance(type_name, exp.Literal):
            raise QueryNotSupportedError(f"arrow_cast to '{name}' is not supported")
        return self._operators.cast(cast(value, duckdb_type))

    def _arrow_typeof(self, value: exp.Expr) -> exp.Expr:
        zone = self._operators.zone(value)
        if zone is not None:
            return exp.Literal.string(f'Timestamp(ns, "{zone}")')
        name = ARROW_NAME_OF_KIND.get(self._operators.kind(value))
        if name is None:
            return call("headrace_typeof", value)
        return exp.Literal.string(name)

    def _power(self, base: exp.Expr, exponent: exp.Expr) -> exp.Expr:
        operators = self._operators
        made = call("pow", base, exponent)
        if operators.kind(base).is_whole and operators.kind(exponent).is_whole:
            return cast(call("trunc", made), "BIGINT")
        return made


def _padded(name: str, text: exp.Expr, length: exp.Expr, fill: exp.Expr | None = None) -> exp.Expr:
    length = call("headrace_text_length", length)
    return call(name, text, length, exp.Literal.string(" ") if fill is None else fill)


def _coded(known: dict[str, str], value: exp.Expr, name: exp.Expr) -> exp.Expr:
    coding = known.get(name.name.lower())
    if coding is None:
        raise QueryError("Error during planning: the encoding is 'base64' or 'hex'")
    return call(coding if coding == "unhex" else f"headrace_{coding}", value)


def _digest(value: exp.Expr, algorithm: exp.Expr) -> exp.Expr:
    if algorithm.name.lower() not in ("md5", "sha256"):
        raise QueryNotSupportedError(f"digest by '{algorithm.name}' is not supported: md5, sha256")
    return call(algorithm.name.lower(), value)


def _log(first: exp.Expr, second: exp.Expr | None = None) -> exp.Expr:
    if second is None:
        return call("headrace_log10", first)
    return call("headrace_log", first, second)


def _split(text: exp.Expr, delimiter: exp.Expr, missing: exp.Expr | None = None) -> exp.Expr:
    if missing is None:
        return call("headrace_string_to_array", text, delimiter)
    return call("headrace_string_to_array_null", text, delimiter, missing)


def _joined(values: exp.Expr, delimiter: exp.Expr, missing: exp.Expr | None = None) -> exp.Expr:
    if missing is None:
        return call("headrace_joined", values, delimiter)
    return call("headrace_joined_null", values, delimiter, missing)


def _sorted(values: exp.Expr, *orders: exp.Expr) -> exp.Expr:
    if not orders:
        return call("headrace_sorted", values)
    words = [one.name.upper() for one in orders]
    allowed = (("ASC", "DESC"), ("NULLS FIRST", "NULLS LAST"))
    if len(words) > 2 or any(
        word not in known for word, known in zip(words, allowed, strict=False)
    ):
        raise QueryError(
            "Error during planning: array_sort takes 'ASC' or 'DESC', then 'NULLS FIRST' or "
            "'NULLS LAST'"
        )
    words = [*words, "NULLS FIRST"][:2]
    return call("list_sort", values, *(exp.Literal.string(word) for word in words))


def _named_struct(*parts: exp.Expr) -> exp.Expr:
    names, values = parts[::2], parts[1::2]
    if not parts or len(parts) % 2 or not all(isinstance(name, exp.Literal) for name in names):
        raise QueryError("Error during planning: named_struct takes pairs of a name and a value")
    pairs = [
        exp.PropertyEQ(this=exp.to_identifier(name.name, quoted=True), expression=value)
        for name, value in zip(names, values, strict=True)
    ]
    return exp.Struct(expressions=pairs)
