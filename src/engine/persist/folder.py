# Owns the end of rows that are in two files: they go from the later file into the earlier one, so
# that queries need not look for them any more. Which, is planner.py's decision. Runs on the persist
# thread, as all that makes files.
"""Rows of later files into the earlier ones that they repeat."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import numpy
import pyarrow

from engine.clock import Clock
from engine.filesystem import FileSystem
from engine.logs import keys
from engine.paths import DataPaths
from engine.persist import planner
from engine.persist.file_maker import FileMaker, Rows, TableShape
from engine.persist.planner import Fold
from engine.persist.ports import LogPort, StatePort
from engine.persist.repeats import Repeats
from engine.persist.rows import joined, pieces_by_time, since, times_of
from engine.store.file_faults import FileFaults
from engine.store.live import LiveDatabase, LiveTable
from engine.store.manifest import FileEntry, FilesRecord, TableFiles
from engine.store.row_deletes import RowDelete, last_position, without
from engine.store.time_ranges import union

logger = logging.getLogger(__name__)


class _Task(msgspec.Struct, frozen=True):
    """A fold of one table, all the files and deletes that it has, and the next file number."""

    shape: TableShape
    files: tuple[FileEntry, ...]
    fold: Fold
    deletes: Sequence[RowDelete]
    number: int


class Folder:
    """Puts rows where they repeat others."""

    def __init__(
        self,
        paths: DataPaths,
        filesystem: FileSystem,
        clock: Clock,
        state: StatePort,
        log: LogPort,
        faults: FileFaults,
        *,
        memory_bytes_max: int,
    ) -> None:
        """Take up to twice `memory_bytes_max` of rows at once, for a file and those for it."""
        self._paths = paths
        self._filesystem = filesystem
        self._clock = clock
        self._state = state
        self._log = log
        self._faults = faults
        self._repeats = Repeats(faults)
        self._memory_bytes_max = memory_bytes_max
        # Files of tables in which there was nothing to do.
        self._settled: WeakKeyDictionary[LiveTable, tuple[FileEntry, ...]] = WeakKeyDictionary()

    def fold(self) -> bool:
        """Do it for one file of one table; return whether there was anything to do.

        Raises:
            OSError: The disk does not take the files; nothing has changed.
            WalError, BackPressureError: The log does not take the record; nothing has changed.
            FileDamagedError: A file cannot be read; the next plan leaves it out.
        """
        task = self._next()
        if task is None:
            return False
        maker = FileMaker(self._paths, self._filesystem, self._repeats, task.number)
        try:
            added = self._folded(maker, task)
            maker.sync()
        except BaseException:
            maker.abandon()
            raise
        fold, shape = task.fold, task.shape
        change = TableFiles(
            database_id=shape.database_id,
            table=shape.table,
            began=shape.began,
            added=tuple(added),
            removed=tuple(entry.number for entry in (*fold.earlier, fold.later)),
        )
        self._log.append(FilesRecord(tables=(change,)))
        logger.info(
            "rows put where they repeat others",
            extra=keys(
                database=shape.database,
                table=shape.table,
                rows=fold.later.rows,
                files=len(fold.earlier),
            ),
        )
        return True

    def _next(self) -> _Task | None:
        cuts = self._log.call(self._state.cuts)
        for database in self._state.store.databases():
            for table in database.tables():
                files = table.files
                if self._settled.get(table) is files:
                    continue
                found = planner.next_fold(
                    files,
                    memory_bytes_max=2 * self._memory_bytes_max,
                    cuts=cuts.of(database.name, table.name),
                    unreadable=frozenset(one.number for one in files if self._faults.known(one)),
                )
                if found is None:
                    self._settled[table] = files
                    continue
                return self._log.call(partial(self._task, database, table, files, found))
        return None

    def _task(
        self, database: LiveDatabase, table: LiveTable, files: tuple[FileEntry, ...], fold: Fold
    ) -> _Task:
        shape = TableShape.of(database, table)
        return _Task(shape, files, fold, table.deletes, self._state.next_file_number)

    def _folded(self, maker: FileMaker, task: _Task) -> list[FileEntry]:
        later = task.fold.later
        rows = self._read(task, later)
        times = times_of(rows)
        is_left = numpy.ones(len(times), bool)
        added: list[FileEntry] = []
        for entry in task.fold.earlier:
            is_here = (times >= entry.min_time_ns) & (times <= entry.max_time_ns)
            is_left &= ~is_here
            here = rows.filter(pyarrow.array(is_here))
            added += self._made(maker, task, joined([self._read(task, entry), here]), entry, added)
        left = rows.filter(pyarrow.array(is_left))
        return added + self._made(maker, task, left, later, added)

    def _read(self, task: _Task, entry: FileEntry) -> Any:
        rows = without(
            self._faults.read(task.shape.database, task.shape.table, entry),
            [delete for delete in task.deletes if delete.concerns(entry)],
        )
        retention_ns = self._state.retention_of(task.shape.database, task.shape.table)
        return rows if retention_ns is None else since(rows, self._clock.now_ns() - retention_ns)

    def _made(
        self,
        maker: FileMaker,
        task: _Task,
        rows: Any,
        place: FileEntry,
        added: Sequence[FileEntry],
    ) -> list[FileEntry]:
        """`rows` in place of a file, as those of the later one."""
        later = task.fold.later
        gone = {entry.number for entry in (*task.fold.earlier, later)}
        before = [
            entry for entry in task.files if entry.number not in gone and entry.order < later.order
        ]
        made: list[FileEntry] = []
        for piece in pieces_by_time(rows, self._memory_bytes_max):
            made += maker.make(
                task.shape,
                Rows(
                    table=piece,
                    first=min(place.first_position, later.first_position),
                    last=later.last_position,
                    deletes_through=last_position(task.deletes),
                ),
                place.window_ns,
                # Earlier files of the same times may still repeat them.
                suspects=union([*place.overlaps, *later.overlaps]),
                earlier=[*before, *added],
            )
        return made
