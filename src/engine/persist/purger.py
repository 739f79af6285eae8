# Owns the end of deleted rows: files that have some are written anew without them, or dropped when
# nothing is left, and then the delete is forgotten. Runs on the persist thread, as all that makes
# files.
"""Deleted rows out of the files."""

import logging

import msgspec

from engine.errors import FileDamagedError
from engine.ids import Position
from engine.logs import keys
from engine.persist.file_maker import FileMaker, Rows, TableShape
from engine.persist.file_store import FileStore
from engine.store.live import LiveDatabase
from engine.store.live_table import LiveTable
from engine.store.manifest import FileEntry, FilesRecord
from engine.store.row_deletes import RowDelete, columns_named, last_position, meant, without

logger = logging.getLogger(__name__)

# From so many deletes on, which each query of the table has to look at, the files are not left for
# the next look at retention.
PENDING_MANY = 16
# From so many on that may mean live rows, these do not wait until the log has grown. Far from
# the limit of row_deleter.py, so that others find room while that is done; not fewer, for each time
# all tables get a file of what they have.
LIVE_MANY = 256


class Purger:
    """Carries deletes of rows out in files."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    def is_urgent(self) -> bool:
        """Whether the files of some table have many deletes waiting."""
        return any(
            len(table.deletes) >= PENDING_MANY and _concerned(table)
            for table in self._files.tables_with_deletes()
        )

    def waits_for_live(self) -> bool:
        """Whether many deletes of some table wait for its live rows to go to files."""
        return any(
            len(table.deletes) >= LIVE_MANY and table.num_deletes_of_live() >= LIVE_MANY
            for table in self._files.tables_with_deletes()
        )

    def purge(self) -> int:
        """Take deleted rows out of all files; return how many files were looked at.

        Raises:
            OSError: The disk does not take a file; what was done before stays done.
            WalError, BackPressureError: The log does not take a record; likewise.
        """
        count = 0
        for database, table in self._files.tables():
            for entry in _concerned(table):
                if self._files.log.is_stopping():
                    return count
                if self._files.faults.known(entry):
                    continue
                try:
                    self._purge(database, table, entry)
                except FileDamagedError as error:
                    # It is noted, and left out from now on; its deletes wait with it.
                    text = "deleted rows stay in a file"
                    logger.warning(text, extra=keys(error=error.message))
                count += 1
        return count

    def _purge(self, database: LiveDatabase, table: LiveTable, entry: FileEntry) -> None:
        shape, known = self._files.log.call(lambda: self._look(database, table))
        through = max(last_position(known), entry.deletes_through)
        deletes = [delete for delete in known if delete.concerns(entry)]
        with self._files.making() as maker:
            added = self._cleaned(maker, shape, table, entry, deletes, through)
        self._files.log.append(FilesRecord(tables=(shape.change(added, [entry]),)))
        rows = entry.rows - sum(one.rows for one in added)
        if rows:
            logger.info(
                "deleted rows removed from a file",
                extra=keys(database=database.name, table=table.name, rows=rows),
            )

    def _look(
        self, database: LiveDatabase, table: LiveTable
    ) -> tuple[TableShape, tuple[RowDelete, ...]]:
        return TableShape.of(database, table), table.deletes

    def _cleaned(
        self,
        maker: FileMaker,
        shape: TableShape,
        table: LiveTable,
        entry: FileEntry,
        deletes: list[RowDelete],
        through: Position,
    ) -> list[FileEntry]:
        """What takes the place of a file: nothing, itself with another entry, or a new one."""
        if any(delete.covers(entry) for delete in deletes):
            return []
        named = frozenset[str]().union(*(columns_named(one.condition) for one in deletes))
        keys_only = self._files.faults.read(
            shape.database, shape.table, entry, [*sorted(named), "time"]
        )
        if not any(meant(keys_only, delete).any() for delete in deletes):
            # The same file: records remove and add it.
            return [msgspec.structs.replace(entry, deletes_through=through)]
        rows = without(self._files.faults.read(shape.database, shape.table, entry), deletes)
        return maker.make(
            shape,
            Rows(
                table=rows,
                first=entry.first_position,
                last=entry.last_position,
                deletes_through=through,
            ),
            entry.window_ns,
            suspects=entry.overlaps,
            earlier=[one for one in table.files if one.order < entry.order],
        )


def _concerned(table: LiveTable) -> list[FileEntry]:
    """Files of a table that may have deleted rows."""
    deletes = table.deletes
    return [entry for entry in table.files if any(one.concerns(entry) for one in deletes)]
