"""Deleted tables and databases in the storage: nothing comes back, and files go when they are to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from engine.catalog.changes import (
    CatalogChange,
    CreateTable,
    DeleteDatabase,
    DeleteHidden,
    DeleteTable,
)
from engine.errors import TableNotFoundError
from engine.ids import DatabaseId, Position
from engine.persist.file_maker import FileNumbers, TableShape
from engine.persist.file_store import FileStore
from engine.persist.thread import PersistConfig
from engine.storage_ports import StateAccess
from engine.store.manifest import FilesRecord
from lp_core import ColumnType
from tests.support.storage import Storage

DB = DatabaseId(1)
ALL = "SELECT * FROM m ORDER BY time"
HARD = DeleteTable(DB, "db", "m")


def make(directory: Path) -> Storage:
    storage = Storage(directory, PersistConfig(log_bytes=1, checkpoint_log_bytes=1))
    storage.create_database()
    return storage


def hiding(storage: Storage, table: str = "m", hard_delete_ns: int | None = None) -> CatalogChange:
    return storage.state.catalog.hiding_of_table(
        "db", table, deleted_ns=0, hard_delete_ns=hard_delete_ns
    )


def on_disk(storage: Storage) -> int:
    return len(list(storage.paths.parquet_dir.rglob("*.parquet")))


def gone(storage: Storage) -> bool:
    try:
        storage.query(ALL)
    except TableNotFoundError:
        return True
    return False


@pytest.mark.parametrize("is_hard", [True, False])
@pytest.mark.parametrize("is_persisted", [True, False])
@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_rows_of_a_deleted_table_do_not_come_back(
    tmp_path: Path, is_hard: bool, is_persisted: bool, has_checkpoint: bool
) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1")
    if is_persisted:
        storage.persist_all()
        storage.write("m,t=a f=1i 2")
    storage.change(HARD if is_hard else hiding(storage))
    assert gone(storage)
    if has_checkpoint:
        storage.persist.checkpointer.write()
    storage = storage.restart()
    assert gone(storage)
    # The name is free, for other types too.
    storage.write('m,u=b f="text" 3')
    expected = [{"f": "text", "time": 3, "u": "b"}]
    assert storage.query(ALL) == expected
    if has_checkpoint:
        storage.persist.checkpointer.write()
    storage = storage.restart()
    assert storage.query(ALL) == expected
    storage.persist_all()
    storage.persist.work()
    assert storage.query(ALL) == expected
    # Those of a hidden table are kept, as one file or two.
    assert (on_disk(storage) == 1) == is_hard
    storage = storage.restart()
    assert storage.query(ALL) == expected
    for deleted in storage.state.catalog.deleted.all():
        storage.change(DeleteHidden(deleted.id))
    storage.persist.work()
    assert on_disk(storage) == 1
    assert storage.restart().query(ALL) == expected


def test_a_hidden_table_keeps_all_its_rows(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1")
    storage.persist_all()
    storage.write("m,t=a f=2i 1\nm,t=b f=3i 2")
    storage.change(hiding(storage))
    storage.write("m,t=z f=9i 9")
    storage.persist.checkpointer.write()
    storage = storage.restart()
    (hidden,) = storage.state.store.hidden()
    table = hidden.table("m")
    assert table is not None
    assert table.num_rows == 2
    storage.persist_all()
    storage = storage.restart()
    (hidden,) = storage.state.store.hidden()
    table = hidden.table("m")
    assert table is not None
    assert (table.num_rows, sum(entry.rows for entry in table.files)) == (0, 3)
    assert storage.query(ALL) == [{"f": 9, "t": "z", "time": 9}]


@pytest.mark.parametrize("is_hard", [True, False])
def test_a_table_deleted_while_its_rows_are_persisted(tmp_path: Path, is_hard: bool) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1")
    append = storage.append

    def append_late(record: FilesRecord) -> None:
        if record.through:
            storage.change(HARD if is_hard else hiding(storage))
            storage.write("m,t=b f=2i 2")
        append(record)

    storage.append = append_late  # type: ignore[method-assign]
    storage.persist_all()
    storage.append = append  # type: ignore[method-assign]
    storage.persist.reap()
    assert on_disk(storage) == (0 if is_hard else 1)
    for _ in range(2):
        assert storage.query(ALL) == [{"f": 2, "t": "b", "time": 2}]
        assert len(storage.state.store.hidden()) == (0 if is_hard else 1)
        storage.persist.checkpointer.write()
        storage = storage.restart()


def test_a_hidden_database_keeps_its_rows_and_loses_its_name(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m f=1i 1")
    storage.persist_all()
    storage.write("m f=1i 2")
    catalog = storage.state.catalog
    storage.change(catalog.hiding_of_database("db", deleted_ns=0, hard_delete_ns=5))
    assert [one.name for one in catalog.deleted.all()] == ["db-19700101T000000"]
    storage.create_database()
    storage.write("m f=1i 3")
    storage.change(
        storage.state.catalog.hiding_of_database("db", deleted_ns=0, hard_delete_ns=None)
    )
    names = [one.name for one in storage.state.catalog.deleted.all()]
    assert names == ["db-19700101T000000", "db-19700101T000000-2"]
    storage.create_database()
    storage.write("m f=7i 7")
    storage.persist.checkpointer.write()
    storage = storage.restart()
    hidden = [
        [(table.num_rows, len(table.files)) for table in database.tables()]
        for database in storage.state.store.hidden()
    ]
    assert hidden == [[(1, 1)], [(1, 0)]]
    assert storage.query(ALL) == [{"f": 7, "time": 7}]
    assert [one.id for one in storage.state.catalog.deleted.due(4)] == []
    (due,) = storage.state.catalog.deleted.due(5)
    storage.change(DeleteHidden(due.id))
    storage.persist_all()
    storage.persist.work()
    assert on_disk(storage) == 2
    storage.change(DeleteDatabase(storage.state.catalog.database("db").id, "db"))
    storage.persist.work()
    assert on_disk(storage) == 1


def test_files_of_a_deleted_table_stay_until_their_last_reader_is_done(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m f=1i 1")
    storage.persist_all()
    with storage.readers.reading():
        storage.change(HARD)
        storage.persist.reap()
        assert on_disk(storage) == 1
    storage.persist.reap()
    assert on_disk(storage) == 0


def test_a_declared_table_is_there_without_rows(tmp_path: Path) -> None:
    storage = make(tmp_path)
    columns = (("t", int(ColumnType.TAG)), ("f", int(ColumnType.UINT64)))
    storage.change(CreateTable(DB, "m", columns))
    storage.change(CreateTable(DB, "bare", ()))
    for _ in range(3):
        assert storage.query(ALL) == []
        assert storage.query("SELECT * FROM bare") == []
        assert [row["column_name"] for row in storage.query("SHOW COLUMNS FROM m")] == [
            "f",
            "t",
            "time",
        ]
        storage = storage.restart()
        storage.persist.checkpointer.write()
    storage.write("m,t=a f=1u 1\nbare g=1i 1")
    storage.persist_all()
    storage = storage.restart()
    assert storage.query(ALL) == [{"f": 1, "t": "a", "time": 1}]
    storage.change(DeleteTable(DB, "db", "bare"))
    storage.change(CreateTable(DB, "bare", ()))
    storage.change(DeleteTable(DB, "db", "bare"))
    assert storage.restart().query("SHOW TABLES") != []


def test_retention_of_a_table_goes_with_it(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m f=1i 1")
    storage.change(storage.state.catalog.new_retention("db", "m", 1_000_000_000))
    storage.clock.time_ns = 10_000_000_000
    storage.change(hiding(storage))
    storage.write("m f=2i 2")
    storage.persist_all()
    assert storage.query(ALL) == [{"f": 2, "time": 2}]
    (hidden,) = storage.state.store.hidden()
    table = hidden.table("m")
    assert table is not None
    assert len(table.files) == 1, "a hidden table has no retention"


@pytest.mark.parametrize("is_same", [True, False])
def test_rows_of_a_deleted_table_do_not_grow_old_with_those_of_its_successor(
    tmp_path: Path, is_same: bool
) -> None:
    storage = make(tmp_path)
    storage.write("m f=1i 1")
    database = storage.state.store.database("db")
    assert database is not None
    table = database.table("m")
    assert table is not None
    # What a merge goes by that began before the table was deleted.
    shape = TableShape.of(database, table)
    if not is_same:
        storage.change(hiding(storage))
        storage.write("m f=2i 2")
    storage.change(storage.state.catalog.new_retention("db", "m", 1_000_000_000))
    storage.clock.time_ns = 10_000_000_000
    access = StateAccess(storage.state, storage.index)
    files = FileStore(
        paths=storage.paths,
        filesystem=storage.filesystem,
        clock=storage.clock,
        state=access,
        log=storage,
        faults=storage.faults,
        numbers=FileNumbers(access),
    )
    rows = pa.table({"time": pa.array([1], pa.timestamp("ns"))})
    assert files.within_retention(shape, rows).num_rows == (0 if is_same else 1)


@pytest.mark.parametrize("is_same", [True, False])
def test_rows_of_a_table_deleted_meanwhile_do_not_grow_old_with_those_of_its_successor(
    tmp_path: Path, is_same: bool
) -> None:
    storage = make(tmp_path)
    storage.write("m f=1i 1")
    storage.clock.time_ns = 10_000_000_000
    call = storage.call

    def call_and_change(work: Callable[[], Any]) -> Any:
        result = call(work)
        if isinstance(result, list):
            # What tables there are has been told.
            storage.call = call  # type: ignore[method-assign]
            if not is_same:
                storage.change(hiding(storage))
                storage.write("m f=2i 9999999999")
            storage.change(storage.state.catalog.new_retention("db", "m", 1_000_000_000))
        return result

    storage.call = call_and_change  # type: ignore[method-assign]
    storage.persist_all()
    assert storage.call == call
    assert storage.query(ALL) == ([] if is_same else [{"f": 2, "time": 9_999_999_999}])
    hidden = [
        entry.rows
        for database in storage.state.store.hidden()
        for table in database.tables()
        for entry in table.files
    ]
    assert hidden == ([] if is_same else [1])


def test_a_table_of_an_older_checkpoint_takes_its_files_whichever_checkpoint_is_read(
    tmp_path: Path,
) -> None:
    storage = make(tmp_path)
    storage.write("m,t=a f=1i 1")
    database = storage.state.store.database("db")
    assert database is not None
    table = database.table("m")
    assert table is not None
    # As a checkpoint of an older version left it.
    table.began = Position(0)
    storage.persist_all()
    storage.delete_rows("m", where="t = 'b'")
    for _ in range(2):
        # Without a checkpoint the whole log is read, and the table begins at its first frame.
        storage = storage.restart()
        assert storage.query(ALL) == [{"f": 1, "t": "a", "time": 1}]
        storage.persist.reap()
        assert on_disk(storage) == 1
