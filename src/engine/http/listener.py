# Owns the settings of granian, which listens and speaks HTTP.
"""The listening sockets of HTTP."""

import socket
from pathlib import Path
from typing import Any

import msgspec
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server import embed

from engine.errors import ConfigError
from engine.http.granian_worker import work
from engine.http.http_config import HttpConfig
from engine.http.unix_socket import UnixSocket

# A listener of this machine answers at once; one of a far address is not there.
_LOOK_TIMEOUT_S = 2.0
# Where one that listens on all addresses is found.
_LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked at, not listened on


class GranianServer(embed.Server):
    """granian, which tells the event loop of requests in our way."""

    async def serve(self) -> None:  # type: ignore[override]  # it is called by us alone
        """Serve until stopped."""
        await super().serve(work)


class TlsFiles(msgspec.Struct, frozen=True):
    """Certificate chain and private key, in PEM."""

    certificate: Path
    key: Path
    # Oldest version spoken, as the setting spells it.
    minimum_version: str = "tls-1.2"


# Clients of ten years ago still speak 1.2, and nothing is known against it.
_VERSIONS = {"tls-1.2": SSLProtocols.tls12, "tls-1.3": SSLProtocols.tls13}


# The head of a request in HTTP/1.1; a URL has up to 64 KiB of it. granian's own limits are so wide
# that the heads of 10,000 clients would take 4 GB, or far more with HTTP/2.
_HEAD_BYTES_MAX = 128 * 1024
_HTTP2_HEAD_BYTES_MAX = 64 * 1024


def listener(app: Any, config: HttpConfig, tls: TlsFiles | None) -> GranianServer:
    """A listener for `app`, not yet started; with `tls` it speaks HTTPS.

    Raises:
        ConfigError: Its host is the name of no address, or the files of `tls` cannot be used.
    """
    address = _address_of(config.host)
    try:
        return _listener(
            app,
            config,
            address=address,
            port=config.port,
            ssl_cert=None if tls is None else tls.certificate,
            ssl_key=None if tls is None else tls.key,
            ssl_protocol_min=_VERSIONS["tls-1.2" if tls is None else tls.minimum_version],
        )
    except OSError as error:
        # OpenSSL names neither file, and of a key in the certificate's place says '[SSL] PEM lib'.
        raise ConfigError(
            f"--tls-cert and --tls-key cannot be used: {error}",
            hint="both must be PEM files that the server may read, and the key the certificate's",
        ) from error


def _address_of(host: str) -> str:
    """The address to listen on, which granian takes in numbers only.

    Of several that a name stands for the one of IPv4, where clients of a name look as well.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"--http-bind: {host}: {getattr(error, 'strerror', None) or error}",
            hint="write the address in numbers",
        ) from error
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    return str(found[0][4][0])


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens on the address; blocking.

    The system would refuse it to anybody else, but granian lets several processes share a port, and
    the kernel would deal out the connections between two servers that know nothing of each other.
    """
    try:
        with socket.create_connection((_LOOPBACKS.get(host, host), port), _LOOK_TIMEOUT_S) as look:
            # Where nobody listens, a connection may by chance get that very port, and meet itself.
            return bool(look.getsockname() != look.getpeername())
    except OSError:
        return False


def unix_listener(app: Any, config: HttpConfig, unix_socket: UnixSocket) -> GranianServer:
    """A listener for `app` on a socket file, not yet started; what goes over it is not encrypted.

    The file is in its place as soon as the listener has made it.
    """
    server = _listener(app, config, uds=unix_socket.made_path)
    server.on_startup(unix_socket.publish)
    return server


def _listener(app: Any, config: HttpConfig, **options: Any) -> GranianServer:
    return GranianServer(
        app,
        interface=Interfaces.ASGINL,
        http=HTTPModes.auto,
        websockets=False,
        backlog=1024,
        # Connections, not requests. A connection that finds no place waits, so connection_watch
        # takes care that there is one.
        backpressure=config.connections_max,
        http1_settings=HTTP1Settings(
            header_read_timeout=round(config.idle_s * 1000), max_buffer_size=_HEAD_BYTES_MAX
        ),
        http2_settings=HTTP2Settings(max_headers_size=_HTTP2_HEAD_BYTES_MAX),
        log_enabled=False,
        **options,
    )


def url_of(host: str, port: int, tls: TlsFiles | None) -> str:
    """The URL under which clients reach the listener."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'http' if tls is None else 'https'}://{shown}:{port}"
