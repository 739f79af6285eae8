# Owns single calls of aggregates: what they work on, whether that makes sense, and the values of
# those that are computed here.
"""Calls of aggregates."""

from typing import Any

from engine.errors import QueryError, QueryNotSupportedError
from engine.influxql import functions, tree
from engine.influxql.conditions import Columns
from lp_core.enums import ColumnType

_NUMBERS = frozenset({ColumnType.INT64, ColumnType.UINT64, ColumnType.FLOAT64})


def distinct_inside(call: tree.Call) -> str | None:
    """The field of ``count(distinct(field))``."""
    match call:
        case tree.Call(
            name="count", arguments=(tree.Call(name="distinct", arguments=(tree.Reference(),)),)
        ):
            inner = call.arguments[0]
            assert isinstance(inner, tree.Call)
            return field_of(inner)
        case _:
            return None


def field_of(call: tree.Call) -> str:
    """The field that `call` works on.

    Raises:
        QueryError: It works on something else.
    """
    first = call.arguments[0] if call.arguments else None
    if isinstance(first, tree.Reference):
        return first.name
    if distinct_inside(call) is not None:
        assert isinstance(first, tree.Call)
        return field_of(first)
    raise QueryError(f"expected field argument in {call.name}()")


def check_call(call: tree.Call, columns: Columns) -> None:
    """Refuse `call` on a table with these columns if it makes no sense.

    Raises:
        QueryError, QueryNotSupportedError: It makes none.
    """
    kind = columns.get(field_of(call))
    if kind is not None and kind is not ColumnType.TAG and kind not in _NUMBERS:
        is_ordered = call.name not in functions.ANY_TYPE
        if is_ordered:
            raise QueryError(f"{call.name}() works on numbers, and {field_of(call)} has none")
    wanted = 2 if call.name in ("percentile", "top", "bottom") else 1
    most = 2 if call.name == "integral" else wanted
    if not wanted <= len(call.arguments) <= most:
        if call.name in ("top", "bottom") and len(call.arguments) > 2:
            raise QueryNotSupportedError(f"{call.name}() with tags is not supported")
        raise QueryError(
            f"invalid number of arguments for {call.name}, expected {wanted}, "
            f"got {len(call.arguments)}"
        )
    if call.name == "percentile":
        _percentile_share(call)
    elif call.name in ("top", "bottom"):
        _count_argument(call)


def _percentile_share(call: tree.Call) -> float:
    share = call.arguments[1]
    if not isinstance(share, tree.Literal) or isinstance(share.value, (bool, str)):
        raise QueryError("percentile() needs a number as its second argument")
    return float(share.value)


def _count_argument(call: tree.Call) -> int:
    count = call.arguments[1]
    value = count.value if isinstance(count, tree.Literal) else None
    return functions.whole_argument(call.name, value)


def of_list(call: tree.Call, times: list[int], values: functions.Values) -> Any:
    """The value of an aggregate of `LIST_AGGREGATES`."""
    if call.name == "percentile":
        return functions.percentile(times, values, _percentile_share(call))
    if call.name == "mode":
        return functions.mode(times, values)
    unit = call.arguments[1] if len(call.arguments) == 2 else None
    if unit is not None and not isinstance(unit, tree.Duration):
        raise QueryError("integral() takes a duration as its second argument")
    return functions.integral(times, values, *([unit.ns] if unit is not None else []))


def points(call: tree.Call, times: list[int], values: functions.Values) -> list[tuple[int, Any]]:
    """Times and values that a function of `MULTI_ROW` gives."""
    if call.name == "distinct":
        return [(0, value) for value in dict.fromkeys(values)]
    return functions.extremes(call.name, times, values, _count_argument(call))
