# Owns the waiting of writes while the tables of their database change: between the check of such a
# change and its effect no rows may be queued, for they were checked against what is about to go.
"""Writes held back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Holds:
    """Databases whose writes wait; lives on the event loop."""

    def __init__(self) -> None:
        self._held: dict[str, asyncio.Future[None]] = {}

    def is_held(self, database: str) -> bool:
        """Whether nothing may be queued for `database` now."""
        return database in self._held

    async def wait(self, database: str) -> None:
        """Return when something may be queued for `database`, unless another hold begins."""
        if self._held and (held := self._held.get(database)) is not None:
            await asyncio.shield(held)

    @asynccontextmanager
    async def holding(self, database: str) -> AsyncIterator[None]:
        """Let nothing be queued for `database` inside of the block."""
        while self.is_held(database):
            await self.wait(database)
        released = self._held[database] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._held[database]
            released.set_result(None)
