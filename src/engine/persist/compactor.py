# Owns the merging of files into fewer, and the dropping of files whose rows are past retention.
# What is merged is planner.py's decision. Runs on the persist thread, as all that makes files.
"""Compaction and retention of Parquet files."""

import logging
from collections.abc import Sequence

import msgspec

from engine.ids import Position
from engine.logs import keys
from engine.persist import planner
from engine.persist.file_maker import FileMaker, Rows, TableShape
from engine.persist.file_store import FileStore
from engine.persist.planner import Compaction
from engine.persist.rows import joined
from engine.persist.settled_tables import SettledTables
from engine.store.live import LiveDatabase
from engine.store.live_table import LiveTable
from engine.store.manifest import FileEntry, FilesRecord, TableFiles
from engine.store.row_deletes import RowDelete, last_position, without
from engine.store.time_ranges import union

logger = logging.getLogger(__name__)


# At once, since a look at all files, a sync and a record for each would take most of the time.
MERGES_MAX = 64


class _Merge(msgspec.Struct, frozen=True):
    """What is to be merged of one table, and all the files and deletes that it has."""

    shape: TableShape
    files: tuple[FileEntry, ...]
    plan: Compaction
    deletes: Sequence[RowDelete]


class Compactor:
    """Keeps the files of each table few and young enough."""

    def __init__(self, files: FileStore, *, window_ns: int, memory_bytes_max: int) -> None:
        self._files = files
        self._levels = planner.levels_of(window_ns)
        self._memory_bytes_max = memory_bytes_max
        self._settled = SettledTables()

    def drop_expired(self) -> int:
        """Take files out of their tables whose rows are all past retention; return how many.

        Raises:
            WalError, BackPressureError: The log does not take the record.
        """
        changes = self._files.log.call(self._expired)
        if changes:
            self._files.log.append(FilesRecord(tables=tuple(changes)))
        dropped = sum(len(change.removed) for change in changes)
        if dropped:
            logger.info("files past retention dropped", extra=keys(files=dropped))
        return dropped

    def _expired(self) -> list[TableFiles]:
        changes = []
        for database, table in self._files.tables():
            retention_ns = self._files.state.retention_of(database.name, table.name)
            if retention_ns is None:
                continue
            files = planner.expired(table.files, self._files.clock.now_ns() - retention_ns)
            if files:
                changes.append(TableShape.of(database, table).change((), files))
        return changes

    def compact(self) -> int:
        """Merge the files of one window of a table, or of several if these are small.

        Returns:
            In how many.

        Raises:
            OSError: The disk does not take a file; nothing has changed.
            WalError, BackPressureError: The log does not take the record; nothing has changed.
            FileDamagedError: A file cannot be read; the next plan leaves it out.
        """
        merges = self._next()
        if not merges:
            return 0
        with self._files.making() as maker:
            changes = [
                merge.shape.change(self._merge(maker, merge), merge.plan.files) for merge in merges
            ]
        self._files.log.append(FilesRecord(tables=tuple(changes)))
        for merge, change in zip(merges, changes, strict=True):
            _tell(merge, change)
        return len(merges)

    def _next(self) -> list[_Merge]:
        """What to merge now, as much as fits into memory."""
        # A trigger that begins from now on begins behind all files.
        cuts = self._files.log.call(self._files.state.cuts)
        found: list[tuple[LiveDatabase, LiveTable, tuple[FileEntry, ...], Compaction]] = []
        size = 0
        # The tuples of files are immutable, so looking at them need not hold up the event loop.
        for database, table in self._files.tables():
            files = table.files
            for plan in self._plans(table, files, cuts.of(database.name, table.name)):
                size += sum(entry.memory_bytes for entry in plan.files)
                if found and (size > self._memory_bytes_max or len(found) == MERGES_MAX):
                    break
                found.append((database, table, files, plan))
            if size > self._memory_bytes_max or len(found) == MERGES_MAX:
                break
        return self._files.log.call(
            lambda: [
                _Merge(TableShape.of(database, table), files, plan, table.deletes)
                for database, table, files, plan in found
            ]
        )

    def _plans(
        self, table: LiveTable, files: tuple[FileEntry, ...], cuts: tuple[Position, ...]
    ) -> list[Compaction]:
        if self._settled.has(table, files, cuts):
            return []
        plans = planner.next_compactions(
            files,
            self._levels,
            memory_bytes_max=self._memory_bytes_max,
            cuts=cuts,
            unreadable=self._files.unreadable(files),
        )
        if not plans:
            self._settled.add(table, files, cuts)
        return plans

    def _merge(self, maker: FileMaker, merge: _Merge) -> list[FileEntry]:
        shape, plan, deletes = merge.shape, merge.plan, merge.deletes
        rows = joined(
            [
                without(
                    self._files.faults.read(shape.database, shape.table, entry),
                    [delete for delete in deletes if delete.concerns(entry)],
                )
                for entry in plan.files
            ]
        )
        rows = self._files.within_retention(shape, rows)
        first = Position(min(entry.first_position for entry in plan.files))
        last = Position(max(entry.last_position for entry in plan.files))
        merged = {entry.number for entry in plan.files}
        return maker.make(
            shape,
            Rows(table=rows, first=first, last=last, deletes_through=last_position(deletes)),
            plan.window_ns,
            # What the merged files repeated of each other is gone; what they may repeat of
            # earlier files stays in doubt.
            suspects=union(part for entry in plan.files for part in entry.overlaps),
            earlier=[
                entry
                for entry in merge.files
                if entry.number not in merged and entry.order < plan.files[-1].order
            ],
        )


def _tell(merge: _Merge, change: TableFiles) -> None:
    logger.info(
        "files compacted",
        extra=keys(
            database=merge.shape.database,
            table=merge.shape.table,
            files=len(change.removed),
            into=len(change.added),
            rows=sum(entry.rows for entry in change.added),
            window_s=merge.plan.window_ns // 1_000_000_000,
        ),
    )
