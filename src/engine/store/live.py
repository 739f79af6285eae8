# Owns the rows that are visible to queries: per database its SchemaIndex, per table its Parquet
# files, the batches of the log's frames that are not in files yet, in log order, and the time
# ranges in which rows may have been overwritten. Changed on the event loop (or by recovery before
# it runs); snapshots are immutable and may be taken and read on any thread.
"""Tables: files and live batches over the mapped log."""

import itertools
import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from engine.ids import DatabaseId, Position
from engine.store.manifest import FileEntry, TableFiles, changed
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, add_range, union
from lp_core import ColumnType, SchemaIndex, TableBatch, WriteBatch


class TableImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of a table; its live rows are in the log.

    Attributes:
        columns: Name and type of the columns in order of first appearance, without ``time``.
        files: Its Parquet files.
        overlap_ranges: Where its live rows may have been overwritten.
        series: Greatest time of each series, as SchemaIndex dumps it.
    """

    name: str
    columns: tuple[tuple[str, int], ...]
    files: tuple[FileEntry, ...] = ()
    overlap_ranges: tuple[TimeRange, ...] = ()
    series: bytes = b""


class Stretch(NamedTuple):
    """Batches that follow each other, and the positions of the first and the last of them."""

    batches: tuple[TableBatch, ...]
    first: Position
    last: Position


class LiveTable:
    """Files and live batches of one table, in the order of the log."""

    def __init__(self, name: str) -> None:
        self.name = name
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

    def add(self, batch: TableBatch, position: Position, overlap: TimeRange | None) -> None:
        """Append `batch`; `overlap` is the time range of its rows that may overwrite others."""
        with self._lock:
            self.batches.append(batch)
            self._positions.append(position)
            self.num_rows += batch.num_rows
            if overlap is not None:
                self._mark(position, overlap)

    def restore(self, image: TableImage, position: Position) -> None:
        """Take over what a checkpoint of `position` knows; live rows are added behind it."""
        self.files = image.files
        for one in image.overlap_ranges:
            # Which of the batches it came from is not known any more: the last one is safe.
            self._mark(position, one)

    def change_files(self, change: TableFiles) -> tuple[FileEntry, ...]:
        """Take over new files; return those that are gone."""
        with self._lock:
            self.files, gone = changed(self.files, change)
        return gone

    def persist(self, through: Position, change: TableFiles | None) -> None:
        """Replace the batches up to `through` by the files of `change`, which hold their rows."""
        with self._lock:
            count = bisect_right(self._positions, through)
            self.num_rows -= sum(batch.num_rows for batch in self.batches[:count])
            del self.batches[:count], self._positions[:count]
            marks = [mark for mark in self._marks if mark[0] > through]
            if len(marks) != len(self._marks):
                self._marks = marks
                self.overlap_ranges = union(overlap for _, overlap in marks)
            if change is not None:
                self.files, _ = changed(self.files, change)

    def stretches_until(self, through: Position, cuts: Sequence[Position]) -> list[Stretch]:
        """The live batches up to a position; each cut that has some on both sides parts them.

        `cuts` rise. May be called from any thread: what is durable goes by steps of persisting
        alone, and those are the caller's.
        """
        count = bisect_right(self._positions, through)
        batches, positions = self.batches[:count], self._positions[:count]
        ends = {bisect_right(positions, cut) for cut in cuts} | {0, count}
        return [
            Stretch(tuple(batches[start:end]), positions[start], positions[end - 1])
            for start, end in itertools.pairwise(sorted(ends))
        ]

    def snapshot(self, columns: tuple[tuple[str, ColumnType], ...]) -> TableSnapshot:
        """What it holds now."""
        with self._lock:
            return TableSnapshot(
                name=self.name,
                columns=columns,
                batches=tuple(self.batches),
                overlap_ranges=self.overlap_ranges,
                files=self.files,
            )

    def as_of(
        self, columns: tuple[tuple[str, ColumnType], ...], position: Position
    ) -> TableSnapshot:
        """What it held at a position, and files that begin before and end behind it."""
        with self._lock:
            batches = self.batches[: bisect_right(self._positions, position)]
            files, overlap_ranges = self.files, self.overlap_ranges
        return TableSnapshot(
            name=self.name,
            columns=columns,
            batches=tuple(batches),
            # Those of later rows among them: they cost a fold, and change nothing.
            overlap_ranges=overlap_ranges,
            files=tuple(entry for entry in files if entry.first_position <= position),
        )

    def _mark(self, position: Position, overlap: TimeRange) -> None:
        self._marks.append((position, overlap))
        self.overlap_ranges = add_range(self.overlap_ranges, overlap)


class LiveDatabase:
    """Tables of one database and their schema."""

    def __init__(self, name: str, database_id: DatabaseId) -> None:
        self.name = name
        self.id = database_id
        self.schema = SchemaIndex()
        self._tables: dict[str, LiveTable] = {}

    def add(self, batch: WriteBatch, position: Position) -> None:
        """Make the rows of a durable `batch` visible. Its columns must fit the schema."""
        self.schema.apply(batch)
        overlaps = self.schema.observe(batch)
        for name, table_batch in batch.items():
            self._table(name).add(table_batch, position, overlaps.get(name))

    def add_known(self, batch: WriteBatch, position: Position) -> None:
        """Make rows visible of which a checkpoint knows everything but the values."""
        for name, table_batch in batch.items():
            self._table(name).add(table_batch, position, None)

    def restore(self, image: TableImage, position: Position) -> None:
        """Take over a table from a checkpoint of `position`."""
        for column, column_type in image.columns:
            self.schema.add_column(image.name, column, ColumnType(column_type))
        self.schema.load_series(image.name, image.series)
        self._table(image.name).restore(image, position)

    def images(self) -> list[TableImage]:
        """What a checkpoint keeps of the tables."""
        return [
            TableImage(
                name=name,
                columns=tuple(
                    (column, int(column_type)) for column, column_type in self.schema.columns(name)
                ),
                files=table.files,
                overlap_ranges=table.overlap_ranges,
                series=self.schema.dump_series(name),
            )
            # A table is known to the schema a moment before its first rows are durable.
            for name in self.schema.tables()
            if (table := self._tables.get(name)) is not None
        ]

    def tables(self) -> list[LiveTable]:
        """All tables."""
        return list(self._tables.values())

    def table(self, name: str) -> LiveTable | None:
        """The table of that name, or None."""
        return self._tables.get(name)

    def change_files(self, change: TableFiles) -> tuple[FileEntry, ...]:
        """Take over new files of a table; return those that are gone."""
        return self._table(change.table).change_files(change)

    def persist(self, through: Position, changes: Iterable[TableFiles]) -> None:
        """Replace the batches of all tables up to `through` by the files of `changes`."""
        by_table = {change.table: change for change in changes}
        for name in list(self._tables):
            self._tables[name].persist(through, by_table.pop(name, None))
        assert not by_table, "files of a table that has no rows"

    def table_names(self) -> list[str]:
        """Names of the tables that have rows, sorted."""
        return sorted(self._tables)

    def columns(self, table: str) -> tuple[tuple[str, ColumnType], ...]:
        """Columns of `table` in order of first appearance, without ``time``."""
        return tuple(self.schema.columns(table))

    def snapshot(self, table: str) -> TableSnapshot | None:
        """What `table` holds now, or None when it has no rows."""
        found = self._tables.get(table)
        return None if found is None else found.snapshot(self.columns(table))

    def as_of(self, table: str, position: Position) -> TableSnapshot | None:
        """What `table` held at a position, or None when it is not there; see LiveTable.as_of."""
        found = self._tables.get(table)
        return None if found is None else found.as_of(self.columns(table), position)

    @property
    def num_rows(self) -> int:
        """Live rows of all tables, overwritten ones included."""
        return sum(table.num_rows for table in list(self._tables.values()))

    def _table(self, name: str) -> LiveTable:
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = LiveTable(name)
        return table


class LiveStore:
    """All databases."""

    def __init__(self) -> None:
        self._databases: dict[str, LiveDatabase] = {}

    def create(self, name: str, database_id: DatabaseId) -> LiveDatabase:
        """Begin an empty database."""
        database = self._databases[name] = LiveDatabase(name, database_id)
        return database

    def drop(self, name: str) -> None:
        """Forget a database with its rows."""
        self._databases.pop(name, None)

    def database(self, name: str) -> LiveDatabase | None:
        """The database of that name, or None."""
        return self._databases.get(name)

    def columns(self, database: str, table: str) -> tuple[tuple[str, ColumnType], ...]:
        """Columns of a table as LiveDatabase.columns; none where there is no such database."""
        found = self._databases.get(database)
        return () if found is None else found.columns(table)

    def databases(self) -> list[LiveDatabase]:
        """All databases."""
        return list(self._databases.values())
