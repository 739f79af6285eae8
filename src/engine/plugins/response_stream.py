# Owns the way of a streamed response through the server: the worker's connection puts pieces in,
# the HTTP side takes them out. At most a few pieces wait here, so that a slow client slows the
# plugin.
"""Streamed responses of request plugins."""

import asyncio

from engine.errors import PluginError

_PIECES_WAITING_MAX = 4


class StreamAbandonedError(PluginError):
    """Nobody reads the streamed response any more."""

    code = "stream_abandoned"


class ResponseStream:
    """Pieces of one response on their way to the client.

    Attributes:
        has_started: Whether a first piece has come; status and headers are known from then on.
        decided: Done with the first piece, or with `decide` when the run ends without any.
    """

    def __init__(self) -> None:
        self.has_started = False
        self.decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.status = 200
        self.headers: list[tuple[str, str]] = []
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_PIECES_WAITING_MAX)
        self._abandoned = asyncio.Event()
        self._putting = 0

    @property
    def is_blocked(self) -> bool:
        """Whether the plugin waits for its client."""
        return self._putting > 0

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody reads on."""
        return self._abandoned.is_set()

    async def put(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Hand on a piece; return when there is room for another.

        Raises:
            StreamAbandonedError: The client has gone.
        """
        if not self.has_started:
            self.has_started = True
            self.status, self.headers = status, headers
            self.decide()
        await self._put(body)

    def decide(self) -> None:
        """It is known now whether the response is streamed."""
        if not self.decided.done():
            self.decided.set_result(None)

    async def end(self) -> None:
        """Tell the reader that no piece follows."""
        if self.has_started and not self._abandoned.is_set():
            try:
                await self._put(None)
            except StreamAbandonedError:
                return

    async def next(self) -> bytes | None:
        """The next piece, or None at the end, also the end that `abandon` makes."""
        if not self._pieces.empty():
            return self._pieces.get_nowait()
        getting = asyncio.ensure_future(self._pieces.get())
        leaving = asyncio.ensure_future(self._abandoned.wait())
        try:
            await asyncio.wait({getting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() else None
        finally:
            getting.cancel()
            leaving.cancel()

    def abandon(self) -> None:
        """Nobody will read on, or write on: the plugin learns it with its next piece."""
        self._abandoned.set()

    async def _put(self, piece: bytes | None) -> None:
        putting = asyncio.ensure_future(self._pieces.put(piece))
        leaving = asyncio.ensure_future(self._abandoned.wait())
        self._putting += 1
        try:
            await asyncio.wait({putting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._putting -= 1
            putting.cancel()
            leaving.cancel()
        if self._abandoned.is_set():
            raise StreamAbandonedError(
                "the client closed the connection, or did not read on, while the plugin answered"
            )
