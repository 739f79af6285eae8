# Owns the order of catalog changes: validate against the state, log, wait until durable (and
# thereby applied), one change at a time. Two requests for one name can therefore not both pass the
# validation.
"""Durable catalog changes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from engine.catalog.caches import DistinctCacheDraft, LastCacheDraft
from engine.catalog.catalog import Catalog
from engine.catalog.changes import (
    CatalogChange,
    CreateToken,
    DeleteToken,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    FirstBackfill,
    RegenerateToken,
    SetTriggerPermissions,
    UpdateTrigger,
    encode_change,
)
from engine.catalog.model import DistinctCache, LastCache, Token, Trigger
from engine.catalog.tokens import TokensImage
from engine.catalog.trigger_permissions import stored_permissions
from engine.clock import Clock
from engine.errors import TriggerEnabledError, TriggerNotFoundError
from engine.ids import Position
from engine.ingest.holds import Holds
from engine.wal.log import DurableFrame, Log
from lp_core import FrameKind, encode_frame


async def _nowhere(position: Position, tokens: TokensImage) -> None:
    """Keep no copy of the tokens."""


class CatalogWriter:
    """Changes the catalog; every method returns once the change is durable and applied.

    ``holds`` are for those who change tables.
    """

    def __init__(
        self,
        catalog: Catalog,
        log: Log,
        clock: Clock,
        *,
        keep_tokens: Callable[[Position, TokensImage], Awaitable[None]] = _nowhere,
    ) -> None:
        """Write to `log`; `keep_tokens` is given all tokens after each change of one."""
        self._catalog = catalog
        self._keep_tokens = keep_tokens
        self._log = log
        self._clock = clock
        self.holds = Holds()
        self._one_at_a_time = asyncio.Lock()

    async def create_database(self, name: str, *, retention_ns: int | None = None) -> None:
        """Create a database.

        Raises:
            InvalidNameError, AlreadyExistsError, WalError: As they say.
        """
        await self.change(
            lambda: self._catalog.new_database(
                name, created_ns=self._clock.now_ns(), retention_ns=retention_ns
            )
        )

    async def ensure_database(self, name: str) -> None:
        """Create the database unless it exists.

        Raises:
            AlreadyDeletedError: The name is that of a deleted database.
        """
        if not self._catalog.has_database(name):
            await self.change(
                lambda: (
                    None
                    if self._catalog.has_database(name)
                    else self._catalog.new_database(
                        name, created_ns=self._clock.now_ns(), retention_ns=None
                    )
                )
            )

    async def create_trigger(self, draft: Trigger, backfill: FirstBackfill | None = None) -> None:
        """Create the trigger of `draft`, and begin its backfill with it.

        Raises:
            InvalidNameError, DatabaseNotFoundError, AlreadyExistsError, WalError: As they say.
        """
        await self.change(lambda: self._catalog.new_trigger(draft, backfill))

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

        await self.change(change)

    async def update_trigger(self, trigger: Trigger, *, plugin_digest: str) -> None:
        """Let `trigger` run the fetched code of that hash.

        Raises:
            TriggerNotFoundError, WalError: It is gone, also when another has its name now.
        """

        def change() -> CatalogChange:
            if self._catalog.trigger_by_id(trigger.id) is None:
                raise TriggerNotFoundError(
                    f"the trigger was not found any more: {trigger.name}",
                    hint="it was deleted while its code was fetched",
                )
            return UpdateTrigger(trigger.id, plugin_digest)

        await self.change(change)

    async def set_trigger_permissions(
        self, database: str, name: str, permissions: tuple[str, ...]
    ) -> None:
        """Let a trigger do what `permissions` say, and nothing else.

        Raises:
            DatabaseNotFoundError, TriggerNotFoundError, WalError: As they say.
        """
        await self.change(
            lambda: SetTriggerPermissions(
                self._catalog.trigger(database, name).id, stored_permissions(permissions)
            )
        )

    async def enable_trigger(self, database: str, name: str) -> None:
        """Enable a trigger; nothing happens when it is enabled.

        Raises:
            DatabaseNotFoundError, TriggerNotFoundError, WalError: As they say.
        """

        def change() -> CatalogChange | None:
            trigger = self._catalog.trigger(database, name)
            return EnableTrigger(trigger.id) if trigger.disabled else None

        await self.change(change)

    async def disable_trigger(self, database: str, name: str, *, reason: str = "") -> None:
        """Disable a trigger; nothing happens when it is disabled.

        Raises:
            DatabaseNotFoundError, TriggerNotFoundError, WalError: As they say.
        """

        def change() -> CatalogChange | None:
            trigger = self._catalog.trigger(database, name)
            return None if trigger.disabled else DisableTrigger(trigger.id, reason)

        await self.change(change)

    async def create_last_cache(
        self, database: str, draft: Callable[[], LastCacheDraft]
    ) -> LastCache:
        """Create a cache of last rows; return it with what the draft left open.

        `draft` is called when all earlier changes have taken effect: the table may be gone.

        Raises:
            DatabaseNotFoundError, CacheTableNotFoundError, InvalidNameError, AlreadyExistsError,
            CatalogError, WalError: As they say.
        """
        made: list[LastCache] = []

        def change() -> CatalogChange:
            database_id = self._catalog.database(database).id
            change = self._catalog.caches.new_last(database_id, draft())
            made.append(change.cache)
            return change

        await self.change(change)
        return made[0]

    async def create_distinct_cache(
        self, database: str, draft: Callable[[], DistinctCacheDraft]
    ) -> DistinctCache:
        """Create a cache of distinct values; return it with what the draft left open.

        `draft` is as for last rows.

        Raises:
            DatabaseNotFoundError, CacheTableNotFoundError, InvalidNameError, AlreadyExistsError,
            CatalogError, WalError: As they say.
        """
        made: list[DistinctCache] = []

        def change() -> CatalogChange:
            database_id = self._catalog.database(database).id
            change = self._catalog.caches.new_distinct(database_id, draft())
            made.append(change.cache)
            return change

        await self.change(change)
        return made[0]

    async def delete_last_cache(self, database: str, table: str, name: str) -> None:
        """Delete a cache of last rows.

        Raises:
            DatabaseNotFoundError, CacheNotFoundError, WalError: As they say.
        """
        await self.change(
            lambda: self._catalog.caches.last_removal(
                self._catalog.database(database).id, table, name
            )
        )

    async def delete_distinct_cache(self, database: str, table: str, name: str) -> None:
        """Delete a cache of distinct values.

        Raises:
            DatabaseNotFoundError, CacheNotFoundError, WalError: As they say.
        """
        await self.change(
            lambda: self._catalog.caches.distinct_removal(
                self._catalog.database(database).id, table, name
            )
        )

    async def create_token(
        self, name: str, *, digest: bytes, permissions: Sequence[str], expiry_ns: int | None
    ) -> Token:
        """Create a token of which `digest` is the hash.

        Raises:
            InvalidNameError, AlreadyExistsError, TokenNotFoundError, WalError: As they say.
        """
        tokens = self._catalog.tokens
        await self.change(
            lambda: tokens.new_token(
                name,
                digest=digest,
                permissions=permissions,
                created_ns=self._clock.now_ns(),
                expiry_ns=expiry_ns,
            )
        )
        return tokens.named(name)

    async def regenerate_token(
        self, name: str, *, digest: bytes, expiry_ns: int | None = None
    ) -> Token:
        """Give a token another text, of which `digest` is the hash.

        Raises:
            TokenNotFoundError, WalError: As they say.
        """
        tokens = self._catalog.tokens
        await self.change(
            lambda: RegenerateToken(
                tokens.named(name).id, digest, self._clock.now_ns(), expiry_ns=expiry_ns
            )
        )
        return tokens.named(name)

    async def delete_token(self, name: str) -> None:
        """Delete a token.

        Raises:
            TokenNotFoundError, LastAdminTokenError, WalError: As they say.
        """
        await self.change(lambda: self._catalog.tokens.removal(name))

    async def change(self, make: Callable[[], CatalogChange | None]) -> None:
        """Make durable what `make` gives against the state of the moment; nothing for None.

        Raises:
            WalError, BackPressureError: The log does not take it.
            EngineError: As `make`.
        """
        async with self._one_at_a_time:
            change = make()
            if change is not None:
                frame = encode_frame(FrameKind.CATALOG, [], encode_change(change))
                # Who is cancelled must not leave the lock, or a hold, while the change is on its
                # way: the next one would be checked against a state that is about to go.
                durable = await _end_of(self._log.append(frame))
                if isinstance(change, CreateToken | RegenerateToken | DeleteToken):
                    await self._keep_tokens(durable.position, self._catalog.tokens.image())


async def _end_of(done: asyncio.Future[DurableFrame]) -> DurableFrame:
    """Wait for `done`, which the log is sure to end, through whatever cancellation."""
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        while not done.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([done])
        raise
