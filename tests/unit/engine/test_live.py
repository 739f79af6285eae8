"""Live tables."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import record_batch

from engine.ids import DatabaseId, Position
from engine.store.live import LiveDatabase, LiveStore
from engine.store.time_ranges import add_range
from lp_core import parse

RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 8)).map(lambda r: (r[0], r[0] + r[1]))
)


@given(RANGES)
def test_merged_ranges_cover_exactly_what_was_added(added: list[tuple[int, int]]) -> None:
    ranges: tuple[tuple[int, int], ...] = ()
    for one in added:
        ranges = add_range(ranges, one)
    covered = {point for low, high in ranges for point in range(low, high + 1)}
    assert covered == {point for low, high in added for point in range(low, high + 1)}
    assert list(ranges) == sorted(ranges)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(ranges))


@given(RANGES)
def test_limited_ranges_cover_at_least_what_was_added(added: list[tuple[int, int]]) -> None:
    ranges: tuple[tuple[int, int], ...] = ()
    for one in added:
        ranges = add_range(ranges, one, ranges_max=3)
        assert len(ranges) <= 3
    covered = {point for low, high in ranges for point in range(low, high + 1)}
    assert covered >= {point for low, high in added for point in range(low, high + 1)}


def test_rewritten_points_mark_their_time_range() -> None:
    database = LiveDatabase("db", DatabaseId(1))
    for body in (b"m,t=a f=1 10\nm,t=a f=1 20\n", b"m,t=a f=1 30\n", b"m,t=b f=1 5\n"):
        database.add(parse(body, precision="ns", now_ns=0).batch, Position(1))
    snapshot = database.snapshot("m")
    assert snapshot is not None
    assert snapshot.overlap_ranges == ()
    assert len(snapshot.batches) == 3
    database.add(parse(b"m,t=a f=2 20\nm,t=c f=2 1\n", precision="ns", now_ns=0).batch, Position(1))
    later = database.snapshot("m")
    assert later is not None
    assert later.overlap_ranges == ((20, 20),)
    assert snapshot.overlap_ranges == (), "a snapshot does not change"


def test_a_snapshot_knows_the_columns_of_all_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    database = LiveDatabase("db", DatabaseId(1))

    def write(body: bytes) -> None:
        database.add(parse(body, precision="ns", now_ns=0).batch, Position(1))

    write(b"m f=1 1\n")
    known = database.columns

    def meanwhile(table: str) -> Any:
        columns = known(table)
        write(b"m,t=a g=1 1\n")
        return columns

    # Queries look from threads of their own, while rows come.
    monkeypatch.setattr(database, "columns", meanwhile)
    for snapshot in (database.snapshot("m"), database.as_of("m", Position(9))):
        assert snapshot is not None
        names = {field[0] for field in snapshot.columns} | {"time"}
        assert all(
            set(batch.schema.names) <= names for batch in map(record_batch, snapshot.batches)
        )


def test_stores_forget_dropped_databases() -> None:
    store = LiveStore()
    store.create("db", DatabaseId(1))
    database = store.database("db")
    assert database is not None
    database.add(parse(b"m f=1 1\n", precision="ns", now_ns=0).batch, Position(1))
    assert database.table_names() == ["m"]
    assert database.snapshot("other") is None
    store.drop("db")
    assert store.database("db") is None
