"""Tables as they were at a position: each row once, sorted, in slices that fit into memory."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog.changes import SetRetention
from engine.errors import PluginError, QueryCancelledError, QueryError
from engine.ids import DatabaseId, Position
from engine.persist.thread import PersistConfig
from engine.query import past
from engine.query.past_sizes import Extent, end_of_slice
from engine.store.past import PastRequest, order_of
from tests.support.storage import HandClock, Storage

HOUR_NS = 3_600 * 10**9


@pytest.fixture
def storage(tmp_path: Path) -> Any:
    made = Storage(tmp_path, PersistConfig(log_bytes=1, checkpoint_log_bytes=1 << 30))
    made.create_database()
    yield made
    made.close()


def read(storage: Storage, before: int | None = None, **settings: Any) -> list[dict[str, Any]]:
    position = storage.state.position if before is None else Position(before)
    found = storage.past_rows(position, **settings)
    keys = [order_of(row.key) for row in found]
    assert keys == sorted(set(keys))
    return [row.row for row in found]


def test_rows_are_those_of_the_position_wherever_they_are(storage: Storage) -> None:
    storage.write("m,t=a f=1i,g=1i 1\nm,t=b f=1i 2")
    storage.write("m,t=a f=2i 1")
    trigger = storage.create_trigger("t")
    start = storage.state.backfills.start(trigger.id)
    storage.write("m,t=a f=3i 1\nm,t=c,u=new f=1i,h=5i 3")
    expected = [{"t": "a", "f": 2, "g": 1, "time": 1}, {"t": "b", "f": 1, "time": 2}]
    assert read(storage, start) == expected, "in the log"
    storage.persist_all()
    assert read(storage, start) == expected, "in files"
    for number in range(12):
        storage.write(f"m,t=d f={number}i {number}")
        storage.persist_all()
        storage.persist.work()
    assert read(storage, start) == expected, "in files that were merged"
    assert len(read(storage)) == 15
    assert read(storage.restart(), start) == expected


def test_tables_without_rows_in_a_slice_are_not_asked(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    sorted_rows_sql = past.sorted_rows_sql

    def noted(view: str, columns: list[str], *rest: Any) -> Any:
        asked.append(columns[0])
        return sorted_rows_sql(view, columns, *rest)

    monkeypatch.setattr(past, "sorted_rows_sql", noted)
    days = 40
    for day in (0, days):
        storage.write(
            "\n".join(f"quiet{number} quiet{number}=1i {day * 24 * HOUR_NS}" for number in range(9))
        )
        if not day:
            storage.write("\n".join(f"busy busy={n}i {n * 24 * HOUR_NS}" for n in range(1, days)))
    for _ in range(2):
        asked.clear()
        assert len(read(storage, rows_max=4)) == 2 * 9 + days - 1
        # Of one time they come in parts, and each part asks again for what it was cut off.
        assert sum("quiet" in name for name in asked) <= 2 * 2 * 9
        asked.clear()
        found = read(storage, rows_max=4, span=(HOUR_NS, days * 24 * HOUR_NS))
        assert [row["busy"] for row in found] == list(range(1, days))
        assert set(asked) == {'"busy"'}
        storage.persist_all()


def test_rows_have_the_types_and_the_order_of_a_write(storage: Storage) -> None:
    storage.write('m,z=1,a=2 s="x",u=18446744073709551615u,b=t,f=0.5,i=-1i 5')
    storage.write("m,z=1 i=2i 6")
    for _ in range(2):
        first, second = read(storage)
        assert list(first.items()) == [
            ("z", "1"),
            ("a", "2"),
            ("s", "x"),
            ("u", 2**64 - 1),
            ("b", True),
            ("f", 0.5),
            ("i", -1),
            ("time", 5),
        ]
        assert second == {"z": "1", "i": 2, "time": 6}
        storage.persist_all()


TIMES = st.sampled_from([0, 1, 2, HOUR_NS, -(2**63), -(2**63) + 1, 2**63 - 2, 2**63 - 1])
TAGS = st.sampled_from(["", ",t=a", ",t=b", ",u=a", ",t=a,u=é", ",t=😀", ",T=x", ",t=ab"])
WRITES = st.lists(
    st.lists(st.tuples(st.sampled_from("mn"), TAGS, TIMES), min_size=1, max_size=12), max_size=5
)


# Each makes a storage, which costs more than all else here.
@settings(max_examples=6, deadline=None)
@given(
    rows_max=st.sampled_from([1, 3, 1000]),
    writes=WRITES,
    persisted=st.integers(0, 5),
    middle=st.integers(0, 60),
)
def test_slices_go_on_behind_any_row(
    tmp_path_factory: Any,
    rows_max: int,
    writes: list[list[tuple[str, str, int]]],
    persisted: int,
    middle: int,
) -> None:
    directory = tmp_path_factory.mktemp("storage")
    storage = Storage(directory, PersistConfig(log_bytes=1, checkpoint_log_bytes=1 << 30))
    try:
        storage.create_database()
        known = {}
        for number, points in enumerate(writes):
            if number == persisted:
                storage.persist_all()
            storage.write("\n".join(f"{table}{tags} f=1i {time}" for table, tags, time in points))
            known.update(dict.fromkeys(points))
        position = storage.state.position
        found = storage.past_rows(position, rows_max=rows_max)
        keys = [order_of(row.key) for row in found]
        assert keys == sorted(set(keys))
        assert sorted((row.table, row.row["time"]) for row in found) == sorted(
            (table, time) for table, _, time in known
        )
        if found:
            number = middle % len(found)
            rest = storage.past_rows(position, after=found[number].key, rows_max=rows_max)
            assert rest == found[number + 1 :]
    finally:
        storage.close()


def test_many_rows_of_one_time_come_in_parts(storage: Storage) -> None:
    lines = [f"m,t={number:03} f={number}i 7" for number in range(300)]
    lines += [f"n,t={number:03} f={number}i 7" for number in range(300)]
    storage.write("\n".join(lines))
    storage.persist_all()
    storage.write("\n".join(f"{line[:-1]}8" for line in lines[::2]))
    assert len(read(storage, rows_max=10)) == 900
    request = PastRequest(
        database="db", table=None, before=storage.state.position, start_ns=0, end_ns=9, rows_max=10
    )
    one = storage.past.slice(request)
    assert 10 <= sum(table.rows.num_rows for table in one.tables) <= 30
    assert one.next_ns == 7
    assert one.after == (7, "m", ("009",))


def test_slices_are_bounded_in_rows_and_bytes(storage: Storage) -> None:
    """Also where rows are not spread as evenly as they seem."""
    text = "x" * 1000
    storage.write("\n".join(f'm f="{text}" {number}' for number in range(500)))
    storage.write(f'm f="{text}" {100 * HOUR_NS}')
    storage.write("\n".join(f"n,t={number} f=1i {number % 40}" for number in range(900)))
    for _ in range(2):
        start: int | None = 0
        counted = 0
        while start is not None:
            one = storage.past.slice(
                PastRequest(
                    database="db",
                    table=None,
                    before=storage.state.position,
                    start_ns=start,
                    end_ns=2**63,
                    rows_max=100,
                    bytes_max=20_000,
                )
            )
            counted += sum(table.rows.num_rows for table in one.tables)
            assert sum(table.rows.num_rows for table in one.tables) <= 300
            assert sum(table.rows.nbytes for table in one.tables) <= 100_000
            assert one.after is None
            start = one.next_ns
        assert counted == 1401
        storage.persist_all()


def test_where_memory_does_not_do_slices_are_smaller(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("\n".join(f"m f={number}i {number * 1000}" for number in range(64)))
    answer = past._Filling._answer
    tried = []

    def scarce(filling: Any, sql: str, parameters: list[str]) -> Any:
        tried.append(filling._high - filling._low)
        if tried[-1] > 10_000:
            raise duckdb.OutOfMemoryException("Out of Memory Error")
        return answer(filling, sql, parameters)

    monkeypatch.setattr(past._Filling, "_answer", scarce)
    assert len(read(storage, span=(0, 64_000))) == 64
    assert max(tried) > 10_000

    def none(filling: Any, sql: str, parameters: list[str]) -> Any:
        raise duckdb.OutOfMemoryException("Out of Memory Error")

    monkeypatch.setattr(past._Filling, "_answer", none)
    with pytest.raises(QueryError, match="too large"):
        read(storage)


def test_columns_that_differ_in_case_are_two(storage: Storage) -> None:
    storage.write("m,Host=a,host=b v=1i,V=2i 1")
    for _ in range(2):
        assert read(storage) == [{"Host": "a", "host": "b", "v": 1, "V": 2, "time": 1}]
        storage.persist_all()


def test_rows_past_retention_are_not_there(storage: Storage) -> None:
    storage.write("\n".join(f"m f={number}i {number * HOUR_NS}" for number in range(10)))
    storage.persist_all()
    storage.write("\n".join(f"n f={number}i {number * HOUR_NS}" for number in range(10)))
    storage.change(SetRetention(DatabaseId(1), retention_ns=5 * HOUR_NS))
    assert isinstance(storage.clock, HandClock)
    storage.clock.time_ns = 10 * HOUR_NS
    assert [row["f"] for row in read(storage)] == [5, 5, 6, 6, 7, 7, 8, 8, 9, 9]


def test_a_file_of_before_and_behind_refuses_what_it_may_hold(storage: Storage) -> None:
    storage.write("m f=1i 1")
    middle = storage.state.position
    storage.write("m f=2i 2")
    storage.persist_all()
    request = PastRequest(database="db", table="m", before=middle, start_ns=0, end_ns=9)
    for work in (storage.past.check, storage.past.slice):
        with pytest.raises(PluginError, match="the trigger began at 2, between") as refused:
            work(request)
        assert "create it again" in refused.value.hint
    late = PastRequest(database="db", table="m", before=middle, start_ns=3, end_ns=9)
    storage.past.check(late)
    assert storage.past.slice(late).tables == []


def test_what_is_not_there_has_no_rows(storage: Storage) -> None:
    storage.write("m f=1i 1")
    created = storage.state.created("db")
    assert read(storage, created) == []
    assert read(storage, table="other") == []
    assert read(storage, span=(2, 9)) == []
    nowhere = PastRequest(database="nix", table=None, before=Position(9), start_ns=0, end_ns=9)
    assert storage.past.slice(nowhere).next_ns is None


def test_files_are_held_for_a_slice_and_no_longer(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("m f=1i 1")
    storage.persist_all()
    answer = past._Filling._answer
    left = []

    def look(filling: Any, sql: str, parameters: list[str]) -> Any:
        storage.change(SetRetention(DatabaseId(1), retention_ns=1))
        storage.clock.time_ns = 100
        storage.persist.compactor.drop_expired()
        left.append(storage.persist.reap())
        return answer(filling, sql, parameters)

    monkeypatch.setattr(past._Filling, "_answer", look)
    assert read(storage) == [{"f": 1, "time": 1}]
    assert left == [1], "the file went while it was read"
    assert storage.persist.reap() == 0


def test_the_reader_lets_go_of_live_rows(storage: Storage) -> None:
    storage.write("m f=1i 1")
    read(storage)
    assert storage.past._live.kept() == [("db", "m")]
    storage.persist_all()
    assert len(read(storage)) == 1
    assert storage.past._live.kept() == []
    storage.past.rest()
    assert len(read(storage)) == 1


def test_a_closed_reader_reads_nothing(storage: Storage) -> None:
    storage.write("m f=1i 1")
    storage.past.close()
    with pytest.raises(QueryCancelledError):
        read(storage)


EXTENTS = st.lists(
    st.tuples(
        st.integers(0, 100), st.integers(0, 50), st.integers(1, 1000), st.integers(1, 10_000)
    ).map(lambda one: Extent(one[0], one[0] + one[1], one[2], one[3])),
    min_size=1,
    max_size=8,
)


@given(EXTENTS, st.integers(0, 120), st.integers(1, 120), st.integers(1, 500), st.integers(1, 5000))
def test_a_slice_ends_as_late_as_its_rows_fit(
    extents: list[Extent], start: int, length: int, rows_max: int, bytes_max: int
) -> None:
    end = start + length

    def total(last: int, number: int) -> float:
        return sum(
            one[number]
            * max(0, min(last, one.max_time_ns + 1) - max(start, one.min_time_ns))
            / (one.max_time_ns + 1 - one.min_time_ns)
            for one in extents
        )

    found = end_of_slice(extents, start, end, rows_max=rows_max, bytes_max=bytes_max)
    assert start < found <= end
    slack = 1 + 1e-6
    if found > start + 1:
        assert total(found, 2) <= rows_max * slack
        assert total(found, 3) <= bytes_max * slack
    if found < end:
        assert total(found + 1, 2) * slack > rows_max or total(found + 1, 3) * slack > bytes_max
