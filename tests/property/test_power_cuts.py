"""Whatever a power cut leaves of what was not synced: all that was acknowledged comes back, nothing
by half, and what is cut off is said.

Faults of the program that were tried by hand, each of which fails some of the first 60 histories:

- no sync of the log's frames, of the name of a new log file, of checkpoints, of their names, of
  Parquet files, of their names, of the directories above; frames cut off a file that is sealed
- the record of a move, a merge or a purge before the sync of its files; a file removed before the
  record that ends it
- log files removed by the newest checkpoint alone, by its position, by what is in files, before the
  checkpoint, one too many, all that are sealed, without regard to triggers
- a checkpoint that claims a later position, or rows in files that are not; old ones removed before
  the new one is there, or only one kept
- a write that found no room and is not undone; the last whole frame cut off with a torn one
- a file renamed before its sync

Not by these, since nothing that was acknowledged is lost: frames behind a hole in the last file of
the log cut off with it.
"""

import copy
import errno
import itertools
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from engine.catalog.changes import (
    DeleteDatabase,
    DeleteTable,
    DeleteTrigger,
    encode_change,
)
from engine.catalog.model import Trigger
from engine.damage import Damage
from engine.errors import DiskFullError
from engine.ids import DatabaseId, Position, TriggerId
from engine.paths import DataPaths
from engine.persist import purger
from engine.persist.rows import gathered_without
from engine.persist.thread import PersistConfig
from engine.query.delete_conditions import parse_condition
from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN
from engine.store import parquet_file
from engine.store.live_table import LiveTable
from engine.store.row_deletes import DeleteRowsRecord, encode_delete, without
from engine.store.run_records import RunRecord, Step, encode_record
from engine.wal import checkpoint
from lp_core import FrameKind, Section, parse
from tests.support.faulty_filesystem import NEVER, FaultyFileSystem, PowerCut
from tests.support.faulty_storage import FaultyStorage
from tests.support.storage import HandClock

HISTORIES = int(os.environ.get("HEADRACE_FAULT_HISTORIES", "40"))
# Histories of one test case: a failure names its seed.
BATCH = 20
MINUTE_NS = 60 * 1_000_000_000
DAY_NS = 24 * 60 * MINUTE_NS
NAMES = ("db", "other")
STEPS_MAX = 30
CUTS_MAX = 3

Rows = dict[tuple[str, str, str, int], dict[str, Any]]


class Model:
    """What must be there."""

    def __init__(self) -> None:
        # Retention by database.
        self.databases: dict[str, int | None] = {}
        # By database, table, tag and time.
        self.rows: Rows = {}
        # By name of the trigger: its database, and how often it has run.
        self.triggers: dict[str, tuple[str, int]] = {}

    def visible(self, now_ns: int) -> tuple[Any, ...]:
        rows = {
            key: row
            for key, row in self.rows.items()
            if (kept := self.databases[key[0]]) is None or key[3] >= now_ns - kept
        }
        return self.databases, rows, self.triggers


# What one frame changes.
Effect = Callable[[Model], None]


class History:
    """Random steps of a server whose power is cut now and then."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.choice = random.Random(seed)
        self.clock = HandClock(2 * DAY_NS)
        self.model = Model()
        # Effects of the frames that are on their way to the disk.
        self.pending: list[Effect] = []
        self.acknowledged = Position(0)
        self.notes: list[Damage] = []
        self.counts = Counter[str]()
        self.generation = 0
        # Where the power goes: in the middle of a group of frames, beside a record about files,
        # behind a file that takes its name, in any step, or between two.
        self.cut_in = ""
        self.segment_bytes_max = self.choice.choice((2_048, 12_288, 65_536, 65_536))
        root.mkdir()
        self.copies_on_write = self.choice.random() < 0.5
        (root / "0").mkdir()
        self.storage = self.open(root / "0", None)

    def open(self, directory: Path, filesystem: FaultyFileSystem | None) -> FaultyStorage:
        filesystem = filesystem or FaultyFileSystem(directory)
        filesystem.copies_on_write = self.copies_on_write
        config = PersistConfig(
            log_bytes=self.choice.choice((1, 1, 8_000)),
            checkpoint_log_bytes=self.choice.choice((1, 4_000, 50_000)),
            window_ns=10 * MINUTE_NS,
            memory_bytes_max=1 << 20,
        )
        return FaultyStorage(
            directory,
            config,
            self.choice,
            segment_bytes_max=self.segment_bytes_max,
            clock=self.clock,
            filesystem=filesystem,
        )

    def run(self) -> None:
        for _ in range(self.choice.randint(1, CUTS_MAX)):
            self.cut_in = self.choice.choice(("group", "record", "name", "step", "step", "nothing"))
            self.storage.cuts_at_records = self.cut_in == "record"
            try:
                for _ in range(STEPS_MAX):
                    self.step()
                self.counts["cut at rest"] += 1
            except PowerCut:
                self.counts["cut at work"] += 1
            self.cut_power()
        self.storage.cut_power()
        self.storage.filesystem.close_all()

    # Steps.

    def step(self) -> None:
        steps = [
            *[self.write] * 8,
            self.change_databases,
            self.change_triggers,
            *[self.commit] * 3,
            self.delete_rows,
            self.delete_table,
            lambda: self.storage.seal(),
            *[lambda: self.storage.persist.work(with_retention=True)] * 3,
            lambda: self.storage.persist_all(),
            lambda: self.storage.persist.rewriter.rewrite(self.storage.persist_all),
            lambda: self.storage.persist.checkpointer.write(),
            self.let_time_pass,
            self.fill_disk,
        ]
        disk = self.storage.filesystem
        if self.cut_in == "step" and self.choice.random() < 0.1:
            # In what comes now, or soon after it.
            away = self.choice.expovariate(1 / self.choice.choice((4, 12, 40)))
            disk.cut_at = min(disk.cut_at, disk.steps + int(away))
        if self.cut_in == "name" and self.choice.random() < 0.3:
            disk.cuts_after_replace = True
        try:
            self.choice.choice(steps)()
        except (DiskFullError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.ENOSPC:
                raise
            assert disk.room_bytes < NEVER
            self.counts["refused for want of room"] += 1
            self.pending = []
        if disk.room_bytes < NEVER and self.choice.random() < 0.2:
            disk.room_bytes = NEVER

    def fill_disk(self) -> None:
        """Let the disk be full soon, in the middle of whatever comes."""
        self.storage.filesystem.room_bytes = self.choice.choice((0, 300, 3_000, 20_000))

    def let_time_pass(self) -> None:
        self.clock.time_ns += DAY_NS // 4

    def write(self) -> None:
        """A group of writes, as several clients send them at once."""
        known = sorted(self.model.databases)
        if not known:
            return
        frames, effects = [], []
        for _ in range(self.choice.choice((1, 2, 4, 6))):
            section, effect = self.rows_for(self.choice.choice(known))
            frames.append((FrameKind.WRITE, [section], b""))
            effects.append(effect)
        self.append(frames, effects)

    def rows_for(self, database: str, **fixed: Any) -> tuple[Section, Effect]:
        points = [
            (
                self.choice.choice("mn"),
                self.choice.choice("abc"),
                self.choice.choice((self.choice.randrange(20), self.choice.randrange(3 * DAY_NS))),
                {self.choice.choice("fg"): self.choice.randrange(1000)},
            )
            for _ in range(self.choice.choice((1, 3, 60)))
        ]
        if fixed:
            points = [("runs", "x", fixed["count"], {"n": fixed["count"]})]
        text = "\n".join(
            f"{table},t={tag} {','.join(f'{name}={value}i' for name, value in fields.items())} {at}"
            for table, tag, at, fields in points
        )
        found = self.storage.state.store.database(database)
        assert found is not None
        batch = parse(text.encode(), precision="ns", now_ns=1, schema=found.schema).batch

        def effect(model: Model) -> None:
            for table, tag, at, fields in points:
                model.rows.setdefault((database, table, tag, at), {}).update(fields)

        return Section(database, batch), effect

    def change_databases(self) -> None:
        name = self.choice.choice(NAMES)
        catalog = self.storage.state.catalog
        if name not in self.model.databases:
            kept = self.choice.choice((None, DAY_NS))

            def create(model: Model) -> None:
                model.databases[name] = kept

            change: Any = catalog.new_database(name, created_ns=0, retention_ns=kept)
            self.append([(FrameKind.CATALOG, [], encode_change(change))], [create])
            return

        def delete(model: Model) -> None:
            del model.databases[name]
            model.rows = {key: row for key, row in model.rows.items() if key[0] != name}
            model.triggers = {
                key: value for key, value in model.triggers.items() if value[0] != name
            }

        if self.choice.random() < 0.3:
            change = DeleteDatabase(catalog.database(name).id, name)
            self.append([(FrameKind.CATALOG, [], encode_change(change))], [delete])

    def delete_rows(self) -> None:
        """Rows of one tag or all, of some times or all."""
        table = self.some_table()
        if table is None:
            return
        database, live = table
        tag = self.choice.choice("abc*")
        low, high = self.choice.choice(((0, 9), (5, DAY_NS), (TIME_NS_MIN, TIME_NS_MAX)))
        columns = dict(self.storage.state.store.columns(database, live.name))
        record = DeleteRowsRecord(
            database_id=self.storage.state.catalog.database(database).id,
            table=live.name,
            began=live.began,
            times=(low, high),
            condition=None if tag == "*" else parse_condition(f"t = '{tag}'", columns),
        )

        def effect(model: Model) -> None:
            model.rows = {
                key: row
                for key, row in model.rows.items()
                if key[:2] != (database, live.name)
                or tag not in ("*", key[2])
                or not low <= key[3] <= high
            }

        self.append([(FrameKind.COMMIT, [], encode_delete(record))], [effect])

    def delete_table(self) -> None:
        table = self.some_table()
        if table is None or self.choice.random() < 0.5:
            return
        database, live = table

        def effect(model: Model) -> None:
            model.rows = {
                key: row for key, row in model.rows.items() if key[:2] != (database, live.name)
            }

        found = self.storage.state.catalog.database(database)
        change = DeleteTable(found.id, database, live.name)
        self.append([(FrameKind.CATALOG, [], encode_change(change))], [effect])

    def some_table(self) -> tuple[str, LiveTable] | None:
        found = [
            (database.name, table)
            for database in self.storage.state.store.databases()
            for table in database.tables()
        ]
        return self.choice.choice(found) if found else None

    def change_triggers(self) -> None:
        catalog = self.storage.state.catalog
        if self.model.triggers and self.choice.random() < 0.3:
            name = self.choice.choice(sorted(self.model.triggers))
            found = catalog.trigger(self.model.triggers[name][0], name)

            def end(model: Model) -> None:
                del model.triggers[name]

            self.append([(FrameKind.CATALOG, [], encode_change(DeleteTrigger(found.id)))], [end])
            return
        if not self.model.databases:
            return
        database = self.choice.choice(sorted(self.model.databases))
        name = f"t{self.choice.randrange(1 << 30)}"
        draft = Trigger(
            id=TriggerId(0),
            database_id=DatabaseId(0),
            database=database,
            name=name,
            plugin_filename="p.py",
            spec="all_tables",
        )

        def begin(model: Model) -> None:
            model.triggers[name] = (database, 0)

        change = catalog.new_trigger(draft)
        self.append([(FrameKind.CATALOG, [], encode_change(change))], [begin])

    def commit(self) -> None:
        """A run of a trigger: its rows, its state and its cursor in one frame."""
        if not self.model.triggers:
            return
        name = self.choice.choice(sorted(self.model.triggers))
        database, runs = self.model.triggers[name]
        state = self.storage.state
        trigger = state.catalog.trigger(database, name)
        cursor = state.cursors.get(trigger.id)
        assert cursor is not None
        section, rows = self.rows_for(database, count=runs + 1)
        record = RunRecord(
            trigger_id=trigger.id,
            step=Step(cursor.low, state.position) if state.position > cursor.low else None,
            state=[("runs", str(runs + 1).encode())],
        )

        def effect(model: Model) -> None:
            rows(model)
            model.triggers[name] = (database, runs + 1)

        self.append([(FrameKind.COMMIT, [section], encode_record(record))], [effect])

    def append(self, frames: list[tuple[FrameKind, list[Section], bytes]], effects: Any) -> None:
        self.pending = effects
        if self.cut_in == "group" and self.choice.random() < 0.1:
            self.storage.filesystem.cuts_at_sync = True
        for effect in effects[: self.storage.append_group(frames)]:
            effect(self.model)
        self.pending = []
        self.acknowledged = self.storage.state.position

    # The end, and the beginning.

    def cut_power(self) -> None:
        self.storage.cut_power()
        disk = self.storage.filesystem
        has_two = self.storage.persist.checkpointer.covered > 0
        while True:
            self.generation += 1
            directory = self.root / str(self.generation)
            disk.crash(directory, self.choice)
            disk.close_all()
            if not self.counts["checkpoints rotten"]:
                check_checkpoints(directory)
            has_two = has_two or len(DataPaths(directory, "node0").checkpoints()) > 1
            # Once: after it the older one is the only one, until another is written.
            if has_two and not self.counts["checkpoints rotten"]:
                self.counts["checkpoints rotten"] += rot_checkpoint(directory, self.choice)
            has_two = False
            before = log_bytes(directory)
            disk = FaultyFileSystem(directory)
            if self.choice.random() < 0.3:
                disk.cut_at = int(self.choice.expovariate(1 / 8))
            try:
                self.storage = self.open(directory, disk)
            except PowerCut:
                self.counts["cut in recovery"] += 1
                continue
            disk.cut_at = NEVER
            break
        self.check(before)

    def check(self, before: dict[str, bytes]) -> None:
        found = visible(self.storage)
        now_ns = self.clock.now_ns()
        for chosen in reversed(list(subsets(self.pending))):
            model = copy.deepcopy(self.model)
            for effect in chosen:
                effect(model)
            if found == model.visible(now_ns):
                break
        else:
            raise AssertionError(f"found {found}\nbut had {self.model.visible(now_ns)}")
        self.model, self.pending = model, []
        self.check_report(before)
        self.check_log()
        entries = [entry for table in tables(self.storage) for entry in table.files]
        root = self.storage.paths.parquet_dir
        left = {str(path.relative_to(root)) for path in root.rglob("*.parquet")}
        assert left == {entry.path for entry in entries}

    def check_report(self, before: dict[str, bytes]) -> None:
        """Every byte of the log is still in it, or was cut off and kept."""
        report = self.storage.recovered.report
        after = log_bytes(self.storage.directory)
        lost = sum(len(content) for content in before.values()) - sum(
            len(content) for content in after.values()
        )
        self.counts["cuts reported"] += report.cut_bytes > 0
        if report.cut_bytes:
            assert report.cut_file is not None
            kept = Path(report.cut_file)
            # Behind a hole, the whole file is kept.
            is_whole = kept.parent == self.storage.paths.damaged_dir
            assert kept.stat().st_size == report.cut_bytes or is_whole
        notes = [note for note in self.storage.damage.entries() if note not in self.notes]
        self.notes += notes
        self.counts["holes reported"] += len(notes)
        for note in notes:
            assert note.kind == "log"
            # Before the next file was begun this one was synced.
            assert Path(note.file).name == max(before)
            assert note.after_position is not None
            assert note.after_position >= self.acknowledged or note.lost_positions == 0
            assert (self.storage.paths.node_dir / note.kept).exists()
        told = report.cut_bytes + sum(note.size_bytes for note in notes)
        # What is not told may be the header of a file without a frame.
        assert lost <= told + 64, "bytes went without a word"
        self.acknowledged = self.storage.state.position

    def check_log(self) -> None:
        """What triggers have not read is in the log."""
        segments = self.storage.paths.segments()
        first = int(segments[0].stem) if segments else self.storage.state.position + 1
        for reader in self.storage.persist.log_files._state.log_readers():
            assert first <= reader.passed + 1, "a trigger's rows are cut off the log"


def check_checkpoints(directory: Path) -> None:
    """Whatever has the name of a checkpoint is whole: else luck alone leaves an older one."""
    for path in DataPaths(directory, "node0").checkpoints():
        checkpoint.decode(path.read_bytes())


def rot_checkpoint(directory: Path, choice: random.Random) -> bool:
    """Damage the newest checkpoint now and then; there must be another one."""
    paths = DataPaths(directory, "node0").checkpoints()
    if choice.random() < 0.7:
        return False
    content = bytearray(paths[-1].read_bytes())
    content[choice.randrange(len(content))] ^= 1
    paths[-1].write_bytes(content)
    return True


def subsets(effects: list[Effect]) -> Iterator[tuple[Effect, ...]]:
    for size in range(len(effects) + 1):
        yield from itertools.combinations(effects, size)


def log_bytes(directory: Path) -> dict[str, bytes]:
    return {
        path.name: content
        for path in (directory / "node0" / "wal").glob("*.wal")
        if (content := path.read_bytes().rstrip(b"\0"))
    }


def tables(storage: FaultyStorage) -> list[LiveTable]:
    return [table for one in storage.state.store.databases() for table in one.tables()]


def visible(storage: FaultyStorage) -> tuple[Any, ...]:
    """What a storage has, in the words of the model."""
    state = storage.state
    now_ns = storage.clock.now_ns()
    databases = {one.name: one.retention_ns for one in state.catalog.databases()}
    assert sorted(databases) == sorted(one.name for one in state.store.databases())
    rows: Rows = {}
    for database in state.store.databases():
        kept = databases[database.name]
        for table in database.tables():
            parts = []
            for entry in table.files:
                content = parquet_file.read(storage.paths.parquet_dir / entry.path)
                assert content.num_rows == entry.rows
                concern = [delete for delete in table.deletes if delete.concerns(entry)]
                parts.append(without(content, concern))
            if table.batches:
                batches = list(zip(table._positions, table.batches, strict=True))
                parts.append(gathered_without(batches, table.deletes))
            for row in itertools.chain.from_iterable(rows_of(part) for part in parts):
                if kept is not None and row["time"] < now_ns - kept:
                    continue
                key = (database.name, table.name, row["t"], row["time"])
                fields = {
                    name: value
                    for name, value in row.items()
                    if name not in ("t", "time") and value is not None
                }
                rows.setdefault(key, {}).update(fields)
    triggers = {}
    for trigger in state.catalog.triggers():
        value = state.plugin_state.get(trigger.id).get("runs")[0]
        triggers[trigger.name] = (trigger.database, 0 if value is None else int(value))
        cursor = state.cursors.get(trigger.id)
        assert cursor is not None
        assert cursor.low <= state.position
    return databases, rows, triggers


def rows_of(content: Any) -> list[dict[str, Any]]:
    """Rows of an Arrow table, with the time as a number."""
    place = content.column_names.index("time")
    rows: list[dict[str, Any]] = content.set_column(
        place, "time", content["time"].cast(pyarrow.int64())
    ).to_pylist()
    return rows


class Steps(logging.Handler):
    """Counts what the persist thread says that it has done."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[record.getMessage()] += 1


@pytest.fixture
def steps() -> Iterator[Steps]:
    handler = Steps()
    logger = logging.getLogger("engine.persist")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("batch", range((HISTORIES + BATCH - 1) // BATCH))
def test_what_was_acknowledged_survives_power_cuts(
    tmp_path: Path,
    batch: int,
    record_property: Callable[[str, object], None],
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Deletes have rows moved to files from the middle of a file of the log.
    monkeypatch.setattr(purger, "LIVE_MANY", 1)
    seeds = range(batch * BATCH, min((batch + 1) * BATCH, HISTORIES))
    counts = Counter[str]()
    for seed in seeds:
        history = History(tmp_path / str(seed), seed)
        try:
            history.run()
        except BaseException as error:
            error.add_note(f"history {seed}")
            raise
        counts += history.counts
    counts += steps.counts
    record_property("histories", len(seeds))
    print(
        f"{len(seeds)} histories:", ", ".join(f"{count} {name}" for name, count in counts.items())
    )
