# Owns the order of catalog changes: validate against the state, log, wait until durable (and
# thereby applied), one change at a time. Two requests for one name can therefore not both pass the
# validation.
"""Durable catalog changes."""

import asyncio
from collections.abc import Callable

from engine.catalog.catalog import Catalog
from engine.catalog.changes import (
    CatalogChange,
    DeleteDatabase,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    encode_change,
)
from engine.catalog.model import Trigger
from engine.clock import Clock
from engine.errors import TriggerEnabledError
from engine.wal.log import Log
from lp_core import FrameKind, encode_frame


class CatalogWriter:
    """Changes the catalog; every method returns once the change is durable and applied."""

    def __init__(self, catalog: Catalog, log: Log, clock: Clock) -> None:
        self._catalog = catalog
        self._log = log
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def create_database(self, name: str, *, retention_ns: int | None = None) -> None:
        """Create a database.

        Raises:
            InvalidNameError, AlreadyExistsError, WalError: As they say.
        """
        await self._change(
            lambda: self._catalog.new_database(
                name, created_ns=self._clock.now_ns(), retention_ns=retention_ns
            )
        )

    async def ensure_database(self, name: str) -> None:
        """Create the database unless it exists."""
        if not self._catalog.has_database(name):
            await self._change(
                lambda: (
                    None
                    if self._catalog.has_database(name)
                    else self._catalog.new_database(
                        name, created_ns=self._clock.now_ns(), retention_ns=None
                    )
                )
            )

    async def set_retention(
        self, database: str, table: str | None, retention_ns: int | None
    ) -> None:
        """Set how long rows are kept, of a database or of one table of it.

        Raises:
            DatabaseNotFoundError, WalError: As they say.
        """
        await self._change(lambda: self._catalog.new_retention(database, table, retention_ns))

    async def delete_database(self, name: str) -> None:
        """Delete a database with its tables and triggers.

        Raises:
            DatabaseNotFoundError, WalError: As they say.
        """
        await self._change(lambda: DeleteDatabase(self._catalog.database(name).id, name))

    async def create_trigger(self, draft: Trigger) -> None:
        """Create the trigger of `draft`.

        Raises:
            InvalidNameError, DatabaseNotFoundError, AlreadyExistsError, WalError: As they say.
        """
        await self._change(lambda: self._catalog.new_trigger(draft))

    async def delete_trigger(self, database: str, name: str, *, force: bool) -> None:
        """Delete a trigger; an enabled one only with `force`.

        Raises:
            DatabaseNotFoundError, TriggerNotFoundError, TriggerEnabledError, WalError: As they say.
        """

        def change() -> CatalogChange:
            trigger = self._catalog.trigger(database, name)
            if not trigger.disabled and not force:
                raise TriggerEnabledError(
                    f"Cannot delete running plugin {name}. Disable it first or use --force.",
                    hint="disable the trigger, or repeat with force",
                )
            return DeleteTrigger(trigger.id)

        await self._change(change)

    async def enable_trigger(self, database: str, name: str) -> None:
        """Enable a trigger; nothing happens when it is enabled.

        Raises:
            DatabaseNotFoundError, TriggerNotFoundError, WalError: As they say.
        """

        def change() -> CatalogChange | None:
            trigger = self._catalog.trigger(database, name)
            return EnableTrigger(trigger.id) if trigger.disabled else None

        await self._change(change)

    async def disable_trigger(self, database: str, name: str, *, reason: str = "") -> None:
        """Disable a trigger; nothing happens when it is disabled.

        Raises:
            DatabaseNotFoundError, TriggerNotFoundError, WalError: As they say.
        """

        def change() -> CatalogChange | None:
            trigger = self._catalog.trigger(database, name)
            return None if trigger.disabled else DisableTrigger(trigger.id, reason)

        await self._change(change)

    async def _change(self, make: Callable[[], CatalogChange | None]) -> None:
        async with self._one_at_a_time:
            change = make()
            if change is not None:
                frame = encode_frame(FrameKind.CATALOG, [], encode_change(change))
                # A client that goes away must not leave the lock while the change is on its way.
                await asyncio.shield(self._log.append(frame))
