"""Decisions about files and segments."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ids import Position
from engine.persist import planner
from engine.persist.planner import DAY_NS, HOUR_NS, WEEK_NS, SegmentExtent
from engine.store.manifest import FileEntry

MINUTES_10 = HOUR_NS // 6
LEVELS = planner.levels_of(MINUTES_10)


def segments(*sizes: int) -> list[SegmentExtent]:
    return [
        SegmentExtent(Position(number * 10), Position(number * 10 + 10), size)
        for number, size in enumerate(sizes)
    ]


def entry(
    number: int, start_ns: int, window_ns: int = MINUTES_10, memory: int = 100, position: int = 0
) -> FileEntry:
    return FileEntry(
        number=number,
        path=f"{number}.parquet",
        window_start_ns=start_ns,
        window_ns=window_ns,
        rows=1,
        size_bytes=1,
        memory_bytes=memory,
        min_time_ns=start_ns,
        max_time_ns=start_ns + window_ns - 1,
        first_position=Position(position or number),
        last_position=Position(position or number),
    )


def test_few_rows_that_are_in_other_files_stay_apart_from_many() -> None:
    def file(number: int, rows: int, *doubts: tuple[int, int], memory: int = 100) -> FileEntry:
        made = entry(number, number * MINUTES_10, memory=memory)
        return msgspec.structs.replace(made, rows=rows, overlaps=doubts)

    many = planner.ROWS_PER_FILE_WANTED
    large, over = file(0, many, memory=10_000), entry(6, HOUR_NS)
    doubt = large.times
    # The large one does not fit into memory with others.
    for files, merged in (
        ([large, file(1, many), file(2, many), file(3, 9, doubt), file(4, 9, doubt)], [1, 2]),
        ([large, file(1, many), file(3, 9, doubt), file(4, 9, doubt)], [3, 4]),
        # About each other, which merging settles.
        ([large, file(1, many), file(3, 9, (MINUTES_10, MINUTES_10))], [1, 3]),
        # Hardly any more than there were.
        ([large, file(1, many), file(3, many, doubt)], [1, 3]),
        ([large, file(1, 9), file(3, 9, doubt)], [1, 3]),
    ):
        assert plan([*files, over]) == (merged, HOUR_NS)
    alone = [large, file(1, many), file(3, 9, doubt), file(4, many), over]
    assert plan(alone) is None
    long = [file(number, many if number == 1 else 9, doubt) for number in range(1, 18)]
    long = [msgspec.structs.replace(one, window_start_ns=MINUTES_10) for one in long]
    found = plan([large, *long, over])
    assert found is not None
    assert found[0] == list(range(1, 18)), "so many are merged all the same"


def test_levels_divide_each_other() -> None:
    assert [level // MINUTES_10 for level in LEVELS] == [1, 6, 144, 1008, 52416]
    assert planner.levels_of(HOUR_NS)[:2] == (HOUR_NS, DAY_NS)


@pytest.mark.parametrize(
    ("sizes", "persisted", "through"),
    [
        ((), 0, None),
        ((99,), 0, None),
        ((100,), 0, 10),
        ((100,), 10, None),
        ((60, 60, 60), 0, 20),
        ((60, 60, 60), 10, 30),
        ((60, 60, 60), 20, None),
        ((500, 60), 0, 10),
    ],
)
def test_persisting_waits_for_enough_and_takes_what_fits(
    sizes: tuple[int, ...], persisted: int, through: int | None
) -> None:
    found = planner.persist_through(
        segments(*sizes), Position(persisted), due_bytes=100, step_bytes_max=150
    )
    assert found == through


def test_scattered_rows_take_longer_windows() -> None:
    day = np.arange(60) * MINUTES_10
    assert planner.window_for(day[:2], LEVELS) == MINUTES_10
    assert planner.window_for(day[:12], LEVELS) == HOUR_NS
    assert planner.window_for(day, LEVELS) == DAY_NS
    assert planner.window_for(np.repeat(day[:3], 500_000), LEVELS) == MINUTES_10
    assert planner.window_for(np.array([0, 10**18]), LEVELS) == MINUTES_10
    assert planner.window_for(np.arange(100) * HOUR_NS, LEVELS) == DAY_NS
    assert planner.window_for(np.arange(100) * DAY_NS, LEVELS) == WEEK_NS
    assert planner.window_for(np.arange(-5000, 5000) * DAY_NS, LEVELS) == LEVELS[-1]
    assert planner.window_for(np.array([], np.int64), LEVELS) == MINUTES_10


def next_compaction(
    files: list[FileEntry], memory: int, cuts: Sequence[Position] = ()
) -> planner.Compaction | None:
    """The first of those that may be done at once, of which no two have a file in common."""
    found = planner.next_compactions(files, LEVELS, memory_bytes_max=memory, cuts=cuts)
    numbers = [entry.number for one in found for entry in one.files]
    assert len(numbers) == len(set(numbers))
    assert len({(one.window_start_ns, one.window_ns) for one in found}) == len(found)
    return found[0] if found else None


def plan(files: list[FileEntry], memory: int = 10_000) -> tuple[list[int], int] | None:
    found = next_compaction(files, memory)
    return None if found is None else ([one.number for one in found.files], found.window_ns)


def test_windows_that_are_over_are_merged_into_longer_ones() -> None:
    hour = [entry(number, number * MINUTES_10) for number in range(6)]
    assert plan(hour) is None, "the hour may go on"
    assert plan([*hour, entry(6, HOUR_NS)]) == ([0, 1, 2, 3, 4, 5], HOUR_NS)
    assert plan([entry(1, 0), entry(2, 0), entry(3, HOUR_NS)]) == ([1, 2], MINUTES_10)


def test_a_window_with_many_files_is_merged_while_it_goes_on() -> None:
    assert plan([entry(number, 0) for number in range(7)]) is None
    assert plan([entry(number, 0) for number in range(8)]) == (list(range(8)), MINUTES_10)


def test_a_large_file_waits_for_enough_to_be_merged_with() -> None:
    era = LEVELS[-1]
    large, later = entry(1, 0, era, memory=8_000), entry(9, era, era)
    assert plan([large, entry(2, 0, era, memory=900), later]) is None
    assert plan([large, entry(2, 0, era, memory=1_000), later]) == ([1, 2], era)


def test_what_does_not_fit_into_memory_is_merged_in_parts() -> None:
    files = [*(entry(number, 0, memory=400) for number in range(5)), entry(9, DAY_NS)]
    assert plan(files, memory=900) == ([0, 1], MINUTES_10)
    assert plan([entry(1, 0, memory=900), entry(2, 0, memory=200), entry(9, DAY_NS)], 1_000) is None


def test_a_longer_file_between_two_keeps_them_apart() -> None:
    day = entry(2, 0, DAY_NS)
    files = [entry(1, 0, memory=1), day, entry(3, 0, memory=1), entry(9, 2 * DAY_NS)]
    assert plan(files) is None, "the day's file is later than the first and earlier than the last"
    assert plan([*files[:2], entry(3, 0, memory=50), files[3]]) == ([1, 2, 3], DAY_NS)


def test_windows_of_another_setting_are_merged_where_they_fit() -> None:
    levels = planner.levels_of(HOUR_NS // 4)
    # From 10 to 20 minutes, of which a later file has the part from 15 on.
    files = [
        entry(1, MINUTES_10),
        entry(2, HOUR_NS // 4, HOUR_NS // 4),
        entry(3, 0, HOUR_NS // 4),
        entry(9, DAY_NS),
    ]
    (found,) = planner.next_compactions(files, levels, memory_bytes_max=10_000)
    assert ([one.number for one in found.files], found.window_ns) == ([1, 2, 3], HOUR_NS)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from((MINUTES_10, HOUR_NS // 4, HOUR_NS, DAY_NS)),
            st.integers(1, 100),
        ),
        max_size=30,
    ),
    st.integers(50, 400),
)
def test_merging_ends_and_never_passes_a_file_of_the_same_time(
    windows: list[tuple[int, int, int]], memory: int
) -> None:
    files = [
        entry(number, start * HOUR_NS // 4 // window_ns * window_ns, window_ns, size)
        for number, (start, window_ns, size) in enumerate(windows, 1)
    ]
    next_number = len(files) + 1
    for _ in range(len(files)):
        found = next_compaction(files, memory)
        if found is None:
            break
        merged = {one.number for one in found.files}
        assert len(merged) >= 2
        assert sum(one.memory_bytes for one in found.files) <= memory
        first, last = found.files[0].order, found.files[-1].order
        for other in files:
            if other.number in merged or not first < other.order < last:
                continue
            for one in found.files:
                assert other.max_time_ns < one.min_time_ns or other.min_time_ns > one.max_time_ns
        result = entry(next_number, found.window_start_ns, found.window_ns)
        next_number += 1
        files = sorted(
            [
                *(one for one in files if one.number not in merged),
                FileEntry(
                    **{
                        **{name: getattr(result, name) for name in result.__struct_fields__},
                        "memory_bytes": sum(one.memory_bytes for one in found.files),
                        "first_position": min(one.first_position for one in found.files),
                        "last_position": max(one.last_position for one in found.files),
                    }
                ),
            ],
            key=lambda one: one.order,
        )
    else:
        assert len(files) < 2 or next_compaction(files, memory) is None


def test_files_are_not_merged_over_a_cut() -> None:
    files = [*(entry(number, 0) for number in range(1, 7)), entry(9, HOUR_NS)]

    def plan_with(*cuts: int) -> list[int] | None:
        found = next_compaction(files, 10_000, [Position(cut) for cut in cuts])
        return None if found is None else [one.number for one in found.files]

    assert plan_with() == [1, 2, 3, 4, 5, 6]
    assert plan_with(0, 6, 20) == [1, 2, 3, 4, 5, 6]
    assert plan_with(2) == [1, 2]
    assert plan_with(1, 3) == [2, 3]
    assert plan_with(1, 2, 3, 4, 5) is None


CUTS = st.lists(st.integers(0, 60), max_size=6).map(lambda cuts: sorted(map(Position, set(cuts))))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=20),
    CUTS,
    st.integers(150, 1_000),
)
def test_no_merge_has_rows_from_both_sides_of_a_cut(
    pieces: list[tuple[int, int]], cuts: list[Position], memory: int
) -> None:
    """Files of several positions; some are older than the cut that goes through them."""
    files = []
    position = 1
    for number, (window, length) in enumerate(pieces, 1):
        one = entry(number, window * MINUTES_10, position=position)
        files.append(
            msgspec.structs.replace(one, last_position=Position(one.first_position + length))
        )
        position += length + 1
    found = next_compaction(files, memory, cuts)
    if found is None:
        return
    positions = [
        position
        for one in found.files
        for position in range(one.first_position, one.last_position + 1)
    ]
    # The plain rule: all rows are of the past of a trigger, or none is.
    for cut in cuts:
        assert len({position <= cut for position in positions}) == 1


def test_triggers_lose_only_what_is_over_the_budget_and_covered() -> None:
    sealed = segments(100, 100, 100, 100)
    assert planner.skipped_through(sealed, Position(40), kept_bytes_max=400) == 0
    assert planner.skipped_through(sealed, Position(40), kept_bytes_max=399) == 10
    assert planner.skipped_through(sealed, Position(40), kept_bytes_max=0) == 40
    assert planner.skipped_through(sealed, Position(25), kept_bytes_max=0) == 20
    assert [one.last for one in planner.removable(sealed, Position(25))] == [10, 20]
