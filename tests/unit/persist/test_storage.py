"""Storage as a whole: files, checkpoints, the log's files, and what happens when something fails."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from engine.catalog.changes import DeleteDatabase, DeleteTrigger, DisableTrigger
from engine.catalog.model import Trigger
from engine.errors import QueryError, RecoveryError
from engine.filesystem import FileSystem
from engine.ids import DatabaseId, Position, TriggerId
from engine.persist.thread import PersistConfig
from engine.query import executor
from engine.query.doubts import doubtful_ranges
from engine.store import parquet_file
from engine.store.manifest import FileEntry, FilesRecord
from engine.store.run_records import BackfillStep, RunRecord
from tests.support.storage import HandClock, Storage

MINUTE_NS = 60 * 1_000_000_000
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
ALL = "SELECT * FROM m ORDER BY time, t"


def make(directory: Path, **settings: Any) -> Storage:
    storage = Storage(
        directory, PersistConfig(**{"log_bytes": 1, "checkpoint_log_bytes": 1, **settings})
    )
    if not storage.state.catalog.has_database("db"):
        storage.create_database()
    return storage


def files(storage: Storage, table: str = "m", database: str = "db") -> tuple[FileEntry, ...]:
    found = storage.state.store.database(database)
    assert found is not None
    live = found.table(table)
    assert live is not None
    return live.files


def on_disk(storage: Storage) -> set[str]:
    root = storage.paths.parquet_dir
    return {str(path.relative_to(root)) for path in root.rglob("*.parquet")}


def cpu(host: str, time_ns: int, value: int) -> str:
    return f"m,t={host} f={value}i {time_ns}"


# Start.


def test_a_directory_without_checkpoint_starts_as_before(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    storage.paths.checkpoint_dir.rmdir()
    storage.paths.parquet_dir.rmdir()
    again = storage.restart()
    assert again.recovered.checkpoint == 0
    assert again.recovered.report.frames == 2
    assert again.query(ALL) == [{"f": 1, "t": "a", "time": 1}]


def test_a_start_reads_only_what_is_behind_the_files(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for number in range(20):
        storage.write(cpu("a", number, number))
    storage.persist_all()
    storage.write(cpu("a", 100, 100))
    storage.persist.checkpointer.write()
    storage.write(cpu("b", 100, 101))
    before = storage.query(ALL)
    again = storage.restart()
    assert again.recovered.report.frames <= 4
    assert again.query(ALL) == before
    assert len(before) == 22


def test_files_without_their_checkpoint_refuse_the_start(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for number in range(3):
        storage.write(cpu("a", number, 1))
        storage.persist_all()
        storage.persist.work()
    assert int(storage.paths.segments()[0].stem) > 1, "log files were removed"
    for path in storage.paths.checkpoints():
        path.unlink()
    with pytest.raises(RecoveryError, match="checkpoint of what was before is missing"):
        storage.restart()


def test_a_log_that_ends_before_its_checkpoint_refuses_the_start(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    storage.seal()
    storage.write(cpu("a", 2, 1))
    storage.persist.checkpointer.write()
    storage.paths.segments()[-1].unlink()
    with pytest.raises(RecoveryError, match="went on to"):
        storage.restart()


def test_what_a_crash_left_behind_is_removed_at_start(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    storage.persist_all()
    left = storage.paths.parquet_dir / "1-db" / "m" / "left.parquet"
    left.write_bytes(b"half a file")
    half = storage.paths.checkpoint_dir / "00000000000000000009.checkpoint.tmp"
    half.write_bytes(b"half a checkpoint")
    again = storage.restart()
    assert not half.exists()
    assert on_disk(again) == {files(again)[0].path}


# Files.


def test_files_say_what_they_hold_and_are_sorted(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write('m,t=b,u=x f=1i 30\nm,t=a f=2i,s="é" 20\nm f=3i 10\nm,t=a f=4i 10')
    storage.write(f"m,t=a g=t,h=7u {HOUR_NS}")
    storage.persist_all()
    first, second = files(storage)
    assert first.path == "1-db/m/1970-01-01T00-00-00Z_10m_0000000001.parquet"
    path = storage.paths.parquet_dir / first.path
    rows = parquet_file.read(path)
    assert rows.column("t").to_pylist() == [None, "a", "a", "b"]
    assert rows.column("time").cast("int64").to_pylist() == [10, 10, 20, 30]
    assert parquet_file.footer_of(path) == {
        "version": 1,
        "database": "db",
        "table": "m",
        "tags": ["t", "u"],
        "window_start_ns": 0,
        "window_ns": 10 * MINUTE_NS,
        "first_position": 2,
        "last_position": 3,
    }
    assert (second.rows, second.times, second.overlaps) == (1, (HOUR_NS, HOUR_NS), ())
    assert second.size_bytes == (storage.paths.parquet_dir / second.path).stat().st_size


@pytest.mark.parametrize("name", ["a b", "x/../y", "..", "日本", "q'uote\"", "n" * 400, "Mm", "mM"])
def test_tables_of_any_name_have_files(tmp_path: Path, name: str) -> None:
    storage = make(tmp_path)
    escaped = name.replace(" ", "\\ ").replace(",", "\\,")
    storage.write(f"{escaped} f=1i 1\nother f=2i 1")
    storage.persist_all()
    quoted = name.replace('"', '""')
    assert storage.query(f'SELECT f FROM "{quoted}"') == [{"f": 1}]
    assert storage.restart().query(f'SELECT f FROM "{quoted}"') == [{"f": 1}]


def test_columns_that_differ_only_in_case_stay_apart_in_files(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,T=x,t=y f=1i,F=2i,rank=3i,file_index=4i 1")
    storage.persist_all()
    storage.write("m,T=x,t=y F=5i 1\nm,T=x,t=z F=6i 2")
    names = '"T", t, f, "F", rank, file_index'
    assert storage.query(f"SELECT {names} FROM m ORDER BY time") == [
        {"T": "x", "t": "y", "f": 1, "F": 5, "rank": 3, "file_index": 4},
        {"T": "x", "t": "z", "f": None, "F": 6, "rank": None, "file_index": None},
    ]


def test_files_are_shown_in_a_system_table(tmp_path: Path) -> None:
    storage = make(tmp_path)
    assert storage.query("SELECT * FROM system.parquet_files") == []
    storage.write(f"{cpu('a', 10, 1)}\n{cpu('a', 20, 1)}")
    storage.persist_all()
    storage.write(cpu("a", 10, 2))
    storage.persist_all()
    rows = storage.query(
        "SELECT table_name, path, row_count, min_time, max_time, window_ns, may_overlap "
        "FROM system.parquet_files ORDER BY path"
    )
    window = {"table_name": "m", "window_ns": 10 * MINUTE_NS, "min_time": 10}
    assert rows == [
        {**window, "path": entry.path, "row_count": count, "max_time": last, "may_overlap": doubt}
        for entry, count, last, doubt in zip(
            files(storage), (2, 1), (20, 10), (False, True), strict=True
        )
    ]


def test_new_columns_are_null_in_older_files(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m f=1i 1")
    storage.persist_all()
    storage.write('m,t=a g=2.5,s="x" 2')
    storage.persist_all()
    assert storage.query("SELECT f, g, s, t FROM m ORDER BY time") == [
        {"f": 1, "g": None, "s": None, "t": None},
        {"f": None, "g": 2.5, "s": "x", "t": "a"},
    ]


def test_the_first_and_the_last_times_have_files(tmp_path: Path) -> None:
    storage = make(tmp_path)
    first, last = -(2**63) + 2, 2**63 - 2
    storage.write(f"{cpu('a', first, 1)}\n{cpu('a', 0, 2)}\n{cpu('a', last, 3)}")
    before = storage.query(ALL)
    assert [row["time"] for row in before] == [first, 0, last]
    for _ in range(2):
        storage.persist_all()
        storage.persist.work()
        assert storage.query(ALL) == before
        storage = storage.restart()
        storage.write(cpu("a", first, 1))


def test_columns_stand_in_one_order_wherever_rows_are(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write("m,z=a,b=c x=1,a=2 1\nn,z=a,b=c x=1,a=2 1")
    ordered = [("a", 2.0), ("b", "c"), ("time", 1), ("x", 1.0), ("z", "a")]
    storage.change(storage.state.catalog.new_retention("db", "n", 10**18))
    for _ in range(2):
        for table in ("m", "n"):
            assert list(storage.query(f"SELECT * FROM {table}")[0].items()) == ordered
        storage.persist_all()
    # Columns of a UNION go by their place.
    storage.write("k,z=a,b=c x=1,a=2 1")
    found = storage.query("SELECT * FROM m UNION ALL SELECT * FROM k")
    assert [list(row.items()) for row in found] == [ordered, ordered]
    storage.close()


def test_files_are_the_only_ones_a_query_can_open(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    storage.persist_all()
    path = storage.paths.parquet_dir / files(storage)[0].path
    for sql in (f"SELECT * FROM read_parquet('{path}')", f"SELECT * FROM '{path}'"):
        with pytest.raises(QueryError):
            storage.query(sql)


# Deduplication is paid only where it is needed.


def doubts(storage: Storage) -> tuple[tuple[int, int], ...]:
    database = storage.state.store.database("db")
    assert database is not None
    snapshot = database.snapshot("m")
    assert snapshot is not None
    return doubtful_ranges(snapshot)


def test_rows_in_order_never_pay_for_deduplication_not_even_after_a_restart(
    tmp_path: Path,
) -> None:
    storage = make(tmp_path)
    for number in range(5):
        storage.write(f"{cpu('a', number * HOUR_NS, 1)}\n{cpu('b', number * HOUR_NS + 5, 1)}")
        storage.persist_all()
        assert doubts(storage) == ()
    storage.persist.checkpointer.write()
    storage = storage.restart()
    # Behind the greatest time of the table, but not of its series.
    storage.write(cpu("a", 4 * HOUR_NS + 1, 1))
    storage.write(cpu("c", 3, 1))
    assert doubts(storage) == ()
    assert "GROUP" not in str(storage.query("EXPLAIN SELECT * FROM m")).upper()


def test_late_rows_where_no_file_is_are_in_no_doubt(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", DAY_NS, 1))
    storage.persist_all()
    storage.write(cpu("a", 5, 1))
    assert doubts(storage) == ()
    storage.persist_all()
    assert doubts(storage) == ()


def test_doubts_survive_a_restart_and_end_with_the_merge(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(f"{cpu('a', 10, 1)}\n{cpu('a', 20, 1)}\n{cpu('a', 9 * DAY_NS, 1)}")
    storage.persist_all()
    storage.write(cpu("a", 10, 2))
    assert doubts(storage) == ((10, 10),)
    storage.persist.checkpointer.write()
    storage = storage.restart()
    assert doubts(storage) == ((10, 10),)
    storage.persist_all()
    assert doubts(storage) == ((10, 10),)
    storage = storage.restart()
    assert doubts(storage) == ((10, 10),)
    assert [row["f"] for row in storage.query(ALL)] == [2, 1, 1]
    assert "GROUP" in str(storage.query("EXPLAIN SELECT * FROM m")).upper()
    storage.persist.work()
    assert doubts(storage) == ()
    assert [row["f"] for row in storage.query(ALL)] == [2, 1, 1]


# Readers.


def test_files_stay_until_their_last_reader_is_done(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for value in (1, 2):
        storage.write(f"{cpu('a', 10, value)}\n{cpu('b', 9 * DAY_NS + value, 1)}")
        storage.persist_all()
    before = on_disk(storage)
    with storage.readers.reading():
        storage.persist.work()
        assert {entry.path for entry in files(storage)} - before, "something was merged"
        assert before <= on_disk(storage)
        with storage.readers.reading():
            pass
        storage.persist.reap()
        assert before <= on_disk(storage)
    assert storage.persist.reap() == 0
    assert on_disk(storage) == {entry.path for entry in files(storage)}


def test_files_of_a_deleted_database_go(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.create_database("other")
    storage.write("m f=1i 1", "other")
    storage.write(cpu("a", 1, 1))
    storage.persist_all()
    storage.change(DeleteDatabase(DatabaseId(2), "other"))
    storage.create_database("other")
    storage.persist.work()
    assert on_disk(storage) == {files(storage)[0].path}
    assert storage.query(ALL) == [{"f": 1, "t": "a", "time": 1}]


def test_after_many_files_queries_get_a_new_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "REMOVED_FILES_MAX", 2)
    storage = make(tmp_path)
    first = storage.executor._connection
    for value in (1, 2):
        storage.write(f"{cpu('a', 10, value)}\n{cpu('b', 9 * DAY_NS + value, 1)}")
        storage.persist_all()
    before = storage.query(ALL)
    storage.persist.work()
    assert storage.executor._connection is not first
    assert storage.query(ALL) == before
    path = storage.paths.parquet_dir / files(storage)[0].path
    with pytest.raises(QueryError):
        storage.query(f"SELECT * FROM '{path}'")


def test_a_database_deleted_while_its_rows_are_persisted_leaves_no_files(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.create_database("other")
    storage.write("m f=1i 1", "other")
    storage.write(cpu("a", 1, 1))
    append = storage.append

    def append_late(record: FilesRecord) -> None:
        if record.through:
            storage.change(DeleteDatabase(DatabaseId(2), "other"))
            storage.create_database("other")
        append(record)

    storage.append = append_late  # type: ignore[method-assign]
    storage.persist_all()
    storage.append = append  # type: ignore[method-assign]
    storage.persist.work()
    assert on_disk(storage) == {entry.path for entry in files(storage)}
    assert storage.query(ALL) == [{"f": 1, "t": "a", "time": 1}]
    with pytest.raises(QueryError, match="not found"):
        storage.query("SELECT * FROM m", "other")


def test_frames_that_have_not_taken_effect_yet_are_not_persisted(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    # The log has gone on to its next file, with frames on their way to the event loop.
    begun = storage.paths.segment(storage.state.position + 3)
    begun.touch()
    assert storage.persist.due() is None
    begun.unlink()
    storage.paths.segment(storage.state.position + 1).touch()
    assert storage.persist.due() == storage.state.position


# Failures.


class FullDisk(FileSystem):
    """Takes so many more files."""

    files_left = 1_000

    def write_file(self, path: Path, content: memoryview | bytes, *, mode: int = 0o640) -> None:
        self.files_left -= 1
        if self.files_left < 0:
            super().write_file(path, bytes(content)[: len(content) // 2], mode=mode)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write_file(path, content, mode=mode)


@pytest.mark.parametrize("files_left", [0, 1, 2])
def test_a_full_disk_loses_nothing_and_leaves_nothing_behind(
    tmp_path: Path, files_left: int
) -> None:
    disk = FullDisk()
    storage = Storage(tmp_path, PersistConfig(log_bytes=1), filesystem=disk)
    storage.create_database()
    storage.write("\n".join(cpu("a", number * DAY_NS, number) for number in range(4)))
    storage.seal()
    storage.write(cpu("a", 9 * DAY_NS, 9))
    before = storage.query(ALL)
    disk.files_left = files_left
    with pytest.raises(OSError, match="space"):
        storage.persist.work()
    assert on_disk(storage) == set()
    assert storage.query(ALL) == before
    disk.files_left = 1_000
    storage.persist.work()
    assert len(files(storage)) >= 1
    assert storage.query(ALL) == before
    assert storage.restart().query(ALL) == before


# The log's files.


def trigger(storage: Storage, database: str = "db") -> Trigger:
    number = len(storage.state.catalog.triggers()) + 1
    draft = Trigger(
        id=TriggerId(0),
        database_id=DatabaseId(0),
        database=database,
        name=f"t{number}",
        plugin_filename="p.py",
        spec="all_tables",
    )
    storage.change(storage.state.catalog.new_trigger(draft))
    return storage.state.catalog.trigger(database, draft.name)


def grow(storage: Storage, count: int = 4) -> None:
    for number in range(count):
        storage.write(cpu("a", number, number))
        storage.persist_all()
        storage.persist.work()


def first_position(storage: Storage) -> int:
    return int(storage.paths.segments()[0].stem)


def test_log_files_go_once_two_checkpoints_do_without_them(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    storage.persist_all()
    storage.persist.work()
    assert first_position(storage) == 1, "one checkpoint may be damaged"
    grow(storage)
    assert first_position(storage) > 3
    newest = storage.paths.checkpoints()[-1]
    newest.write_bytes(b"damaged")
    again = storage.restart()
    assert len(again.query(ALL)) == 4


def test_log_files_wait_for_triggers_disabled_ones_too(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.create_database("quiet")
    trigger(storage, "quiet")
    waits = trigger(storage)
    created = storage.state.cursors.get(waits.id)
    assert created is not None
    grow(storage)
    assert first_position(storage) <= created.low + 1
    assert storage.lost == []
    storage.change(DisableTrigger(waits.id))
    grow(storage)
    assert first_position(storage) <= created.low + 1
    storage.change(DeleteTrigger(waits.id))
    grow(storage)
    assert first_position(storage) > created.low + 1


def test_a_trigger_that_lags_too_far_loses_its_oldest_rows_and_it_is_said(tmp_path: Path) -> None:
    storage = make(tmp_path, log_kept_bytes_max=2_000)
    lags = trigger(storage)
    cursor = storage.state.cursors.get(lags.id)
    assert cursor is not None
    start = cursor.low
    grow(storage, 12)
    assert storage.lost, "something was lost"
    assert [lost[0].name for lost in storage.lost] == [lags.name] * len(storage.lost)
    assert storage.lost[0][1] >= start
    assert cursor.low == storage.lost[-1][2]
    assert first_position(storage) <= cursor.low + 1
    assert first_position(storage) > start + 1
    again = storage.restart()
    kept = again.state.cursors.get(lags.id)
    assert kept is not None
    assert kept.low == cursor.low, "it is durable"


# Retention.


def test_rows_past_retention_are_gone_at_once_and_files_later(tmp_path: Path) -> None:
    storage = make(tmp_path)
    clock: HandClock = storage.clock
    for number in range(3):
        storage.write(f"{cpu('a', number * DAY_NS, number)}\n{cpu('a', number * DAY_NS + 1, 9)}")
    storage.write("kept f=1i 0")
    storage.persist_all()
    clock.time_ns = 3 * DAY_NS
    storage.change(storage.state.catalog.new_retention("db", None, 2 * DAY_NS - 1))
    storage.change(storage.state.catalog.new_retention("db", "kept", 9 * DAY_NS))
    times = [row["time"] for row in storage.query("SELECT time FROM m ORDER BY time")]
    assert times == [DAY_NS + 1, 2 * DAY_NS, 2 * DAY_NS + 1]
    storage.persist.work(with_retention=True)
    assert min(entry.min_time_ns for entry in files(storage)) == DAY_NS
    assert len(on_disk(storage)) == len(files(storage)) + len(files(storage, "kept"))
    storage = storage.restart()
    assert storage.query("SELECT count(*) AS n FROM m") == [{"n": 3}]
    assert storage.query("SELECT count(*) AS n FROM kept") == [{"n": 1}]
    storage.write(cpu("b", 5, 1))
    assert storage.query("SELECT count(*) AS n FROM m") == [{"n": 3}], "written too late"
    storage.change(storage.state.catalog.new_retention("db", "kept", None))
    assert storage.query("SELECT count(*) AS n FROM kept") == [{"n": 0}]
    storage.change(storage.state.catalog.new_retention("db", None, None))
    assert storage.query("SELECT count(*) AS n FROM m WHERE t = 'b'") == [{"n": 1}]


def test_nothing_happens_twice_at_one_position(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.persist.checkpointer.write()
    written = storage.paths.checkpoints()[-1].stat().st_mtime_ns
    storage.persist.checkpointer.write()
    assert storage.paths.checkpoints()[-1].stat().st_mtime_ns == written
    assert storage.persist.checkpointer.covered == Position(0)


# Where triggers begin.


def positions_of(storage: Storage, table: str = "m") -> list[tuple[int, int]]:
    return [(entry.first_position, entry.last_position) for entry in files(storage, table)]


def test_files_end_where_a_trigger_begins(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    storage.write("other f=1i 1")
    trigger = storage.create_trigger("t", "table:m")
    storage.write(cpu("a", 1, 2))
    storage.write("other f=2i 2")
    storage.persist_all()
    assert positions_of(storage) == [(2, 2), (5, 5)]
    assert positions_of(storage, "other") == [(3, 6)], "it is not the trigger's"
    assert files(storage)[1].overlaps == ((1, 1),)
    assert storage.query(ALL) == [{"f": 2, "t": "a", "time": 1}]
    for number in range(20):
        storage.write(cpu("b", number, number))
        storage.persist_all()
        storage.persist.work()
    assert (2, 2) in positions_of(storage)
    assert len(files(storage)) < 10
    storage.change(DeleteTrigger(trigger.id))
    storage.write(cpu("b", DAY_NS, 1))
    storage.persist_all()
    storage.persist.work()
    assert min(positions_of(storage))[1] > 5, "without the trigger it is merged"


def test_triggers_without_rows_between_them_cost_no_files(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    for number in range(200):
        storage.create_trigger(f"t{number}")
    storage.write(cpu("a", 2, 1))
    storage.write(cpu("a", 3, 1))
    storage.persist_all()
    assert positions_of(storage) == [(2, 2), (203, 204)]


def test_a_trigger_that_begins_with_its_database_cuts_nothing(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    storage.create_trigger("t", start_position=storage.state.created("db"))
    storage.write(cpu("a", 2, 1))
    storage.persist_all()
    assert positions_of(storage) == [(2, 4)]
    assert storage.state.backfills.images()[0].start == storage.state.created("db")


def test_the_log_is_kept_for_live_rows_that_wait_for_those_of_the_past(tmp_path: Path) -> None:
    storage = make(tmp_path, log_kept_bytes_max=0)
    storage.write(cpu("a", 1, 1))
    trigger = storage.create_trigger("t")
    step = BackfillStep(start_ns=0, end_ns=9, call_rows_max=5)
    storage.commit(RunRecord(trigger_id=trigger.id, backfill=step))
    storage.seal()
    storage.write(cpu("a", 2, 1))
    first = storage.paths.segments()[-1]
    for _ in range(3):
        storage.persist_all()
        storage.persist.work()
    assert first.exists()
    assert storage.lost == []
    storage.change(DisableTrigger(trigger.id, ""))
    for _ in range(3):
        storage.persist_all()
        storage.persist.work()
    assert not first.exists()
    assert storage.lost, "a trigger that somebody stopped holds up no disk"
