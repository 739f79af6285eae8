# Owns single calls of aggregates: what they work on, whether that makes sense, and the values of
# those that are computed here.
"""Calls of aggregates."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import QueryError
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
        QueryError: It makes none.
    """
    kind = columns.get(field_of(call))
    if kind is not None and kind is not ColumnType.TAG and kind not in _NUMBERS:
        is_ordered = call.name not in functions.ANY_TYPE
        if is_ordered:
            raise QueryError(f"{call.name}() works on numbers, and {field_of(call)} has none")
    count = len(call.arguments)
    if call.name in ("top", "bottom"):
        _check_extremes(call)
        return
    wanted = 2 if call.name in ("percentile", "sample") else 1
    most = 2 if call.name == "integral" else wanted
    if not wanted <= count <= most:
        raise QueryError(
            f"invalid number of arguments for {call.name}, expected {wanted}, got {count}"
        )
    if call.name == "percentile":
        _percentile_share(call)
    elif call.name == "sample":
        _count_argument(call)


def _check_extremes(call: tree.Call) -> None:
    if len(call.arguments) < 2:
        raise QueryError(
            f"invalid number of arguments for {call.name}, expected at least 2, "
            f"got {len(call.arguments)}"
        )
    if not all(isinstance(tag, tree.Reference) for tag in call.arguments[1:-1]):
        raise QueryError(f"only fields or tags are allowed in {call.name}()")
    _count_argument(call)


def _percentile_share(call: tree.Call) -> float:
    share = call.arguments[1]
    if not isinstance(share, tree.Literal) or isinstance(share.value, (bool, str)):
        raise QueryError("percentile() needs a number as its second argument")
    return float(share.value)


def _count_argument(call: tree.Call) -> int:
    count = call.arguments[-1]
    value = count.value if isinstance(count, tree.Literal) else None
    return functions.whole_argument(call.name, value)


def of_list(call: tree.Call, values: functions.Values) -> Any:
    """The value of ``percentile`` or ``mode`` on the values of one interval."""
    if call.name == "mode":
        return functions.mode(values)
    at = functions.percentile(values, _percentile_share(call))
    return None if at is None else values[at]


def areas(
    call: tree.Call, starts: Sequence[int], times: Sequence[Any], values: Sequence[Any]
) -> functions.Values:
    """What ``integral`` gives for each interval.

    Args:
        call: The call.
        starts: Beginnings of the intervals, in the order of the answer.
        times: For each a list of times, or None.
        values: For each the list of values at these times, or None.

    Raises:
        QueryError: The second argument of the call is no duration.
    """
    unit = call.arguments[1] if len(call.arguments) == 2 else None
    if unit is not None and (not isinstance(unit, tree.Duration) or unit.ns <= 0):
        raise QueryError("integral() takes a duration above 0 as its second argument")
    order = sorted(range(len(starts)), key=starts.__getitem__)
    points = (
        point for at in order for point in zip(times[at] or (), values[at] or (), strict=True)
    )
    ordered = functions.integrals(
        points, [starts[at] for at in order], *([unit.ns] if unit is not None else [])
    )
    result: functions.Values = [None] * len(starts)
    for at, area in zip(order, ordered, strict=True):
        result[at] = area
    return result


def picked(
    call: tree.Call,
    times: list[int],
    values: functions.Values,
    others: Mapping[str, functions.Values],
) -> list[int]:
    """Places in `values` of those that a function picks, in the order of time.

    Args:
        call: A function of `MULTI_ROW`, or ``percentile``.
        times: Those of the values.
        values: Those that the field has.
        others: What other columns have in the same rows, by name.
    """
    match call.name:
        case "distinct":
            first: dict[Any, int] = {}
            for at, value in enumerate(values):
                first.setdefault(value, at)
            return list(first.values())
        case "sample":
            count = min(_count_argument(call), len(values))
            return sorted(random.sample(range(len(values)), count))
        case "percentile":
            place = functions.percentile(values, _percentile_share(call))
            return [] if place is None else [place]
        case _:
            tags = [
                others[tag.name]
                for tag in call.arguments[1:-1]
                if isinstance(tag, tree.Reference) and tag.name in others
            ]
            return functions.extremes(call.name, times, values, tags, _count_argument(call))
