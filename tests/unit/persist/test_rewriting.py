"""Decisions about files that repeat others."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ids import Position
from engine.persist import planner
from engine.persist.planner import DAY_NS, HOUR_NS
from engine.persist.rewriting import SLICES_MAX, Rewrite, next_rewrite, time_slices
from engine.store.manifest import FileEntry
from engine.store.time_ranges import TimeRange, common

MINUTES_10 = HOUR_NS // 6
LEVELS = planner.levels_of(MINUTES_10)


def entry(
    number: int,
    times: TimeRange,
    *doubts: TimeRange,
    rows: int = 100,
    window_ns: int = HOUR_NS,
) -> FileEntry:
    return FileEntry(
        number=number,
        path=f"{number}.parquet",
        window_start_ns=times[0] // window_ns * window_ns,
        window_ns=window_ns,
        rows=rows,
        size_bytes=1,
        memory_bytes=rows,
        min_time_ns=times[0],
        max_time_ns=times[1],
        first_position=Position(number),
        last_position=Position(number),
        overlaps=doubts,
    )


def plan(
    *files: FileEntry,
    cuts: tuple[int, ...] = (),
    unreadable: tuple[int, ...] = (),
    rewritten: tuple[int, ...] = (),
    are_small_due: bool = True,
) -> Rewrite | None:
    return next_rewrite(
        files,
        LEVELS,
        memory_bytes_max=50,
        cuts=[Position(cut) for cut in cuts],
        unreadable=frozenset(unreadable),
        rewritten=rewritten,
        are_small_due=are_small_due,
    )


def numbers(found: Rewrite | None) -> list[int]:
    return [] if found is None else [one.number for one in found.plan.files]


NOW = entry(9, (DAY_NS, DAY_NS))


def test_those_that_may_have_rows_in_common_go_together() -> None:
    first, second, other = entry(1, (0, 10)), entry(2, (11, 20)), entry(3, (5, 15))
    late = entry(4, (8, 30), (9, 9), (12, 12))
    assert numbers(plan(first, second, NOW)) == []
    assert numbers(plan(first, second, other, late, NOW)) == [1, 2, 3, 4]
    # The third has rows of these times, and none that the fourth repeats.
    late = entry(4, (8, 30), (2, 3), (17, 19))
    assert numbers(plan(first, second, other, late, NOW)) == [1, 2, 4]
    # By the second, the last one and the first have to do with each other.
    chain = (entry(1, (0, 11)), entry(2, (11, 20), (10, 11)), entry(4, (15, 30), (15, 30)))
    assert numbers(plan(*chain, NOW)) == [1, 2, 4]
    assert numbers(plan(entry(1, (0, 10)), entry(2, (2, 2), (1, 2)), NOW)) == [1, 2]


def test_some_stay_as_they_are() -> None:
    first, late = entry(1, (0, 10)), entry(4, (8, 30), (8, 10))
    assert numbers(plan(first, late, NOW)) == [1, 4]
    assert numbers(plan(first, late, NOW, cuts=(2,))) == []
    assert numbers(plan(first, late, NOW, cuts=(0, 4))) == [1, 4]
    assert numbers(plan(first, late, NOW, unreadable=(1,))) == []
    assert numbers(plan(first, late, NOW, rewritten=(1,))) == [1, 4]
    assert numbers(plan(first, late, NOW, rewritten=(1, 4))) == []
    # In a window that is longer than the one it lies in.
    longer = entry(1, (0, 10), window_ns=DAY_NS)
    found = plan(longer, late, entry(9, (2 * DAY_NS, 2 * DAY_NS)))
    assert found is not None
    assert (numbers(found), found.plan.window_ns) == ([1, 4], DAY_NS)
    huge = msgspec.structs.replace(first, memory_bytes=50 * SLICES_MAX)
    assert numbers(plan(huge, late, NOW)) == []


@pytest.mark.parametrize(
    ("rows", "now", "is_urgent"),
    [(10, NOW, True), (5, NOW, False), (10, entry(9, (40, 40)), False)],
)
def test_few_rows_and_those_of_now_may_wait(rows: int, now: FileEntry, is_urgent: bool) -> None:
    files = (entry(1, (0, 10)), entry(4, (8, 30), (8, 10), rows=rows), now)
    found = plan(*files)
    assert found is not None
    assert found.is_urgent is is_urgent
    assert numbers(plan(*files, are_small_due=False)) == ([1, 4] if is_urgent else [])


def test_what_a_merge_of_now_will_take_is_left_to_it() -> None:
    files = (entry(1, (0, 10), rows=30), entry(4, (8, 30), (8, 10), rows=5))
    assert numbers(plan(*files, NOW)) == [1, 4]
    assert numbers(plan(*files)) == []
    assert numbers(plan(*files, entry(5, (8, 10), (8, 10), rows=20))) == [1, 4, 5]


RANGES = st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda one: (one[0], sum(one)))


@given(
    st.lists(st.tuples(RANGES, st.lists(RANGES, max_size=2)), min_size=2, max_size=12),
    st.lists(st.integers(0, 12), max_size=3).map(sorted),
)
def test_no_file_that_is_left_out_has_rows_of_those_between(
    made: list[tuple[TimeRange, list[TimeRange]]], cuts: list[int]
) -> None:
    files = [
        entry(number, times, *sorted(doubts)) for number, (times, doubts) in enumerate(made, 1)
    ]
    group = numbers(plan(*files, NOW, cuts=tuple(cuts)))
    if not group:
        return
    assert len(group) > 1
    for cut in cuts:
        assert len({number <= cut for number in group}) == 1
    for earlier, later in itertools.combinations(files, 2):
        may_share = any(common(doubt, earlier.times) is not None for doubt in later.overlaps)
        # What moves behind the last of them must not pass a row of its own.
        if may_share and earlier.number in group and later.number < max(group):
            assert later.number in group


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=60), st.integers(1, 8))
def test_slices_have_all_times_once(times: list[int], count: int) -> None:
    slices = time_slices(np.array(times), count)
    assert 1 <= len(slices) <= count
    assert (slices[0][0], slices[-1][1]) == (min(times), max(times))
    assert all(low <= high for low, high in slices)
    assert all(one[1] + 1 == two[0] for one, two in itertools.pairwise(slices))
    if len(set(times)) == len(times) >= count:
        sizes = [sum(low <= time <= high for time in times) for low, high in slices]
        assert max(sizes) - min(sizes) <= 1
