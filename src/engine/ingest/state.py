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
    decode_change,
)
from engine.ids import Position, TriggerId
from engine.logs import keys
from engine.store.backfills import BackfillTable
from engine.store.cursors import CursorTable
from engine.store.dead_letters import DeadLetterTable
from engine.store.live import LiveStore
from engine.store.plugin_state import StateTable
from engine.store.run_records import RunRecord, decode_record
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

    def apply(self, durable: DurableFrame) -> CatalogChange | None:
        """Take over one frame; return the catalog change that it held, if it held one."""
        frame = durable.frame
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
            database.add(section.batch)
        if frame.kind == FrameKind.COMMIT:
            self._apply_run(decode_record(frame.control), durable.position)
        return None

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
                self.store.create(database.name)
                self._created[database.name] = position
            case DeleteDatabase(database_id=database_id, name=name):
                self.store.drop(name)
                for trigger in self.catalog.triggers():
                    if trigger.database_id == database_id:
                        self._end_trigger(trigger.id)
            case CreateTrigger(trigger=trigger) if trigger.is_fed_by_log:
                # A new trigger sees what is written after it was created, unless it asks for more.
                begin = trigger.start_position
                start = position if begin is None else Position(begin)
                self.cursors.begin(trigger.id, start)
                self.backfills.begin(trigger.id, start)
            case DeleteTrigger(trigger_id=trigger_id):
                self._end_trigger(trigger_id)
            case _:
                pass
        self.catalog.apply(change)
