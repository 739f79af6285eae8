"""What fails in a slice, before its first row or after, is told as if it were the query."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow.parquet
import pytest

from engine.errors import FileDamagedError, QueryError, QueryResourceError
from engine.persist.thread import PersistConfig
from engine.query import doubts, lookups
from engine.query.executor import QueryExecutor
from engine.query.slice_stream import SliceStream, message_of
from tests.support.storage import HandClock, Storage

SUM = "SELECT sum(f) AS f FROM m"
# What a batch of DuckDB holds, and more.
ROWS = 20_000


@pytest.fixture(autouse=True)
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows that may be repeated are folded in slices."""
    monkeypatch.setattr(lookups, "EARLIER_ROWS_MIN", 1 << 60)
    monkeypatch.setattr(doubts, "ROW_BYTES", 1 << 27)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """Files of which some rows are there again."""
    config = PersistConfig(log_bytes=1, window_ns=1 << 50)
    storage = Storage(tmp_path, config, clock=HandClock(ROWS))
    storage.create_database()
    storage.write("\n".join(f"m,t=a f={time % 97}.25 {time}" for time in range(ROWS)))
    storage.persist_all()
    storage.write("\n".join(f"m,t=a f=1 {time}" for time in range(0, ROWS, 1_000)))
    yield storage
    storage.close()


def failing_after_rows(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    """Let each SELECT of a slice fail after its first rows, as DuckDB tells it through Arrow."""
    cursor = SliceStream._cursor

    class Relation:
        def __init__(self, relation: duckdb.DuckDBPyRelation) -> None:
            self._relation = relation
            self.to_arrow_table = relation.to_arrow_table

        def to_arrow_reader(self) -> Iterator[Any]:
            yield from self._relation.to_arrow_reader()
            raise OSError(message)

    class Cursor:
        def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
            self._cursor = cursor
            self.close = cursor.close

        def sql(self, text: str) -> Relation:
            return Relation(self._cursor.sql(text))

    monkeypatch.setattr(SliceStream, "_cursor", lambda self: Cursor(cursor(self)))


def test_out_of_memory_after_rows_of_a_slice(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_after_rows(monkeypatch, "Out of Memory Error: failed to allocate data of size 2.0 MiB")
    with pytest.raises(QueryResourceError) as raised:
        storage.query(SUM)
    assert "headrace slice" in str(raised.value.__cause__)


def test_out_of_memory_beside_slices_is_that_of_the_query(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    batches = SliceStream._batches

    def noted(self: SliceStream) -> Iterator[Any]:
        begun.append(self)
        return batches(self)

    monkeypatch.setattr(SliceStream, "_batches", noted)
    config = msgspec.structs.replace(storage.executor._config, memory_limit_bytes=32 << 20)
    executor = QueryExecutor(config, storage.executor._catalog, storage.clock.now_ns)
    pairs = "SELECT DISTINCT a.time AS x, b.time AS y FROM m AS a CROSS JOIN m AS b"
    with pytest.raises(QueryResourceError) as raised:
        executor.run("db", f"SELECT count(*) AS n FROM ({pairs})")
    executor.close()
    assert begun
    assert "headrace slice" not in str(raised.value.__cause__)


def test_what_else_fails_after_rows_of_a_slice(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_after_rows(monkeypatch, "Conversion Error: Could not convert")
    with pytest.raises(QueryError) as raised:
        storage.query(SUM)
    assert str(raised.value) == "Execution error: Conversion Error: Could not convert"


def test_no_path_of_the_server_is_told(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    path = storage.paths.parquet_dir.resolve() / "a" / "b.parquet"
    failing_after_rows(monkeypatch, f'IO Error: Cannot open file "{path}": Too many open files')
    with pytest.raises(QueryError) as raised:
        storage.query(SUM)
    told = 'Execution error: IO Error: Cannot open file "a/b.parquet": Too many open files'
    assert str(raised.value) == told


# With the header of a page and without.
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_damaged_page(storage: Storage, share: float) -> None:
    assert storage.query(SUM)
    (path,) = storage.paths.parquet_dir.rglob("*.parquet")
    metadata = pyarrow.parquet.read_metadata(path)
    group = metadata.row_group(metadata.num_row_groups - 1)
    (column,) = (
        group.column(number)
        for number in range(group.num_columns)
        if group.column(number).path_in_schema == "f"
    )
    damaged = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    size = column.total_compressed_size
    for at in range(start + int(share * size), start + size):
        damaged[at] ^= 0x5A
    path.write_bytes(damaged)
    with pytest.raises(FileDamagedError):
        storage.query(SUM)


@pytest.mark.parametrize("size", [None, 0, 5, 1_000])
def test_a_file_that_is_gone_or_cut_off(storage: Storage, size: int | None) -> None:
    (path,) = storage.paths.parquet_dir.rglob("*.parquet")
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    for _ in range(2):
        with pytest.raises(FileDamagedError) as raised:
            storage.query(SUM)
        assert str(storage.directory) not in str(raised.value)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Binder Error: none", "Binder Error: none"),
        # Of a slice, whole and cut off.
        ("IOError: headrace slice: A: b :headrace slice. Detail: Python exception: T", "A: b"),
        ("IOError: headrace slice: A: b. Detail: Python exception: T", "A: b"),
        # Of whatever else DuckDB reads that is made in Python.
        ("IOError: A: b. Detail: Python exception: Traceback", "IOError: A: b"),
    ],
)
def test_what_a_message_says(message: str, said: str) -> None:
    assert message_of(RuntimeError(message)) == said
