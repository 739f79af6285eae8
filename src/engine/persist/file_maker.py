# Owns the making of Parquet files from rows: into windows, encoded, written, made durable. A file
# is part of no table before a record says so; what is left over after a failure is removed.
"""Rows into files."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy

from engine.filesystem import FileSystem
from engine.ids import DatabaseId, Position
from engine.paths import DataPaths
from engine.persist.ports import StatePort
from engine.persist.repeats import Repeats, times_as_ranges
from engine.persist.rows import WindowRows, by_window, times_of
from engine.store import parquet_file
from engine.store.live import LiveDatabase
from engine.store.live_table import LiveTable
from engine.store.manifest import FileEntry, TableFiles
from engine.store.parquet_file import Columns
from engine.store.time_ranges import TimeRange, clipped, common, union

# Of so many rows of a window, those that earlier files have as well get a file of their own where
# they are at most this share: only these then have to be looked at by queries, not all.
_ROWS_PARTED_MIN = 65_536
_REPEATED_SHARE = 8
# The file system joins them; beyond this it gains nothing.
_SYNCS_AT_ONCE = 8

_Array = Any


class TableShape(msgspec.Struct, frozen=True, kw_only=True):
    """Which table rows belong to, and its columns in order of first appearance."""

    database_id: DatabaseId
    database: str
    table: str
    began: Position
    columns: Columns

    @classmethod
    def of(cls, database: LiveDatabase, table: LiveTable) -> Self:
        """That of a table which is here, or was a moment ago."""
        return cls(
            database_id=database.id,
            database=database.name,
            table=table.name,
            began=table.began,
            columns=database.columns_of(table),
        )

    def change(self, added: Iterable[FileEntry], removed: Iterable[FileEntry] = ()) -> TableFiles:
        """What a record says of the table: files that become part of it, and files that go."""
        return TableFiles(
            database_id=self.database_id,
            table=self.table,
            began=self.began,
            added=tuple(added),
            removed=tuple(entry.number for entry in removed),
        )


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in the order of the log, from the positions `first` to `last`.

    None is among them that a delete up to `deletes_through` means.
    """

    table: Any
    first: Position
    last: Position
    deletes_through: Position = Position(0)


class FileNumbers:
    """Numbers for files; the persist thread's alone, for it may be at several makers' files."""

    def __init__(self, state: StatePort) -> None:
        self._state = state
        self._next = 0

    def take(self) -> int:
        """One that no file has or had, as far as it became part of a table."""
        # What the state says changes by records of this very thread.
        number = max(self._next, self._state.next_file_number)
        self._next = number + 1
        return number


class FileMaker:
    """Writes files, and gives each a number."""

    def __init__(
        self, paths: DataPaths, filesystem: FileSystem, repeats: Repeats, numbers: FileNumbers
    ) -> None:
        self._paths = paths
        self._filesystem = filesystem
        self._repeats = repeats
        self._numbers = numbers
        self._written: list[Path] = []

    def make(
        self,
        shape: TableShape,
        rows: Rows,
        window_ns: int,
        *,
        suspects: Sequence[TimeRange],
        earlier: Sequence[FileEntry],
        parts_repeats: bool = False,
    ) -> list[FileEntry]:
        """Write `rows` as one file for each window, or two.

        Args:
            shape: The table.
            rows: What to write.
            window_ns: Length of the windows.
            suspects: Times in which rows may have the identity of a row written before.
            earlier: The files that rows written before are in.
            parts_repeats: Whether rows that are in earlier files get a file of their own, where
                they are few among many.

        Raises:
            OSError: The disk does not take it, or an earlier file cannot be opened.
        """
        made = []
        for window in by_window(rows.table, shape.columns, window_ns):
            doubts, is_repeated = self._in_doubt(shape, window, suspects, earlier)
            parts = [(window, doubts)]
            if parts_repeats and is_repeated is not None and _are_few(is_repeated):
                parts = [(window.of(~is_repeated), ()), (window.of(is_repeated), doubts)]
            made += [self._write(shape, rows, part, window_ns, ranges) for part, ranges in parts]
        return made

    def sync(self) -> None:
        """Make what was written durable.

        All at once and last: the file system then takes many files in one transaction, and with
        ten thousand tables that is most of the time.

        Raises:
            OSError: The disk does not take it.
        """
        if not self._written:
            return
        root = self._paths.parquet_dir
        directories = {path.parent for path in self._written}
        with ThreadPoolExecutor(_SYNCS_AT_ONCE, thread_name_prefix="persist-sync") as pool:
            list(pool.map(self._filesystem.sync_path, self._written))
            list(pool.map(self._filesystem.sync_directory, sorted(directories)))
        for directory in sorted({path.parent for path in directories} | {root}):
            self._filesystem.sync_directory(directory)
        self._written = []

    def abandon(self) -> None:
        """Remove what was written since the last `sync`."""
        for path in self._written:
            self._filesystem.remove(path)
        self._written = []

    def _in_doubt(
        self,
        shape: TableShape,
        window: WindowRows,
        suspects: Sequence[TimeRange],
        earlier: Sequence[FileEntry],
    ) -> tuple[tuple[TimeRange, ...], _Array | None]:
        """Times in which rows are in earlier files too, and whether each row is of such a time.

        Without the latter the times are those in which rows may be.
        """
        doubts = overlaps_with((window.min_time_ns, window.max_time_ns), suspects, earlier)
        if not doubts:
            return (), None
        names = (shape.database, shape.table)
        shared = self._repeats.among(names, shape.columns, window.rows, doubts, earlier)
        if shared is None:
            return doubts, None
        return tuple(times_as_ranges(shared)), numpy.isin(times_of(window.rows), shared)

    def _write(
        self,
        shape: TableShape,
        rows: Rows,
        window: WindowRows,
        window_ns: int,
        doubts: tuple[TimeRange, ...],
    ) -> FileEntry:
        number = self._numbers.take()
        times = (window.min_time_ns, window.max_time_ns)
        content = parquet_file.encode(
            window.rows,
            shape.columns,
            {
                "database": shape.database,
                "table": shape.table,
                "window_start_ns": window.start_ns,
                "window_ns": window_ns,
                "first_position": rows.first,
                "last_position": rows.last,
            },
        )
        relative = parquet_file.file_path(
            shape.database_id, shape.database, shape.table, (window.start_ns, window_ns), number
        )
        path = self._paths.parquet_dir / relative
        self._filesystem.prepare_directory(path.parent)
        self._written.append(path)
        self._filesystem.write_file(path, memoryview(content))
        return FileEntry(
            number=number,
            path=relative,
            window_start_ns=window.start_ns,
            window_ns=window_ns,
            rows=window.rows.num_rows,
            size_bytes=content.size,
            memory_bytes=window.rows.nbytes,
            min_time_ns=times[0],
            max_time_ns=times[1],
            first_position=rows.first,
            last_position=rows.last,
            overlaps=doubts,
            deletes_through=rows.deletes_through,
        )


def _are_few(is_repeated: _Array) -> bool:
    repeated = int(is_repeated.sum())
    return len(is_repeated) >= _ROWS_PARTED_MIN and 0 < repeated * _REPEATED_SHARE <= len(
        is_repeated
    )


def overlaps_with(
    times: TimeRange, suspects: Sequence[TimeRange], earlier: Sequence[FileEntry]
) -> tuple[TimeRange, ...]:
    """Where rows between `times` may repeat rows of `earlier` files, given the suspect times."""
    here = clipped(suspects, times)
    if not here:
        return ()
    return union(
        part
        for entry in earlier
        if common(entry.times, times) is not None
        for part in clipped(here, entry.times)
    )
