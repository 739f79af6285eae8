"""Rows of later files that repeat earlier ones: what is in doubt, and that the last value counts."""

import itertools
import os
import random
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pyarrow
import pytest

from engine.persist import file_maker, planner, rewriter
from engine.persist.file_store import StoppedError
from engine.persist.repeats import times_as_ranges
from engine.persist.thread import PersistConfig
from engine.query import doubts, file_views
from engine.query.doubts import doubtful_ranges
from engine.store.manifest import FileEntry
from tests.support.storage import Storage

# HEADRACE_MERGE_SEEDS for more histories.
SEEDS = int(os.environ.get("HEADRACE_MERGE_SEEDS", "3"))
STEPS = 12
ALL = "SELECT * FROM m ORDER BY time, t"


def files(storage: Storage) -> tuple[FileEntry, ...]:
    database = storage.state.store.database("db")
    assert database is not None
    table = database.table("m")
    assert table is not None
    return table.files


def persist(storage: Storage, lines: str) -> None:
    """Into files, and nothing is merged."""
    storage.write(lines)
    storage.persist_all()


def is_folded(storage: Storage) -> bool:
    database = storage.state.store.database("db")
    assert database is not None
    snapshot = database.snapshot("m")
    assert snapshot is not None
    return doubtful_ranges(snapshot) != ()


def make(directory: Path, memory_bytes_max: int = 1 << 29) -> Storage:
    config = PersistConfig(log_bytes=1, window_ns=10, memory_bytes_max=memory_bytes_max)
    storage = Storage(directory, config)
    storage.create_database()
    return storage


def test_rows_out_of_order_are_in_no_doubt_when_each_is_there_once(tmp_path: Path) -> None:
    storage = make(tmp_path)
    persist(storage, "m,t=a f=1i 1\nm,t=a f=1i 5\nm,t=b,u=x f=1i 3")
    # Each is behind the last row of its series, and none is there already.
    persist(storage, "m,t=a f=2i 2\nm,t=a,u=x f=2i 3\nm,t=b,u=x f=2i 1\nm,t=b f=2i 3")
    assert [one.overlaps for one in files(storage)] == [(), ()]
    assert not is_folded(storage)
    assert len(storage.query(ALL)) == 7


def test_rows_that_are_there_twice_count_once(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for start in (0, 50, 90):
        persist(storage, "\n".join(f"m,t=a f=1i,g=1i {start + time}" for time in range(10)))
    persist(storage, "m,t=a f=2i 5\nm,t=a f=2i 55\nm,t=b f=2i 55\nm,t=a f=2i 200")
    persist(storage, "m,t=a g=3i 55\nm,t=a f=3i 95")
    overlaps = [one.overlaps for one in files(storage) if one.overlaps]
    assert overlaps == [((5, 5), (55, 55)), ((55, 55),), ((95, 95),)]
    assert is_folded(storage)
    before = storage.query(ALL)
    assert [row for row in before if row["f"] != 1 or row["g"] != 1] == [
        {"f": 2, "g": 1, "t": "a", "time": 5},
        {"f": 2, "g": 3, "t": "a", "time": 55},
        {"f": 2, "g": None, "t": "b", "time": 55},
        {"f": 3, "g": 1, "t": "a", "time": 95},
        {"f": 2, "g": None, "t": "a", "time": 200},
    ]
    # Live rows, of which one repeats a row of a file.
    storage.write("m,t=a f=4i 7\nm f=4i 7")
    before = [row for row in before if row["time"] != 7]
    before[7:7] = [
        {"f": 4, "g": 1, "t": "a", "time": 7},
        {"f": 4, "g": None, "t": None, "time": 7},
    ]
    assert storage.query(ALL) == before
    assert storage.query("SELECT count(*) AS n, sum(f) AS f FROM m WHERE time = 7") == [
        {"n": 2, "f": 8}
    ]
    storage.persist_all()
    assert storage.query(ALL) == before
    again = storage.restart()
    assert again.query(ALL) == before
    again.persist.work()
    assert again.query(ALL) == before


def test_few_rows_that_are_there_twice_get_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_maker, "_ROWS_PARTED_MIN", 30)
    storage = make(tmp_path)
    many = [f"m,t={tag} f=1i,g=1i {time}" for time in range(5) for tag in "abcdefgh"]
    persist(storage, "\n".join(many))
    persist(storage, "\n".join(line.replace("=a", "=i") for line in many))
    # At each time there are some, so no part is without.
    assert [one.overlaps for one in files(storage)] == [(), tuple((at, at) for at in range(5))]
    late = [f"m,t={tag} f=2i {time}" for time in range(5, 10) for tag in "abcdefgh"]
    persist(storage, "\n".join([*late, "m,t=b f=3i 2", "m,t=i f=3i 2"]))
    *_, clean, repeated = files(storage)
    assert (clean.rows, clean.overlaps, clean.times) == (40, (), (5, 9))
    assert (repeated.rows, repeated.overlaps, repeated.times) == (2, ((2, 2),), (2, 2))
    assert (clean.first_position, clean.last_position) == (
        repeated.first_position,
        repeated.last_position,
    )
    before = storage.query(ALL)
    assert len(before) == 85
    assert [row["t"] for row in before if row["f"] == 3 and row["g"] == 1] == ["b", "i"]
    again = storage.restart()
    assert again.query(ALL) == before
    again.persist.work()
    assert again.query(ALL) == before


def test_doubts_of_live_rows_that_are_not_there_need_no_fold(tmp_path: Path) -> None:
    storage = make(tmp_path)
    persist(storage, "m,t=a f=1i 1\nm,t=a f=1i 5\nm,t=b f=1i 3")
    database = storage.state.store.database("db")
    assert database is not None
    snapshot = database.snapshot("m")
    assert snapshot is not None
    marked = msgspec.structs.replace(snapshot, overlap_ranges=((2, 9),))
    directory = storage.paths.parquet_dir.resolve()
    sql = file_views.view_sql(marked, {}, directory, None)
    assert duckdb.sql(f"SELECT count(*), sum(f) FROM ({sql})").fetchall() == [(3, 3)]


def test_times_are_few_ranges() -> None:
    assert times_as_ranges(np.array([], np.int64)) == []
    assert times_as_ranges(np.array([3])) == [(3, 3)]
    many = np.arange(0, 10_000, 10)
    many[500:] += 1_000
    ranges = times_as_ranges(many)
    assert len(ranges) == 64
    assert (ranges[0][0], ranges[-1][1]) == (0, 10_990)
    assert all(low <= high for low, high in ranges)
    assert not any(low < 5_500 < high for low, high in ranges)


def late_storage(directory: Path) -> Storage:
    """Three files, each as large as may be merged, and two late ones with few of their rows."""
    storage = make(directory, memory_bytes_max=4_000)
    for start in (0, 2, 4):
        lines = [f"m,t={tag} f=1i,g=1i {start + time}" for time in range(2) for tag in "abcdefghij"]
        persist(storage, "\n".join(lines))
    assert storage.persist.compactor.compact() == 0
    persist(storage, "m,t=a f=2i 0\nm,t=a f=2i 5\nm,t=x f=2i 3\nm,t=b f=2i 9")
    persist(storage, "m,t=a g=3i 0\nm,t=b g=3i 2\nm,t=z f=9i 20")
    return storage


def test_files_that_repeat_others_are_rewritten(tmp_path: Path) -> None:
    storage = late_storage(tmp_path)
    assert is_folded(storage)
    before = storage.query(ALL)
    assert len(before) == 63
    kept = [one.number for one in files(storage)]
    storage.persist.work()
    assert not is_folded(storage)
    assert storage.query(ALL) == before
    made = [one for one in files(storage) if one.number not in kept]
    # As many rows as fit are in each, and no two have rows of one time.
    assert len(made) >= 2
    made.sort(key=lambda one: one.times)
    assert all(one.max_time_ns < two.min_time_ns for one, two in itertools.pairwise(made))
    assert sum(one.rows for one in files(storage)) == len(before)
    again = storage.restart()
    assert again.query(ALL) == before
    assert not is_folded(again)
    settled = files(again)
    again.persist.work()
    assert files(again) == settled, "there is nothing more to do"


def test_rows_move_to_files_and_are_deleted_while_others_are_rewritten(tmp_path: Path) -> None:
    storage = late_storage(tmp_path)
    before = storage.query(ALL)
    calls = []

    def between() -> None:
        calls.append(len(files(storage)))
        if len(calls) > 3:
            return
        # One that the slice before had, and one that the next has, too.
        persist(storage, f"m,t=a f=7i 0\nm,t=a f={len(calls)}i 5")
        storage.delete_rows("m", where="t = 'c'", low_ns=0, high_ns=5)

    while storage.persist.rewriter.rewrite(between):
        pass
    assert calls
    numbers = [one.number for one in files(storage)]
    assert len(set(numbers)) == len(numbers)
    for row in before:
        if (row["t"], row["time"]) in (("a", 0), ("a", 5)):
            row["f"] = 7 if row["time"] == 0 else min(len(calls), 3)
    expected = [row for row in before if row["t"] != "c"]
    assert storage.query(ALL) == expected
    again = storage.restart()
    assert again.query(ALL) == expected
    again.persist.work()
    assert again.query(ALL) == expected
    assert not is_folded(again)


def test_a_rewrite_that_fails_leaves_things_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = late_storage(tmp_path)
    before, kept = storage.query(ALL), files(storage)
    paths = set(storage.paths.parquet_dir.rglob("*.parquet"))

    def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        storage.persist.rewriter.rewrite(fail)
    monkeypatch.setattr(storage, "is_stopping", lambda: True)
    with pytest.raises(StoppedError):
        storage.persist.rewriter.rewrite(lambda: None)
    monkeypatch.undo()
    assert files(storage) == kept
    assert set(storage.paths.parquet_dir.rglob("*.parquet")) == paths
    # Not without room on the disk.
    monkeypatch.setattr(storage.filesystem, "free_bytes", lambda path: 100)
    assert storage.persist.rewriter.rewrite(fail) == 0
    monkeypatch.undo()
    storage.persist.work()
    assert not is_folded(storage)
    assert storage.query(ALL) == before


def test_of_the_times_that_are_looked_at_few_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 2_000
    config = PersistConfig(log_bytes=1, window_ns=1 << 20, memory_bytes_max=160_000)
    storage = Storage(tmp_path, config)
    storage.create_database()
    for tag in "abcd":
        persist(storage, "\n".join(f"m,t={tag} f=1i {time}" for time in range(rows)))
    persist(storage, "m,t=a f=2i 5\nm,t=b f=2i 6\nm,t=c f=2i 7\nm,t=d f=2i 8")
    persist(storage, f"m,t=z f=1i {1 << 40}")
    before, read, held = storage.query(ALL), storage.faults.read, []

    def noted(*arguments: object) -> object:
        if arguments[-1] == ["time"]:
            held.append(pyarrow.total_allocated_bytes())
        return read(*arguments)

    monkeypatch.setattr(rewriter, "TIMES_MAX", rows // 10)
    monkeypatch.setattr(storage.faults, "read", noted)
    assert storage.persist.rewriter.rewrite(lambda: None) == 1
    assert len(held) == 5
    assert max(held) - held[0] < rows * 8
    assert storage.query(ALL) == before


def test_rows_of_one_moment_that_do_not_fit_stay_as_they_are(tmp_path: Path) -> None:
    storage = make(tmp_path, memory_bytes_max=4_000)
    for name in ("a", "b"):
        lines = [f"m,t={name}{number} f=1i 5" for number in range(40)]
        persist(storage, "\n".join([*lines, f"m,t={name} f=1i 1", f"m,t={name} f=1i 9"]))
    persist(storage, "m,t=a0 f=2i 5\nm,t=b0 f=2i 5\nm,t=z f=2i 20")
    before, kept = storage.query(ALL), files(storage)
    storage.persist.work()
    assert files(storage) == kept
    assert storage.query(ALL) == before


def test_little_is_rewritten_now_and_then_only(tmp_path: Path) -> None:
    storage = make(tmp_path, memory_bytes_max=4_000)
    rewriter = storage.persist.rewriter
    for start in (0, 4):
        lines = [f"m,t={tag} f=1i,g=1i {start + time}" for time in range(4) for tag in "abcdefghij"]
        persist(storage, "\n".join(lines))
    persist(storage, "m,t=c f=2i 2\nm,t=z f=2i 20")
    clock = storage.clock

    def takes_a_second() -> None:
        clock.time_ns += 1_000_000_000

    assert rewriter.rewrite(takes_a_second) == 1
    took_ns = clock.time_ns
    persist(storage, "m,t=c f=3i 1")
    assert rewriter.rewrite(takes_a_second) == 0
    clock.time_ns += 8 * took_ns
    assert rewriter.rewrite(takes_a_second) == 1
    # Many rows of a time that is over do not wait.
    lines = [f"m,t={tag} f=4i 1" for tag in "abcdefghij"]
    assert rewriter.rewrite(takes_a_second) == 0
    persist(storage, "\n".join([*lines, "m,t=a f=1i 30"]))
    assert rewriter.rewrite(takes_a_second) == 1
    assert not is_folded(storage)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_is_merged_the_last_value_of_each_field_counts(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = random.Random(seed)
    if seed % 3:
        monkeypatch.setattr(file_maker, "_ROWS_PARTED_MIN", 4)
        monkeypatch.setattr(file_maker, "_REPEATED_SHARE", 2)
        monkeypatch.setattr(planner, "ROWS_PER_FILE_WANTED", 10)
        monkeypatch.setattr(planner, "_CLEAN_SHARE", 2)
    if seed % 2:
        # As if later rows were always few.
        monkeypatch.setattr(doubts, "FEW_SHARE", 0)
    # So little that only a few files of a few rows are merged at once.
    storage = make(tmp_path, memory_bytes_max=choice.choice((4_000, 8_000, 32_000)))
    storage.write("m,t=a f=-1i,g=-1i 0")
    expected: dict[tuple[int, str], dict[str, int | None]] = {(0, "a"): {"f": -1, "g": -1}}
    for step in range(STEPS):
        span = choice.choice((10, 40, 200))
        start = choice.randrange(0, 201 - span)
        lines = []
        for number in range(choice.randrange(1, 30)):
            time, tag = start + choice.randrange(span), choice.choice("ab")
            field = choice.choice("fg")
            row = expected.setdefault((time, tag), {"f": None, "g": None})
            row[field] = 100 * step + number
            lines.append(f"m,t={tag} {field}={row[field]}i {time}")
        storage.write("\n".join(lines))
        if choice.random() < 0.8:
            storage.persist_all()
        for _ in range(choice.randrange(4)):
            storage.persist.compactor.compact()
        for _ in range(choice.randrange(3)):
            storage.persist.rewriter.rewrite(storage.persist_all)
        rows = storage.query("SELECT time, t, f, g FROM m ORDER BY time, t")
        found = {(row["time"], row["t"]): {"f": row["f"], "g": row["g"]} for row in rows}
        assert len(found) == len(rows)
        assert found == expected
