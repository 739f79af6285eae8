# Owns the reading of request bodies under limits of size and time (granian has neither), and their
# decompression. Knows no route and no answer.
"""Request bodies."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from isal import isal_zlib

from engine.errors import BackPressureError, BodyTooLargeError, EngineError, RequestError
from engine.http.http_config import HttpConfig

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# window bits that make zlib read the gzip format
_GZIP_WINDOW_BITS = 31
# A member is decompressed in pieces of this size: what follows it is copied at its end, and a body
# may be made of half a million members.
_GUNZIP_PIECE_BYTES = 16 * 1024
# Of a body that is too large, this much is still taken in before the answer.
DISCARD_BYTES_MAX = 256 * 1024 * 1024
# Seconds between two looks for bodies that are overdue; short limits are looked at more often.
_SWEEP_INTERVAL_S = 1.0
_SWEEPS_PER_SILENCE = 8


# The settings that say how large a body may be.
LARGE_BODIES, SMALL_BODIES = "--max-http-request-size", "--http-json-size-max"


class ReceiveTimeoutError(EngineError):
    """A client was too slow with its body."""

    code = "receive_timeout"


class ShuttingDownError(EngineError):
    """The server is about to stop."""

    code = "shutting_down"


class ClientGoneError(EngineError):
    """The client closed the connection."""

    code = "client_gone"


class BodyLimit(NamedTuple):
    """How large a body may be, as received and again after decompression, and what says so."""

    bytes_max: int
    setting: str


class BodyGate:
    """Bounds what all bodies together occupy, and ends the reading of bodies that are overdue."""

    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        # Of rows, code of plugins and what they are asked; and of everything else, whose bodies are
        # read on the event loop.
        self.large = BodyLimit(config.body_bytes_max, LARGE_BODIES)
        self.small = min(self.large, BodyLimit(config.json_bytes_max, SMALL_BODIES))
        # Bodies under way: until when the task that reads one must get its next chunk.
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._first_wait_s = min(config.receive_idle_s, config.receive_total_s)
        self.sweep_interval_s = min(_SWEEP_INTERVAL_S, config.receive_idle_s / _SWEEPS_PER_SILENCE)
        self.bytes_in_flight = 0
        self.is_closed = False

    def close(self) -> None:
        """Refuse bodies from now on, and interrupt those that are still coming in."""
        self.is_closed = True
        for task in self._deadlines:
            if task not in self._overdue:
                task.cancel()

    def admit(self, nbytes: int) -> None:
        """Account for `nbytes` more; the application releases them when the request is answered."""
        self.bytes_in_flight += nbytes

    def release(self, nbytes: int) -> None:
        """Give back what was admitted."""
        self.bytes_in_flight -= nbytes

    @property
    def is_full(self) -> bool:
        """Whether the bodies in flight reach their limit."""
        return self.bytes_in_flight >= self._config.bodies_bytes_max

    def back_pressure(self) -> BackPressureError:
        """The refusal of a request while the gate is full."""
        return BackPressureError(
            f"{self.bytes_in_flight} bytes of request bodies are being processed",
            hint="send again after the pause given, or with fewer connections",
        )

    async def read(
        self,
        receive: Receive,
        declared: int | None,
        admit: Callable[[int], None],
        task: asyncio.Task[Any],
        *,
        limit: BodyLimit | None = None,
        waits_for_end: bool = True,
        asked_s: float | None = None,
    ) -> bytes:
        """The whole body, read in `task`; `admit` accounts for its bytes as they come in.

        It is refused beyond its `limit` (default: that of large ones).

        Unless it `waits_for_end`, the body is whole with its `declared` bytes: granian says only
        with one more message, after one more turn through its threads, that there are no others.
        The time that it may take began at `asked_s` (of the loop; default: now).

        Raises:
            BodyTooLargeError: It is over the limit (found out before reading where declared).
            BackPressureError: All bodies together reach their limit.
            ReceiveTimeoutError: The client was too slow.
            ShuttingDownError: The server stops.
            ClientGoneError: The connection broke.
        """
        limit = limit or self.large
        if declared is not None and declared > limit.bytes_max:
            await self._discard(receive)
            raise too_large(limit)
        if self.is_closed:
            raise ShuttingDownError("the server is shutting down")
        loop = task.get_loop()
        started = loop.time() if asked_s is None else asked_s
        self._deadlines[task] = started + self._first_wait_s
        # One timer for all bodies: most come within microseconds and never see it.
        if self._sweep is None:
            self._sweep = loop.call_later(self.sweep_interval_s, self._end_overdue, loop)
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if len(body) == declared and not waits_for_end:
                # The common case: small, and whole at once.
                admit(declared)
                return body
            whole_at = None if waits_for_end else declared
            last = started + self._config.receive_total_s
            return await self._collect(message, receive, whole_at, admit, task, last, limit)
        except asyncio.CancelledError:
            raise self._interruption(task) from None
        finally:
            del self._deadlines[task]

    async def _collect(
        self,
        message: Message,
        receive: Receive,
        whole_at: int | None,
        admit: Callable[[int], None],
        task: asyncio.Task[Any],
        last: float,
        limit: BodyLimit,
    ) -> bytes:
        config = self._config
        chunks: list[bytes] = []
        received = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGoneError("the client closed the connection within its body")
            chunk = message.get("body", b"")
            if chunk:
                received += len(chunk)
                if received > limit.bytes_max:
                    self._deadlines[task] = last
                    await self._discard(receive)
                    raise too_large(limit)
                chunks.append(chunk)
                admit(len(chunk))
            if received == whole_at or not message.get("more_body", False):
                # One chunk costs no copy.
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self.is_full:
                raise self.back_pressure()
            self._deadlines[task] = min(task.get_loop().time() + config.receive_idle_s, last)
            message = await receive()

    async def discard_unread(self, receive: Receive) -> None:
        """Take in a body that nobody wants, as far as one that is wanted might go."""
        if not self.is_closed:
            await self._discard(receive, self._config.body_bytes_max)

    async def _discard(self, receive: Receive, bytes_max: int = DISCARD_BYTES_MAX) -> None:
        """Read on for a little: many clients look for the answer only after they have sent all."""
        received = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.discard_s):
                while received < bytes_max:
                    message = await receive()
                    received += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return

    def _end_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = None
        now = loop.time()
        for task, deadline in self._deadlines.items():
            if deadline < now and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        if self._deadlines:
            self._sweep = loop.call_later(self.sweep_interval_s, self._end_overdue, loop)

    def _interruption(self, task: asyncio.Task[Any]) -> BaseException:
        """What a cancellation of `task` within its body means."""
        if task in self._overdue:
            self._overdue.remove(task)
            task.uncancel()
            return ReceiveTimeoutError(
                f"the body did not come within {self._config.receive_idle_s:g} s of silence, "
                f"or {self._config.receive_total_s:g} s in all"
            )
        if self.is_closed:
            task.uncancel()
            return ShuttingDownError("the server is shutting down")
        return asyncio.CancelledError()


def too_large(limit: BodyLimit) -> BodyTooLargeError:
    """The error for a body over `limit`."""
    return BodyTooLargeError(
        f"max request size ({limit.bytes_max} bytes) exceeded",
        hint=f"send smaller bodies, or start the server with a larger {limit.setting}",
    )


def gunzip(body: bytes, limit: BodyLimit) -> bytes:
    """`body` decompressed; several gzip members one after the other are one body.

    Raises:
        RequestError: It is not gzip, or not whole.
        BodyTooLargeError: The content is over `limit` (found out without expanding more).
    """
    parts: list[bytes] = []
    total = offset = 0
    view = memoryview(body)
    decompressor = None
    while offset < len(view):
        if decompressor is None:
            decompressor = isal_zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
        piece = view[offset : offset + _GUNZIP_PIECE_BYTES]
        try:
            content = decompressor.decompress(piece, max_length=limit.bytes_max - total + 1)
        except isal_zlib.error as error:  # type: ignore[misc]  # its stub says instance, not class
            raise RequestError(f"error decoding gzip stream: {error}") from error
        total += len(content)
        if total > limit.bytes_max:
            raise too_large(limit)
        if content:
            parts.append(content)
        offset += len(piece)
        if decompressor.eof:
            offset -= len(decompressor.unused_data)
            decompressor = None
    if decompressor is not None:
        raise RequestError("error decoding gzip stream: it ends too early")
    return parts[0] if len(parts) == 1 else b"".join(parts)
