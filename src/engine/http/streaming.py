# Owns answers whose body is sent while it is made. They watch the connection: when the client
# leaves, whoever makes the body is told by the end of its generator.
"""Streamed answers."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from engine.http.asgi import Receive, Response, Send


class StreamedResponse(Response, frozen=True, kw_only=True):
    """An answer that is sent piece by piece."""

    pieces: AsyncGenerator[bytes, None]
    receive: Receive

    async def send(self, send: Send) -> None:
        """Send the pieces as they come.

        An exception of theirs passes: the server then cuts the connection, which is how a client
        learns that an answer without a length is not whole.
        """
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
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
            await self.pieces.aclose()

    async def _send_pieces(self, send: Send) -> None:
        async with contextlib.aclosing(self.pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _disconnected(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
