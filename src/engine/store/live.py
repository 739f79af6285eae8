# Owns the rows that are visible to queries: per database its SchemaIndex, per table its Parquet
# files, the batches of the log's frames that are not in files yet, in log order, and the time
# ranges in which rows may have been overwritten. Changed on the event loop (or by recovery before
# it runs); snapshots are immutable and may be taken and read on any thread.
"""Tables: files and live batches over the mapped log."""

import contextlib
import itertools
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from engine.ids import DatabaseId, Position
from engine.store.former import Former
from engine.store.manifest import FileEntry, TableFiles, changed
from engine.store.row_deletes import RowDelete
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, add_range, common, union
from lp_core import ColumnType, SchemaIndex, TableBatch, WriteBatch


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


class LiveDatabase:
    """Tables of one database and their schema."""

    def __init__(self, name: str, database_id: DatabaseId) -> None:
        self.name = name
        self.id = database_id
        # What rows on their way to the log have is in it too: those behind them must fit.
        self.schema = SchemaIndex()
        # Columns of rows that are in the log, in its order, so that they are the same after a
        # restart: files know columns by their number.
        self._stored = SchemaIndex()
        self._is_ahead = False
        # Of one that was deleted and is kept out of sight.
        self.former: Former | None = None
        self._tables: dict[str, LiveTable] = {}

    def expect(self, batch: WriteBatch) -> None:
        """Rows that fit the schema are on their way to the log."""
        if self.schema.apply(batch):
            self._is_ahead = True

    def forget_refused(self) -> None:
        """Forget columns of rows that the log has refused; call while none are on their way."""
        if not self._is_ahead:
            return
        self._is_ahead = False
        for table in self.schema.tables():
            columns = self.columns(table)
            if tuple(self.schema.columns(table)) == columns:
                continue
            series = self.schema.dump_series(table)
            self.schema.drop_table(table)
            for column, column_type in columns:
                self.schema.add_column(table, column, column_type)
            self.schema.load_series(table, series)

    def add(self, batch: WriteBatch, position: Position) -> None:
        """Make the rows of a durable `batch` visible. Its columns must fit the schema."""
        self.schema.apply(batch)
        self._stored.apply(batch)
        overlaps = self.schema.observe(batch)
        for name, table_batch in batch.items():
            table = self._tables.get(name)
            if table is None:
                table = self._tables[name] = LiveTable(name, position)
            table.add(table_batch, position, overlaps.get(name))

    def add_known(self, batch: WriteBatch, position: Position) -> None:
        """Make rows visible of which a checkpoint knows everything but the values."""
        for name, table_batch in batch.items():
            table = self._tables.get(name)
            # Else they are of a table of that name that was deleted.
            if table is not None and position >= table.began:
                table.add(table_batch, position, None)

    def declare(self, table: str, columns: Columns, position: Position) -> None:
        """Begin a table without rows, which must not exist."""
        self._add_columns(table, columns)
        self._tables[table] = LiveTable(table, position)

    def take_out(self, table: str) -> tuple[LiveTable, Columns] | None:
        """Take a table out, with its columns; None when there is none."""
        found = self._tables.get(table)
        if found is None:
            return None
        columns = self.columns(table)
        # In this order, so that the persist thread finds columns in one place or the other.
        found.last_columns = columns
        del self._tables[table]
        for schema in (self.schema, self._stored):
            # One that was declared without columns is in neither.
            with contextlib.suppress(KeyError):
                schema.drop_table(table)
        return found, columns

    def put_in(self, table: LiveTable, columns: Columns) -> None:
        """Take over a table that was taken out of another database."""
        self._add_columns(table.name, columns)
        self._tables[table.name] = table

    def restore(self, image: TableImage, position: Position) -> None:
        """Take over a table from a checkpoint of `position`."""
        self._add_columns(
            image.name, tuple((column, ColumnType(kind)) for column, kind in image.columns)
        )
        if image.series:
            self.schema.load_series(image.name, image.series)
        began = Position(0) if isinstance(image.began, msgspec.UnsetType) else image.began
        table = self._tables[image.name] = LiveTable(image.name, began)
        table.restore(image, position)

    def images(self) -> list[TableImage]:
        """What a checkpoint keeps of the tables."""
        return [
            TableImage(
                name=name,
                columns=tuple((column, int(kind)) for column, kind in self.columns(name)),
                files=table.files,
                overlap_ranges=table.overlap_ranges,
                series=self.schema.dump_series(name),
                began=table.began,
                deletes=table.deletes or msgspec.UNSET,
            )
            for name, table in self._tables.items()
        ]

    def tables(self) -> list[LiveTable]:
        """All tables."""
        return list(self._tables.values())

    def table(self, name: str) -> LiveTable | None:
        """The table of that name, or None."""
        return self._tables.get(name)

    def begin_lost(self, change: TableFiles) -> None:
        """Begin a table whose first rows, and with them its columns, the log has lost."""
        self._tables[change.table] = LiveTable(change.table, change.began)

    def is_about(self, change: TableFiles) -> bool:
        """Whether the files of `change` are those of a table here."""
        table = self._tables.get(change.table)
        if table is None:
            return False
        if change.began == 0:
            # Which one it was is not said, but its rows cannot be older than the table.
            return all(entry.last_position >= table.began for entry in change.added)
        return table.is_the_one_of(change.began)

    def change_files(self, change: TableFiles, *, are_live_too: bool) -> tuple[FileEntry, ...]:
        """As LiveTable, of one table."""
        return self._tables[change.table].change_files(change, are_live_too=are_live_too)

    def persist(self, through: Position, changes: Iterable[TableFiles]) -> None:
        """Replace the batches of all tables up to `through` by the files of `changes`."""
        by_table = {change.table: change for change in changes}
        for name in list(self._tables):
            self._tables[name].persist(through, by_table.pop(name, None))
        assert not by_table, "files of a table that is not here"

    def table_names(self) -> list[str]:
        """Names of the tables, sorted."""
        return sorted(self._tables)

    def columns(self, table: str) -> tuple[tuple[str, ColumnType], ...]:
        """Columns of `table` in order of first appearance, without ``time``."""
        try:
            return tuple(self._stored.columns(table))
        except KeyError:
            # The schema knows no table without columns; one may be declared so.
            return ()

    def columns_of(self, table: LiveTable) -> Columns:
        """Columns of a table that is here, or was a moment ago."""
        columns = self.columns(table.name)
        return columns if table.last_columns is None else table.last_columns

    def _add_columns(self, table: str, columns: Columns) -> None:
        for column, column_type in columns:
            self.schema.add_column(table, column, column_type)
            self._stored.add_column(table, column, column_type)

    def snapshot(self, table: str) -> TableSnapshot | None:
        """What `table` holds now, or None when there is none."""
        found = self._tables.get(table)
        return None if found is None else found.snapshot(lambda: self.columns_of(found))

    def as_of(self, table: str, position: Position) -> TableSnapshot | None:
        """What `table` held at a position, or None when it is not there; see LiveTable.as_of."""
        found = self._tables.get(table)
        return None if found is None else found.as_of(lambda: self.columns_of(found), position)

    @property
    def num_rows(self) -> int:
        """Live rows of all tables, overwritten ones included."""
        return sum(table.num_rows for table in list(self._tables.values()))


class LiveStore:
    """All databases; those that are deleted and kept have no name here."""

    def __init__(self) -> None:
        self._databases: dict[str, LiveDatabase] = {}
        self._hidden: dict[DatabaseId, LiveDatabase] = {}

    def create(self, name: str, database_id: DatabaseId) -> LiveDatabase:
        """Begin an empty database."""
        database = self._databases[name] = LiveDatabase(name, database_id)
        return database

    def drop(self, name: str) -> None:
        """Forget a database with its rows."""
        self._databases.pop(name, None)

    def hide(self, name: str, former: Former) -> None:
        """Take the name from a database."""
        database = self._databases.pop(name)
        database.name = _hidden_name(name, database.id)
        database.former = former
        self._hidden[database.id] = database

    def create_hidden(self, name: str, database_id: DatabaseId, former: Former) -> LiveDatabase:
        """Begin an empty database that is kept out of sight."""
        database = self._hidden[database_id] = LiveDatabase(
            _hidden_name(name, database_id), database_id
        )
        database.former = former
        return database

    def drop_hidden(self, database_id: DatabaseId) -> LiveDatabase | None:
        """Forget a hidden database with its rows; return it."""
        return self._hidden.pop(database_id, None)

    def hidden(self) -> list[LiveDatabase]:
        """Those that are deleted and kept."""
        return list(self._hidden.values())

    def database(self, name: str) -> LiveDatabase | None:
        """The database of that name, or None."""
        return self._databases.get(name)

    def columns(self, database: str, table: str) -> tuple[tuple[str, ColumnType], ...]:
        """Columns of a table as LiveDatabase.columns; none where there is no such database."""
        found = self._databases.get(database)
        return () if found is None else found.columns(table)

    def databases(self) -> list[LiveDatabase]:
        """All databases, hidden ones too."""
        return [*list(self._databases.values()), *list(self._hidden.values())]


def _hidden_name(name: str, database_id: DatabaseId) -> str:
    # No database can have such a name, and retention goes by names.
    return f"{name.split('//')[0]}//{database_id}"
