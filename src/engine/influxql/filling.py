# Owns the intervals of GROUP BY time(): which there are, and what stands in those without rows.
"""Empty intervals."""

import itertools
from collections.abc import Sequence
from typing import Any

from engine.errors import QueryError
from engine.influxql import functions, tree
from engine.influxql.conditions import Calendar, Where
from engine.influxql.fetching import Group

# Intervals times series times columns of one statement.
INTERVALS_MAX = 1_000_000


class Intervals:
    """The intervals of one statement with GROUP BY time()."""

    def __init__(self, select: tree.Select, where: Where, calendar: Calendar) -> None:
        """`where` has the times that are read."""
        self._select = select
        self._where = where
        self._calendar = calendar

    def starts(self, groups: Sequence[Group]) -> list[int]:
        """Beginnings of all intervals that the answer shows; none when empty ones are left out.

        Raises:
            QueryError: There would be too many.
        """
        select, where = self._select, self._where
        width = select.grouping.interval_ns
        assert width is not None
        if not groups or select.fill.kind is tree.FillKind.NONE:
            return []
        offset = select.grouping.offset_ns % width
        times = [time for group in groups for time in group.times]
        first = min(times) if where.low_ns is None else where.low_ns
        last = max(self._calendar.now_ns if where.high_ns is None else where.high_ns, first)
        count = (last - first) // width + 1
        if count * len(groups) * len(groups[0].leaves) > INTERVALS_MAX:
            raise QueryError(
                f"the answer would have {count} intervals for each of {len(groups)} series",
                hint="give a time range, a longer interval, or fill(none)",
            )
        found = {*self._calendar.zone.intervals(first, last, width, offset), *times}
        return sorted(found, reverse=select.is_descending)


def filled(group: Group, starts: list[int], fill: tree.Fill, calls: Sequence[tree.Call]) -> None:
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


def _filled(values: functions.Values, fill: tree.Fill, *, is_count: bool) -> functions.Values:
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


def _linear(values: functions.Values) -> functions.Values:
    result = list(values)
    known = [index for index, value in enumerate(values) if value is not None]
    for left, right in itertools.pairwise(known):
        for index in range(left + 1, right):
            low, high = values[left], values[right]
            if isinstance(low, (str, bool)):
                break
            value = low + (high - low) * (index - left) / (right - left)
            # Whole numbers stay whole, cut off.
            result[index] = int(value) if isinstance(low, int) else value
    return result
