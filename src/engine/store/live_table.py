# Owns the rows of one table that are visible to queries: its Parquet files, the batches of the
# log's frames that are not in files yet, in log order, the time ranges in which rows may have been
# overwritten, and deletes of rows. Changed on the event loop (or by recovery before it runs);
# snapshots are immutable and may be taken and read on any thread.
"""One table: files and live batches over the mapped log."""

import itertools
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from engine.ids import Position
from engine.store.manifest import FileEntry, TableFiles, changed
from engine.store.row_deletes import RowDelete
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, add_range, common, union
from lp_core import ColumnType, TableBatch


class TableImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of a table; its live rows are in the log.

    Attributes:
        columns: Name and type of the columns in order of first appearance, without ``time``.
        files: Its Parquet files.
        overlap_ranges: Where its live rows may have been overwritten.
        series: Greatest time of each series, as SchemaIndex dumps it.
        deletes: Rows that are gone, but still in the log or in files.
        began: As LiveTable; not set in images from before tables could be deleted.
    """

    name: str
    columns: tuple[tuple[str, int], ...]
    files: tuple[FileEntry, ...] = ()
    overlap_ranges: tuple[TimeRange, ...] = ()
    series: bytes = b""
    began: Position | msgspec.UnsetType = msgspec.UNSET
    # Left out where there are none, so that checkpoints are as they always were.
    deletes: tuple[RowDelete, ...] | msgspec.UnsetType = msgspec.UNSET


Columns = tuple[tuple[str, ColumnType], ...]


class Stretch(NamedTuple):
    """Batches that follow each other, each with its position; those of the first and the last."""

    batches: tuple[tuple[Position, TableBatch], ...]
    first: Position
    last: Position


class TableTail(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a table has behind a position of the log, and its files.

    Attributes:
        files: All of its files, oldest rows first.
        batches: Live batches behind that position, in the order of the log, each with its own.
        deletes: Rows that are gone, but still in batches or files, in the order of the log.
        deleted_through: Of the last delete of rows that the table ever got.
        through: Of the last batch that the table ever got.
        left_through: Batches up to here are in files only.
        has_overlaps: Whether one of the batches may overwrite earlier rows.
    """

    files: tuple[FileEntry, ...]
    batches: tuple[tuple[Position, TableBatch], ...]
    deletes: tuple[RowDelete, ...]
    deleted_through: Position
    through: Position
    left_through: Position
    has_overlaps: bool


class LiveTable:
    """Files and live batches of one table, in the order of the log.

    ``began`` is the position of the frame that made it: frames before are about an older table of
    that name, and files that name another beginning are not its own. It is 0 for one that a
    checkpoint from before tables could be deleted has kept.
    """

    def __init__(self, name: str, began: Position) -> None:
        self.name = name
        self.began = began
        # What a snapshot takes together changes together.
        self._lock = threading.Lock()
        self.files: tuple[FileEntry, ...] = ()
        self.batches: list[TableBatch] = []
        # Of each batch.
        self._positions: list[Position] = []
        # Which batch may overwrite earlier rows, and where.
        self._marks: list[tuple[Position, TimeRange]] = []
        self.overlap_ranges: tuple[TimeRange, ...] = ()
        self.num_rows = 0
        # Of the batches; may be too wide.
        self._times: TimeRange | None = None
        # In the order of the log: those that may still mean a row of a batch or file.
        self.deletes: tuple[RowDelete, ...] = ()
        # Of a table that was taken out of its database, whose schema knows it no more.
        self.last_columns: Columns | None = None
        # Of the last batch that went to a file, and of the last delete, settled or not.
        self._left_through = Position(0)
        self._deleted_through = Position(0)

    def add(self, batch: TableBatch, position: Position, overlap: TimeRange | None) -> None:
        """Append `batch`; `overlap` is the time range of its rows that may overwrite others."""
        with self._lock:
            self.batches.append(batch)
            self._positions.append(position)
            self.num_rows += batch.num_rows
            self._widen(batch)
            if overlap is not None:
                self._mark(position, overlap)

    def restore(self, image: TableImage, position: Position) -> None:
        """Take over what a checkpoint of `position` knows; live rows are added behind it."""
        self.files = image.files
        if not isinstance(image.deletes, msgspec.UnsetType):
            self.deletes = image.deletes
        for one in image.overlap_ranges:
            # Which of the batches it came from is not known any more: the last one is safe.
            self._mark(position, one)

    def is_the_one_of(self, began: Position) -> bool:
        """Whether a record about a table that began there is about this one."""
        return began == self.began or 0 in (began, self.began)

    def change_files(self, change: TableFiles, *, are_live_too: bool) -> tuple[FileEntry, ...]:
        """Take over new files, whose rows may be live, too; return those that are gone."""
        with self._lock:
            known = {entry.number for entry in self.files}
            # What the log has lost may have said that rows of a source are in files: here they are
            # live as well.
            if are_live_too or not known.issuperset(change.removed):
                for entry in change.added:
                    self._mark(entry.last_position, entry.times)
            self.files, gone = changed(self.files, change)
            self._settle()
        return gone

    def delete_rows(self, delete: RowDelete) -> None:
        """Hide the rows that `delete`, the latest one, means."""
        with self._lock:
            earlier = [one for one in self.deletes if not delete.implies(one)]
            self.deletes = (*earlier, delete)
            self._deleted_through = delete.position
            self._settle()

    def num_deletes_of_live(self) -> int:
        """How many deletes may mean rows that are in no file yet; from any thread."""
        with self._lock:
            return sum(map(self._may_mean_live, self.deletes))

    def persist(self, through: Position, change: TableFiles | None) -> None:
        """Replace the batches up to `through` by the files of `change`, which hold their rows."""
        with self._lock:
            count = bisect_right(self._positions, through)
            self.num_rows -= sum(batch.num_rows for batch in self.batches[:count])
            if count:
                self._left_through = self._positions[count - 1]
            del self.batches[:count], self._positions[:count]
            if self.deletes or not self.batches:
                self._times = None
                for batch in self.batches:
                    self._widen(batch)
            marks = [mark for mark in self._marks if mark[0] > through]
            if len(marks) != len(self._marks):
                self._marks = marks
                self.overlap_ranges = union(overlap for _, overlap in marks)
            if change is not None:
                self.files, _ = changed(self.files, change)
            self._settle()

    def stretches_until(self, through: Position, cuts: Sequence[Position]) -> list[Stretch]:
        """The live batches up to a position; each cut that has some on both sides parts them.

        `cuts` rise. May be called from any thread: what is durable goes by steps of persisting
        alone, and those are the caller's.
        """
        count = bisect_right(self._positions, through)
        positions = self._positions[:count]
        batches = list(zip(positions, self.batches[:count], strict=True))
        ends = {bisect_right(positions, cut) for cut in cuts} | {0, count}
        return [
            Stretch(tuple(batches[start:end]), positions[start], positions[end - 1])
            for start, end in itertools.pairwise(sorted(ends))
        ]

    def tail(self, after: Position) -> TableTail:
        """What it has now behind a position, and its files."""
        with self._lock:
            start = bisect_right(self._positions, after)
            return TableTail(
                files=self.files,
                batches=tuple(zip(self._positions[start:], self.batches[start:], strict=True)),
                deletes=self.deletes,
                deleted_through=self._deleted_through,
                through=self._positions[-1] if self._positions else self._left_through,
                left_through=self._left_through,
                has_overlaps=any(position > after for position, _ in self._marks),
            )

    def snapshot(self, columns: Callable[[], Columns]) -> TableSnapshot:
        """What it holds now; `columns` are asked for behind the rows: none lacks one of theirs."""
        with self._lock:
            batches = tuple(self.batches)
            positions = tuple(self._positions) if self.deletes else ()
            files, overlap_ranges, deletes = self.files, self.overlap_ranges, self.deletes
        return TableSnapshot(
            name=self.name,
            columns=columns(),
            batches=batches,
            overlap_ranges=overlap_ranges,
            files=files,
            deletes=deletes,
            positions=positions,
        )

    def as_of(self, columns: Callable[[], Columns], position: Position) -> TableSnapshot:
        """What it held at a position, and files that begin before and end behind it."""
        with self._lock:
            count = bisect_right(self._positions, position)
            batches, positions = self.batches[:count], self._positions[:count]
            files, overlap_ranges, deletes = self.files, self.overlap_ranges, self.deletes
        return TableSnapshot(
            name=self.name,
            columns=columns(),
            batches=tuple(batches),
            # Those of later rows among them: they cost a fold, and change nothing.
            overlap_ranges=overlap_ranges,
            files=tuple(entry for entry in files if entry.first_position <= position),
            deletes=deletes,
            positions=tuple(positions) if deletes else (),
        )

    def may_have_rows(self, times: TimeRange) -> bool:
        """Whether a batch or file may have rows of these times; from any thread."""
        with self._lock:
            live, files = self._times, self.files
        return (live is not None and common(live, times) is not None) or any(
            common(entry.times, times) is not None for entry in files
        )

    def _settle(self) -> None:
        """Forget deletes of which all rows are gone."""
        if not self.deletes:
            return
        self.deletes = tuple(
            delete
            for delete in self.deletes
            if self._may_mean_live(delete) or any(delete.concerns(entry) for entry in self.files)
        )

    def _may_mean_live(self, delete: RowDelete) -> bool:
        return (
            self._times is not None
            and self._positions[0] < delete.position
            and common(self._times, delete.times) is not None
        )

    def _widen(self, batch: TableBatch) -> None:
        low, high = batch.min_time_ns, batch.max_time_ns
        if self._times is not None:
            low, high = min(low, self._times[0]), max(high, self._times[1])
        self._times = low, high

    def _mark(self, position: Position, overlap: TimeRange) -> None:
        self._marks.append((position, overlap))
        self.overlap_ranges = add_range(self.overlap_ranges, overlap)
