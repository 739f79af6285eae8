# Owns sets of time, as sorted, disjoint, inclusive ranges in nanoseconds. Pure functions.
"""Ranges of time."""

from collections.abc import Iterable

# More disjoint ranges than this are joined with their nearest neighbour: deduplicating a few rows
# too many is cheaper than a long list of ranges in every query.
OVERLAP_RANGES_MAX = 64

TimeRange = tuple[int, int]


def add_range(
    ranges: tuple[TimeRange, ...], new: TimeRange, *, ranges_max: int = OVERLAP_RANGES_MAX
) -> tuple[TimeRange, ...]:
    """`ranges` (sorted, disjoint, inclusive) with `new` merged in, at most `ranges_max` long."""
    low, high = new
    before: list[TimeRange] = []
    after: list[TimeRange] = []
    for start, end in ranges:
        if end < low:
            before.append((start, end))
        elif start > high:
            after.append((start, end))
        else:
            low, high = min(low, start), max(high, end)
    merged = [*before, (low, high), *after]
    while len(merged) > ranges_max:
        gaps = [merged[index + 1][0] - merged[index][1] for index in range(len(merged) - 1)]
        nearest = gaps.index(min(gaps))
        joined = (merged[nearest][0], merged[nearest + 1][1])
        merged[nearest : nearest + 2] = [joined]
    return tuple(merged)


def union(ranges: Iterable[TimeRange]) -> tuple[TimeRange, ...]:
    """All that lies in any of `ranges`, which may be in any order."""
    joined: tuple[TimeRange, ...] = ()
    for one in ranges:
        joined = add_range(joined, one)
    return joined


def common(first: TimeRange, second: TimeRange) -> TimeRange | None:
    """What lies in both, or None."""
    low, high = max(first[0], second[0]), min(first[1], second[1])
    return (low, high) if low <= high else None


def clipped(ranges: Iterable[TimeRange], window: TimeRange) -> tuple[TimeRange, ...]:
    """The parts of `ranges` inside of `window`."""
    parts = (common(one, window) for one in ranges)
    return tuple(part for part in parts if part is not None)
