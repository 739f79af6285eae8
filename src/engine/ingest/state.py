# Owns what a durable frame means: the one function that both recovery and the running server call
# for every frame of the log, in order, so that the state after a restart equals the state before
# it.
"""Applying durable frames to catalog, live tables and what triggers keep."""

import logging

from engine.catalog.catalog import Catalog
from engine.catalog.changes import (
    CatalogChange,
    CreateDatabase,
    CreateTrigger,
    DeleteDatabase,
    DeleteTrigger,
    FirstBackfill,
    decode_change,
)
from engine.ids import DatabaseId, Position, TriggerId
from engine.ingest.state_image import DatabaseImage, ServerImage
from engine.logs import keys
from engine.store.backfills import BackfillTable
from engine.store.cursors import CursorTable
from engine.store.dead_letters import DeadLetterTable
from engine.store.live import LiveStore
from engine.store.manifest import FileEntry, FilesRecord, TableFiles
from engine.store.plugin_state import StateTable
from engine.store.run_records import BackfillStep, RunRecord, decode_record
from engine.wal.log import DurableFrame
from lp_core import FrameKind

logger = logging.getLogger(__name__)


class ServerState:
    """Everything that the log determines."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.store = LiveStore()
        self.cursors = CursorTable()
        self.plugin_state = StateTable()
        self.dead_letters = DeadLetterTable()
        self.backfills = BackfillTable()
        self._created: dict[str, Position] = {}
        # Of the last frame that was applied.
        self.position = Position(0)
        # Rows up to here are in Parquet files.
        self.persisted = Position(0)
        self.next_file_number = 1
        # Files that the state refers to no more; whoever removes them empties the list.
        self.unreferenced: list[FileEntry] = []

    def apply(self, durable: DurableFrame) -> CatalogChange | None:
        """Take over one frame; return the catalog change that it held, if it held one."""
        frame = durable.frame
        self.position = durable.position
        if frame.kind == FrameKind.CATALOG:
            change = decode_change(frame.control)
            self._apply_change(change, durable.position)
            return change
        for section in frame.sections:
            database = self.store.database(section.database)
            if database is None:
                # The database was deleted while the frame was on its way to the disk.
                logger.warning(
                    "rows of a deleted database dropped",
                    extra=keys(database=section.database, rows=section.batch.num_rows),
                )
                continue
            database.add(section.batch, durable.position)
        if frame.kind == FrameKind.COMMIT:
            record = decode_record(frame.control)
            if isinstance(record, FilesRecord):
                self._apply_files(record)
            else:
                self._apply_run(record, durable.position)
        return None

    def add_rows(self, durable: DurableFrame) -> None:
        """Take over the rows of a frame of which `restore` has everything else."""
        for section in durable.frame.sections:
            database = self.store.database(section.database)
            if database is not None and durable.position > self.created(section.database):
                database.add_known(section.batch, durable.position)

    def image(self) -> ServerImage:
        """What a checkpoint keeps; call it where `apply` is called."""
        return ServerImage(
            position=self.position,
            persisted=self.persisted,
            next_file_number=self.next_file_number,
            catalog=self.catalog.image(),
            databases=[
                DatabaseImage(
                    id=database.id,
                    name=database.name,
                    created=self.created(database.name),
                    tables=database.images(),
                )
                for database in self.store.databases()
            ],
            cursors=self.cursors.images(),
            states=self.plugin_state.images(),
            dead_letters=self.dead_letters.images(),
            backfills=self.backfills.images(),
        )

    def restore(self, image: ServerImage) -> None:
        """Take over what a checkpoint has kept, in place of the empty state of the beginning."""
        self.position = image.position
        self.persisted = image.persisted
        self.next_file_number = image.next_file_number
        self.catalog.restore(image.catalog)
        for one in image.databases:
            database = self.store.create(one.name, one.id)
            self._created[one.name] = one.created
            for table in one.tables:
                database.restore(table, image.position)
        self.cursors.restore(image.cursors)
        self.plugin_state.restore(image.states)
        self.dead_letters.restore(image.dead_letters)
        self.backfills.restore(image.backfills)

    def created(self, database: str) -> Position:
        """Where a database begins: frames before are about an older one of that name."""
        return self._created.get(database, Position(0))

    def passed_positions(self) -> dict[str, Position]:
        """Per database with WAL triggers, the position that all of these have passed."""
        passed: dict[str, Position] = {}
        for trigger in self.catalog.triggers():
            cursor = self.cursors.get(trigger.id)
            if cursor is not None:
                low = passed.get(trigger.database, cursor.low)
                passed[trigger.database] = min(low, cursor.low)
        return passed

    def _apply_files(self, record: FilesRecord) -> None:
        by_database: dict[DatabaseId, list[TableFiles]] = {}
        for change in record.tables:
            by_database.setdefault(change.database_id, []).append(change)
            for entry in change.added:
                self.next_file_number = max(self.next_file_number, entry.number + 1)
        for database in self.store.databases():
            changes = by_database.pop(database.id, [])
            if record.through > self.persisted:
                database.persist(record.through, changes)
            else:
                for change in changes:
                    self.unreferenced.extend(database.change_files(change))
        for changes in by_database.values():
            # The database was deleted while the record was on its way to the disk.
            self.unreferenced.extend(entry for change in changes for entry in change.added)
        self.persisted = max(self.persisted, record.through)

    def _apply_run(self, record: RunRecord, position: Position) -> None:
        trigger_id = record.trigger_id
        if self.catalog.trigger_by_id(trigger_id) is None:
            # The trigger was deleted while the frame was on its way to the disk.
            return
        if record.step is not None:
            self.cursors.apply(trigger_id, record.step)
        if record.state:
            self.plugin_state.apply(trigger_id, record.state, position)
        if record.backfill is not None:
            self.backfills.apply(trigger_id, record.backfill)
        self.dead_letters.park(trigger_id, record.parked, position)
        self.dead_letters.retried(trigger_id, record.retried)
        self.dead_letters.unpark(trigger_id, record.unparked)

    def _end_trigger(self, trigger_id: TriggerId) -> None:
        parked = self.dead_letters.num_rows(trigger_id)
        if parked:
            logger.warning(
                "parked rows dropped with their trigger",
                extra=keys(trigger_id=trigger_id, rows=parked),
            )
        self.cursors.end(trigger_id)
        self.plugin_state.end(trigger_id)
        self.dead_letters.end(trigger_id)
        self.backfills.end(trigger_id)

    def _apply_change(self, change: CatalogChange, position: Position) -> None:
        match change:
            case CreateDatabase(database=database):
                self.store.create(database.name, database.id)
                self._created[database.name] = position
            case DeleteDatabase(database_id=database_id, name=name):
                dropped = self.store.database(name)
                for table in [] if dropped is None else dropped.tables():
                    self.unreferenced.extend(table.files)
                self.store.drop(name)
                for trigger in self.catalog.triggers():
                    if trigger.database_id == database_id:
                        self._end_trigger(trigger.id)
            case CreateTrigger(trigger=trigger, backfill=backfill) if trigger.is_fed_by_log:
                # A new trigger sees what is written after it was created, unless it asks for more.
                begin = trigger.start_position
                start = position if begin is None else Position(begin)
                self.cursors.begin(trigger.id, start)
                self.backfills.begin(trigger.id, start)
                if isinstance(backfill, FirstBackfill):
                    step = BackfillStep(
                        start_ns=backfill.start_ns,
                        end_ns=backfill.end_ns,
                        call_rows_max=backfill.call_rows_max,
                    )
                    self.backfills.apply(trigger.id, step)
            case DeleteTrigger(trigger_id=trigger_id):
                self._end_trigger(trigger_id)
            case _:
                pass
        self.catalog.apply(change)
