# A backup holds the files of one moment: whatever is written, merged or removed meanwhile, they make
# a server that knows what was known then.
import os
import shutil
from pathlib import Path

import pytest

from engine.catalog.changes import DeleteDatabase
from engine.persist.backup_files import BackupDirectories, Collected, FileKind, collect
from engine.persist.file_store import StoppedError
from engine.persist.thread import PersistConfig
from engine.storage_ports import StateAccess
from tests.support.deep_directories import deep_directories
from tests.support.storage import Storage

CONFIG = PersistConfig(log_bytes=1, checkpoint_log_bytes=1 << 40, window_ns=60_000_000_000)
MINUTE_NS = 60_000_000_000
QUESTION = "SELECT * FROM m ORDER BY time, t"


@pytest.fixture
def storage(tmp_path: Path):
    made = Storage(tmp_path / "data", CONFIG)
    made.create_database()
    yield made
    made.close()


def begin(storage: Storage, plugin_dir: Path | None = None) -> Collected:
    return collect(
        BackupDirectories(storage.paths, plugin_dir or storage.directory / "none"),
        storage.persist.checkpointer,
        StateAccess(storage.state, storage.index),
        storage,
        storage.readers,
        storage.faults,
        with_secrets=True,
    )


def copied(storage: Storage, collected: Collected, target: Path) -> Storage:
    for file in collected.files:
        path = target / "node0" / file.kind / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        held = collected.descriptors.get((file.kind, file.path))
        if held is None:
            shutil.copy(storage.paths.node_dir / file.kind / file.path, path)
        else:
            path.write_bytes(os.pread(held, file.size_bytes, 0))
        assert path.stat().st_size == file.size_bytes
    return Storage(target, CONFIG)


def fill(storage: Storage, first: int, count: int) -> None:
    for number in range(first, first + count):
        storage.write(f"m,t=a v={number}i {number % 7 * MINUTE_NS}\nm,t=b w={number}i {number}")


@pytest.mark.parametrize("state", ["empty", "log", "files", "both"])
def test_it_makes_what_was_there(storage: Storage, tmp_path: Path, state: str) -> None:
    storage.write("m,t=first v=0i 0")
    if state in ("files", "both"):
        fill(storage, 0, 20)
        storage.persist_all()
        fill(storage, 5, 20)
        storage.persist_all()
    if state in ("log", "both"):
        fill(storage, 20, 20)
        storage.seal()
        fill(storage, 30, 10)
    expected = storage.query(QUESTION)
    collected = begin(storage)
    # What comes later is not in it, and what goes is: a later hour lets files be merged.
    storage.write(f"m,t=a v=1i {60 * MINUTE_NS}")
    fill(storage, 1_000, 10)
    storage.seal()
    fill(storage, 2_000, 10)
    storage.persist.work(with_retention=True)
    storage.persist.reap()
    restored = copied(storage, collected, tmp_path / "again")
    assert restored.query(QUESTION) == expected
    fill(restored, 3_000, 5)
    restored.persist_all()
    assert {row.get("w") for row in restored.query(QUESTION)} > {row.get("w") for row in expected}
    restored = restored.restart()
    assert any(row.get("w") == 3_004 for row in restored.query(QUESTION))
    restored.close()
    held = list(storage.paths.parquet_dir.glob("*/*/*.parquet"))
    collected.hold.close()
    storage.persist.reap()
    if state in ("files", "both"):
        assert len(list(storage.paths.parquet_dir.glob("*/*/*.parquet"))) < len(held)


def test_files_of_a_database_that_is_deleted_meanwhile(storage: Storage, tmp_path: Path) -> None:
    fill(storage, 0, 5)
    storage.persist_all()
    collected = begin(storage)
    database = storage.state.catalog.database("db")
    storage.change(DeleteDatabase(database_id=database.id, name="db"))
    storage.persist.reap()
    restored = copied(storage, collected, tmp_path / "again")
    assert len(restored.query(QUESTION)) == 10
    restored.close()
    collected.hold.close()
    storage.persist.reap()
    assert not list(storage.paths.parquet_dir.glob("*/*/*.parquet"))


def test_what_belongs_to_plugins(storage: Storage, tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    for name in (
        "a.py",
        "package/b.py",
        "package/__pycache__/b.pyc",
        ".venv/x",
        "env/pyvenv.cfg",
        "env/lib/y.py",
        "half.tmp",
    ):
        path = plugins / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (plugins / "link.py").symlink_to("/etc/passwd")
    (plugins / "linked").symlink_to("/etc")
    with deep_directories(plugins):
        collected = begin(storage, plugins)
    found = [file.path for file in collected.files if file.kind is FileKind.PLUGIN]
    assert found == ["a.py", "package/b.py"]
    collected.hold.close()


def test_an_error_lets_go(storage: Storage, monkeypatch) -> None:
    fill(storage, 0, 5)

    def fail() -> None:
        raise OSError("no space")

    monkeypatch.setattr(storage.persist.checkpointer, "write", fail)
    with pytest.raises(OSError, match="no space"):
        begin(storage)
    assert storage.readers.is_over(storage.readers.begin_epoch())


def test_what_is_asked_of_the_persist_thread(storage: Storage) -> None:
    persist = storage.persist
    taken_back = persist.ask(lambda: 1)
    assert taken_back.cancel()
    failing = persist.ask(lambda: 1 // 0)
    done = persist.ask(lambda: 2)
    persist.start()
    assert done.result(60) == 2
    with pytest.raises(ZeroDivisionError):
        failing.result(60)
    persist.ask_to_stop()
    persist.join()
    with pytest.raises(StoppedError):
        persist.ask(lambda: 3).result(60)


def test_damaged_files_are_listed_as_such(storage: Storage, tmp_path: Path) -> None:
    for first in range(3):
        storage.write(f"m,t=a v={first}i {first}")
        storage.persist_all()
    missing, cut, whole = [
        storage.paths.parquet_dir / entry.path
        for entry in storage.state.store.database("db").table("m").files
    ]
    missing.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    collected = begin(storage)
    collected.hold.close()
    damage = {file.path: file.damage for file in collected.files if file.kind == FileKind.PARQUET}
    assert [
        bool(damage[str(path.relative_to(storage.paths.parquet_dir))])
        for path in (missing, cut, whole)
    ] == [True, True, False]
    assert len(storage.damage.entries()) == 2
