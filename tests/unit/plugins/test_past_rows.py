"""Rows of the past: merged in the order of time, cut into the same calls each time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import PluginError
from engine.plugins import backfill, past_rows
from engine.plugins.flush_index import Interest
from engine.plugins.past_rows import PastRow, Wanted
from engine.store.backfills import BackfillTable, merged
from engine.store.run_records import BackfillStep

INTEREST = Interest(database="db", table=None, skip_origin=None, hops_max=8)


def rows_of(note, wanted):
    """A note of these tests is a position and the times of its rows."""
    position, times = note
    for number, time in enumerate(times):
        key = (time, position, number)
        if wanted.takes(time) and (wanted.after is None or key > wanted.after):
            yield PastRow(key, "m", {"time": time}, 0)


def merge(notes, wanted, monkeypatch):
    monkeypatch.setattr(past_rows, "_rows_of", rows_of)
    ordered = sorted((min(times), (position, times)) for position, times in notes)
    return [row.key for row in past_rows._merged(ordered, wanted)]


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6), max_size=8),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=2),
    st.none() | st.tuples(st.integers(0, 30), st.integers(0, 8), st.integers(0, 6)),
)
def test_rows_come_in_the_order_of_their_keys(times, span, without, after):
    notes = list(enumerate(times))
    wanted = Wanted(interest=INTEREST, before=9, span=span, without=without, after=after)
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = merge(notes, wanted, monkeypatch)
    assert found == sorted(row.key for note in notes for row in rows_of(note, wanted))


def test_times_that_are_scattered_too_far_are_refused(monkeypatch):
    monkeypatch.setattr(past_rows, "ROWS_HELD_MAX", 10)
    wanted = Wanted(interest=INTEREST, before=9, span=(0, 1000))
    notes = [(position, [0, 500 + position, 600 + position]) for position in range(10)]
    with pytest.raises(PluginError, match="scattered"):
        merge(notes, wanted, monkeypatch)


def calls(rows, rows_max):
    async def pieces():
        for start in range(0, len(rows), 3):
            yield rows[start : start + 3]

    async def collect():
        return [call async for call in backfill._calls(pieces(), rows_max)]

    return asyncio.run(collect())


def test_calls_end_by_rows_and_by_text(monkeypatch):
    rows = [PastRow((n, 0, 0), "m", {"s": "x" * 10, "n": n}, 0) for n in range(10)]
    assert [len(call) for call in calls(rows, 4)] == [4, 4, 2]
    monkeypatch.setattr(backfill, "CHARACTERS_PER_CALL_MAX", 25)
    assert [len(call) for call in calls(rows, 4)] == [3, 3, 3, 1]
    assert calls([], 4) == []


def test_calls_are_the_same_when_they_begin_behind_a_finished_one(monkeypatch):
    monkeypatch.setattr(backfill, "CHARACTERS_PER_CALL_MAX", 25)
    rows = [PastRow((n, 0, 0), "m", {"s": "x" * (n % 7)}, 0) for n in range(40)]
    whole = calls(rows, 5)
    done = 0
    for number, call in enumerate(whole):
        assert calls(rows[done:], 5) == whole[number:]
        done += len(call)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], []),
        ([(5, 9), (1, 3)], [(1, 3), (5, 9)]),
        ([(1, 3), (3, 5)], [(1, 5)]),
        ([(1, 9), (2, 3), (8, 12)], [(1, 12)]),
    ],
)
def test_spans_are_merged(spans, expected):
    assert merged(spans) == expected


def test_the_table_follows_its_records():
    table = BackfillTable()
    table.begin(3, 40)
    step = BackfillStep(start_ns=0, end_ns=9, call_rows_max=5, rows=4)
    table.apply(3, step)
    assert (table.start(3), table.active(3), table.rows(3)) == (40, step, 4)
    table.apply(3, BackfillStep(start_ns=0, end_ns=9, call_rows_max=5, rows=7, is_done=True))
    assert (table.active(3), table.rows(3), table.covered(3)) == (None, 7, [(0, 9)])
    table.end(3)
    assert (table.active(3), table.rows(3), table.covered(3)) == (None, 0, [])
