"""Deleted rows in the storage: hidden at once, out of the files later, and never back."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import BackPressureError
from engine.persist.purger import LIVE_MANY, PENDING_MANY
from engine.persist.thread import PersistConfig
from engine.store.live import LiveDatabase
from engine.store.live_table import LiveTable
from engine.store.manifest import FileEntry, FilesRecord
from tests.support.storage import Storage

MINUTE_NS = 60 * 1_000_000_000
DAY_NS = 24 * 60 * MINUTE_NS
ALL = "SELECT * FROM m ORDER BY time, t"


def make(directory: Path, **settings: Any) -> Storage:
    storage = Storage(
        directory, PersistConfig(**{"log_bytes": 1, "checkpoint_log_bytes": 1, **settings})
    )
    storage.create_database()
    return storage


def table(storage: Storage) -> LiveTable:
    database = storage.state.store.database("db")
    assert database is not None
    found = database.table("m")
    assert found is not None
    return found


def files(storage: Storage) -> tuple[FileEntry, ...]:
    return table(storage).files


def on_disk(storage: Storage) -> int:
    return len(list(storage.paths.parquet_dir.rglob("*.parquet")))


def test_a_delete_in_memory_is_forgotten_once_the_rows_are_in_files(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1\nm,t=b f=1i 1")
    storage.delete_rows("m", where="t = 'a'")
    storage.write("m,t=a g=2i 1")
    expected = [{"f": None, "g": 2, "t": "a", "time": 1}, {"f": 1, "g": None, "t": "b", "time": 1}]
    assert storage.query(ALL) == expected
    assert len(table(storage).deletes) == 1
    storage = storage.restart()
    assert storage.query(ALL) == expected
    storage.persist.checkpointer.write()
    storage = storage.restart()
    assert storage.query(ALL) == expected
    storage.persist_all()
    assert table(storage).deletes == ()
    assert storage.query(ALL) == expected


def test_a_delete_of_times_without_live_rows_is_forgotten_with_the_rows_of_files(
    tmp_path: Path,
) -> None:
    storage = make(tmp_path)
    storage.write("m f=1 1\nm f=2 2")
    storage.persist_all()
    storage.write(f"m f=3 {10**18}")
    storage.delete_rows("m", high_ns=1)
    storage.delete_rows("m", low_ns=10**18, high_ns=10**18)
    assert len(table(storage).deletes) == 2
    storage.persist.purger.purge()
    assert [one.times[0] for one in table(storage).deletes] == [10**18]
    # Late rows are not meant by what went before.
    storage.write("m f=4 1")
    assert [row["f"] for row in storage.query("SELECT f FROM m ORDER BY time")] == [4.0, 2.0]
    storage = storage.restart()
    storage.persist_all()
    assert table(storage).deletes == ()
    assert [row["f"] for row in storage.query("SELECT f FROM m ORDER BY time")] == [4.0, 2.0]
    storage.close()


def test_a_file_is_written_anew_without_its_deleted_rows(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1\nm,t=b f=2i 2\nm,t=a f=3i 3")
    storage.persist_all()
    before = files(storage)
    storage.delete_rows("m", where="t = 'a'", high_ns=2)
    expected = [{"f": 2, "t": "b", "time": 2}, {"f": 3, "t": "a", "time": 3}]
    assert storage.query(ALL) == expected
    assert storage.query("SELECT count(*) AS n FROM m") == [{"n": 2}]
    assert storage.query("SELECT max(f) AS f FROM m WHERE time < '1970-01-02'") == [{"f": 3}]
    storage = storage.restart()
    assert storage.query(ALL) == expected
    storage.persist.work(with_retention=True)
    assert storage.query(ALL) == expected
    assert [entry.rows for entry in files(storage)] == [2]
    assert files(storage)[0].number != before[0].number
    assert table(storage).deletes == ()
    storage.persist.reap()
    assert on_disk(storage) == 1
    assert storage.restart().query(ALL) == expected


def test_a_file_wholly_covered_goes_without_being_read(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(f"m,t=a f=1i 1\nm,t=a f=1i {DAY_NS}")
    storage.persist_all()
    assert len(files(storage)) == 2
    covered = storage.paths.parquet_dir / files(storage)[0].path
    covered.write_bytes(bytes(covered.stat().st_size))
    storage.delete_rows("m", high_ns=DAY_NS - 1)
    storage.persist.purger.purge()
    storage.persist.reap()
    assert not covered.exists()
    assert storage.query(ALL) == [{"f": 1, "t": "a", "time": DAY_NS}]
    assert table(storage).deletes == ()


def test_a_file_in_which_nothing_is_meant_stays(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1")
    storage.persist_all()
    (before,) = files(storage)
    storage.delete_rows("m", where="t = 'b'")
    assert len(table(storage).deletes) == 1
    storage.persist.purger.purge()
    (after,) = files(storage)
    assert (after.number, after.path) == (before.number, before.path)
    assert after.deletes_through > 0
    assert table(storage).deletes == ()
    storage.persist.reap()
    assert on_disk(storage) == 1
    storage = storage.restart()
    assert storage.query(ALL) == [{"f": 1, "t": "a", "time": 1}]
    storage.persist.checkpointer.write()
    assert storage.restart().query(ALL) == [{"f": 1, "t": "a", "time": 1}]


def test_files_that_are_merged_lose_their_deleted_rows(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1\nm,t=b f=1i 1")
    storage.persist_all()
    storage.delete_rows("m", where="t = 'a'")
    storage.write(f"m,t=a g=2i 1\nm,t=z f=0i {9 * DAY_NS}")
    storage.persist_all()
    storage.delete_rows("m", where="t = 'b'")
    expected = [
        {"f": None, "g": 2, "t": "a", "time": 1},
        {"f": 0, "g": None, "t": "z", "time": 9 * DAY_NS},
    ]
    assert storage.query(ALL) == expected
    assert storage.persist.compactor.compact()
    assert [entry.rows for entry in files(storage)] == [1, 1]
    assert storage.query(ALL) == expected
    storage.persist.purger.purge()
    assert table(storage).deletes == ()
    assert storage.restart().query(ALL) == expected


def test_a_delete_during_a_compaction_is_not_lost(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for value in (1, 2):
        storage.write(f"m,t=a f={value}i {value}\nm,t=b f={value}i {value + 10}")
        storage.persist_all()
    storage.write(f"m,t=z f=0i {9 * DAY_NS}")
    storage.persist_all()
    append = storage.append

    def append_late(record: FilesRecord) -> None:
        storage.append = append  # type: ignore[method-assign]
        storage.delete_rows("m", high_ns=5)
        append(record)

    storage.append = append_late  # type: ignore[method-assign]
    assert storage.persist.compactor.compact()
    expected = [
        {"f": 1, "t": "b", "time": 11},
        {"f": 2, "t": "b", "time": 12},
        {"f": 0, "t": "z", "time": 9 * DAY_NS},
    ]
    assert storage.query(ALL) == expected
    storage.persist.purger.purge()
    assert storage.query(ALL) == expected
    assert table(storage).deletes == ()
    assert storage.restart().query(ALL) == expected


def test_a_delete_while_rows_are_persisted_is_not_lost(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1\nm,t=b f=1i 1")
    append = storage.append

    def append_late(record: FilesRecord) -> None:
        if record.through:
            storage.delete_rows("m", where="t = 'a'")
            storage.write("m,t=a f=2i 2")
        append(record)

    storage.append = append_late  # type: ignore[method-assign]
    storage.persist_all()
    storage.append = append  # type: ignore[method-assign]
    expected = [{"f": 1, "t": "b", "time": 1}, {"f": 2, "t": "a", "time": 2}]
    for _ in range(2):
        assert storage.query(ALL) == expected
        storage.persist.checkpointer.write()
        storage = storage.restart()
    storage.persist_all()
    storage.persist.purger.purge()
    assert storage.query(ALL) == expected


def test_many_deletes_are_not_left_for_later(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("\n".join(f"m,t=t{number} f=1i 1" for number in range(PENDING_MANY + 1)))
    storage.persist_all()
    for number in range(PENDING_MANY):
        storage.delete_rows("m", where=f"t = 't{number}'")
        if number < PENDING_MANY - 1:
            storage.persist.work()
            assert len(table(storage).deletes) == number + 1
    storage.persist.work()
    assert table(storage).deletes == ()
    assert storage.query(ALL) == [{"f": 1, "t": f"t{PENDING_MANY}", "time": 1}]


def test_many_deletes_of_live_rows_do_not_wait_for_the_log_to_grow(tmp_path: Path) -> None:
    storage = make(tmp_path, log_bytes=1 << 30, checkpoint_log_bytes=1 << 30)
    storage.write("\n".join(f"m,t=t{number} f=1i 1" for number in range(LIVE_MANY + 1)))
    for number in range(LIVE_MANY):
        assert len(table(storage).deletes) == number
        storage.persist.work()
        assert not files(storage)
        storage.delete_rows("m", where=f"t = 't{number}'")
    # What is written behind them goes with them, up to now, and nothing is left half.
    storage.write("m,t=t0 f=2i 1")
    storage.persist.work()
    expected = [{"f": 2, "t": "t0", "time": 1}, {"f": 1, "t": f"t{LIVE_MANY}", "time": 1}]
    for _ in range(3):
        assert table(storage).deletes == ()
        assert sum(entry.rows for entry in files(storage)) == 2
        assert storage.query(ALL) == expected
        storage = storage.restart()
        storage.persist.checkpointer.write()
    # The log goes on in the file of which the beginning is in files.
    storage.write("m,t=t0 f=3i 1")
    expected[0]["f"] = 3
    storage = storage.restart()
    assert storage.query(ALL) == expected
    storage.persist_all()
    assert storage.restart().query(ALL) == expected


def test_tables_without_deletes_are_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make(tmp_path, log_bytes=1 << 30)
    storage.write("\n".join(f"m,t=t{number} f=1i 1" for number in range(LIVE_MANY + 1)))
    storage.write("n,t=a f=1i 1")
    for number in range(LIVE_MANY):
        storage.delete_rows("m", where=f"t = 't{number}'")
    # There may be ten thousand, and this is asked before each merge.
    monkeypatch.setattr(LiveDatabase, "tables", lambda database: pytest.fail("looks at all"))
    assert storage.persist.purger.waits_for_live()
    assert not storage.persist.purger.is_urgent()
    monkeypatch.undo()
    storage.persist.work()
    assert not storage.persist.purger.waits_for_live()


def test_tables_with_deletes_are_known_wherever_they_go(tmp_path: Path) -> None:
    def with_deletes(storage: Storage) -> list[tuple[str, list[str]]]:
        return [
            (database.name, [table.name for table in database.tables_with_deletes()])
            for database in storage.state.store.databases()
        ]

    storage = make(tmp_path)
    for name in ("m", "n"):
        storage.write(f"{name},t=a f=1i 1\n{name},t=b f=1i 1")
        storage.persist_all()
        storage.delete_rows(name, where="t = 'a'")
    for _ in range(2):
        assert with_deletes(storage) == [("db", ["m", "n"])]
        storage = storage.restart()
        storage.persist.checkpointer.write()
    storage.change(
        storage.state.catalog.hiding_of_table("db", "m", deleted_ns=0, hard_delete_ns=None)
    )
    hidden = storage.state.store.hidden()[0].name
    for _ in range(2):
        assert with_deletes(storage) == [("db", ["n"]), (hidden, ["m"])]
        storage.write("m,t=a f=1i 1")
        storage = storage.restart()
        storage.persist.checkpointer.write()
    storage.persist.purger.purge()
    assert with_deletes(storage) == [("db", []), (hidden, [])]


def test_a_hurried_step_takes_no_more_than_fits_into_memory(tmp_path: Path) -> None:
    storage = make(tmp_path, log_bytes=1 << 30, memory_bytes_max=4)
    for segment in range(3):
        storage.write(f"m,t=a f={segment}i {segment}")
        storage.seal()
    for number in range(LIVE_MANY):
        storage.delete_rows("m", where=f"t = 'b{number}'")
    for count in (1, 2, 3):
        assert len(table(storage).deletes) == LIVE_MANY
        storage.persist.work()
        assert sum(entry.rows for entry in files(storage)) == count
    assert table(storage).deletes == ()


def test_a_delete_that_repeats_earlier_ones_takes_their_place(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1")
    for high_ns in range(5, 10):
        storage.delete_rows("m", where="t = 'x'", high_ns=high_ns)
    assert [delete.times[1] for delete in table(storage).deletes] == [9]
    storage.write("m,t=x f=1i 1")
    assert len(storage.query(ALL)) == 2


def test_a_failure_leaves_the_delete_in_force(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1\nm,t=b f=1i 1")
    storage.persist_all()
    storage.delete_rows("m", where="t = 'a'")
    storage.failure = BackPressureError("no")
    with pytest.raises(BackPressureError):
        storage.persist.purger.purge()
    expected = [{"f": 1, "t": "b", "time": 1}]
    assert storage.query(ALL) == expected
    storage = storage.restart()
    assert on_disk(storage) == 1
    assert storage.query(ALL) == expected
    storage.persist.purger.purge()
    assert storage.query(ALL) == expected


def test_columns_that_differ_in_case_and_rows_hidden_by_projections(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a,T=b,file_index=c f=1i 1\nm,t=b,T=a f=2i 2")
    storage.persist_all()
    storage.write("m,t=a,T=b,file_index=c f=3i 1")
    storage.delete_rows("m", where="\"T\" = 'b'")
    storage.write("m,t=a,T=b,file_index=c f=4i 5")
    assert storage.query("SELECT f FROM m ORDER BY f") == [{"f": 2}, {"f": 4}]
    assert storage.query("SELECT sum(f) AS s FROM m") == [{"s": 6}]
    storage.persist_all()
    storage.persist.purger.purge()
    assert storage.query("SELECT f FROM m ORDER BY f") == [{"f": 2}, {"f": 4}]


def test_a_delete_of_a_table_made_anew_does_not_touch_the_new_one(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1")
    storage.persist_all()
    storage.delete_rows("m")
    storage.change(
        storage.state.catalog.hiding_of_table("db", "m", deleted_ns=0, hard_delete_ns=None)
    )
    storage.write("m,t=a f=2i 1")
    storage.persist.purger.purge()
    for _ in range(2):
        assert storage.query(ALL) == [{"f": 2, "t": "a", "time": 1}]
        storage = storage.restart()
