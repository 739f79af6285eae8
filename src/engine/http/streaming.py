# Owns answers whose body is sent while it is made. They watch the connection: when the client
# leaves or stops reading, whoever makes the body is told by the end of its pieces.
"""Streamed answers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from engine.http.asgi import Receive, Response, Send

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

    async def send(self, send: Send) -> None:
        """Send the pieces as they come.

        An exception of theirs passes: the server then cuts the connection, which is how a client
        learns that an answer without a length is not whole.

        Raises:
            TimeoutError: The client did not take what was sent.
        """
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers
        ]
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            await self._send_while_connected(send)
        finally:
            await self.pieces.aclose()

    async def _send_while_connected(self, send: Send) -> None:
        sending = asyncio.create_task(self._send_pieces(send))
        watching = asyncio.create_task(self._disconnected())
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

    async def _disconnected(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
