# Rows of files that later ones repeat: looked up once, kept within bounds, or folded slice by slice.
import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.errors import FileDamagedError, QueryResourceError
from engine.persist.thread import PersistConfig
from engine.query import doubts, lookups
from engine.query.doubts import Doubts, slices_of
from engine.query.executor import QueryExecutor
from engine.store.manifest import FileEntry
from tests.support.storage import HandClock, Storage

COUNT = "SELECT count(*) AS n FROM m"
SUM = "SELECT sum(f) AS f FROM m"
# Enough for all but these, of 20,000 rows.
BYTES_MAX = {"later": 200_000, "found": 1 << 20, "folded": 2 << 20}


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of each look into files, how many keys and how many files; small tables are worth it."""
    calls = []
    found = lookups._Search._found

    def noted(self: Any, known: Any, start: int, entries: Any, bytes_max: int) -> Any:
        calls.append((known.keys.num_rows - start, len(entries)))
        return found(self, known, start, entries, bytes_max)

    monkeypatch.setattr(lookups, "EARLIER_ROWS_MIN", 0)
    monkeypatch.setattr(lookups._Search, "_found", noted)
    return calls


@pytest.fixture
def storage(tmp_path: Path) -> Any:
    """Two files of twenty rows."""
    config = PersistConfig(log_bytes=1, window_ns=1_000)
    storage = Storage(tmp_path, config, clock=HandClock(1_000))
    storage.create_database()
    for start in (0, 100):
        lines = [f"m,t={tag} f=1i,g=1i {start + time}" for tag in "ab" for time in range(10)]
        storage.write("\n".join(lines))
        storage.persist_all()
    yield storage
    storage.close()


def test_each_row_is_looked_up_once(storage: Storage, searched: list[tuple[int, int]]) -> None:
    storage.write("m,t=a f=5i 3\nm,t=c f=1i 3")
    for _ in range(4):
        assert storage.query(SUM) == [{"f": 45}]
        assert storage.query(COUNT) == [{"n": 41}]
    # The other file has no rows of that time.
    assert searched == [(2, 1)]
    storage.write("m,t=a f=6i 3\nm,t=b f=2i 4\nm,t=b f=2i 104")
    assert storage.query(SUM) == [{"f": 48}]
    assert searched == [(2, 1), (2, 1), (4, 1)]
    # What is found in a file stays so when the later rows go to files themselves.
    storage.persist_all()
    assert storage.query(SUM) == [{"f": 48}]
    assert storage.query("SELECT g FROM m WHERE f = 6") == [{"g": 1}]
    assert len(searched) == 3
    storage.delete_rows("m", where="t = 'a'", low_ns=3, high_ns=3)
    assert storage.query(SUM) == [{"f": 42}]
    assert len(searched) == 3


def test_files_with_repeats_are_not_read_to_count_their_rows(
    storage: Storage, searched: list[tuple[int, int]]
) -> None:
    storage.write("m,t=a f=5i 3\nm,t=c f=1i 103")
    assert storage.query(COUNT) == [{"n": 41}]
    for path in storage.paths.parquet_dir.rglob("*.parquet"):
        path.write_bytes(b"x" * path.stat().st_size)
    assert storage.query(COUNT) == [{"n": 41}]
    assert searched


def test_too_many_rows_are_not_looked_up(
    storage: Storage, searched: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "LATER_ROWS_MAX", 2)
    storage.write("m,t=a f=5i 3\nm,t=a f=5i 4\nm,t=a f=5i 5")
    assert [storage.query(SUM) for _ in range(2)] == [[{"f": 52}]] * 2
    assert not searched
    # One later row, but it may be any of three in the file, which is told when they are found.
    storage.write("k,a=1,b=1,c=1 f=1i 3\nk,a=1,b=1,c=2 f=1i 3\nk,a=1,b=1,c=3 f=1i 3")
    storage.write("k,a=2 f=1i 3\nk,a=2 f=1i 4\nk,a=2 f=1i 5")
    storage.persist_all()
    storage.write("k,a=1,b=1,c=2 f=4i 3")
    assert [storage.query("SELECT sum(f) AS f FROM k") for _ in range(2)] == [[{"f": 9}]] * 2
    assert searched == [(1, 1)]


@pytest.mark.parametrize("is_clock", [False, True])
def test_rows_that_retention_hid_are_known_when_it_ends(
    storage: Storage, searched: list[tuple[int, int]], *, is_clock: bool
) -> None:
    storage.write("m,t=a f=5i 3\nm,t=a f=5i 103")
    storage.change(storage.state.catalog.new_retention("db", None, 950))
    for _ in range(2):
        assert storage.query(COUNT) == [{"n": 20}]
    if is_clock:
        storage.clock.time_ns -= 100
    else:
        storage.change(storage.state.catalog.new_retention("db", None, None))
    for _ in range(2):
        assert storage.query(COUNT) == [{"n": 40}]
        assert storage.query(SUM) == [{"f": 48}]
    assert searched


def test_rows_deleted_after_a_query_saw_them_are_known_to_it(
    storage: Storage, searched: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("m,t=a f=5i 3\nm,t=a f=5i 103")
    storage.persist_all()
    preparer = storage.executor.preparer
    found = preparer._found

    def meanwhile(*arguments: Any) -> Any:
        seen = found(*arguments)
        monkeypatch.setattr(preparer, "_found", found)
        storage.delete_rows("m", low_ns=0, high_ns=50)
        assert storage.query(COUNT) == [{"n": 20}]
        return seen

    monkeypatch.setattr(preparer, "_found", meanwhile)
    assert storage.query(COUNT) == [{"n": 40}]
    assert searched


class CountedBatches:
    """What DuckDB streams, and how many rows of it were read."""

    def __init__(self, reader: Any) -> None:
        self.rows = 0
        self.schema = reader.schema
        self.close = reader.close
        self._reader = reader

    def __iter__(self) -> Any:
        for batch in self._reader:
            self.rows += batch.num_rows
            yield batch


@pytest.mark.parametrize("what", ["found", "folded", "later"])
def test_no_more_is_read_than_may_be_kept(
    storage: Storage,
    searched: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    monkeypatch.setattr(lookups, "FEW_SHARE", 0)
    count, tag = 20_000, "a_value_of_some_length" if what == "later" else "a"
    text = "x" * (200 if what == "found" else 1)
    storage.write("\n".join(f'k,t={tag} f=1i,s="{text}" {time}' for time in range(count)))
    storage.persist_all()
    more = ',s="%s"' % ("y" * 200) if what == "folded" else ""
    storage.write("\n".join(f"k,t={tag} f=2i{more} {time}" for time in range(count)))
    monkeypatch.setattr(storage.executor._sources._lookups, "_bytes_max", BYTES_MAX[what])
    readers = []
    reader = lookups._Search._reader

    def counted(self: Any, sql: str) -> Any:
        readers.append(CountedBatches(reader(self, sql)))
        return readers[-1]

    monkeypatch.setattr(lookups._Search, "_reader", counted)
    for _ in range(2):
        assert storage.query("SELECT sum(f) AS f FROM k") == [{"f": 2 * count}]
    read = [one.rows for one in readers]
    assert [rows == count for rows in read[:-1]] == [True] * ("later", "found", "folded").index(
        what
    )
    assert 0 < read[-1] < count // 2
    known = storage.executor._sources._lookups._tables["db", "k"]
    assert known.size_bytes <= BYTES_MAX[what]


def test_rows_of_one_file_keep_no_others_alive(
    storage: Storage, searched: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "FEW_SHARE", 0)
    texts = [f'm,t=a s="{"x" * 1_000}" {start + time}' for start in (0, 100) for time in range(9)]
    storage.write("\n".join(f"n{line[1:]}" for line in texts[:9]))
    storage.persist_all()
    storage.write("\n".join(f"n{line[1:]}" for line in texts[9:]))
    storage.persist_all()
    storage.write("\n".join(f"n,t=a f=1i {time}" for time in (*range(9), 100)))
    question = "SELECT count(f) AS n FROM n"
    assert [storage.query(question) for _ in range(2)] == [[{"n": 10}]] * 2
    kept = storage.executor._sources._lookups
    known = kept._tables["db", "n"]
    assert known.folded is not None
    few = min(known.files.values(), key=lambda found: len(found.repeated.numbers))
    buffers = [
        buffer
        for column in few.repeated.rows.columns
        for chunk in column.chunks
        for buffer in chunk.buffers()
        if buffer is not None
    ]
    assert 1_000 < sum(buffer.size for buffer in buffers) < 2_000
    assert len(searched) == 1
    # What they became goes with a file.
    (path,) = (path for path, found in known.files.items() if found is not few)
    (storage.executor._sources._directory / path).unlink()
    storage.executor.files_removed(1)
    left = kept._tables["db", "n"]
    assert list(left.files.values()) == [few]
    assert left.folded is None
    assert kept._sizes_bytes["db", "n"] == left.size_bytes


def test_rows_found_by_keys_of_rows_that_are_gone_make_room(
    storage: Storage, searched: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = storage.executor._sources._lookups
    for time in range(5):
        storage.write(f"m,t=a f=5i {2 * time}\nm,t=b f=5i {2 * time}")
        assert storage.query(SUM) == [{"f": 40 + 8 * (time + 1)}]
        if not time:
            size = kept._tables["db", "m"].size_bytes
            monkeypatch.setattr(kept, "_bytes_max", size * 5 // 2)
        # Rows of later times; then these are in one file each.
        storage.write(f"m,t=z f=0i {5 * 10**18 + time}")
        storage.persist_all()
        while storage.persist.rewriter.rewrite(storage.persist_all):
            pass
    known = kept._tables["db", "m"]
    assert known.refused_files is None
    assert known.refused_later is None
    assert len(known.times) < 10
    assert [count for count, _ in searched[-2:]] != [2, 2]


def test_bytes_of_files_that_are_not_needed_make_room(
    storage: Storage, searched: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "FEW_SHARE", 0)
    for value in (1, 5):
        for start in (0, 5 * 10**9):
            lines = [f"n,t=a,u=b f={value}i,g=1i {start + time}" for time in range(9)]
            storage.write("\n".join(lines))
            if value == 1:
                storage.persist_all()
    kept = storage.executor._sources._lookups
    early, late = (
        "SELECT sum(f) AS f FROM n "
        f"WHERE time >= '1970-01-01T00:00:0{low}Z' AND time <= '1970-01-01T00:00:0{low + 2}Z'"
        for low in (0, 4)
    )
    assert storage.query(early) == [{"f": 45}]
    # More for the keys of all later rows, but not for another file.
    size = kept._tables["db", "n"].size_bytes
    monkeypatch.setattr(kept, "_bytes_max", size + 600)
    for question in (late, early):
        assert storage.query(question) == [{"f": 45}]
        known = kept._tables["db", "n"]
        assert (known.refused_files, len(known.files)) == (None, 1), known.size_bytes - size


def test_nothing_is_added_up_where_nothing_was_found(
    storage: Storage, searched: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("m,t=a f=5i 3")
    for _ in range(3):
        storage.query(SUM)
    known = storage.executor._sources._lookups._tables["db", "m"]
    with monkeypatch.context() as patched:
        patched.setattr(lookups._Known, "size_bytes", property(lambda self: pytest.fail("added")))
        assert storage.query(SUM) == [{"f": 44}]
    assert storage.executor._sources._lookups._tables["db", "m"] is known


def test_names_of_duckdb_are_no_trouble(storage: Storage, searched: list[tuple[int, int]]) -> None:
    lines = [f"n,File_Index=x file_row_number=1i {time}" for time in range(9)]
    storage.write("\n".join(lines))
    storage.persist_all()
    storage.write("n,File_Index=x file_row_number=3i 4")
    assert storage.query("SELECT sum(file_row_number) AS f FROM n") == [{"f": 11}]
    assert not searched


def test_what_is_kept_of_removed_files_and_tables_goes(
    storage: Storage, searched: list[tuple[int, int]]
) -> None:
    storage.write("m,t=a f=5i 3")
    storage.query(SUM)
    kept = storage.executor._sources._lookups
    (known,) = kept._tables.values()
    assert len(known.files) == 1
    for path in storage.paths.parquet_dir.rglob("*.parquet"):
        path.unlink()
    storage.executor.files_removed(1)
    (known,) = kept._tables.values()
    assert not known.files
    storage.executor.forget("db")
    assert not kept._tables


def test_a_damaged_file_is_told_from_a_slice(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "ROW_BYTES", 1 << 30)
    storage.write("m,t=a f=5i 3\nm,t=a f=5i 103")
    for path in storage.paths.parquet_dir.rglob("*.parquet"):
        path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(FileDamagedError):
        storage.query(SUM)


def test_many_repeats_are_folded_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path, PersistConfig(log_bytes=1), clock=HandClock(1_000))
    storage.create_database()
    tags = ",".join(f"tag{number}=a_value_of_some_length_{number}" for number in range(8))
    for count, value in ((100_000, 1), (80_000, 2)):
        storage.write(
            "\n".join(f"m,h=host{time % 20},{tags} f={value}i {time}" for time in range(count))
        )
        storage.persist_all()
    config = msgspec.structs.replace(storage.executor._config, memory_limit_bytes=32 << 20)
    executor = QueryExecutor(config, storage.executor._catalog, storage.clock.now_ns)
    assert executor.run("db", SUM).to_pylist() == [{"f": 180_000}]
    # Each time that the table is mentioned they are folded anew.
    twice = "SELECT count(*) AS n, sum(a.f) AS f FROM m AS a JOIN m AS b ON a.time = b.time"
    assert executor.run("db", twice).to_pylist() == [{"n": 100_000, "f": 180_000}]
    # At once they take more than that.
    monkeypatch.setattr(doubts, "ROW_BYTES", 1)
    with pytest.raises(QueryResourceError):
        executor.run("db", SUM)
    # What fails in a slice is told as if it were the query.
    monkeypatch.setattr(doubts, "ROW_BYTES", (12 << 20) // 100_000)
    config = msgspec.structs.replace(config, memory_limit_bytes=12 << 20)
    less = QueryExecutor(config, storage.executor._catalog, storage.clock.now_ns)
    with pytest.raises(QueryResourceError):
        less.run("db", SUM)
    less.close()
    executor.close()
    storage.close()


def entry(number: int, low: int, high: int, rows: int, *, late: bool = False) -> FileEntry:
    return FileEntry(
        number=number,
        path=str(number),
        window_start_ns=0,
        window_ns=1,
        rows=rows,
        size_bytes=0,
        memory_bytes=0,
        min_time_ns=low,
        max_time_ns=high,
        first_position=number,
        last_position=number,
        overlaps=((low, high),) if late else (),
    )


def test_slices_are_all_of_time_and_begin_where_files_do(monkeypatch: pytest.MonkeyPatch) -> None:
    files = (entry(1, 0, 99, 1_000), entry(2, 100, 199, 1_000), entry(3, 0, 199, 100, late=True))
    slices = slices_of(Doubts(((0, 199),), (), files), 50 << 10)
    bounds = [span for span, _ in slices]
    # A row of a later file is folded with one of an earlier: 200 of them, 50 in each.
    assert [low for low, _ in bounds[1:]] == [50, 100, 150]
    assert (bounds[0][0], bounds[-1][1]) == (doubts.TIME_NS_MIN, doubts.TIME_NS_MAX)
    assert all(end + 1 == low for (_, end), (low, _) in itertools.pairwise(bounds))
    assert [[one.number for one in part.touched] for _, part in slices] == [[1, 3]] * 2 + [
        [2, 3]
    ] * 2
    assert slices[1][1].ranges == ((50, 99),)
    # Of many later rows all are folded.
    many = (files[0], entry(3, 0, 99, 500, late=True))
    monkeypatch.setattr(doubts, "SLICES_MAX", 7)
    assert len(slices_of(Doubts(((0, 99),), (), many), 50 << 10)) == 7
    # Those of one moment cannot be told apart.
    one = (entry(1, 5, 5, 1_000), entry(2, 5, 5, 900, late=True))
    assert len(slices_of(Doubts(((5, 5),), (), one), 50 << 10)) == 1
