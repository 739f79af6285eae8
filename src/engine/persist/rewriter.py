# Owns the rewriting of files that repeat others, so that each of their rows is there once: slice by
# slice of time, as much at once as fits into memory. What is rewritten is rewriting.py's decision.
# Runs on the persist thread, which moves rows of the log between two slices.
"""Files without rows of others."""

import logging
from collections.abc import Callable, Sequence

import msgspec
import numpy

from engine.ids import Position
from engine.logs import keys
from engine.persist import planner
from engine.persist.file_maker import FileMaker, Rows, TableShape
from engine.persist.file_store import FileStore
from engine.persist.rewriting import TIMES_MAX, Rewrite, next_rewrite, time_slices
from engine.persist.rows import joined, times_of, within
from engine.persist.settled_tables import SettledTables
from engine.store.cuts import Cuts
from engine.store.live import LiveDatabase
from engine.store.live_table import LiveTable
from engine.store.manifest import FileEntry, FilesRecord
from engine.store.row_deletes import RowDelete, last_position, without
from engine.store.time_ranges import TimeRange, common, union

logger = logging.getLogger(__name__)

# Where few rows are there twice, it pauses for so many times as long as the last one took.
_PAUSE_SHARE = 4
# The files that are rewritten and those that come of it are there at once: so many times the size
# of the former must be free, for others want to write, too.
_FREE_SHARE = 4
# A slice with more rows than so many times its share has one moment with most of them.
_SLICE_SHARE = 2


class _Work(msgspec.Struct, frozen=True):
    """What is to be rewritten of one table, and all the files and deletes that it has."""

    shape: TableShape
    files: tuple[FileEntry, ...]
    rewrite: Rewrite
    deletes: Sequence[RowDelete]

    @property
    def plan(self) -> planner.Compaction:
        """What is to be rewritten."""
        return self.rewrite.plan


class Rewriter:
    """Ends what queries pay for rows that are in several files."""

    def __init__(self, files: FileStore, *, window_ns: int, memory_bytes_max: int) -> None:
        self._files = files
        self._levels = planner.levels_of(window_ns)
        self._memory_bytes_max = memory_bytes_max
        self._settled = SettledTables()
        # Numbers of files that came of this, or cannot go through it.
        self._rewritten: set[int] = set()
        self._rests_until_s = 0.0

    def rewrite(self, between: Callable[[], None]) -> int:
        """Rewrite some files of one table; `between` two slices it may add files to tables.

        Returns:
            1, or 0 where there is nothing to do now.

        Raises:
            OSError: The disk does not take a file; nothing has changed.
            WalError, BackPressureError: The log does not take the record; nothing has changed.
            FileDamagedError: A file cannot be read; the next look leaves it out.
            StoppedError: The server stops; nothing has changed.
        """
        begun_s = self._files.clock.monotonic_s()
        work = self._next(are_small_due=begun_s >= self._rests_until_s)
        if work is None:
            return 0
        slices = self._slices(work)
        if not slices:
            self._rewritten.update(entry.number for entry in work.plan.files)
            return 1
        added: list[FileEntry] = []
        with self._files.making() as maker:
            for number, times in enumerate(slices):
                if number:
                    between()
                self._files.check_going_on()
                added += self._make(maker, work, times)
        change = work.shape.change(added, work.plan.files)
        self._files.log.append(FilesRecord(tables=(change,)))
        self._rewritten.update(entry.number for entry in added)
        took_s = self._files.clock.monotonic_s() - begun_s
        if not work.rewrite.is_urgent:
            self._rests_until_s = begun_s + took_s * (1 + _PAUSE_SHARE)
        _tell(work, added, took_s)
        return 1

    def _next(self, *, are_small_due: bool) -> _Work | None:
        # A trigger that begins from now on begins behind all files.
        cuts = self._files.log.call(self._files.state.cuts)
        for database, table in self._files.tables():
            # The tuples of files are immutable, so looking at them holds up nobody.
            files = table.files
            found = self._look(database, table, files, cuts, are_small_due=are_small_due)
            if found is not None and self._has_room(found):
                return self._files.log.call(
                    lambda: _Work(
                        TableShape.of(database, table),  # noqa: B023 called at once
                        files,  # noqa: B023
                        found,  # noqa: B023
                        table.deletes,  # noqa: B023
                    )
                )
        return None

    def _look(
        self,
        database: LiveDatabase,
        table: LiveTable,
        files: tuple[FileEntry, ...],
        cuts: Cuts,
        *,
        are_small_due: bool,
    ) -> Rewrite | None:
        own = cuts.of(database.name, table.name)
        if self._settled.has(table, files, own, in_full=are_small_due):
            return None
        found = next_rewrite(
            files,
            self._levels,
            memory_bytes_max=self._memory_bytes_max,
            cuts=own,
            unreadable=self._files.unreadable(files),
            rewritten=self._rewritten,
            are_small_due=are_small_due,
        )
        if found is None:
            self._settled.add(table, files, own, in_full=are_small_due)
        return found

    def _has_room(self, rewrite: Rewrite) -> bool:
        size = sum(entry.size_bytes for entry in rewrite.plan.files)
        free = self._files.filesystem.free_bytes(self._files.paths.parquet_dir)
        return free >= _FREE_SHARE * size

    def _slices(self, work: _Work) -> list[TimeRange]:
        """Slices of time in which the files have about equally many rows, which fit into memory.

        None where too many are of one moment.
        """
        files = work.plan.files
        size = sum(entry.memory_bytes for entry in files)
        count = -(-size // self._memory_bytes_max)
        rows = sum(entry.rows for entry in files)
        step = -(-rows // TIMES_MAX)
        names = (work.shape.database, work.shape.table)
        # Copied, for a view would keep all times of all files, more than the budget of memory.
        times = numpy.concatenate(
            [
                times_of(self._files.faults.read(*names, entry, ["time"]))[::step].copy()
                for entry in files
            ]
        )
        slices = time_slices(times, count)
        most = max(((times >= low) & (times <= high)).sum() for low, high in slices)
        if most * count > len(times) * _SLICE_SHARE:
            return []
        # Of the times only some may have been looked at.
        low = min(entry.min_time_ns for entry in files)
        high = max(entry.max_time_ns for entry in files)
        slices[0] = (low, slices[0][1])
        slices[-1] = (slices[-1][0], high)
        return slices

    def _make(self, maker: FileMaker, work: _Work, times: TimeRange) -> list[FileEntry]:
        shape, files, deletes = work.shape, work.plan.files, work.deletes
        parts = []
        for entry in files:
            if common(entry.times, times) is None:
                continue
            pending = [delete for delete in deletes if delete.concerns(entry)]
            read = self._files.faults.read_within(shape.database, shape.table, entry, None, times)
            parts += [without(within(part, times), pending) for part in read]
        if not parts:
            return []
        rows = self._files.within_retention(shape, joined(parts))
        return maker.make(
            shape,
            Rows(
                table=rows,
                first=Position(min(entry.first_position for entry in files)),
                last=Position(max(entry.last_position for entry in files)),
                deletes_through=last_position(deletes),
            ),
            work.plan.window_ns,
            suspects=union(part for entry in files for part in entry.overlaps),
            earlier=_repeated_elsewhere(work),
        )


def _repeated_elsewhere(work: _Work) -> list[FileEntry]:
    """Files that are not rewritten, of which rows may be in those that are."""
    own = {entry.number for entry in work.plan.files}
    return [
        entry
        for entry in work.files
        if entry.number not in own
        and any(
            entry.order < later.order and common(doubt, entry.times) is not None
            for later in work.plan.files
            for doubt in later.overlaps
        )
    ]


def _tell(work: _Work, added: Sequence[FileEntry], took_s: float) -> None:
    logger.info(
        "files that repeat others rewritten",
        extra=keys(
            database=work.shape.database,
            table=work.shape.table,
            files=len(work.plan.files),
            into=len(added),
            rows=sum(entry.rows for entry in added),
            took_s=round(took_s, 1),
        ),
    )
