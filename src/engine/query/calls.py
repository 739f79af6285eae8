# Owns the translation of those functions, but for those of time, that need more than another name
# in DuckDB. One method per function; its arguments are translated already.
"""Translation of function calls."""

import functools
from collections.abc import Callable

from sqlglot import exp

from engine.errors import QueryError, QueryNotSupportedError
from engine.query import patterns
from engine.query.functions import INTERNAL, ON_DOUBLES, PLAIN
from engine.query.kinds import ARROW_NAME_OF_KIND, Kind
from engine.query.literals import names_zone
from engine.query.operators import Operators, call, cast, raw
from engine.query.time_calls import TimeCalls
from engine.query.zones import arrow_timestamp

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
_WITH_NULLS: dict[str, type[exp.Func]] = {
    "first_value": exp.FirstValue,
    "last_value": exp.LastValue,
    "nth_value": exp.NthValue,
    "lag": exp.Lag,
    "lead": exp.Lead,
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
        self.times = TimeCalls(operators)
        self._methods: dict[str, Callable[..., exp.Expr]] = {
            **self.times.methods,
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
        if name.startswith("selector_"):
            return self._selector(node)
        try:
            return self._methods[name](*arguments)
        except TypeError as error:
            raise QueryError(
                f"Error during planning: {name} does not take {len(arguments)} arguments"
            ) from error

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
