# Owns which Parquet files cannot be read, and how that is found out: by a quick look at the start,
# by reading all of a file when a query or a merge has stumbled over it.
"""Parquet files that cannot be read."""

import errno
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pyarrow

from engine.damage import Damage, DamageBook
from engine.errors import FileDamagedError
from engine.filesystem import FileSystem
from engine.paths import DataPaths
from engine.store import parquet_file
from engine.store.manifest import FileEntry
from engine.store.parquet_file import Columns
from engine.store.time_ranges import TimeRange

# What says nothing about the file: too many open ones, for example.
_DAMAGE_ERRNOS = (None, errno.EIO, errno.ENOENT)


class FileFaults:
    """Looks at Parquet files, and remembers the damaged ones; for any thread."""

    def __init__(self, paths: DataPaths, filesystem: FileSystem, book: DamageBook) -> None:
        self._directory = paths.parquet_dir
        self._filesystem = filesystem
        self._book = book

    def known(self, entry: FileEntry) -> Damage | None:
        """What is known to be wrong with a file."""
        return self._book.parquet(entry.path)

    def refuse(self, files: Iterable[FileEntry]) -> None:
        """Do not answer from these files if one of them is damaged.

        Raises:
            FileDamagedError: It is.
        """
        for entry in files:
            damage = self._book.parquet(entry.path)
            if damage is not None:
                raise FileDamagedError(
                    f"the file {damage.file} with {entry.rows} rows of table '{damage.table}' "
                    f"from {_time(entry.min_time_ns)} to {_time(entry.max_time_ns)} cannot be "
                    f"read: {damage.reason}",
                    hint="ask for other times, or restore the file from a backup and restart; "
                    "system.damage lists all such files",
                )

    def look(
        self, database: str, table: str, entry: FileEntry, columns: Columns | None = None
    ) -> None:
        """Note what a quick look shows; with `columns`, whether the file has those."""
        path = self._directory / entry.path
        reason = parquet_file.fault_of(path, entry.size_bytes, self._filesystem)
        if not reason and columns is not None:
            reason = parquet_file.misfit_of(path, columns)
        if reason:
            self._note(database, table, entry, reason)

    def read(
        self, database: str, table: str, entry: FileEntry, columns: Sequence[str] | None = None
    ) -> pyarrow.Table:
        """All rows of a file; with `columns`, those alone, as far as it has them.

        Raises:
            FileDamagedError: It cannot be read; that is noted.
            OSError: It cannot be opened, for a reason that says nothing about the file.
        """
        try:
            return parquet_file.read(self._directory / entry.path, columns)
        except (OSError, pyarrow.ArrowException) as error:
            self._fail(database, table, entry, error)

    def read_within(
        self,
        database: str,
        table: str,
        entry: FileEntry,
        columns: Sequence[str] | None,
        times: TimeRange,
    ) -> Iterator[pyarrow.Table]:
        """The rows between these times of a file, and others; as parquet_file.read_within.

        Raises:
            FileDamagedError: It cannot be read; that is noted.
            OSError: It cannot be opened, for a reason that says nothing about the file.
        """
        self.refuse([entry])
        try:
            yield from parquet_file.read_within(self._directory / entry.path, columns, times)
        except (OSError, pyarrow.ArrowException) as error:
            self._fail(database, table, entry, error)

    def search(self, files: Iterable[tuple[str, str, FileEntry]]) -> None:
        """Read files until one is found that is damaged; that is noted.

        Raises:
            FileDamagedError: One is.
        """
        for database, table, entry in files:
            try:
                self.read(database, table, entry)
            except OSError:
                continue  # another file may be what is wrong; if none is, the caller has an error

    def _fail(self, database: str, table: str, entry: FileEntry, error: Exception) -> NoReturn:
        """Note why a file cannot be read, where the file is why; raise in either case."""
        if isinstance(error, OSError) and error.errno not in _DAMAGE_ERRNOS:
            raise error
        reason = "it is missing" if isinstance(error, FileNotFoundError) else str(error)
        self._note(database, table, entry, reason)
        self.refuse([entry])
        raise error

    def _note(self, database: str, table: str, entry: FileEntry, reason: str) -> None:
        self._book.note_parquet(
            Damage(
                kind="parquet",
                file=f"parquet/{entry.path}",
                reason=reason,
                found_ns=self._book.now_ns(),
                size_bytes=entry.size_bytes,
                database=database,
                table=table,
                rows=entry.rows,
                min_time_ns=entry.min_time_ns,
                max_time_ns=entry.max_time_ns,
            )
        )


def _time(time_ns: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
