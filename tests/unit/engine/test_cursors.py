"""Cursors of WAL triggers."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from engine.ids import Position, TriggerId
from engine.store.cursors import Cursor, CursorTable
from engine.store.run_records import Step


def test_steps_in_order_move_the_cursor() -> None:
    cursor = Cursor(Position(5))
    cursor.finish(Position(5), Position(7))
    cursor.finish(Position(7), Position(8))
    assert (cursor.low, cursor.done) == (8, [])


def test_steps_out_of_order_wait_for_the_gap() -> None:
    cursor = Cursor(Position(0))
    cursor.finish(Position(4), Position(6))
    cursor.finish(Position(2), Position(4))
    assert cursor.low == 0
    assert cursor.next_gap(Position(0), Position(9)) == (0, 2)
    assert cursor.next_gap(Position(2), Position(9)) == (6, 9)
    cursor.finish(Position(0), Position(2))
    assert (cursor.low, cursor.done) == (6, [])
    assert cursor.next_gap(Position(0), Position(6)) is None


def test_ranges_that_touch_are_one() -> None:
    cursor = Cursor(Position(0))
    for start, end in ((2, 4), (6, 8), (10, 12), (4, 6)):
        cursor.finish(Position(start), Position(end))
    assert (cursor.low, cursor.done) == (0, [(2, 8), (10, 12)])
    assert cursor.next_gap(Position(2), Position(20)) == (8, 10)


@given(cuts=st.sets(st.integers(1, 40), min_size=1), order=st.randoms())
def test_any_order_of_steps_ends_at_the_same_place(cuts: set[int], order: object) -> None:
    edges = sorted({0, *cuts})
    ranges = list(itertools.pairwise(edges))
    order.shuffle(ranges)  # type: ignore[attr-defined]
    cursor = Cursor(Position(0))
    finished: set[int] = set()
    for start, end in ranges:
        cursor.finish(Position(start), Position(end))
        finished |= set(range(start + 1, end + 1))
        low = 0
        while low + 1 in finished:
            low += 1
        assert cursor.low == low
    assert cursor.low == max(edges)


def test_a_range_under_bisection_is_handed_out_as_it_was() -> None:
    cursor = Cursor(Position(0))
    cursor.apply(Step(Position(4), Position(8), rows_done=3))
    assert cursor.next_gap(Position(0), Position(20)) == (0, 4)
    assert cursor.rows_done(Position(0)) is None
    assert cursor.next_gap(Position(4), Position(20)) == (4, 8)
    assert cursor.rows_done(Position(4)) == 3
    cursor.apply(Step(Position(4), Position(8), rows_done=5))
    assert cursor.rows_done(Position(4)) == 5
    cursor.apply(Step(Position(4), Position(8)))
    assert cursor.rows_done(Position(4)) is None
    assert cursor.next_gap(Position(4), Position(20)) == (8, 20)
    assert cursor.low == 0


def test_steps_of_deleted_triggers_have_no_effect() -> None:
    table = CursorTable()
    table.apply(TriggerId(1), Step(Position(0), Position(3)))
    assert table.get(TriggerId(1)) is None
    table.begin(TriggerId(1), Position(7))
    table.apply(TriggerId(1), Step(Position(7), Position(9)))
    cursor = table.get(TriggerId(1))
    assert cursor is not None
    assert cursor.low == 9
    table.end(TriggerId(1))
    assert table.get(TriggerId(1)) is None


def test_a_range_that_has_begun_stays_as_it_is_when_the_cursor_passes_over_nothing() -> None:
    # Of (5, 9], the frame at 6 is of another database; ten rows of the others are finished.
    for steps in (("part", "pass"), ("pass", "part")):
        cursor = Cursor(Position(5))
        for step in steps:
            if step == "part":
                cursor.apply(Step(Position(5), Position(9), 10))
            else:
                cursor.pass_over(Position(6))
        again = Cursor.of_image(cursor.image(TriggerId(1)))
        for one in (cursor, again):
            assert one.low == 6
            assert one.next_gap(Position(0), Position(20)) == (5, 9)
            assert one.rows_done(Position(5)) == 10
            assert one.next_gap(Position(9), Position(20)) == (9, 20)
            one.finish(Position(5), Position(9))
            assert (one.low, one.rows_done(Position(5))) == (9, None)


def test_passing_over_nothing_joins_what_is_finished_behind_it() -> None:
    cursor = Cursor(Position(5))
    cursor.finish(Position(6), Position(8))
    cursor.pass_over(Position(6))
    assert (cursor.low, cursor.done) == (8, [])
    cursor.pass_over(Position(7))
    assert cursor.low == 8


def test_what_the_log_has_lost_is_lost_of_a_range_that_has_begun_too() -> None:
    cursor = Cursor(Position(5))
    cursor.apply(Step(Position(5), Position(9), 10))
    cursor.pass_over(Position(6))
    cursor.finish(Position(6), Position(8))
    assert cursor.next_gap(Position(0), Position(20)) == (8, 20)
