"""Two thousand columns in a table, and thousands of tables: written, queried, persisted, back again."""

import os
from pathlib import Path

from engine.catalog.changes import DeleteTable
from engine.ids import DatabaseId
from engine.persist.thread import PersistConfig
from tests.support.storage import Storage

COLUMNS = 2_000
# HEADRACE_TABLES=10000 is what is promised; it takes a minute.
TABLES = int(os.environ.get("HEADRACE_TABLES", "300"))
TABLES_PER_WRITE = 500
DAY_NS = 86_400 * 1_000_000_000


def make(directory: Path) -> Storage:
    storage = Storage(directory, PersistConfig(log_bytes=1, checkpoint_log_bytes=1))
    storage.create_database()
    return storage


def test_a_table_of_two_thousand_columns(tmp_path: Path) -> None:
    storage = make(tmp_path)
    tags = ",".join(f"t{number}=v{number}" for number in range(20))
    for row in range(3):
        fields = ",".join(f"f{number}={number + row}i" for number in range(COLUMNS - 20))
        storage.write(f"m,{tags} {fields} {row}")
    sql = "SELECT * FROM m ORDER BY time"
    before = storage.query(sql)
    assert [len(row) for row in before] == [COLUMNS + 1] * 3
    assert before[2]["f1979"] == 1981
    assert before[0]["t19"] == "v19"
    storage.persist_all()
    assert storage.query(sql) == before
    storage.write(f"m,{tags} f0=-1i 1\nm,t0=other f1979=7i {9 * DAY_NS}")
    storage.persist_all()
    # A few of many columns, over rows that repeat each other.
    some = "SELECT f0, f1979 FROM m WHERE t0 = 'v0' ORDER BY time"
    expected = [{"f0": 0, "f1979": 1979}, {"f0": -1, "f1979": 1980}, {"f0": 2, "f1979": 1981}]
    assert storage.query(some) == expected
    storage.delete_rows("m", where="t19 = 'v19'", high_ns=0)
    storage.persist.work(with_retention=True)
    storage = storage.restart()
    assert storage.query(some) == expected[1:]
    assert storage.query("SELECT count(*) AS n FROM m") == [{"n": 3}]
    assert len(storage.query("SHOW COLUMNS FROM m")) == COLUMNS + 1


def test_thousands_of_tables(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for start in range(0, TABLES, TABLES_PER_WRITE):
        numbers = range(start, min(start + TABLES_PER_WRITE, TABLES))
        storage.write("\n".join(f"m{number},t=a f={number}i 1" for number in numbers))
    names = {f"m{number}" for number in range(TABLES)}

    def check() -> None:
        database = storage.state.store.database("db")
        assert database is not None
        assert {table.name for table in database.tables()} == names
        assert len(storage.query("SHOW TABLES")) >= len(names)
        for number in (1, TABLES // 2, TABLES - 1):
            assert storage.query(f"SELECT f FROM m{number}") == [{"f": number}]

    check()
    storage.persist_all()
    check()
    storage.write("m1,t=a f=1i 2")
    storage.change(DeleteTable(DatabaseId(1), "db", "m0"))
    names.remove("m0")
    storage.persist.checkpointer.write()
    storage = storage.restart()
    database = storage.state.store.database("db")
    assert database is not None
    assert {table.name for table in database.tables()} == names
    assert storage.query("SELECT count(*) AS n FROM m1") == [{"n": 2}]
    storage.persist.work(with_retention=True)
    assert storage.query("SELECT count(*) AS n FROM m1") == [{"n": 2}]
