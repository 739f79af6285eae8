# Owns InfluxQL's functions: which there are, and those that are computed here rather than in SQL.
# All take values in the order of time, with None where there is none.
"""Functions of InfluxQL."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from engine.errors import QueryError

Values = list[Any]

# Aggregates and how SQL computes them from the column in {0}.
SQL_AGGREGATES = {
    # What the count of an interval without values is, depends on what is filled in.
    "count": "nullif(count({0}), 0)",
    "sum": "sum({0})",
    "mean": "avg({0})",
    "median": "median(CAST({0} AS DOUBLE))",
    # A single value has none, which is another thing than an interval without values.
    "stddev": "CASE WHEN count({0}) = 1 THEN CAST('NaN' AS DOUBLE) ELSE stddev({0}) END",
    "spread": "(max({0}) - min({0}))",
    "min": "min({0})",
    "max": "max({0})",
    "first": "selector_first({0}, time)['value']",
    "last": "selector_last({0}, time)['value']",
}
# Of these a row of the table is the answer: it has a time, and other columns.
SELECTORS = {
    "min": "{0} ASC, time",
    "max": "{0} DESC, time",
    "first": "time",
    "last": "time DESC",
}
# Work on text and truth values too.
ANY_TYPE = frozenset({"count", "first", "last", "mode", "distinct", "elapsed", "sample"})
# Computed from all values of a group.
LIST_AGGREGATES = frozenset({"percentile", "mode", "integral"})
# The same, with any number of rows as the answer.
MULTI_ROW = frozenset({"distinct", "top", "bottom", "sample"})
# Give values of rows, so that other columns of these can stand beside them.
ROW_PICKERS = frozenset({*SELECTORS, "percentile", "top", "bottom", "sample"})
AGGREGATES = frozenset({*SQL_AGGREGATES, *LIST_AGGREGATES, *MULTI_ROW})
# From row to row of a series.
TRANSFORMATIONS = frozenset(
    {"derivative", "non_negative_derivative", "difference", "non_negative_difference"}
    | {"cumulative_sum", "moving_average", "elapsed"}
)
NOT_SUPPORTED = frozenset(
    {"holt_winters", "holt_winters_with_fit", "histogram", "chande_momentum_oscillator"}
    | {"exponential_moving_average", "double_exponential_moving_average"}
    | {"triple_exponential_moving_average", "triple_exponential_derivative"}
    | {"relative_strength_index", "kaufmans_efficiency_ratio", "kaufmans_adaptive_moving_average"}
)

_SECOND_NS = 1_000_000_000


def _logarithm(value: float, base: float) -> float:
    return math.log(value) / math.log(base)


# Functions of single values: name, and how many arguments.
MATH: dict[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, abs),
    "ceil": (1, math.ceil),
    "floor": (1, math.floor),
    # Away from zero, as Go rounds.
    "round": (1, lambda value: math.floor(abs(value) + 0.5) * (-1 if value < 0 else 1)),
    "sqrt": (1, math.sqrt),
    "exp": (1, math.exp),
    "ln": (1, math.log),
    "log2": (1, math.log2),
    "log10": (1, math.log10),
    "log": (2, _logarithm),
    "pow": (2, lambda base, exponent: float(base) ** exponent),
    "sin": (1, math.sin),
    "cos": (1, math.cos),
    "tan": (1, math.tan),
    "asin": (1, math.asin),
    "acos": (1, math.acos),
    "atan": (1, math.atan),
    "atan2": (2, math.atan2),
}


def applied(name: str, arguments: Sequence[Any]) -> Any:
    """A function of `MATH` on values; None where it has no value."""
    if any(value is None or isinstance(value, (bool, str)) for value in arguments):
        return None
    try:
        result = MATH[name][1](*arguments)
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    return None if isinstance(result, complex) else result


def combined(operator: str, left: Any, right: Any) -> Any:
    """An operator between two values; None where it has no value."""
    for value in (left, right):
        if value is None or isinstance(value, (bool, str)):
            return None
    try:
        result = _OPERATORS[operator](left, right)
        # What outgrows 64 bits goes on as a float.
        is_wide = type(result) is int and not -(2**63) <= result < 2**64
        return float(result) if is_wide else result
    except (ZeroDivisionError, OverflowError, ValueError):
        # As the older versions have it.
        return 0
    except TypeError:
        return None


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "%": math.fmod,
    "&": lambda left, right: left & right,
    "|": lambda left, right: left | right,
    "^": lambda left, right: left ^ right,
}


# -- aggregates over lists of times and values, none of them None -------------------------------


def percentile(values: Values, share: float) -> int | None:
    """Where the value at the nearest rank is; None where there is none of that rank."""
    rank = len(values) * share / 100 + 0.5
    # Compared as it is: it may be infinite.
    if not 1 <= rank < len(values) + 1:
        return None
    ordered = sorted(range(len(values)), key=values.__getitem__)
    return ordered[math.floor(rank) - 1]


def mode(values: Values) -> Any:
    """The most frequent value; of equally frequent ones the first."""
    return Counter(values).most_common(1)[0][0] if values else None


def integrals(
    points: Iterable[tuple[int, Any]], starts: Sequence[int], unit_ns: int = _SECOND_NS
) -> Values:
    """The areas under the curve through `points`, by trapezoids, from each of `starts` to the next.

    The curve goes on from one interval to the next one that has points.

    Args:
        points: Times and values, in the order of time.
        starts: Beginnings of intervals; the last one has no end.
        unit_ns: The time in which a value of one makes an area of one.
    """
    areas: Values = [None] * len(starts)
    ends = iter([*starts[1:], None])
    index, end, area = 0, next(ends, None), 0.0
    before: tuple[int, Any] | None = None
    for time, value in points:
        while end is not None and time >= end:
            if before is not None:
                level = before[1] + (value - before[1]) * (end - before[0]) / (time - before[0])
                areas[index] = area + (end - before[0]) / unit_ns * (level + before[1]) / 2
                before = (end, level)
            index, end, area = index + 1, next(ends, None), 0.0
        if before is not None:
            area += (time - before[0]) / unit_ns * (value + before[1]) / 2
        before = (time, value)
        areas[index] = area
    return areas


def extremes(
    name: str, times: Sequence[int], values: Values, tags: Sequence[Values], count: int
) -> list[int]:
    """Where the `count` largest (``top``) or smallest values are, in the order of time.

    With `tags` there is at most one of each combination of their values.
    """
    sign = -1 if name == "top" else 1
    ordered = sorted(range(len(values)), key=lambda at: (sign * values[at], times[at]))
    if tags:
        best: dict[tuple[Any, ...], int] = {}
        for at in ordered:
            best.setdefault(tuple(column[at] for column in tags), at)
        ordered = list(best.values())
    return sorted(ordered[:count])


# -- transformations of a series ----------------------------------------------------------------


def transformed(name: str, times: Sequence[int], values: Values, argument: int | None) -> Values:
    """A function of `TRANSFORMATIONS` on a series; `argument` is its unit or its window.

    Raises:
        QueryError: The values are no numbers, and it works on these alone.
    """
    known = [index for index, value in enumerate(values) if value is not None]
    if name != "elapsed" and any(isinstance(values[index], bool | str) for index in known):
        raise QueryError(f"{name}() works on numbers, and got others")
    result: Values = [None] * len(values)
    if name == "cumulative_sum":
        total: Any = 0
        for index in known:
            total += values[index]
            result[index] = total
    elif name == "moving_average":
        window = argument or 1
        for at in range(window - 1, len(known)):
            latest = [values[index] for index in known[at - window + 1 : at + 1]]
            result[known[at]] = sum(latest) / window
    else:
        unit_ns = argument or (1 if name == "elapsed" else _SECOND_NS)
        for before, index in itertools.pairwise(known):
            result[index] = _step(
                name, values[index], values[before], times[index] - times[before], unit_ns
            )
    return result


def _step(name: str, value: Any, before: Any, passed_ns: int, unit_ns: int) -> Any:
    if name == "elapsed":
        # Cut off towards zero.
        return passed_ns // unit_ns if passed_ns >= 0 else -(-passed_ns // unit_ns)
    change = value - before
    if change < 0 and name.startswith("non_negative"):
        return None
    if name.endswith("difference"):
        return change
    # Backwards in time, where the latest comes first, the change is that from row to row too.
    return change / (abs(passed_ns) / unit_ns) if passed_ns else None


def whole_argument(name: str, value: object) -> int:
    """A count among the arguments of function `name`.

    Raises:
        QueryError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise QueryError(f"{name}() needs a whole number above 0")
    return value
