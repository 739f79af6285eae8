# Owns answers that take their time: those whose body is sent while it is made, and long work for an
# answer. Both watch the connection, so that nothing goes on for a client that has left.
"""Streamed answers, and work that ends when its client leaves."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol, TypeVar

from engine.http.asgi import Response, Send, SentHeaders, encoded
from engine.http.bodies import ClientGoneError, Receive

Result = TypeVar("Result")

# For a client to take so much, at the slowest: a piece is as large as the worker makes them.
STALL_TIMEOUT_S = 30.0


class Pieces(Protocol):
    """A body in pieces."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces, in order."""

    async def aclose(self) -> None:
        """Nobody reads on; also called at the end."""


class StreamedResponse(Response, frozen=True, kw_only=True):
    """An answer that is sent piece by piece.

    Attributes:
        stall_s: Longest time for the client to take one piece.
    """

    pieces: Pieces
    receive: Receive
    stall_s: float = STALL_TIMEOUT_S

    async def send(self, send: Send, common: SentHeaders = ()) -> None:
        """Send the pieces as they come.

        An exception of theirs passes: the server then cuts the connection, which is how a client
        learns that an answer without a length is not whole.

        Raises:
            TimeoutError: The client did not take what was sent.
        """
        headers = [*common, *encoded(self.headers)]
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            await self._send_while_connected(send)
        finally:
            await self.pieces.aclose()

    async def _send_while_connected(self, send: Send) -> None:
        sending = asyncio.create_task(self._send_pieces(send))
        watching = asyncio.create_task(_disconnected(self.receive))
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, watching):
                task.cancel()
            await asyncio.gather(sending, watching, return_exceptions=True)

    async def _send_pieces(self, send: Send) -> None:
        async for piece in self.pieces:
            async with asyncio.timeout(self.stall_s):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def while_connected(
    receive: Receive, work: Coroutine[Any, Any, Result], *, after_s: float = 0.0
) -> Result:
    """What `work` returns; it is cancelled when the client leaves. For read-up requests only.

    Work that ends within `after_s` is spared the looking.

    Raises:
        ClientGoneError: The client has left.
    """
    working = asyncio.create_task(work)
    tasks: list[asyncio.Task[Any]] = [working]
    try:
        if after_s:
            await asyncio.wait({working}, timeout=after_s)
        if not working.done():
            watching = asyncio.create_task(_disconnected(receive))
            tasks.append(watching)
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGoneError("the client closed the connection before its answer was ready")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
