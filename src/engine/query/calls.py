# Owns the translation of those functions that need more than another name in DuckDB. One method per
# function; its arguments are translated already.
"""Translation of function calls."""

import functools
import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from engine.errors import QueryError, QueryNotSupportedError
from engine.query.functions import PLAIN
from engine.query.kinds import ARROW_NAME_OF_KIND, Kind
from engine.query.literals import parse_interval
from engine.query.operators import Operators, call, cast, raw
from engine.query.template import Slot, SlotKind

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
_GROUP = re.compile(r"\$\{?(\d)\}?")
_UNITS_NS = {
    "to_timestamp": 1_000_000_000,
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
            "date_bin": self._date_bin,
            "date_trunc": self._date_trunc,
            "datetrunc": self._date_trunc,
            "date_part": self.date_part,
            "datepart": self.date_part,
            "to_unixtime": self._to_unixtime,
            "approx_median": self._approx_median,
            "approx_percentile_cont": self._approx_percentile,
            "approx_distinct": self._approx_distinct,
            "arrow_cast": self._arrow_cast,
            "arrow_typeof": self._arrow_typeof,
            "regexp_count": self._regexp_count,
            "regexp_replace": self._regexp_replace,
            "to_hex": self._to_hex,
            "repeat": lambda text, count: call("headrace_repeat", text, count),
            "lpad": functools.partial(_padded, "lpad"),
            "rpad": functools.partial(_padded, "rpad"),
        }

    def translate(self, node: exp.Anonymous) -> exp.Expr:
        """What takes the place of a call.

        Raises:
            QueryError: The arguments do not fit the function.
        """
        name = node.name.lower()
        arguments = node.expressions
        if name in PLAIN:
            node.set("this", PLAIN[name].name)
            return node
        if name in ("first_value", "last_value"):
            windowed = is_windowed(node)
            node.set("this", name if windowed else name.removesuffix("_value"))
            return node
        if name in _UNITS_NS:
            if len(arguments) != 1:
                raise QueryNotSupportedError(f"{name} with a format is not supported yet")
            return self._operators.to_time(arguments[0], _UNITS_NS[name])
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
        if isinstance(width, exp.Literal) and width.is_string:
            span = parse_interval(width.name)
        else:
            span = operators.constant_interval(width)
        time = operators.to_time(time)
        start = raw("make_timestamp_ns(0)") if origin is None else operators.to_time(origin)
        bound = operators.width(width)
        if bound is not None:
            return call("headrace_bin", bound, time, start)
        if span is None:
            raise QueryError("Error during planning: date_bin needs a constant interval")
        if span.months and span.nanoseconds:
            raise QueryNotSupportedError("date_bin with months and days mixed is not supported")
        if span.months > 0:
            return call("headrace_bin_months", raw(f"{span.months:d}"), time, start)
        if span.nanoseconds <= 0:
            raise QueryError("Error during planning: the interval of date_bin must be positive")
        return call("headrace_bin", raw(f"{span.nanoseconds:d}"), time, start)

    def _date_trunc(self, unit: exp.Expr, time: exp.Expr) -> exp.Expr:
        name = self._unit(unit, _TRUNC_UNITS)
        micros = call("headrace_us", self._operators.to_time(time))
        return cast(call("date_trunc", exp.Literal.string(name), micros), "TIMESTAMP_NS")

    def date_part(self, unit: exp.Expr, time: exp.Expr) -> exp.Expr:
        """``date_part('unit', time)`` and ``EXTRACT(unit FROM time)``."""
        name = self._unit(unit, _PART_UNITS)
        text = exp.Literal.string(name)
        if self._operators.kind(time) is Kind.INTERVAL:
            return call("date_part", text, time)
        time = self._operators.to_time(time)
        if name == "nanosecond":
            return call("headrace_nanosecond", time)
        return call("date_part", text, call("headrace_us", time))

    @staticmethod
    def _unit(node: exp.Expr, allowed: frozenset[str]) -> str:
        name = node.name.lower().removesuffix("s") if node.name else ""
        if not isinstance(node, (exp.Literal, exp.Var)) or name not in allowed:
            raise QueryError(f"Error during planning: unknown unit of time '{node.name}'")
        return name

    def _to_unixtime(self, time: exp.Expr) -> exp.Expr:
        return call("headrace_seconds", self._operators.to_time(time))

    # -- aggregates -------------------------------------------------------------------------------

    def _approx_median(self, value: exp.Expr) -> exp.Expr:
        return call("approx_quantile", cast(value, "DOUBLE"), cast(raw("0.5"), "REAL"))

    def _approx_percentile(
        self,
        value: exp.Expr,
        share: exp.Expr,
        _centroids: exp.Expr | None = None,
    ) -> exp.Expr:
        self._operators.adapt(share, Kind.FLOAT)
        return call("approx_quantile", cast(value, "DOUBLE"), cast(share, "REAL"))

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
        return call(known[name], cast(ordered.this, "DOUBLE"), share)

    def ignore_nulls(self, node: exp.IgnoreNulls) -> exp.Expr:
        """``first_value(x ORDER BY t) IGNORE NULLS`` outside of a window."""
        function = node.this
        if is_windowed(node) or not isinstance(function, exp.Anonymous):
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
            return self._where_known(call("arg_min", time, call("row", value, self._operators.copied(time))), value)
        later = exp.Neg(this=call("epoch_ns", self._operators.copied(time)))
        return self._where_known(call("arg_max", time, call("row", value, later)), value)

    def _where_known(self, aggregate: exp.Expr, value: exp.Expr) -> exp.Filter:
        copied = exp.paren(self._operators.copied(value), copy=False)
        known = exp.Not(this=exp.Is(this=copied, expression=exp.Null()))
        return exp.Filter(this=aggregate, expression=exp.Where(this=known))

    # -- types and text ---------------------------------------------------------------------------

    def _arrow_cast(self, value: exp.Expr, type_name: exp.Expr) -> exp.Expr:
        name = type_name.name
        if name.startswith("Timestamp(") and _is_nanoseconds(name):
            return self._operators.to_time(value)
        duckdb_type = _ARROW_TYPES.get(name)
        if duckdb_type is None or not isinstance(type_name, exp.Literal):
            raise QueryNotSupportedError(f"arrow_cast to '{name}' is not supported")
        return self._operators.cast(cast(value, duckdb_type))

    def _arrow_typeof(self, value: exp.Expr) -> exp.Expr:
        name = ARROW_NAME_OF_KIND.get(self._operators.kind(value))
        if name is None:
            return call("headrace_typeof", value)
        return exp.Literal.string(name)

    def _regexp_count(self, text: exp.Expr, pattern: exp.Expr) -> exp.Expr:
        return call("len", call("regexp_extract_all", text, pattern))

    def _regexp_replace(
        self, text: exp.Expr, pattern: exp.Expr, new: exp.Expr, flags: exp.Expr | None = None
    ) -> exp.Expr:
        if isinstance(new, exp.Literal):
            # Both $1 and \1 name a group for users, only the latter does for DuckDB.
            new = exp.Literal.string(_GROUP.sub(r"\\1", new.name))
        arguments = [text, pattern, new] if flags is None else [text, pattern, new, flags]
        return call("regexp_replace", *arguments)

    def _to_hex(self, value: exp.Expr) -> exp.Expr:
        return call("lower", call("to_hex", value))


def _is_nanoseconds(name: str) -> bool:
    inner: Any = name.removeprefix("Timestamp(").removesuffix(")")
    unit, _, zone = inner.partition(",")
    return unit.strip() in ("ns", "Nanosecond") and zone.strip() in ("", "None")


def _padded(name: str, text: exp.Expr, length: exp.Expr, fill: exp.Expr | None = None) -> exp.Expr:
    length = call("headrace_text_length", length)
    return call(name, text, length, exp.Literal.string(" ") if fill is None else fill)
