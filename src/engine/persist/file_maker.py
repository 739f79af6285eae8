# Owns the making of Parquet files from rows: into windows, encoded, written, made durable. A file
# is part of no table before a record says so; what is left over after a failure is removed.
"""Rows into files."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import msgspec

from engine.filesystem import FileSystem
from engine.ids import DatabaseId, Position
from engine.paths import DataPaths
from engine.persist.repeats import Repeats
from engine.persist.rows import WindowRows, by_window
from engine.store import parquet_file
from engine.store.live import LiveDatabase, LiveTable
from engine.store.manifest import FileEntry
from engine.store.parquet_file import Columns
from engine.store.time_ranges import TimeRange, clipped, common, union

# The file system joins them; beyond this it gains nothing.
_SYNCS_AT_ONCE = 8


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


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in the order of the log, from the positions `first` to `last`.

    None is among them that a delete up to `deletes_through` means.
    """

    table: Any
    first: Position
    last: Position
    deletes_through: Position = Position(0)


class FileMaker:
    """Writes files, and gives each a number."""

    def __init__(
        self, paths: DataPaths, filesystem: FileSystem, repeats: Repeats, next_number: int
    ) -> None:
        self._paths = paths
        self._filesystem = filesystem
        self._repeats = repeats
        self.next_number = next_number
        self._written: list[Path] = []

    def make(
        self,
        shape: TableShape,
        rows: Rows,
        window_ns: int,
        *,
        suspects: Sequence[TimeRange],
        earlier: Sequence[FileEntry],
    ) -> list[FileEntry]:
        """Write `rows` as one file for each window.

        Args:
            shape: The table.
            rows: What to write.
            window_ns: Length of the windows.
            suspects: Times in which rows may have the identity of a row written before.
            earlier: The files that rows written before are in.

        Raises:
            OSError: The disk does not take it, or an earlier file cannot be opened.
        """
        return [
            self._write(shape, rows, window, window_ns, suspects, earlier)
            for window in by_window(rows.table, shape.columns, window_ns)
        ]

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

    def _write(
        self,
        shape: TableShape,
        rows: Rows,
        window: WindowRows,
        window_ns: int,
        suspects: Sequence[TimeRange],
        earlier: Sequence[FileEntry],
    ) -> FileEntry:
        number, self.next_number = self.next_number, self.next_number + 1
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
        doubts = overlaps_with(times, suspects, earlier)
        if doubts:
            names = (shape.database, shape.table)
            doubts = self._repeats.among(names, shape.columns, window.rows, doubts, earlier)
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
