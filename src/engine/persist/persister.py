# Owns one step of persisting: take the rows of sealed log segments, write them as files, and make
# these part of their tables by one record. What to take is planner.py's decision. Runs on the
# persist thread; rows stay visible all the time, first as batches, then as files.
"""Rows of the log into Parquet files."""

import logging
from collections.abc import Sequence

import msgspec

from engine.ids import Position
from engine.logs import keys
from engine.persist import planner
from engine.persist.file_maker import FileMaker, Rows, TableShape
from engine.persist.file_store import FileStore
from engine.persist.rows import gathered_without, times_of
from engine.store.cuts import Cuts
from engine.store.live_table import Stretch
from engine.store.manifest import FileEntry, FilesRecord
from engine.store.row_deletes import RowDelete, last_position
from engine.store.time_ranges import TimeRange

logger = logging.getLogger(__name__)


class TableRows(msgspec.Struct, frozen=True, kw_only=True):
    """What one table has to be persisted."""

    shape: TableShape
    stretches: Sequence[Stretch]
    deletes: Sequence[RowDelete]
    suspects: tuple[TimeRange, ...]
    files: tuple[FileEntry, ...]


class Persister:
    """Moves rows from the log to files."""

    def __init__(self, files: FileStore, *, window_ns: int) -> None:
        self._files = files
        self._levels = planner.levels_of(window_ns)

    def persist(self, through: Position) -> int:
        """Put all rows up to `through` into files; return how many rows the files have.

        Raises:
            OSError: The disk does not take the files; nothing has changed.
            WalError, BackPressureError: The log does not take the record; nothing has changed.
            StoppedError: The server stops; nothing has changed.
        """
        files = self._files
        cuts, after = files.log.call(lambda: (files.state.cuts(), files.state.persisted))
        tables = self._tables(through, cuts)
        changes = []
        with files.making() as maker:
            for table in tables:
                files.check_going_on()
                changes.append(table.shape.change(self._make(maker, table)))
        files.log.append(FilesRecord(through=through, after=after, tables=tuple(changes)))
        entries = [entry for change in changes for entry in change.added]
        rows = sum(entry.rows for entry in entries)
        logger.info(
            "rows persisted",
            extra=keys(
                through=through,
                tables=len(tables),
                files=len(entries),
                rows=rows,
                bytes=sum(entry.size_bytes for entry in entries),
            ),
        )
        return rows

    def _tables(self, through: Position, cuts: Cuts) -> list[TableRows]:
        """What there is up to `through`.

        With ten thousand tables this takes a while, so the event loop goes on meanwhile: batches up
        to a durable position and their marks do not change but by a step of this very thread. Which
        tables there are does: one that is deleted meanwhile keeps its rows.
        """
        tables = self._files.log.call(lambda: list(self._files.tables()))
        return [
            TableRows(
                shape=TableShape.of(database, table),
                stretches=stretches,
                deletes=table.deletes,
                suspects=table.overlap_ranges,
                files=table.files,
            )
            for database, table in tables
            if (stretches := table.stretches_until(through, cuts.of(database.name, table.name)))
        ]

    def _make(self, maker: FileMaker, table: TableRows) -> list[FileEntry]:
        added: list[FileEntry] = []
        for stretch in table.stretches:
            rows = gathered_without(stretch.batches, table.deletes)
            rows = self._files.within_retention(table.shape, rows)
            added += maker.make(
                table.shape,
                Rows(
                    table=rows,
                    first=stretch.first,
                    last=stretch.last,
                    deletes_through=last_position(table.deletes),
                ),
                planner.window_for(times_of(rows), self._levels),
                suspects=table.suspects,
                earlier=[*table.files, *added],
                parts_repeats=True,
            )
        return added
