# Owns what all that make files or take them out of tables have in common: where files are, what
# reads and writes them, which tables have them, and the log, whose records alone change that. For
# the persist thread.
"""The Parquet files of all tables, as those see them who change them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from engine.clock import Clock
from engine.filesystem import FileSystem
from engine.paths import DataPaths
from engine.persist.file_maker import FileMaker, FileNumbers, TableShape
from engine.persist.ports import LogPort, StatePort
from engine.persist.repeats import Repeats
from engine.persist.rows import since
from engine.store.file_faults import FileFaults
from engine.store.live import LiveDatabase
from engine.store.live_table import LiveTable
from engine.store.manifest import FileEntry


class StoppedError(Exception):
    """The server stops; what was begun is to be left."""


class FileStore(msgspec.Struct, frozen=True, kw_only=True):
    """The files, their tables, and the log.

    Attributes:
        paths: Where files are.
        filesystem: What writes and removes them.
        clock: Tells how old rows are.
        state: The tables that files belong to.
        log: Makes files part of tables, or takes them out.
        faults: Reads files, and knows those that cannot be read.
        numbers: Of new files.
    """

    paths: DataPaths
    filesystem: FileSystem
    clock: Clock
    state: StatePort
    log: LogPort
    faults: FileFaults
    numbers: FileNumbers

    def tables_with_deletes(self) -> Iterator[LiveTable]:
        """The tables of which deleted rows may still be in the log or in files."""
        for database in self.state.store.databases():
            yield from database.tables_with_deletes()

    @contextmanager
    def making(self) -> Iterator[FileMaker]:
        """A maker whose files are durable in the end, or gone if something is raised meanwhile.

        Raises:
            OSError: The disk does not take them.
        """
        maker = FileMaker(self.paths, self.filesystem, Repeats(self.faults), self.numbers)
        try:
            yield maker
            maker.sync()
        except BaseException:
            maker.abandon()
            raise

    def check_going_on(self) -> None:
        """Look whether there is time for more.

        Raises:
            StoppedError: The server stops.
        """
        if self.log.is_stopping():
            raise StoppedError

    def tables(self) -> Iterator[tuple[LiveDatabase, LiveTable]]:
        """All tables with their databases, those of a database as they are when it comes to it."""
        for database in self.state.store.databases():
            for table in database.tables():
                yield database, table

    def within_retention(self, shape: TableShape, rows: Any) -> Any:
        """`rows` of a table without those that are too old to be kept."""
        # Asked before the table is looked at: if that is still there, this is its own.
        retention_ns = self.state.retention_of(shape.database, shape.table)
        database = self.state.store.database(shape.database)
        table = None if database is None else database.table(shape.table)
        if (
            database is None
            or database.id != shape.database_id
            or table is None
            or not table.is_the_one_of(shape.began)
        ):
            # It was deleted meanwhile; another of that name may have rows that grow old sooner.
            return rows
        return rows if retention_ns is None else since(rows, self.clock.now_ns() - retention_ns)

    def unreadable(self, files: Iterable[FileEntry]) -> frozenset[int]:
        """Numbers of those among `files` that are known to be damaged."""
        return frozenset(entry.number for entry in files if self.faults.known(entry))
