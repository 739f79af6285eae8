# Rows of single series picked out of decoded columns beside the same rows read by DuckDB, and when
# nothing is picked.
import random
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest

from engine.persist.thread import PersistConfig
from engine.query import preparer, series_rows, views
from engine.query.decoded_columns import DecodedColumns
from engine.query.packed_column import Dictionaries, joined, packed
from engine.query.series_answers import series_answer
from engine.store import parquet_file
from tests.support.series_questions import check_both_ways, random_question
from tests.support.storage import HandClock, Storage

HOSTS = ("a", "b", "c", "ü")
QUESTIONS = (
    "SELECT * FROM m WHERE host = $host",
    "SELECT time, f FROM m WHERE host IN ('a', $host) AND time >= '1970-01-01T00:00:00.000000030Z'",
    "SELECT * FROM m WHERE region = 'x' AND time < '1970-01-01T00:00:00.000000090Z'",
    "SELECT max(g) AS g, count(s) AS s FROM m WHERE host = $host AND f > 3",
)


class AtOnce:
    """Runs in the caller's thread what it is given."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, work, *arguments):
        work(*arguments)
        return Future()

    def shutdown(self, **_: object) -> None:
        pass


@pytest.fixture
def picks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether rows were picked, of each query for a series; columns are decoded at once."""
    found: list[bool] = []
    picked = series_rows.SeriesRows.picked

    def noted(*arguments):
        rows = picked(*arguments)
        found.append(rows is not None)
        return rows

    monkeypatch.setattr(series_rows, "ThreadPoolExecutor", AtOnce)
    monkeypatch.setattr(series_rows.SeriesRows, "picked", noted)
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(views, "CHUNK_ROWS", 8)
    monkeypatch.setattr(views, "LOOKED_THROUGH_ROWS", 3)
    return found


def storage_in(directory: Path) -> Storage:
    storage = Storage(directory, PersistConfig(log_bytes=1), clock=HandClock(1_000))
    storage.create_database()
    return storage


def line(rng: random.Random, number: int) -> str:
    host = rng.choice((*HOSTS, ""))
    tags = f",host={host}" if host else ""
    tags += rng.choice(("", ",region=x", ",region=y"))
    fields = [f"f={number % 7}i", f"u={number}u", f"b={number % 2 == 0}", f"g={number / 3}"]
    if number > 40:
        # A column that the first files lack.
        fields.append(f's="{number}"')
    chosen = rng.sample(fields, rng.randint(1, len(fields)))
    return f"m{tags} {','.join(chosen)} {number}"


def series_line(rng: random.Random, number: int) -> str:
    """A row of the table that random questions are about."""
    tags = f",host={rng.choice(('a', 'b', 'ü', 'zz'))}" if rng.random() < 0.9 else ""
    tags += rng.choice(("", ",region=x", ",region=y"))
    fields = [
        f"i={number % 7 - 3}i",
        f"u={number % 5}u",
        f"f={number / 4}",
        "b=true",
        f's="{number}"',
    ]
    return f"m{tags} {','.join(rng.sample(fields, rng.randint(1, 5)))} {number}"


def answers(storage: Storage) -> list[list[str]]:
    return [sorted(map(repr, storage.query(sql, host=host))) for sql in QUESTIONS for host in HOSTS]


def test_rows_picked_are_those_that_duckdb_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picks: list[bool]
) -> None:
    storage = storage_in(tmp_path)
    rng = random.Random(3)
    for number in range(90):
        storage.write(line(rng, number))
        if number % 15 == 14 and number < 80:
            storage.persist_all()
    with monkeypatch.context() as patched:
        patched.setattr(series_rows, "GROUPS_MAX", 0)
        expected = answers(storage)
    assert not any(picks)
    for _ in range(2):
        assert answers(storage) == expected
    picks.clear()
    assert answers(storage) == expected
    assert all(picks)
    assert len(picks) == len(expected)
    storage.close()


def test_answers_over_files_and_live_rows_are_those_of_duckdb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picks: list[bool]
) -> None:
    answered = []
    monkeypatch.setattr(
        preparer,
        "series_answer",
        lambda *arguments: answered.append(series_answer(*arguments)) or answered[-1],
    )
    storage = storage_in(tmp_path)
    rng = random.Random(5)

    def ask() -> int:
        del answered[:]
        for _ in range(12):
            check_both_ways(storage.executor, random_question(rng, 0, 120))
        return sum(answer is not None for answer in answered)

    for number in range(90):
        storage.write(series_line(rng, number))
        if number % 20 == 19:
            storage.persist_all()
    # Once more, when columns are at hand.
    ask()
    assert ask() > 5
    assert any(picks)
    # Rows that stand for others, of files and live ones, and rows that are gone.
    for number in rng.sample(range(90), 20):
        storage.write(series_line(rng, number))
    ask()
    storage.delete_rows("m", where="host = 'a'", low_ns=10, high_ns=30)
    storage.delete_rows("m", where="region = 'x'", low_ns=70, high_ns=100)
    ask()
    storage.persist_all()
    ask()
    storage.close()


def test_nothing_is_picked_of_files_that_repeat_rows_or_keep_deleted_ones(
    tmp_path: Path, picks: list[bool]
) -> None:
    storage = storage_in(tmp_path)
    sql = "SELECT f FROM m WHERE host = 'a' ORDER BY time"
    storage.write("m,host=a f=1i 1\nm,host=a f=2i 2\nm,host=b f=3i 3")
    storage.persist_all()
    for _ in range(3):
        assert storage.query(sql) == [{"f": 1}, {"f": 2}]
    assert picks == [False, True, True]
    # A live row that may stand for one of the file.
    storage.write("m,host=a f=5i 2")
    assert storage.query(sql) == [{"f": 1}, {"f": 5}]
    storage.delete_rows("m", where="host = 'a'", low_ns=1, high_ns=1)
    assert storage.query(sql) == [{"f": 5}]
    assert picks[3:] == [False, False]
    storage.close()


def test_what_takes_long_to_decode_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picks: list[bool]
) -> None:
    storage = storage_in(tmp_path)
    storage.write("\n".join(f"m,host=a f={number}i {number}" for number in range(12)))
    storage.persist_all()
    # Three row groups of three columns.
    monkeypatch.setattr(series_rows, "COLUMNS_AT_ONCE", 8)
    for _ in range(3):
        assert len(storage.query("SELECT f FROM m WHERE host = 'a'")) == 12
    assert picks == [False, False, True]
    storage.close()


def test_only_files_that_are_not_decoded_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_rows.SeriesRows, "_decode_later", lambda *_: None)
    monkeypatch.setattr(series_rows, "COLUMNS_AT_ONCE", 0)
    storage = storage_in(tmp_path)
    for start in (0, 20):
        lines = (f"m,host=a f={number}i,g={number} {number}" for number in range(start, start + 9))
        storage.write("\n".join(lines))
        storage.persist_all()
    ((first, second),) = [table.files for table in storage.state.store.database("db").tables()]  # type: ignore[union-attr]
    series = storage.executor._sources._series
    assert series is not None
    left: list[list[object] | None] = []
    picked = series.picked

    def noted(*arguments: Any) -> Any:
        found = picked(*arguments)
        left.append(None if found is None else list(found.left))
        return found

    monkeypatch.setattr(series, "picked", noted)
    few, all_of_them = (
        "SELECT * FROM m WHERE host = 'a' AND f < 3",
        "SELECT g FROM m WHERE host = 'a'",
    )

    def counts() -> list[int]:
        return [len(storage.query(sql)) for sql in (few, all_of_them)]

    expected = [3, 18]
    assert counts() == counts() == expected
    assert left == [None] * 4
    list(series._decoded.columns(first, [0], ["host", "time", "f", "g"]))
    assert counts() == expected
    assert left[4:] == [[second], [second]]
    # That no row of the second one meets the condition is told by few columns.
    list(series._decoded.columns(second, [0], ["host", "time", "f"]))
    assert counts() == expected
    assert left[6:] == [[], [second]]
    storage.close()


def test_files_that_are_removed_are_forgotten(tmp_path: Path, picks: list[bool]) -> None:
    storage = storage_in(tmp_path)
    storage.write("m,host=a f=1i 1")
    storage.persist_all()
    for _ in range(3):
        storage.query("SELECT f FROM m WHERE host = 'a'")
    decoded = storage.executor._sources._series._decoded  # type: ignore[union-attr]
    assert picks[-1]
    assert decoded.kept.size_bytes > 0
    for path in storage.paths.parquet_dir.rglob("*.parquet"):
        path.unlink()
    storage.executor.files_removed(1)
    assert decoded.kept.size_bytes == 0
    storage.close()


def test_a_file_that_cannot_be_read_is_left_to_duckdb(tmp_path: Path, picks: list[bool]) -> None:
    storage = storage_in(tmp_path)
    storage.write("m,host=a f=1i 1")
    storage.persist_all()
    (path,) = storage.paths.parquet_dir.rglob("*.parquet")
    path.write_bytes(b"no parquet" * 100)
    with pytest.raises(Exception, match="cannot be read"):
        storage.query("SELECT f FROM m WHERE host = 'a'")
    assert picks == [False]
    storage.close()


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path, picks: list[bool]) -> None:
    storage = storage_in(tmp_path)
    storage.write("\n".join(f"m,host=a f={number}i,g={number}.5 {number}" for number in range(12)))
    storage.persist_all()
    ((entry,),) = [table.files for table in storage.state.store.database("db").tables()]  # type: ignore[union-attr]
    decoded = DecodedColumns(storage.paths.parquet_dir, 1 << 20)
    list(decoded.columns(entry, [0, 1, 2], ["f"]))
    size = decoded.kept.size_bytes
    assert decoded.has(entry, [0, 1, 2], ["f"])
    small = DecodedColumns(storage.paths.parquet_dir, size)
    list(small.columns(entry, [0, 1, 2], ["f"]))
    list(small.columns(entry, [0], ["f"]))
    list(small.columns(entry, [0], ["g"]))
    assert small.kept.size_bytes <= size
    assert small.has(entry, [0], ["f", "g"])
    assert not small.has(entry, [1], ["f"])
    storage.close()


def test_columns_have_one_order_in_memory_and_in_files(tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    storage.write("m,host=a zero=1i,first=2i 1")
    sql = "SELECT * FROM m"
    names = list(storage.query(sql)[0])
    assert names == ["first", "host", "time", "zero"]
    storage.persist_all()
    assert list(storage.query(sql)[0]) == names
    storage.write("m,host=a zero=1i,first=2i 2")
    assert list(storage.query(sql)[0]) == names
    storage.close()


TIME = pyarrow.timestamp("ns")
CODES = pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8())


@pytest.mark.parametrize(
    "column",
    [
        pyarrow.array([1, 2, 3, -128, 127], pyarrow.int64()),
        pyarrow.array([1, 2, 3, 1 << 20, -(1 << 62)], pyarrow.int64()),
        pyarrow.array([1, None, 3, 4, 5], pyarrow.int64()),
        pyarrow.array([1, 2, 3, 4, 2**64 - 1], pyarrow.uint64()),
        pyarrow.array([0.5, 1.5, float("nan"), -0.0, 5e-324], pyarrow.float64()),
        pyarrow.array([True, False, None, True, True]),
        pyarrow.array(["a", "", None, "ü", "a"]),
        pyarrow.array([1, 2, 3, -5, 2**62], TIME),
        pyarrow.array(["a", "a", "b", "c", "c"]).dictionary_encode(),
        pyarrow.array(["a", None, "b", "a", "c"]).dictionary_encode(),
    ],
)
def test_packed_columns_give_what_was_packed(column: pyarrow.Array) -> None:
    dictionaries = Dictionaries()
    pieces = [packed(pyarrow.chunked_array([column]), dictionaries) for _ in range(2)]
    places = [slice(1, 4), numpy.array([0, 2, 4])]
    found = joined(pieces, places)
    expected = column.slice(1, 3).to_pylist() + [column[place].as_py() for place in (0, 2, 4)]
    assert found.type == column.type
    assert repr(found.to_pylist()) == repr(expected)
    if column.type == CODES:
        rows = [index for index, value in enumerate(column.to_pylist()) if value in ("a", "c")]
        at = pieces[0].places_of(frozenset(("a", "c", "z")))
        assert numpy.arange(5)[at].tolist() == rows
        assert pieces[0].places_of(frozenset(("z",))) is None


def test_columns_of_other_dictionaries_join_too() -> None:
    dictionaries = Dictionaries()
    columns = [
        packed(pyarrow.chunked_array([pyarrow.array(texts).dictionary_encode()]), dictionaries)
        for texts in (["a", "b"], ["b", "c"], ["a", "b"])
    ]
    assert columns[0].dictionary is columns[2].dictionary
    found = joined(columns, [slice(0, 2)] * 3)
    assert found.to_pylist() == ["a", "b", "b", "c", "a", "b"]
