"""Rows of the past: merged in the order of time, cut into calls that a restart finds again."""

import asyncio
from types import SimpleNamespace

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import QueryCancelledError
from engine.plugins import backfill, past_rows
from engine.plugins.backfill import TriggerBackfill
from engine.plugins.flush_index import Interest
from engine.plugins.log_history import HistoryClosedError
from engine.plugins.past_rows import Past, PastRow, Wanted, pieces_of, spans_left
from engine.store.backfills import BackfillTable, merged
from engine.store.past import PastSlice, PastTable, order_of
from engine.store.run_records import BackfillStep, decode_record, encode_record

KEYS = st.tuples(
    st.integers(0, 6),
    st.sampled_from("mno"),
    st.lists(st.sampled_from([None, "a", "b"]), max_size=2),
)


def row(time, table="m", t=None, u=None, **fields):
    tags = {name: value for name, value in (("t", t), ("u", u)) if value is not None}
    return PastRow(table, {**tags, **fields, "time": time}, ("t", "u"))


def table_of(name, rows):
    """A table as a source gives it."""
    names = ("t", "u", "f", "time")
    columns = [[one.get(column) for one in rows] for column in names]
    types = (pyarrow.utf8(), pyarrow.utf8(), pyarrow.int64(), pyarrow.timestamp("ns"))
    arrays = [pyarrow.array(*pair) for pair in zip(columns, types, strict=True)]
    return PastTable(name=name, tags=("t", "u"), rows=pyarrow.table(arrays, names=names))


class Source:
    """A past of rows that are given."""

    def __init__(self, rows, slice_rows=4):
        self.rows = sorted(rows, key=lambda one: order_of(one.key))
        self.slice_rows = slice_rows
        self.requests = []
        self.is_closed = False
        self.rests = 0

    def check(self, request):
        self.requests.append((request.start_ns, request.end_ns))

    def slice(self, request):
        if self.is_closed:
            raise QueryCancelledError("closed")
        found = [
            one
            for one in self.rows
            if request.start_ns <= one.key[0] < request.end_ns
            and (request.after is None or order_of(one.key) > order_of(request.after))
            and request.table in (None, one.table)
        ]
        part = found[: self.slice_rows]
        tables = {}
        for one in part:
            tables.setdefault(one.table, []).append(one.row)
        made = [table_of(name, tables[name]) for name in sorted(tables)]
        if part == found:
            return PastSlice(tables=made, next_ns=None)
        return PastSlice(tables=made, next_ns=part[-1].key[0], after=part[-1].key)

    def rest(self):
        self.rests += 1

    def close(self):
        self.is_closed = True


def unique(keys):
    """Rows with different keys."""
    made = {}
    for number, (time, table, tags) in enumerate(keys):
        tag, other = [*tags, None, None][:2]
        one = row(time, table, tag, other, f=number)
        made.setdefault(order_of(one.key), one)
    return list(made.values())


def read(source, **wanted):
    async def collect():
        past = Past(source)
        found = [
            one
            async for piece in past.rows(Wanted(database="db", before=9, **wanted))
            for one in piece
        ]
        past.close()
        return found

    return asyncio.run(collect())


@given(
    st.lists(KEYS, max_size=30),
    st.tuples(st.integers(0, 6), st.integers(0, 7)),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=2),
    st.none() | st.integers(0, 29),
    st.integers(1, 5),
)
def test_rows_come_in_the_order_of_their_keys(keys, span, without, after, slice_rows):
    source = Source(unique(keys), slice_rows)
    without = merged([one for one in without if one[0] < one[1]])
    key = None if after is None or after >= len(source.rows) else source.rows[after].key
    found = read(source, table=None, span=span, without=without, after=key)
    assert found == [
        one
        for one in source.rows
        if span[0] <= one.key[0] < span[1]
        and not any(first <= one.key[0] < last for first, last in without)
        and (key is None or order_of(one.key) > order_of(key))
    ]


def test_rows_are_made_a_piece_at_a_time(monkeypatch):
    monkeypatch.setattr(past_rows, "_PIECE_ROWS", 3)
    tables = [
        table_of("a", [row(time, f=1).row for time in (1, 2, 4)]),
        table_of("b", [row(time, t="x").row for time in (1, 3, 4)]),
    ]
    pieces = list(pieces_of(PastSlice(tables=tables, next_ns=None)))
    assert [[one.key for one in piece] for piece in pieces] == [
        [(1, "a", ()), (1, "b", ("x",)), (2, "a", ())],
        [(3, "b", ("x",)), (4, "a", ()), (4, "b", ("x",))],
    ]
    assert pieces[0][0].row == {"f": 1, "time": 1}
    assert pieces[0][1].row == {"t": "x", "time": 1}


def test_a_stop_breaks_off_what_is_read():
    async def main():
        source = Source(unique([(1, "m", [])]))
        past = Past(source)
        past.close()
        with pytest.raises(HistoryClosedError):
            async for _ in past.rows(Wanted(database="db", table=None, before=9, span=(0, 9))):
                pass

    asyncio.run(main())


@pytest.mark.parametrize(
    ("without", "left"),
    [
        ([], [(2, 8)]),
        ([(0, 2), (8, 9)], [(2, 8)]),
        ([(0, 9)], []),
        ([(0, 3), (4, 5), (7, 9)], [(3, 4), (5, 7)]),
        ([(2, 8)], []),
    ],
)
def test_what_is_left_of_a_stretch(without, left):
    assert spans_left((2, 8), without) == left


def calls(rows, rows_max, first_end=None):
    async def pieces():
        for start in range(0, len(rows), 3):
            yield rows[start : start + 3]

    async def collect():
        return [call async for call in backfill._calls(pieces(), rows_max, first_end)]

    return asyncio.run(collect())


def test_calls_end_by_rows_and_by_text(monkeypatch):
    rows = [row(n, s="x" * 10) for n in range(10)]
    assert [len(call) for call in calls(rows, 4)] == [4, 4, 2]
    monkeypatch.setattr(backfill, "CHARACTERS_PER_CALL_MAX", 25)
    assert [len(call) for call in calls(rows, 4)] == [3, 3, 3, 1]
    assert calls([], 4) == []


def test_calls_are_the_same_when_they_begin_behind_a_finished_one(monkeypatch):
    monkeypatch.setattr(backfill, "CHARACTERS_PER_CALL_MAX", 25)
    rows = [row(n, s="x" * (n % 7)) for n in range(40)]
    whole = calls(rows, 5)
    done = 0
    for number, call in enumerate(whole):
        assert calls(rows[done:], 5) == whole[number:]
        done += len(call)


def test_a_call_that_is_finished_in_part_ends_where_it_ended():
    rows = [row(n) for n in range(10)]
    assert [len(call) for call in calls(rows, 4, rows[2].key)] == [3, 4, 3]
    # Rows of it are past retention by now, or all of them.
    assert [len(call) for call in calls(rows[2:], 4, rows[3].key)] == [2, 4, 2]
    assert [len(call) for call in calls(rows[4:], 4, rows[3].key)] == [4, 2]
    assert [len(call) for call in calls(rows[:3], 4, rows[3].key)] == [3]


class Runs:
    """Takes the records of one trigger into its table."""

    def __init__(self, table):
        self.trigger = SimpleNamespace(id=3, database="db")
        self.ports = SimpleNamespace(
            columns=lambda database, name: [], clock=SimpleNamespace(now_ns=lambda: 0)
        )
        self.metrics = SimpleNamespace(failed=lambda *words: None)
        self.labels = ("db", "t")
        self.lines = []
        self.table = table

    def log(self, level, text):
        self.lines.append(f"{level} {text}")

    def report(self, failure):
        raise AssertionError(failure)

    async def commit(self, writes, hops, record):
        self.table.apply(3, decode_record(encode_record(record)).backfill)


def started(step):
    table = BackfillTable()
    table.begin(3, 40)
    table.apply(3, step)
    return table


def run_until(table, rows, stop_after):
    """Hand rows over until so many are, then crash; return them in the order of delivery."""
    runs = Runs(table)
    interest = Interest(database="db", table=None, skip_origin=None, hops_max=8)
    handed = []

    async def work(batch, done):
        delivered = [
            (name, one["time"], one.get("t"), one.get("u"))
            for name, some in batch.job.inline
            for one in some
        ]
        assert done < len(delivered), "a call without rows"
        while done < len(delivered):
            if len(handed) == stop_after:
                return False
            handed.append(delivered[done])
            done += 1
            await runs.commit([], 0, batch.record_to(None if done == len(delivered) else done))
        return True

    async def main():
        past = Past(Source(rows))
        await TriggerBackfill(runs, interest, table, past).run(work)
        past.close()

    asyncio.run(main())
    return handed


@given(
    st.lists(KEYS, min_size=1, max_size=30),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=4),
)
def test_rows_are_handed_over_once_wherever_it_is_broken_off(keys, rows_max, crashes):
    rows = unique(keys)
    all_of = {(one.table, one.row["time"], one.row.get("t"), one.row.get("u")) for one in rows}
    table = started(BackfillStep(start_ns=0, end_ns=9, call_rows_max=rows_max))
    handed, expired = [], 0
    for stop_after, more in crashes:
        handed += run_until(table, [one for one in rows if one.row["time"] >= expired], stop_after)
        expired += more
        if table.active(3) is None:
            break
    if table.active(3) is not None:
        handed += run_until(table, [one for one in rows if one.row["time"] >= expired], 99)
    assert len(handed) == len(set(handed)), "twice"
    assert {one for one in all_of if one[1] >= expired} <= set(handed) <= all_of
    assert (table.active(3), table.covered(3)) == (None, [(0, 9)])


@pytest.mark.parametrize(
    ("step", "ends", "covered"),
    [
        ({"done": (5, 2, 1), "rows": 4}, True, [(0, 6)]),
        ({"rows_done": 2}, True, [(0, 0)]),
        ({}, False, [(0, 9)]),
    ],
)
def test_one_that_an_older_build_began_ends_loudly_where_it_stands(step, ends, covered):
    table = started(BackfillStep(start_ns=0, end_ns=9, call_rows_max=5, **step))
    runs = Runs(table)
    interest = Interest(database="db", table=None, skip_origin=None, hops_max=8)

    async def work(batch, done):
        return True

    async def main():
        past = Past(Source(unique([(7, "m", [])])))
        await TriggerBackfill(runs, interest, table, past).run(work)
        past.close()

    asyncio.run(main())
    assert any("older build" in line for line in runs.lines) is ends
    assert (table.active(3), table.covered(3)) == (None, covered)


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
