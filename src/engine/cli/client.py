# Owns the client side of HTTP for the commands: one connection, JSON in, errors as EngineError.
# Uses http.client because it imports fast.
"""HTTP client of the commands."""

import argparse
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlencode, urlsplit

from engine.cli.parsing import nearest
from engine.errors import ConfigError, EngineError

TIMEOUT_S = 120.0


_UNNAMED_HINT = "give a token with --token or HEADRACE_AUTH_TOKEN, or in a profile"
# What OpenSSL says of an answer that is none of TLS.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
# Of a streamed answer, at once.
_PIECE_BYTES = 1024 * 1024
# Refused lines that are printed of one command.
_LINES_SHOWN_MAX = 10


class ServerError(EngineError):
    """The server answered with an error, or not at all.

    Attributes:
        text: What it said, without the lines.
        status: HTTP status; 0 when there was no answer.
        lines: The refused lines, as the server lists them.
        kind: The server's own code of the error.
    """

    code = "server_error"

    def __init__(
        self,
        text: str,
        *,
        status: int = 0,
        hint: str = "",
        lines: Sequence[dict[str, Any]] = (),
        kind: str = "",
    ) -> None:
        message = text if lines or not status else f"{text} [{status}]"
        for line in lines[:_LINES_SHOWN_MAX]:
            message += f"\n  line {line.get('line_number')}: {line.get('error_message')}"
            message += f"\n    {line.get('original_line')}"
        if len(lines) > _LINES_SHOWN_MAX:
            message += f"\n  … and {len(lines) - _LINES_SHOWN_MAX} more"
        super().__init__(message, hint=hint)
        self.text = text
        self.status = status
        self.lines = lines
        self.kind = kind


class Client:
    """One connection to the server of ``--host``."""

    def __init__(
        self, namespace: argparse.Namespace, *, timeout_s: float | None = TIMEOUT_S
    ) -> None:
        self._namespace = namespace
        self._is_guessing = False
        self._url = namespace.host
        self._token = _token(namespace)
        self._connection = _connection(namespace, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        parameters: dict[str, str] | None = None,
        body: bytes | None = None,
        content: object = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        """The body of a successful answer. `content` is sent as JSON.

        Raises:
            ServerError: The server refused, or cannot be reached.
        """
        response = self._response(method, path, parameters, body, content, headers)
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error

    def stream(self, path: str, *, parameters: dict[str, str] | None = None) -> Iterator[bytes]:
        """The body of a successful answer to GET, in pieces; read it to its end.

        Raises:
            ServerError: The server refused, cannot be reached, or broke off.
        """
        response = self._response("GET", path, parameters)
        try:
            while piece := response.read(_PIECE_BYTES):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error

    def _response(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None,
        body: bytes | None = None,
        content: object = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> http.client.HTTPResponse:
        sent = dict(headers)
        if content is not None:
            body = json.dumps(content).encode()
            sent["Content-Type"] = "application/json"
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        try:
            self._connection.request(method, target, body, sent)
            response = self._connection.getresponse()
            refused = response.read() if response.status >= 300 else b""
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise ServerError(
                f"no server answers at {self._url}",
                hint="start one with 'headrace serve', or name it with --host",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error
        if response.status >= 300:
            refusal = _server_error(response.status, response.reason, refused)
            if response.status == 401 and self._token is None:
                # The server's own words are for those who write headers.
                raise ServerError(refusal.text, status=401, hint=_UNNAMED_HINT)
            if refusal.kind in _NAMED and not self._is_guessing:
                self._is_guessing = True
                raise _with_guess(refusal, self, self._namespace)
            raise refusal
        return response

    def _broken(self, error: Exception) -> ServerError:
        # Whatever is left of the answer must not be taken for that of the next request.
        self._connection.close()
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = ""
        if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
            hint = "it may not speak TLS: write http://"
        return ServerError(f"{self._url}: {reason or type(error).__name__}", hint=hint)


class _UnixConnection(http.client.HTTPConnection):
    """A connection over the socket file at `path`."""

    def __init__(self, path: str, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(
    namespace: argparse.Namespace, timeout_s: float | None
) -> http.client.HTTPConnection:
    """A connection, not yet opened, to what ``--host`` names.

    Raises:
        ConfigError: It is not a URL.
    """
    try:
        parts = urlsplit(namespace.host)
        port = parts.port
    except ValueError:
        raise _not_a_url(namespace.host) from None
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return _UnixConnection(unquote(parts.path), timeout_s)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _not_a_url(namespace.host)
    if "@" in parts.netloc or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(
            "--host: a URL of scheme, host and port is wanted, and nothing else",
            hint="a token is given with --token or HEADRACE_AUTH_TOKEN",
        )
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            parts.hostname, port, timeout=timeout_s, context=_tls(namespace)
        )
    return http.client.HTTPConnection(parts.hostname, port, timeout=timeout_s)


def _token(namespace: argparse.Namespace) -> str | None:
    """The token, without the line break that it has in a file.

    Raises:
        ConfigError: It cannot be sent. It is not shown.
    """
    token: str | None = namespace.token
    if token is None:
        return None
    token = token.strip()
    if not token:
        return None
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            "the token has letters that no token has",
            hint="--token and HEADRACE_AUTH_TOKEN take it as it was shown, and nothing else",
        )
    return token


def _tls(namespace: argparse.Namespace) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if namespace.tls_ca is not None:
        try:
            context.load_verify_locations(namespace.tls_ca)
        except OSError as error:
            raise ConfigError(f"--tls-ca: cannot read {namespace.tls_ca}: {error}") from error
    if namespace.tls_no_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _not_a_url(text: str) -> ConfigError:
    return ConfigError(
        f"--host: '{text}' is not a URL",
        hint="write for example http://127.0.0.1:8181 or unix:///PATH",
    )


def _server_error(status: int, reason: str, answer: bytes) -> ServerError:
    text = answer.decode("utf-8", "replace")
    try:
        content: Any = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        return ServerError(text.strip() or reason, status=status)
    lines = content.get("data") or []
    return ServerError(
        str(content.get("error") or content.get("message") or reason),
        status=status,
        hint=str(content.get("hint") or ""),
        lines=[lines] if isinstance(lines, dict) else lines,
        kind=str(content.get("code") or ""),
    )


# Errors about a name that the server does not know: where names of that kind are listed, in which
# field, and which attributes may have the unknown one.
_NAMED = {
    "database_not_found": ("database", "iox::database", ("database", "name")),
    "trigger_not_found": (
        "processing_engine_trigger",
        "trigger_name",
        ("trigger", "trigger_name", "name"),
    ),
}


def _with_guess(error: ServerError, client: Client, namespace: argparse.Namespace) -> ServerError:
    """`error` with the nearest name that the user may see, if there is one."""
    what, field, attributes = _NAMED[error.kind]
    word = next(filter(None, (getattr(namespace, name, None) for name in attributes)), None)
    parameters = {"format": "json"}
    if what != "database":
        parameters["db"] = namespace.database
    try:
        rows = json.loads(client.request("GET", f"/api/v3/configure/{what}", parameters=parameters))
    except ServerError:
        return error  # it is the one that the user should see
    guess = None if word is None else nearest(str(word), [row[field] for row in rows])
    if guess is None or guess == word:
        return error
    return ServerError(error.text, status=error.status, hint=f"did you mean '{guess}'?")
