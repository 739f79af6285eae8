# Every kind of damage is found, named and not mended; a sound directory has none.
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.catalog.changes import DeleteDatabase
from engine.clock import SystemClock
from engine.damage import DamageBook
from engine.filesystem import FileSystem
from engine.paths import DataPaths
from engine.persist.thread import PersistConfig
from engine.storage_check import Fault, FileCheck
from tests.support.storage import Storage

CONFIG = PersistConfig(log_bytes=1, checkpoint_log_bytes=1 << 40, window_ns=60_000_000_000)


def fill(storage: Storage, first: int, count: int) -> None:
    for number in range(first, first + count):
        storage.write(f'm,t=a v={number}i,s="{"x" * 50}" {number}')


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two checkpoints, log files, Parquet files, and some in the log alone."""
    directory = tmp_path_factory.mktemp("sound")
    storage = Storage(directory, CONFIG)
    storage.create_database()
    storage.create_database("gone")
    storage.write("m f=1 1", "gone")
    for first in (0, 10):
        fill(storage, first, 10)
        storage.persist_all()
        storage.persist.checkpointer.write()
    fill(storage, 20, 10)
    storage.persist_all()
    gone = storage.state.catalog.database("gone")
    storage.change(DeleteDatabase(database_id=gone.id, name="gone"))
    storage.persist.reap()
    storage.seal()
    fill(storage, 30, 10)
    storage.seal()
    fill(storage, 40, 10)
    storage.close()
    return directory


def check(directory: Path, **settings: bool) -> tuple[list[Fault], FileCheck]:
    paths = DataPaths(directory, "node0")
    book = DamageBook(paths, FileSystem(), SystemClock())
    book.load()
    made = FileCheck(paths, book, **{"is_running": False, "deep": True, **settings})
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    faults = list(made.faults())
    assert before == {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    return faults, made


@pytest.mark.parametrize("is_running", [False, True])
def test_a_sound_directory(sound: Path, is_running: bool) -> None:
    faults, made = check(sound, is_running=is_running)
    assert faults == []
    assert made.checkpoints == 2
    # What came behind the checkpoint is not looked for while a server may change it.
    assert made.parquet_files == (2 if is_running else 3)
    assert made.segments >= 4
    assert made.frames > 50


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def middle_segment(paths: DataPaths) -> Path:
    return paths.segments()[-2]


def parquet(paths: DataPaths) -> Path:
    return min(paths.parquet_dir.glob("*/*/*.parquet"))


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


DAMAGES: dict[str, tuple[Callable[[DataPaths], object], str]] = {
    "checkpoint": (lambda paths: flip(paths.checkpoints()[-1], 100), "checkpoint is damaged"),
    "frame": (lambda paths: flip(middle_segment(paths), 1000), "middle"),
    "header": (lambda paths: flip(middle_segment(paths), 10), "its header is damaged"),
    "tail": (lambda paths: flip(paths.segments()[-1], -200), "its end is torn"),
    "gap": (lambda paths: middle_segment(paths).unlink(), "follows"),
    "missing": (lambda paths: parquet(paths).unlink(), "it is missing, with 10 rows"),
    "size": (lambda paths: grown(parquet(paths)), "and should have"),
    "footer": (lambda paths: flip(parquet(paths), -2), "it is damaged"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damage(sound: Path, tmp_path: Path, what: str) -> None:
    directory = tmp_path / "data"
    shutil.copytree(sound, directory)
    damage, text = DAMAGES[what]
    damage(DataPaths(directory, "node0"))
    faults, _ = check(directory)
    if text != "middle":
        assert any(text in fault.text for fault in faults), faults
    assert faults
    assert all(fault.hint for fault in faults)
    assert all(fault.is_harmless == (what == "tail") for fault in faults)
    # A server that runs may be writing, or have removed a file.
    running, _ = check(directory, is_running=True)
    assert bool(running) == (what not in ("tail", "missing"))


def test_what_a_start_has_noted_is_no_fault_any_more(sound: Path, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    shutil.copytree(sound, directory)
    path = DataPaths(directory, "node0").segments()[-2]
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    faults, _ = check(directory)
    assert path in [fault.path for fault in faults]
    Storage(directory, CONFIG).close()
    faults, made = check(directory)
    assert faults == []
    assert made.segments
