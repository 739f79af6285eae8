# Owns the coming and going of databases and tables: what is checked before the change is logged,
# whose writes wait meanwhile, and when the rows of what was deleted go.
"""Creating and deleting databases and tables."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from engine.catalog.catalog import Catalog
from engine.catalog.changes import (
    CatalogChange,
    CreateTable,
    DeleteDatabase,
    DeleteHidden,
    DeleteTable,
)
from engine.clock import Clock
from engine.errors import (
    AlreadyExistsError,
    EngineError,
    InvalidNameError,
    TableMissingError,
)
from engine.ingest.catalog_writer import CatalogWriter
from engine.logs import keys
from engine.store.live import LiveDatabase, LiveStore
from lp_core import ColumnType

logger = logging.getLogger(__name__)

# How often it is looked whether the rows of something deleted are to go.
_DUE_INTERVAL_S = 1.0
_RESERVED_COLUMNS = ("time", "__chunk_order")
NAME_BYTES_MAX = 1024 * 1024


class StructureWriter:
    """Changes which databases and tables there are; returns once that is durable and applied."""

    def __init__(
        self, writer: CatalogWriter, catalog: Catalog, store: LiveStore, clock: Clock
    ) -> None:
        self._writer = writer
        self._catalog = catalog
        self._store = store
        self._clock = clock

    async def create_table(
        self, database: str, table: str, columns: Sequence[tuple[str, ColumnType]]
    ) -> None:
        """Create a table with these columns besides ``time``, and its database if there is none.

        Raises:
            InvalidNameError: A name cannot be that of a database, table or column, or comes twice.
            AlreadyExistsError: The table exists.
            WalError, BackPressureError: The log does not take it.
        """
        _check_names(table, columns)
        await self._writer.ensure_database(database)

        def make() -> CatalogChange:
            found = self._catalog.database(database)
            # The schema knows tables whose rows are still on their way.
            if table in self._live(database).schema.tables() or self._has(database, table):
                raise AlreadyExistsError(
                    "attempted to create a resource that already exists",
                    hint=f"database '{database}' has a table '{table}'",
                )
            self._catalog.deleted.refuse(table, database=database)
            numbered = tuple((name, int(kind)) for name, kind in columns)
            return CreateTable(found.id, table, numbered)

        async with self._writer.holds.holding(database):
            await self._writer.change(make)

    async def set_retention(
        self, database: str, table: str | None, retention_ns: int | None
    ) -> None:
        """Set how long rows are kept, of a database or of one table of it; None for ever.

        Raises:
            DatabaseNotFoundError, TableMissingError: There is none.
            WalError, BackPressureError: The log does not take it.
        """

        def make() -> CatalogChange:
            change = self._catalog.new_retention(database, table, retention_ns)
            # What has a period can be rid of it, table or not.
            if table is not None and not (
                self._has(database, table)
                or (retention_ns is None and self._catalog.database(database).has_own(table))
            ):
                raise _missing(database, table)
            return change

        await self._writer.change(make)

    async def delete_table(self, database: str, table: str, hard_delete_ns: int | None) -> None:
        """Delete a table; its rows go at `hard_delete_ns` (at once where that is past), or never.

        Raises:
            DatabaseNotFoundError, TableMissingError: There is none.
            AlreadyDeletedError: It was deleted before, and its rows are not to go at once.
            WalError, BackPressureError: The log does not take it.
        """
        now_ns = self._clock.now_ns()
        is_hard = hard_delete_ns is not None and hard_delete_ns <= now_ns

        def make() -> CatalogChange:
            found = self._catalog.database(database)
            if not self._has(database, table):
                return self._hidden(table, database, is_hard=is_hard)
            if is_hard:
                return DeleteTable(found.id, database, table)
            return self._catalog.hiding_of_table(
                database, table, deleted_ns=now_ns, hard_delete_ns=hard_delete_ns
            )

        async with self._writer.holds.holding(database):
            await self._writer.change(make)
        logger.info("table deleted", extra=keys(database=database, table=table, hard=is_hard))

    async def delete_database(self, name: str, hard_delete_ns: int | None) -> None:
        """Delete a database with its tables and triggers; its rows go as those of a table.

        Raises:
            DatabaseNotFoundError: There is none.
            AlreadyDeletedError: It was deleted before, and its rows are not to go at once.
            WalError, BackPressureError: The log does not take it.
        """
        now_ns = self._clock.now_ns()
        is_hard = hard_delete_ns is not None and hard_delete_ns <= now_ns

        def make() -> CatalogChange:
            if not self._catalog.has_database(name):
                return self._hidden(name, None, is_hard=is_hard)
            if is_hard:
                return DeleteDatabase(self._catalog.database(name).id, name)
            return self._catalog.hiding_of_database(
                name, deleted_ns=now_ns, hard_delete_ns=hard_delete_ns
            )

        async with self._writer.holds.holding(name):
            await self._writer.change(make)
        logger.info("database deleted", extra=keys(database=name, hard=is_hard))

    async def delete_due(self) -> int:
        """Let the rows go whose time has come; return of how many databases and tables.

        Raises:
            WalError, BackPressureError: The log does not take it.
        """
        due = self._catalog.deleted.due(self._clock.now_ns())
        for deleted in due:
            await self._writer.change(lambda one=deleted.id: DeleteHidden(one))  # type: ignore[misc]
            logger.info(
                "rows of a deletion are gone",
                extra=keys(name=deleted.name, database=deleted.database, table=deleted.table or ""),
            )
        return len(due)

    async def keep_deleting(self) -> None:
        """Look for what is due, until cancelled."""
        while True:
            try:
                await self.delete_due()
            except EngineError as error:
                logger.warning("rows of deletions could not go yet", extra=keys(error=error))
            await asyncio.sleep(_DUE_INTERVAL_S)

    def _live(self, database: str) -> LiveDatabase:
        found = self._store.database(database)
        assert found is not None, "a database of the catalog is in the store"
        return found

    def _has(self, database: str, table: str) -> bool:
        return self._live(database).table(table) is not None

    def _hidden(self, name: str, database: str | None, *, is_hard: bool) -> CatalogChange:
        """The change that deletes for good what was deleted before and is shown as `name`."""
        if is_hard:
            hidden = self._catalog.deleted.named(name, database=database)
            if hidden is not None:
                return DeleteHidden(hidden.id)
        self._catalog.deleted.refuse(name, database=database)
        if database is None:
            self._catalog.database(name)
        raise _missing(database, name)


def _missing(database: str | None, table: str) -> TableMissingError:
    return TableMissingError(
        f"Table {table} not in DB schema for {database}",
        hint="'SHOW TABLES' lists those that there are",
    )


def _check_names(table: str, columns: Sequence[tuple[str, ColumnType]]) -> None:
    names = [name for name, _ in columns]
    for name in (table, *names):
        if not name or len(name.encode(errors="surrogatepass")) > NAME_BYTES_MAX or "\x00" in name:
            raise InvalidNameError(
                f"'{name[:100]}' cannot be the name of a table or column",
                hint=f"names have 1 to {NAME_BYTES_MAX} bytes, and no NUL character",
            )
    for name in names:
        if name in _RESERVED_COLUMNS:
            raise InvalidNameError(
                f"'{name}' is a reserved column",
                hint="every table has its time; choose another name",
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidNameError(f"column '{twice[0]}' is given twice")
