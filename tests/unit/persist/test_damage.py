"""What is damaged costs what is in it, is said, and nothing else."""

from pathlib import Path

import pytest

from engine.catalog.changes import DeleteDatabase
from engine.errors import FileDamagedError
from engine.ids import Position, TriggerId
from engine.persist.compactor import _Merge
from engine.persist.file_maker import TableShape
from engine.persist.planner import Compaction
from engine.store.run_records import RunRecord, Step
from lp_core import SegmentReader
from tests.support.storage import Storage
from tests.unit.persist.test_storage import ALL, DAY_NS, HOUR_NS, cpu, files, make


@pytest.mark.parametrize("damage", ["missing", "cut", "tiny", "end", "middle"])
def test_a_damaged_file_fails_only_queries_that_need_it(tmp_path: Path, damage: str) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", DAY_NS, 1))
    storage.persist_all()
    storage.write(cpu("a", 3 * DAY_NS, 2))
    storage.persist_all()
    storage.write("n f=3i 1")
    first = files(storage)[0]
    path = storage.paths.parquet_dir / first.path
    content = path.read_bytes()
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(content[:-1])
        case "tiny":
            path.write_bytes(content[:4])
        case "end":
            path.write_bytes(content[:-8] + bytes(8))
        case "middle":
            # Seen by no quick look: when the file is read.
            path.write_bytes(content[:4] + bytes(len(content) - 12) + content[-8:])
    if damage == "tiny":
        # Not looked at anew at a start, the file is found out by the query.
        with pytest.raises(FileDamagedError, match=first.path):
            storage.query(ALL)
    again = storage.restart()
    assert [one.file for one in again.damage.entries()] == (
        [f"parquet/{first.path}"] if damage != "middle" else []
    )
    with pytest.raises(FileDamagedError, match="1970-01-02") as caught:
        again.query(ALL)
    assert first.path in caught.value.message
    assert [one.file for one in again.damage.entries()] == [f"parquet/{first.path}"]
    later = "SELECT f FROM m WHERE time > '1970-01-03T12:00:00Z'"
    assert again.query(later) == [{"f": 2}]
    assert again.query("SELECT f FROM n") == [{"f": 3}]
    again.write(cpu("b", 5 * DAY_NS, 4))
    again.persist_all()
    again.persist.work()
    assert len(again.query(later)) == 2
    path.write_bytes(content)
    mended = again.restart()
    assert mended.damage.entries() == []
    assert len(mended.query(ALL)) == 3


def test_files_without_a_table_are_kept_once_there_is_damage(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for time_ns in (1, 3 * DAY_NS):
        storage.write(cpu("a", time_ns, 1))
        storage.persist_all()
    (storage.paths.parquet_dir / files(storage)[0].path).unlink()
    left = storage.paths.parquet_dir / "1-db" / "m" / "left.parquet"
    left.write_bytes(b"perhaps what a lost record named")
    again = storage.restart()
    kept = again.paths.damaged_dir / left.relative_to(again.paths.node_dir)
    assert kept.read_bytes() == b"perhaps what a lost record named"
    assert not left.exists()


def test_files_that_cannot_be_read_are_not_merged(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for number in range(3):
        storage.write(cpu("a", HOUR_NS * 30 + number, number))
        storage.persist_all()
    storage.write(cpu("a", 9 * DAY_NS, 1))
    storage.persist_all()
    path = storage.paths.parquet_dir / files(storage)[1].path
    content = bytearray(path.read_bytes())
    content[20] ^= 0xFF
    path.write_bytes(content)
    again = storage.restart()
    before = files(again)
    again.persist.work()
    assert [one.file for one in again.damage.entries()] == [f"parquet/{before[1].path}"]
    assert before[1] in files(again)
    assert path.read_bytes() == content
    # What is not damaged is still merged.
    for number in range(2):
        again.write(cpu("a", HOUR_NS * 60 + number, number))
        again.persist_all()
    again.persist.work()
    assert before[1] in files(again)
    assert len(files(again)) < 6


# The log.


def damage_frames(storage: Storage, *positions: int) -> None:
    """Flip a bit in each of the frames at these positions."""
    found = 0
    for path in storage.paths.segments():
        content = bytearray(path.read_bytes())
        for frame in SegmentReader(bytes(content)).scan():
            if frame.position in positions:
                content[frame.offset + 70] ^= 1
                found += 1
        path.write_bytes(content)
    assert found == len(positions)


def test_a_lost_write_costs_its_rows_alone(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for number in range(5):
        storage.write(cpu("a", number, number))
    damage_frames(storage, 4)
    again = storage.restart()
    assert [row["f"] for row in again.query(ALL)] == [0, 1, 3, 4]
    (shown,) = again.query("SELECT * FROM system.damage")
    assert (shown["kind"], shown["content"]) == ("log", "write")
    assert (shown["after_position"], shown["before_position"]) == (3, 5)
    again.write(cpu("b", 9, 9))
    again.persist_all()
    again.persist.work()
    last = again.restart()
    assert [row["f"] for row in last.query(ALL)] == [0, 1, 3, 4, 9]
    assert len(last.damage.entries()) == 1


def test_rows_of_a_database_outlive_its_lost_creation(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.create_database("lost")
    created = storage.state.position
    storage.write(cpu("a", 1, 1), "lost")
    storage.create_database("next")
    ids = {one.name: one.id for one in storage.state.catalog.databases()}
    damage_frames(storage, created)
    for _ in range(2):
        storage = storage.restart()
        assert storage.query(ALL, "lost") == [{"f": 1, "t": "a", "time": 1}]
        assert {one.name: one.id for one in storage.state.catalog.databases()} == ids
    storage.persist.checkpointer.write()
    assert storage.restart().query(ALL, "lost") == [{"f": 1, "t": "a", "time": 1}]


def test_a_database_that_went_behind_lost_frames_does_not_come_back(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.create_database("gone")
    storage.write(cpu("a", 1, 1))
    lost = storage.state.position
    batch = cpu("b", 1, 1)
    gone = storage.state.catalog.database("gone")
    storage.write(batch, "gone")
    # A write that was queued when the database went.
    found = storage.state.store.database("gone")
    storage.change(DeleteDatabase(gone.id, "gone"))
    assert found is not None
    storage.state.store._databases["gone"] = found
    storage.write(batch, "gone")
    damage_frames(storage, lost)
    again = storage.restart()
    assert again.damage.entries()
    assert not again.state.catalog.has_database("gone")
    assert again.state.store.database("gone") is None


def test_rows_that_contradict_what_lost_frames_would_have_changed_are_left_out_and_named(
    tmp_path: Path,
) -> None:
    storage = make(tmp_path)
    storage.write("m f=1i 1")
    storage.change(DeleteDatabase(storage.state.catalog.database("db").id, "db"))
    deleted = storage.state.position
    storage.create_database()
    storage.write('m f="text" 2')
    damage_frames(storage, deleted, deleted + 1)
    again = storage.restart()
    assert again.query("SELECT f FROM m") == [{"f": 1}]
    reasons = [one.reason for one in again.damage.entries()]
    assert any("does not fit without the lost frames" in reason for reason in reasons)


def test_a_lost_frame_that_a_checkpoint_covers_costs_rows_and_no_state(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.create_database("lost")
    created = storage.state.position
    storage.write(cpu("a", 1, 1), "lost")
    storage.persist.checkpointer.write()
    damage_frames(storage, created, created + 1)
    again = storage.restart()
    # The log ends before its checkpoint, for what was behind is damaged.
    assert again.state.catalog.has_database("lost")
    assert again.query(ALL, "lost") == []
    assert again.state.position == created + 1
    assert again.damage.entries()[-1].before_position == created + 2
    again.write(cpu("a", 2, 2), "lost")
    assert again.restart().query(ALL, "lost") == [{"f": 2, "t": "a", "time": 2}]


def test_a_lost_run_of_a_trigger_is_run_again(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", 1, 1))
    record = RunRecord(trigger_id=TriggerId(7), step=Step(Position(0), Position(2)))
    storage.commit(record)
    storage.write(cpu("a", 2, 2))
    damage_frames(storage, 3)
    again = storage.restart()
    assert len(again.query(ALL)) == 2
    assert again.damage.entries()[0].content == ("commit",)


def test_frames_that_are_missing_at_the_beginning_are_noted_once(tmp_path: Path) -> None:
    storage = make(tmp_path)
    for number in range(3):
        storage.write(cpu("a", number, number))
        storage.seal()
    first, *_ = storage.paths.segments()
    first.unlink()
    for _ in range(2):
        storage = storage.restart()
        (note,) = storage.damage.entries()
        assert (note.after_position, note.before_position) == (0, 3)
        # With it went the creation of the database.
        assert len(storage.query(ALL)) == 2
    (shown,) = storage.query("SELECT reason FROM system.damage")
    assert shown == {"reason": "frames before are missing"}


def test_rows_whose_move_to_files_is_lost_outlive_the_next_move(tmp_path: Path) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", DAY_NS, 1))
    storage.write(cpu("b", DAY_NS, 2))
    storage.persist_all()
    lost = storage.state.position
    storage.write(cpu("a", DAY_NS + 1, 3))
    storage.delete_rows("m", where="t = 'b'")
    storage.persist_all()
    storage.write(cpu("a", DAY_NS + 2, 4))
    expected = storage.query(ALL)
    assert len(expected) == 3
    damage_frames(storage, lost)
    again = storage.restart()
    assert again.query(ALL) == expected
    # A checkpoint, another move and a merge take over what was mended.
    again.persist.checkpointer.write()
    again = again.restart()
    assert again.query(ALL) == expected
    again.persist_all()
    assert again.query(ALL) == expected
    again.write(cpu("a", 9 * DAY_NS, 5))
    again.persist_all()
    again.persist.work()
    assert len(files(again)) == 2
    assert len(again.restart().query(ALL)) == 4


def test_rows_whose_move_to_files_is_lost_are_not_doubled_by_a_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make(tmp_path)
    storage.write(cpu("a", DAY_NS, 1))
    storage.persist_all()
    storage.persist.checkpointer.write()
    storage.write(cpu("a", DAY_NS + 1, 2))
    storage.persist_all()
    lost = storage.state.position
    storage.write(cpu("a", 9 * DAY_NS, 3))
    assert storage.persist.compactor.compact() == 0
    # Not worthwhile yet, but a later plan may be this one.
    monkeypatch.setattr(storage.persist.compactor, "_next", lambda: [merged(storage)])
    assert storage.persist.compactor.compact() == 1
    assert len(files(storage)) == 1
    expected = storage.query(ALL)
    damage_frames(storage, lost)
    again = storage.restart()
    assert again.query(ALL) == expected
    again.persist_all()
    assert again.restart().query(ALL) == expected


def merged(storage: Storage) -> _Merge:
    """All files of the table, to be merged."""
    database = storage.state.store.database("db")
    assert database is not None
    table = database.table("m")
    assert table is not None
    plan = Compaction(table.files, DAY_NS, DAY_NS)
    return _Merge(TableShape.of(database, table), table.files, plan, table.deletes)
