# Owns the intervals of GROUP BY time(): which there are, and what stands in those without rows.
"""Empty intervals."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.errors import QueryError
from engine.influxql import tree
from engine.influxql.conditions import Where

if TYPE_CHECKING:
    from engine.influxql.selection import Group

# Intervals times series times columns of one statement.
INTERVALS_MAX = 1_000_000


def bins(groups: "Sequence[Group]", select: tree.Select, where: Where, now_ns: int) -> list[int]:
    """Starts of all intervals that the answer shows; none when empty ones are left out.

    Raises:
        QueryError: There would be too many.
    """
    width = select.grouping.interval_ns
    assert width is not None
    if not groups or select.fill.kind is tree.FillKind.NONE:
        return []
    offset = select.grouping.offset_ns % width
    if where.low_ns is None:
        first = min(group.times[0] for group in groups)
    else:
        first = (where.low_ns - offset) // width * width + offset
    high_ns = now_ns if where.high_ns is None else where.high_ns
    last = max((high_ns - offset) // width * width + offset, first)
    count = (last - first) // width + 1
    if count * len(groups) * len(groups[0].leaves) > INTERVALS_MAX:
        raise QueryError(
            f"the answer would have {count} intervals for each of {len(groups)} series",
            hint="give a time range, a longer interval, or fill(none)",
        )
    return list(range(first, last + 1, width))


def filled(group: "Group", starts: list[int], fill: tree.Fill, calls: Sequence[tree.Call]) -> None:
    """Give `group` a row for each of `starts`, with values as `fill` says."""
    if not starts:
        return
    place = {time: index for index, time in enumerate(group.times)}
    rows = [place.get(start) for start in starts]
    for leaf, values in group.leaves.items():
        spread = [None if row is None else values[row] for row in rows]
        is_count = isinstance(leaf, tree.Call) and leaf in calls and leaf.name == "count"
        group.leaves[leaf] = _filled(spread, fill, is_count=is_count)
    group.times = starts


def _filled(values: list[Any], fill: tree.Fill, *, is_count: bool) -> list[Any]:
    match fill.kind:
        case tree.FillKind.VALUE:
            return [fill.value if value is None else value for value in values]
        case tree.FillKind.PREVIOUS:
            last: Any = None
            result = []
            for value in values:
                last = last if value is None else value
                result.append(last)
            return result
        case tree.FillKind.LINEAR:
            return _linear(values)
        case _:
            return [0 if value is None else value for value in values] if is_count else values


def _linear(values: list[Any]) -> list[Any]:
    result = list(values)
    known = [index for index, value in enumerate(values) if value is not None]
    for left, right in itertools.pairwise(known):
        for index in range(left + 1, right):
            low, high = values[left], values[right]
            if isinstance(low, (str, bool)):
                break
            result[index] = low + (high - low) * (index - left) / (right - left)
    return result
