# Owns what a durable frame means: the one function that both recovery and the running server call
# for every frame of the log, in order, so that the state after a restart equals the state before
# it.
"""Applying durable frames to catalog, live tables and what triggers keep."""

import logging

import msgspec

from engine.catalog.catalog import Catalog
from engine.catalog.changes import (
    CatalogChange,
    CreateDatabase,
    CreateTable,
    CreateTrigger,
    DeleteDatabase,
    DeleteHidden,
    DeleteTable,
    DeleteTrigger,
    FirstBackfill,
    HideDatabase,
    HideTable,
    decode_change,
)
from engine.ids import DatabaseId, Position, TriggerId
from engine.ingest.state_image import DatabaseImage, ServerImage
from engine.logs import keys
from engine.store.backfills import BackfillTable
from engine.store.cursors import CursorTable
from engine.store.dead_letters import DeadLetterTable
from engine.store.former import Former
from engine.store.live import LiveDatabase, LiveStore
from engine.store.live_bytes import LiveBytes
from engine.store.manifest import FileEntry, FilesRecord, TableFiles
from engine.store.plugin_state import StateTable
from engine.store.row_deletes import DeleteRowsRecord, RowDelete
from engine.store.run_records import BackfillStep, RunRecord, decode_record
from engine.wal.log import DurableFrame
from lp_core import ColumnType, FrameKind

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
        # Of frames whose rows are in no file.
        self.live_bytes = LiveBytes()
        # Files that the state refers to no more; whoever removes them empties the list.
        self.unreferenced: list[FileEntry] = []
        # Where tables were deleted, since the start.
        self._table_ends: dict[tuple[DatabaseId, str], Position] = {}

    def apply(self, durable: DurableFrame) -> CatalogChange | None:
        """Take over one frame; return the catalog change that it held, if it held one."""
        frame = durable.frame
        self.position = durable.position
        if frame.kind == FrameKind.CATALOG:
            change = decode_change(frame.control)
            self._apply_change(change, durable.position)
            return change
        self._count(durable)
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
            elif isinstance(record, DeleteRowsRecord):
                self._apply_delete(record, durable.position)
            else:
                self._apply_run(record, durable.position)
        return None

    def create_lost_database(self, name: str, position: Position) -> None:
        """Create a database again whose creation, before `position`, the log has lost."""
        # Ids are given in order, so this one is likely to be what it had.
        change = self.catalog.new_database(name, created_ns=0, retention_ns=None)
        self._apply_change(change, Position(position - 1))

    def add_rows(self, durable: DurableFrame) -> None:
        """Take over the rows of a frame of which `restore` has everything else."""
        self._count(durable)
        for section in durable.frame.sections:
            database = self.store.database(section.database)
            if database is not None and durable.position > self.created(section.database):
                database.add_known(section.batch, durable.position)
            for hidden in self.store.hidden():
                former = hidden.former
                if former is not None and former.holds(section.database, durable.position):
                    hidden.add_known(section.batch, durable.position)

    def _count(self, durable: DurableFrame) -> None:
        if durable.frame.sections:
            self.live_bytes.add(durable.position, durable.frame.nbytes)

    def forget_refused(self) -> None:
        """Forget what rows would have brought that the log has refused; as their databases say."""
        for database in self.store.databases():
            database.forget_refused()

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
                    created=Position(0) if database.former else self.created(database.name),
                    tables=database.images(),
                    former=database.former or msgspec.UNSET,
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
            if not isinstance(one.former, msgspec.UnsetType):
                database = self.store.create_hidden(one.name, one.id, one.former)
            else:
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
        is_next = record.after <= self.persisted
        if not is_next:
            # The rows between these positions have no files here, for the record that told of them
            # is lost: they stay where they are, in the log, and with them all that came behind.
            logger.error(
                "the log has lost a move of rows to files: they stay in the log",
                extra=keys(after=self.persisted, through=record.after),
            )
        holders = self._holders()
        by_database: dict[DatabaseId, list[TableFiles]] = {}
        for change in record.tables:
            for entry in change.added:
                self.next_file_number = max(self.next_file_number, entry.number + 1)
            holder = next(
                (one for one in holders.get(change.database_id, ()) if one.is_about(change)), None
            )
            if holder is None and self._has_lost(change):
                holder = self._database_of(change.database_id)
                assert holder is not None
                holder.begin_lost(change)
            if holder is not None:
                by_database.setdefault(holder.id, []).append(change)
            else:
                # The table was deleted while the record was on its way to the disk.
                self.unreferenced.extend(change.added)
        for database in self.store.databases():
            changes = by_database.get(database.id, [])
            if is_next and record.through > self.persisted:
                database.persist(record.through, changes)
            else:
                for change in changes:
                    self.unreferenced.extend(
                        database.change_files(change, are_live_too=not is_next)
                    )
        if is_next:
            self.persisted = max(self.persisted, record.through)
        self.live_bytes.drop(self.persisted)

    def _has_lost(self, change: TableFiles) -> bool:
        """Whether the log has lost what a table began with: it is not here, and was not deleted."""
        database = self._database_of(change.database_id)
        if database is None or database.table(change.table) is not None:
            return False
        ended = self._table_ends.get((change.database_id, change.table))
        return ended is None or ended <= change.began

    def _apply_delete(self, record: DeleteRowsRecord, position: Position) -> None:
        database = self._database_of(record.database_id)
        table = None if database is None else database.table(record.table)
        # Else the table was deleted while the record was on its way to the disk.
        if database is not None and table is not None and table.is_the_one_of(record.began):
            database.delete_rows(
                table.name,
                RowDelete(position=position, times=record.times, condition=record.condition),
            )

    def _holders(self) -> dict[DatabaseId, list[LiveDatabase]]:
        """By id that records of files may name, the databases that may have the table."""
        holders: dict[DatabaseId, list[LiveDatabase]] = {}
        for database in self.store.databases():
            holders.setdefault(database.id, []).append(database)
            if database.former is not None and database.former.origin != database.id:
                holders.setdefault(database.former.origin, []).append(database)
        return holders

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
                self._drop_files(self.store.database(name))
                self.store.drop(name)
                self._end_triggers(database_id)
            case HideDatabase(deleted=deleted):
                former = Former(
                    origin=deleted.id,
                    database=deleted.database,
                    table=None,
                    created=self.created(deleted.database),
                    ended=position,
                )
                self.store.hide(deleted.database, former)
                self._end_triggers(deleted.id)
            case CreateTable(database_id=database_id, table=table, columns=columns):
                live = self._database_of(database_id)
                if live is not None and live.table(table) is None:
                    kinds = tuple((name, ColumnType(kind)) for name, kind in columns)
                    live.declare(table, kinds, position)
            case DeleteTable(database_id=database_id, table=table):
                live = self._database_of(database_id)
                taken = None if live is None else live.take_out(table)
                self._table_ends[database_id, table] = position
                if taken is not None:
                    self.unreferenced.extend(taken[0].files)
            case HideTable():
                self._hide_table(change, position)
            case DeleteHidden(id=hidden_id):
                self._drop_files(self.store.drop_hidden(hidden_id))
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

    def _hide_table(self, change: HideTable, position: Position) -> None:
        database, deleted = self._database_of(change.database_id), change.deleted
        assert deleted.table is not None
        taken = None if database is None else database.take_out(deleted.table)
        self._table_ends[change.database_id, deleted.table] = position
        if taken is None:
            return
        former = Former(
            origin=change.database_id,
            database=deleted.database,
            table=deleted.table,
            created=self.created(deleted.database),
            ended=position,
        )
        self.store.create_hidden(deleted.database, deleted.id, former).put_in(*taken)

    def _database_of(self, database_id: DatabaseId) -> LiveDatabase | None:
        return next((one for one in self.store.databases() if one.id == database_id), None)

    def _drop_files(self, dropped: LiveDatabase | None) -> None:
        for table in [] if dropped is None else dropped.tables():
            self.unreferenced.extend(table.files)

    def _end_triggers(self, database_id: DatabaseId) -> None:
        for trigger in self.catalog.triggers():
            if trigger.database_id == database_id:
                self._end_trigger(trigger.id)
