# Owns what is known of the Parquet files of a table, and the record by which files appear and
# disappear: the control record of a COMMIT frame, so that a step of persisting or compacting is one
# record. Tag and field names are part of the on-disk formats of log and checkpoint; fields are only
# ever added, with a default.
"""Parquet files and the records about them."""

import msgspec

from engine.ids import DatabaseId, Position
from engine.store.time_ranges import TimeRange


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One Parquet file, which never changes.

    Attributes:
        number: Unique on the node, rising.
        path: Below the Parquet directory.
        window_start_ns: Start of the window of time that all rows lie in.
        window_ns: Length of that window.
        rows: How many; no two of them have the same identity.
        size_bytes: Size of the file.
        memory_bytes: What its columns take once they are read.
        min_time_ns: Least time of a row.
        max_time_ns: Greatest time of a row.
        first_position: Of the log; no row in it was written before.
        last_position: No row in it was written later.
        overlaps: Ranges of time in which it may have rows that earlier files have too.
        deletes_through: It has no row that a delete up to this position means.
    """

    number: int
    path: str
    window_start_ns: int
    window_ns: int
    rows: int
    size_bytes: int
    memory_bytes: int
    min_time_ns: int
    max_time_ns: int
    first_position: Position
    last_position: Position
    overlaps: tuple[TimeRange, ...] = ()
    deletes_through: Position = Position(0)

    @property
    def times(self) -> TimeRange:
        """Least and greatest time."""
        return self.min_time_ns, self.max_time_ns

    @property
    def order(self) -> tuple[Position, Position, int]:
        """Of two files with rows of the same time, the greater one has the later rows."""
        return self.last_position, self.first_position, self.number


class TableFiles(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Files that one table gets, and numbers of those that it loses.

    Attributes:
        began: Tells the table from others of its name, as LiveTable.began; 0 in records from before
            tables could be deleted.
    """

    database_id: DatabaseId
    table: str
    began: Position = Position(0)
    added: tuple[FileEntry, ...] = ()
    removed: tuple[int, ...] = ()


class FilesRecord(msgspec.Struct, frozen=True, kw_only=True, tag="files", omit_defaults=True):
    """One step of persisting, compacting or dropping files.

    Attributes:
        through: Rows up to this position are in files now, those of all tables; 0 says nothing.
        after: Up to here they were before; 0 in records from before that was said.
        tables: What changes.
    """

    through: Position = Position(0)
    after: Position = Position(0)
    tables: tuple[TableFiles, ...] = ()


_encoder = msgspec.msgpack.Encoder()


def encode_files(record: FilesRecord) -> bytes:
    """Bytes of `record` for the control part of a COMMIT frame."""
    return _encoder.encode(record)


def changed(
    files: tuple[FileEntry, ...], change: TableFiles
) -> tuple[tuple[FileEntry, ...], tuple[FileEntry, ...]]:
    """`files` after `change`, oldest rows first, and those that are gone by it.

    What is removed and added again is the same file, of which something else is known.
    """
    removed = frozenset(change.removed)
    kept = [entry for entry in files if entry.number not in removed]
    lost = removed - {entry.number for entry in change.added}
    gone = tuple(entry for entry in files if entry.number in lost)
    return tuple(sorted([*kept, *change.added], key=lambda entry: entry.order)), gone
