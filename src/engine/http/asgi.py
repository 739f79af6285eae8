# Owns the contact with ASGI: request and response values, and the reading of bodies under limits of
# size and time (granian has neither). No route, no business.
"""Requests and responses over ASGI."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from isal import isal_zlib

from engine.errors import BackPressureError, BodyTooLargeError, EngineError, RequestError
from engine.http.access import Access

Scope = Mapping[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# window bits that make zlib read the gzip format
_GZIP_WINDOW_BITS = 31
# A member is decompressed in pieces of this size: what follows it is copied at its end, and a body
# may be made of half a million members.
_GUNZIP_PIECE_BYTES = 16 * 1024
# Of a body that is too large, this much is still taken in before the answer.
DISCARD_BYTES_MAX = 256 * 1024 * 1024
# Bodies above this are decompressed in a thread, so that the loop goes on.
_INLINE_GUNZIP_BYTES_MAX = 64 * 1024


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the HTTP interface."""

    host: str = "127.0.0.1"
    port: int = 8181
    # Bytes of a body, as received and again after decompression.
    body_bytes_max: int = 10 * 1024 * 1024
    # Seconds that a client may be silent within its body, and that the whole body may take.
    receive_idle_s: float = 15.0
    receive_total_s: float = 300.0
    # Seconds for which the rest of a body that is too large is still taken in.
    discard_s: float = 5.0
    # Bodies being received or processed at one time, in bytes; more are refused with 503.
    bodies_bytes_max: int = 512 * 1024 * 1024
    without_auth: bool = False
    # Paths that need no token even when tokens exist.
    paths_without_token: frozenset[str] = frozenset()


class ReceiveTimeoutError(EngineError):
    """A client was too slow with its body."""

    code = "receive_timeout"


class ShuttingDownError(EngineError):
    """The server is about to stop."""

    code = "shutting_down"


class ClientGoneError(EngineError):
    """The client closed the connection."""

    code = "client_gone"


class UnsupportedMediaTypeError(RequestError):
    """A JSON endpoint got something else."""

    code = "unsupported_media_type"


class Response(msgspec.Struct, frozen=True):
    """An answer; ``headers`` come on top of content-type and content-length."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: list[tuple[str, str]] = msgspec.field(default_factory=list)

    async def send(self, send: Send) -> None:
        """Send it."""
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers
        ]
        if self.content_type is not None:
            headers.append((b"content-type", self.content_type.encode("latin-1")))
        if self.status != 204:
            headers.append((b"content-length", str(len(self.body)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def json_response(value: object, status: int = 200) -> Response:
    """`value` as JSON."""
    return Response(status, msgspec.json.encode(value), "application/json")


class BodyGate:
    """Bounds what all bodies together occupy, and ends the reading of bodies at shutdown."""

    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        self._reading: set[asyncio.Task[Any]] = set()
        self.bytes_in_flight = 0
        self.is_closed = False

    def close(self) -> None:
        """Refuse bodies from now on, and interrupt those that are still coming in."""
        self.is_closed = True
        for task in self._reading:
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
        self, receive: Receive, declared: int | None, admit: Callable[[int], None]
    ) -> bytes:
        """The whole body; `admit` accounts for its bytes as they come in.

        Raises:
            BodyTooLargeError: It is over the limit (found out before reading where declared).
            BackPressureError: All bodies together reach their limit.
            ReceiveTimeoutError: The client was too slow.
            ShuttingDownError: The server stops.
            ClientGoneError: The connection broke.
        """
        limit = self._config.body_bytes_max
        if declared is not None and declared > limit:
            await self._discard(receive)
            raise too_large(limit)
        if self.is_closed:
            raise ShuttingDownError("the server is shutting down")
        task = asyncio.current_task()
        assert task is not None
        self._reading.add(task)
        try:
            async with asyncio.timeout(self._config.receive_total_s):
                return await self._collect(receive, limit, admit)
        except TimeoutError:
            raise ReceiveTimeoutError(
                f"the body did not come within {self._config.receive_idle_s:g} s of silence, "
                f"or {self._config.receive_total_s:g} s in all"
            ) from None
        except asyncio.CancelledError:
            if not self._is_interrupted():
                raise
            task.uncancel()
            raise ShuttingDownError("the server is shutting down") from None
        finally:
            self._reading.discard(task)

    def _is_interrupted(self) -> bool:
        # A call, because the gate may have closed since `read` looked at it.
        return self.is_closed

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

    async def _collect(self, receive: Receive, limit: int, admit: Callable[[int], None]) -> bytes:
        chunks: list[bytes] = []
        received = 0
        while True:
            async with asyncio.timeout(self._config.receive_idle_s):
                message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError("the client closed the connection within its body")
            chunk = message.get("body", b"")
            if chunk:
                received += len(chunk)
                if received > limit:
                    await self._discard(receive)
                    raise too_large(limit)
                chunks.append(chunk)
                admit(len(chunk))
            if not message.get("more_body", False):
                # The common case of one chunk costs no copy.
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self.is_full:
                raise self.back_pressure()


def too_large(limit: int) -> BodyTooLargeError:
    """The error for a body over `limit`."""
    return BodyTooLargeError(
        f"max request size ({limit} bytes) exceeded",
        hint="send smaller bodies, or start the server with a larger --max-http-request-size",
    )


def gunzip(body: bytes, limit: int) -> bytes:
    """`body` decompressed; several gzip members one after the other are one body.

    Raises:
        RequestError: It is not gzip, or not whole.
        BodyTooLargeError: The content is over `limit` bytes (found out without expanding more).
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
            content = decompressor.decompress(piece, max_length=limit - total + 1)
        except isal_zlib.error as error:  # type: ignore[misc]  # its stub says instance, not class
            raise RequestError(f"error decoding gzip stream: {error}") from error
        total += len(content)
        if total > limit:
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


class Request:
    """One HTTP request."""

    def __init__(self, scope: Scope, receive: Receive, gate: BodyGate, config: HttpConfig) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        raw_path = scope.get("raw_path")
        self.raw_path: str = raw_path.decode("latin-1") if raw_path else self.path
        self.query_string: str = scope["query_string"].decode("latin-1")
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("utf-8", "replace")
            for name, value in scope["headers"]
        }
        client = scope.get("client")
        # Address of the other end of the connection.
        self.client: str = client[0] if client else ""
        # What the client may do; set before the handler runs.
        self.access: Access
        self.receive = receive
        self._gate = gate
        self._config = config
        self.admitted_bytes = 0
        self._is_body_wanted = False

    def query_parameters(self) -> dict[str, str]:
        """Decoded parameters of the URL; of a repeated name the last value."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    async def body(self) -> bytes:
        """The whole body, decompressed.

        Raises:
            RequestError, BodyTooLargeError, BackPressureError, ReceiveTimeoutError,
            ShuttingDownError, ClientGoneError: As they say.
        """
        self._is_body_wanted = True
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise RequestError(
                f"unacceptable content-encoding: {encoding}", hint="use gzip, or none at all"
            )
        length = self.headers.get("content-length", "")
        declared = int(length) if length.isdecimal() else None
        body = await self._gate.read(self.receive, declared, self._admit)
        if encoding == "gzip" and body:
            limit = self._config.body_bytes_max
            if len(body) <= _INLINE_GUNZIP_BYTES_MAX:
                body = gunzip(body, limit)
            else:
                loop = asyncio.get_running_loop()
                body = await loop.run_in_executor(None, gunzip, body, limit)
            self._admit(len(body))
        return body

    async def discard_body(self) -> None:
        """Before a refusal is sent: take in the body, if there is one and no handler has read it.

        A client that waits for permission to send its body is not given it.
        """
        headers = self.headers
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if has_body and not self._is_body_wanted and "expect" not in headers:
            await self._gate.discard_unread(self.receive)

    def _admit(self, nbytes: int) -> None:
        self.admitted_bytes += nbytes
        self._gate.admit(nbytes)
