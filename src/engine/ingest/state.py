# Owns what a durable frame means: the one function that both recovery and the running server call
# for every frame of the log, in order, so that the state after a restart equals the state before
# it.
"""Applying durable frames to catalog, live tables and cursors."""

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
from engine.ids import Position
from engine.logs import keys
from engine.store.cursors import CursorStep, CursorTable, decode_commit
from engine.store.live import LiveStore
from engine.wal.log import DurableFrame
from lp_core import FrameKind

logger = logging.getLogger(__name__)


class ServerState:
    """Everything that the log determines."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.store = LiveStore()
        self.cursors = CursorTable()

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
            record = decode_commit(frame.control)
            if isinstance(record, CursorStep):
                self.cursors.apply(record)
        return None

    def passed_positions(self) -> dict[str, Position]:
        """Per database with WAL triggers, the position that all of these have passed."""
        passed: dict[str, Position] = {}
        for trigger in self.catalog.triggers():
            cursor = self.cursors.get(trigger.id)
            if cursor is not None:
                low = passed.get(trigger.database, cursor.low)
                passed[trigger.database] = min(low, cursor.low)
        return passed

    def _apply_change(self, change: CatalogChange, position: Position) -> None:
        match change:
            case CreateDatabase(database=database):
                self.store.create(database.name)
            case DeleteDatabase(database_id=database_id, name=name):
                self.store.drop(name)
                for trigger in self.catalog.triggers():
                    if trigger.database_id == database_id:
                        self.cursors.end(trigger.id)
            case CreateTrigger(trigger=trigger) if trigger.is_fed_by_log:
                # A new trigger sees what is written after it was created.
                self.cursors.begin(trigger.id, position)
            case DeleteTrigger(trigger_id=trigger_id):
                self.cursors.end(trigger_id)
            case _:
                pass
        self.catalog.apply(change)
