# Owns the decision which files are written anew so that each of their rows is there once: later
# files, and the earlier ones that they repeat. Those are too large to be merged as planner.py has
# it, which holds all rows of a merge in memory; here rows go by slices of time. Pure functions.
"""Decisions about files that repeat others."""

from collections.abc import Container, Sequence
from typing import Any

import msgspec
import numpy

from engine.ids import Position
from engine.persist.planner import Compaction, divides, straddles, windows
from engine.store.manifest import FileEntry
from engine.store.time_ranges import TimeRange, common

# More slices take too long for one step, which a stop of the server undoes.
SLICES_MAX = 64
# Times looked at to find slices.
TIMES_MAX = 1 << 22
# Where later rows are this share of all, or more, they are worth the reading of the others at once.
_LATE_SHARE = 16

_Array = Any


class Rewrite(msgspec.Struct, frozen=True):
    """Files to be written anew.

    Attributes:
        plan: The files, oldest rows first, and the window that they lie in.
        is_urgent: Whether it is worth the time without question.
    """

    plan: Compaction
    is_urgent: bool


def next_rewrite(
    files: Sequence[FileEntry],
    levels: Sequence[int],
    *,
    memory_bytes_max: int,
    cuts: Sequence[Position] = (),
    unreadable: frozenset[int] = frozenset(),
    rewritten: Container[int] = (),
    are_small_due: bool = True,
) -> Rewrite | None:
    """Which files of one table to write anew; None: each row is there once, as far as can be.

    Files whose numbers are `unreadable` stay as they are, and those that were all `rewritten`.

    It takes files that may have rows in common, directly or by others in between, and lie in one
    window and between two of the `cuts`. So no file that is left out has rows of theirs, and they
    may move behind it. In the window of the newest row more is about to come, so what a merge can
    take is left to that.
    """
    if not any(entry.overlaps for entry in files):
        return None
    newest_ns = max(entry.max_time_ns for entry in files)
    for window_ns in levels:
        for start_ns, members in windows(files, window_ns).items():
            is_open = start_ns <= newest_ns < start_ns + window_ns
            for group in _groups(members, cuts):
                size = sum(one.memory_bytes for one in group)
                # A merge will come, which costs less together with others.
                if is_open and size <= memory_bytes_max:
                    continue
                if size > SLICES_MAX * memory_bytes_max or not _may_go(
                    group, window_ns, unreadable, rewritten
                ):
                    continue
                late = sum(one.rows for one in group if one.overlaps)
                is_urgent = not is_open and late * _LATE_SHARE >= sum(one.rows for one in group)
                if is_urgent or are_small_due:
                    return Rewrite(Compaction(tuple(group), start_ns, window_ns), is_urgent)
    return None


def _may_go(
    group: Sequence[FileEntry],
    window_ns: int,
    unreadable: frozenset[int],
    rewritten: Container[int],
) -> bool:
    return all(
        divides(one, window_ns) and one.number not in unreadable for one in group
    ) and not all(one.number in rewritten for one in group)


def _groups(members: Sequence[FileEntry], cuts: Sequence[Position]) -> list[list[FileEntry]]:
    """Those of the files that may have rows in common, in order."""
    group_of = list(range(len(members)))
    for index, later in enumerate(members):
        if not later.overlaps:
            continue
        for place in range(index):
            earlier = members[place]
            if straddles(earlier.first_position, later.last_position, cuts):
                continue
            if any(common(doubt, earlier.times) is not None for doubt in later.overlaps):
                old, new = group_of[place], group_of[index]
                group_of = [new if group == old else group for group in group_of]
    groups: dict[int, list[FileEntry]] = {}
    for group, entry in zip(group_of, members, strict=True):
        groups.setdefault(group, []).append(entry)
    return [group for group in groups.values() if len(group) > 1]


def time_slices(times: _Array, count: int) -> list[TimeRange]:
    """So many ranges of time, or fewer, that each have as many of `times`, and together all."""
    times = numpy.sort(times)
    firsts = numpy.unique(times[numpy.arange(count) * len(times) // count])
    bounds = [int(first) for first in firsts]
    ends = [*(bound - 1 for bound in bounds[1:]), int(times[-1])]
    return list(zip(bounds, ends, strict=True))
