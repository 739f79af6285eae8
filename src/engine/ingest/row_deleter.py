# Owns the way of a delete of rows into the log. Its effect is state.py's.
"""Deleting rows."""

import asyncio
import logging

from engine.catalog.catalog import Catalog
from engine.errors import BackPressureError, TableMissingError
from engine.ids import Position
from engine.logs import keys
from engine.store.file_faults import FileFaults
from engine.store.live import LiveDatabase, LiveStore
from engine.store.live_table import LiveTable
from engine.store.row_deletes import Condition, DeleteRowsRecord, encode_delete
from engine.store.time_ranges import TimeRange
from engine.wal.log import Log
from lp_core import ColumnType, FrameKind, encode_frame

logger = logging.getLogger(__name__)

# Each is looked at by every query of the table until the rows are in files without it. Long before
# there are so many, the persist thread begins to see to that.
PENDING_MAX = 1_000
# It looks every half second, and needs about as long for a table of usual size.
_RETRY_S = 2


class RowDeleter:
    """Deletes rows by one record of the log."""

    def __init__(self, log: Log, catalog: Catalog, store: LiveStore, faults: FileFaults) -> None:
        """`faults` knows the files that deletes wait for in vain."""
        self._log = log
        self._catalog = catalog
        self._store = store
        self._faults = faults

    def columns(self, database: str, table: str) -> dict[str, ColumnType]:
        """The columns of a table, without ``time``.

        Raises:
            DatabaseNotFoundError, TableMissingError: There is none.
        """
        live, found = self._find(database, table)
        return dict(live.columns_of(found))

    async def delete(
        self, database: str, table: str, times: TimeRange, condition: Condition | None
    ) -> Position:
        """Delete rows that are in the log now; return where that is durable and visible.

        Args:
            database: The database.
            table: The table.
            times: Of the rows, both ends inclusive.
            condition: Which of these; None for all.

        Raises:
            DatabaseNotFoundError, TableMissingError: There is none.
            BackPressureError: Too many deletes wait for their rows to go from the files.
            WalError: The log does not take it.
        """
        live, found = self._find(database, table)
        if len(found.deletes) >= PENDING_MAX:
            raise self._refusal(found)
        record = DeleteRowsRecord(
            database_id=live.id,
            table=table,
            began=found.began,
            times=times,
            condition=condition,
        )
        frame = encode_frame(FrameKind.COMMIT, [], encode_delete(record))
        durable = await asyncio.shield(self._log.append(frame))
        logger.info(
            "rows deleted",
            extra=keys(database=database, table=table, position=durable.position),
        )
        return durable.position

    def _refusal(self, table: LiveTable) -> BackPressureError:
        """That too many deletes of a table wait, and when that ends."""
        damaged = next(
            (
                damage
                for entry in table.files
                if (damage := self._faults.known(entry)) is not None
                and any(delete.concerns(entry) for delete in table.deletes)
            ),
            None,
        )
        what = f"{len(table.deletes)} deletes of rows of '{table.name}' are not carried out"
        if damaged is not None:
            return BackPressureError(
                f"{what}: the file {damaged.file} cannot be read: {damaged.reason}",
                retry_after_s=600,
                hint="this ends when the file is restored from a backup and the server restarted, "
                "or when its rows are past retention; until then delete more at once, by time",
            )
        return BackPressureError(
            f"{what} in files yet",
            retry_after_s=_RETRY_S,
            hint="the server is at it, and takes more as soon as the table's files are written "
            "without these rows: send it again, or delete more at once, by time or IN",
        )

    def _find(self, database: str, table: str) -> tuple[LiveDatabase, LiveTable]:
        self._catalog.database(database)
        live = self._store.database(database)
        found = None if live is None else live.table(table)
        if live is None or found is None:
            raise TableMissingError(
                f"Table {table} not in DB schema for {database}",
                hint="'SHOW TABLES' lists those that there are",
            )
        return live, found
