# Owns the guess how long a stretch of time may be so that its rows fit into memory. Pure functions
# of what is known of files and batches; a wrong guess costs time, and the reader minds it.
"""Lengths of slices of the past."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy


class Extent(NamedTuple):
    """Where rows of a file or a batch lie in time, how many they are, and what they take."""

    min_time_ns: int
    max_time_ns: int
    rows: int
    size_bytes: int


def end_of_slice(
    extents: Sequence[Extent], start_ns: int, end_ns: int, *, rows_max: int, bytes_max: int
) -> int:
    """The latest end of a slice from `start_ns` on that has few enough rows, but for one time.

    As if the rows of each extent were spread evenly.
    """
    table = numpy.array(extents, numpy.float64)
    table = table[numpy.argsort(table[:, 0])]
    least, length = table[:, 0], table[:, 1] - table[:, 0] + 1.0
    counts, sizes = table[:, 2], table[:, 3]
    before = _share(float(start_ns), least, length)

    def fits(end: int) -> bool:
        # Of those behind it nothing lies before: with thousands of tables they are the most.
        begun = int(numpy.searchsorted(least, float(end)))
        share = _share(float(end), least[:begun], length[:begun]) - before[:begun]
        return bool(share @ counts[:begun] <= rows_max and share @ sizes[:begun] <= bytes_max)

    low, high = start_ns + 1, max(end_ns, start_ns + 1)
    if fits(high):
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _share(end: float, least: Any, length: Any) -> Any:
    """Which share of the rows of each extent lies before `end`."""
    return numpy.clip((end - least) / length, 0.0, 1.0)
