"""What is in caches when rows, tables and files go."""

import logging
from pathlib import Path

import pytest

from engine.caches import kept_rows
from engine.caches.kept_rows import KeptRows
from engine.catalog.caches import LastCacheDraft
from engine.catalog.changes import DeleteTable
from engine.errors import FileDamagedError, QueryError
from engine.persist.thread import PersistConfig
from engine.store import parquet_file
from tests.support.storage import HandClock, Storage

DAY_NS = 86_400 * 1_000_000_000
LAST = "SELECT host, f FROM last_cache('m') ORDER BY host"
POINTS = "SELECT DISTINCT ON (host) host, f FROM m{} ORDER BY host, time DESC"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    config = PersistConfig(log_bytes=1, window_ns=DAY_NS)
    storage = Storage(tmp_path, config, clock=HandClock(3 * DAY_NS))
    storage.create_database()
    for day in (1, 2):
        storage.write(f"m,host=a f={day} {day * DAY_NS}\nm,host=b f={day} {day * DAY_NS}")
        storage.persist_all()
    return storage


def create(storage: Storage) -> None:
    columns = storage.state.store.columns("db", "m")
    draft = LastCacheDraft(table="m", columns=columns, ttl_s=10 * 86_400)
    caches, database = storage.state.catalog.caches, storage.state.catalog.database("db")
    storage.change(caches.new_last(database.id, draft))


def damage(storage: Storage, number: int) -> Path:
    """Spoil a page of the file of that day."""
    (table,) = storage.state.store.database("db").tables()  # type: ignore[union-attr]
    path = storage.paths.parquet_dir / table.files[number].path
    content = bytearray(path.read_bytes())
    content[20] ^= 0xFF
    path.write_bytes(content)
    return path


def test_rows_that_are_deleted_late_are_in_no_cache(storage: Storage) -> None:
    create(storage)
    both = [{"host": "a", "f": 2.0}, {"host": "b", "f": 2.0}]
    assert storage.query(LAST) == storage.query(POINTS.format("")) == both
    storage.delete_rows("m", where="host = 'a'", low_ns=2 * DAY_NS)
    left = [{"host": "a", "f": 1.0}, {"host": "b", "f": 2.0}]
    assert storage.query(LAST) == storage.query(POINTS.format("")) == left
    # Once no file has them the delete is over; what was made before it is void all the same.
    storage.write(f"m,host=a f=3 {2 * DAY_NS}")
    storage.persist.purger.purge()
    storage.delete_rows("m", where="host = 'a'", low_ns=2 * DAY_NS)
    storage.persist_all()
    assert storage.query(LAST) == storage.query(POINTS.format("")) == left
    storage.close()


def test_a_write_that_races_a_delete_is_looked_at_once_behind_it(storage: Storage) -> None:
    assert storage.caches.last_points("db", "m").num_rows == 2
    storage.write(f"m,host=a f=9 {3 * DAY_NS}")
    storage.delete_rows("m", low_ns=3 * DAY_NS)
    storage.write(f"m,host=b f=8 {3 * DAY_NS}")
    rows = storage.caches.last_points("db", "m").to_pylist()
    assert [(row["host"], row["f"]) for row in rows] == [("a", 2.0), ("b", 8.0)]
    storage.close()


def test_a_table_takes_its_contents_with_it(storage: Storage) -> None:
    create(storage)
    assert len(storage.query(LAST)) == 2
    database_id = storage.state.catalog.database("db").id
    storage.change(DeleteTable(database_id, "db", "m"))
    with pytest.raises(QueryError, match="last cache not found for table 'm'"):
        storage.query(LAST)
    assert storage.caches._entries == {}
    assert storage.caches._watched == frozenset()
    storage.write(f"m,host=c f=4 {DAY_NS}")
    assert storage.query(POINTS.format("")) == [{"host": "c", "f": 4.0}]
    with pytest.raises(QueryError, match="last cache not found"):
        storage.restart().query(LAST)
    storage.close()


def test_a_table_that_has_but_the_name_has_no_contents(storage: Storage) -> None:
    kept = KeptRows("m", keys=("host",), values=("f",))
    database = storage.state.store.database("db")
    assert database is not None
    assert kept.rows(database, storage.faults, (0, None)).num_rows == 2
    storage.change(DeleteTable(database.id, "db", "m"))
    # As a query finds it that knew the cache a moment ago.
    assert kept.rows(database, storage.faults, (0, None)) is None
    storage.write("m,region=x g=1 1")
    assert kept.rows(database, storage.faults, (0, None)) is None
    storage.close()


def test_a_damaged_file_is_named_and_the_others_are_not_read_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create(storage)
    path = damage(storage, 0)
    read: list[Path] = []
    read_within = parquet_file.read_within
    monkeypatch.setattr(
        parquet_file,
        "read_within",
        lambda path, *more: read.append(path) or read_within(path, *more),
    )
    for _ in range(2):
        with pytest.raises(FileDamagedError, match=f"{path.name} with 2 rows of table 'm'"):
            storage.query(LAST)
    assert len(read) == 2
    # Of last points, those that are no older than the file can be told without it.
    recent = POINTS.format(" WHERE time >= '1970-01-03T00:00:00Z'")
    assert storage.query(recent) == [{"host": "a", "f": 2.0}, {"host": "b", "f": 2.0}]
    with pytest.raises(FileDamagedError, match=path.name):
        storage.query(POINTS.format(""))
    # The thread says so once, and leaves it alone for a while, however many rows come.
    (entry,) = [one for one in storage.caches._entries.values() if one.definition is not None]
    read.clear()
    with caplog.at_level(logging.WARNING, "engine.caches"):
        for value in (5, 6):
            storage.write(f"m,host=a f={value} {3 * DAY_NS}")
            entry.pause_until = 0.0
            storage.caches._keep_up(entry)
            assert entry.pause_until > 0.0
    said = [record for record in caplog.records if record.name.startswith("engine.caches")]
    assert [record.message for record in said] == ["a cache cannot be kept up"]
    assert read == []
    # Rows that nobody wants any more are no reason to fail.
    storage.delete_rows("m", high_ns=2 * DAY_NS - 1)
    found = [{"host": "a", "f": 6.0}, {"host": "b", "f": 2.0}]
    assert storage.query(LAST) == found
    storage.close()


def test_rows_of_many_batches_are_parted_by_deletes(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_rows, "_GATHERED_ROWS", 3)
    expected = {"a": 2.0, "b": 2.0}
    for number in range(30):
        host = "ab"[number % 2]
        storage.write(f"m,host={host} f={number} {3 * DAY_NS + number}")
        expected[host] = number
        if number in (11, 12, 17):
            storage.delete_rows("m", low_ns=3 * DAY_NS)
            expected = {"a": 2.0, "b": 2.0}
        if number % 5 == 0:
            storage.caches.forget("db", "m")
        rows = storage.caches.last_points("db", "m").select(["host", "f"]).to_pylist()
        assert {row["host"]: row["f"] for row in rows} == expected
    storage.close()
