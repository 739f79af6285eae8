# Owns the contact with ASGI: request and response values. No route, no business.
"""Requests and responses over ASGI."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from engine.errors import RequestError
from engine.http.access import Access
from engine.http.bodies import BodyGate, Message, Receive, gunzip
from engine.http.write_target import WriteTarget

Scope = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
# Names and values, encoded.
SentHeaders = Sequence[tuple[bytes, bytes]]

# Bodies above this are decompressed in a thread, so that the loop goes on.
_INLINE_GUNZIP_BYTES_MAX = 64 * 1024

# Bodies up to this are asked for before anybody wants them: granian's threads fetch them meanwhile.
_EARLY_BODY_BYTES_MAX = 16 * 1024


class UnsupportedMediaTypeError(RequestError):
    """A JSON endpoint got something else."""

    code = "unsupported_media_type"


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI wants them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


class Response(msgspec.Struct, frozen=True):
    """An answer; ``headers`` come on top of content-type and content-length."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: list[tuple[str, str]] = msgspec.field(default_factory=list)
    # Which error it tells of, for the metrics; empty if none.
    error_code: str = ""

    async def send(self, send: Send, common: SentHeaders = ()) -> None:
        """Send it, with the headers that it has in `common` with others before its own."""
        headers = [*common, *encoded(self.headers)] if self.headers else [*common]
        if self.content_type is not None:
            headers.append((b"content-type", self.content_type.encode("latin-1")))
        if self.status != 204:
            headers.append((b"content-length", str(len(self.body)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def without_body(send: Send) -> Send:
    """`send` for an answer to HEAD: granian leaves the body out in HTTP/1 only."""

    async def send_headers(message: dict[str, Any]) -> None:
        is_body = message["type"] == "http.response.body"
        await send({**message, "body": b""} if is_body else message)

    return send_headers


def json_response(value: object, status: int = 200, *, error_code: str = "") -> Response:
    """`value` as JSON."""
    body = msgspec.json.encode(value)
    return Response(status, body, "application/json", error_code=error_code)


class HandedOver(msgspec.Struct, frozen=True):
    """What is known of a request that small_writes.py had begun with.

    Attributes:
        first: The first message of its body, asked for already; None if that is used.
        asked_s: When, by the clock of the loop.
        failure: What its write ended with, if it was tried.
    """

    first: Awaitable[Message] | None
    asked_s: float
    failure: Exception | None = None


def connection_of(scope: Scope) -> tuple[str, int] | None:
    """The other end of the connection: address and port, which granian gives as text."""
    client = scope.get("client")
    return (client[0], int(client[1])) if client else None


def query_parameters(query_string: str) -> dict[str, str]:
    """Decoded parameters of a URL; of a repeated name the last value."""
    return dict(parse_qsl(query_string, keep_blank_values=True))


async def _known(body: bytes) -> bytes:
    return body


class Request:
    """One HTTP request."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        gate: BodyGate,
        task: asyncio.Task[Any],
        handed_over: HandedOver | None = None,
    ) -> None:
        self.scope = scope
        self.handed_over = handed_over
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._raw_path: bytes | None = scope.get("raw_path")
        self.query_string: str = scope["query_string"].decode("utf-8", "replace")
        # granian gives names in lower case.
        self.headers: dict[str, str] = {
            str(name, "latin-1"): str(value, "utf-8", "replace") for name, value in scope["headers"]
        }
        self.connection = connection_of(scope)
        self.client: str = self.connection[0] if self.connection else ""
        # What the client may do; set before the handler runs.
        self.access: Access
        # The one that handles the request.
        self._task = task
        self._gate = gate
        self.body_limit = gate.large
        self.admitted_bytes = 0
        self._is_body_wanted = self.is_tried
        self._kept: bytes | None = None
        # In HTTP/2 the end of a body is a frame of its own: left unread, it is an error to answer.
        self._waits_for_end = scope["http_version"] == "2"
        self.declared = self._declared_length()
        self._receive = receive
        self._first: Awaitable[Message] | None = None
        # Set by the handler of a small write that is stored: where it went.
        self.merged_to: WriteTarget | None = None
        # A client that waits for permission to send its body may still be refused it.
        if handed_over is not None:
            self._first = handed_over.first
        elif (
            self.declared
            and self.declared <= _EARLY_BODY_BYTES_MAX
            and "expect" not in self.headers
        ):
            self._first = receive()

    @property
    def is_tried(self) -> bool:
        """Whether what it asks for was tried, in vain, before it was handed over."""
        return self.handed_over is not None and self.handed_over.failure is not None

    @property
    def raw_path(self) -> str:
        """The path as the client has sent it, its escapes not decoded."""
        return self._raw_path.decode("latin-1") if self._raw_path else self.path

    def receive(self) -> Awaitable[Message]:
        """The next message of ASGI."""
        first, self._first = self._first, None
        return self._receive() if first is None else first

    def query_parameters(self) -> dict[str, str]:
        """Decoded parameters of the URL; of a repeated name the last value."""
        return query_parameters(self.query_string)

    def body(self) -> Awaitable[bytes]:
        """The whole body, decompressed.

        Raises:
            RequestError, BodyTooLargeError, BackPressureError, ReceiveTimeoutError,
            ShuttingDownError, ClientGoneError: As they say, when it is awaited.
        """
        if self._kept is not None:
            return _known(self._kept)
        self._is_body_wanted = True
        encoding = self.headers.get("content-encoding")
        received = self._gate.read(
            self.receive,
            self.declared,
            self._admit,
            self._task,
            limit=self.body_limit,
            waits_for_end=self._waits_for_end,
            asked_s=None if self.handed_over is None else self.handed_over.asked_s,
        )
        return received if encoding is None else self._decoded(encoding.strip().lower(), received)

    async def keep_body(self) -> bytes:
        """The same, for somebody to whom the handler comes second."""
        self._kept = await self.body()
        return self._kept

    async def _decoded(self, encoding: str, received: Coroutine[Any, Any, bytes]) -> bytes:
        if encoding not in ("", "identity", "gzip"):
            received.close()
            raise RequestError(
                f"unacceptable content-encoding: {encoding}", hint="use gzip, or none at all"
            )
        body = await received
        if encoding == "gzip" and body:
            limit = self.body_limit
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

    def _declared_length(self) -> int | None:
        length = self.headers.get("content-length")
        # With a transfer-encoding the length says nothing.
        if length is None or "transfer-encoding" in self.headers:
            return None
        return int(length) if length.isascii() and length.isdigit() else None

    def _admit(self, nbytes: int) -> None:
        self.admitted_bytes += nbytes
        self._gate.admit(nbytes)
