# Owns the settings of granian, which listens and speaks HTTP.
"""The listening sockets of HTTP."""

from pathlib import Path
from typing import Any

import msgspec
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.server.embed import Server as GranianServer

from engine.http.unix_socket import UnixSocket


class TlsFiles(msgspec.Struct, frozen=True):
    """Certificate chain and private key, in PEM."""

    certificate: Path
    key: Path
    # Oldest version spoken, as the setting spells it.
    minimum_version: str = "tls-1.2"


# Clients of ten years ago still speak 1.2, and nothing is known against it.
_VERSIONS = {"tls-1.2": SSLProtocols.tls12, "tls-1.3": SSLProtocols.tls13}


def listener(app: Any, host: str, port: int, tls: TlsFiles | None) -> GranianServer:
    """A listener for `app` on an address, not yet started; with `tls` it speaks HTTPS."""
    return _listener(
        app,
        address=host,
        port=port,
        ssl_cert=None if tls is None else tls.certificate,
        ssl_key=None if tls is None else tls.key,
        ssl_protocol_min=_VERSIONS["tls-1.2" if tls is None else tls.minimum_version],
    )


def unix_listener(app: Any, unix_socket: UnixSocket) -> GranianServer:
    """A listener for `app` on a socket file, not yet started; what goes over it is not encrypted.

    The file is in its place as soon as the listener has made it.
    """
    server = _listener(app, uds=unix_socket.made_path)
    server.on_startup(unix_socket.publish)
    return server


def _listener(app: Any, **options: Any) -> GranianServer:
    return GranianServer(
        app,
        interface=Interfaces.ASGINL,
        http=HTTPModes.auto,
        websockets=False,
        backlog=1024,
        # Our own limits answer with 503; granian's would let /health wait in line.
        backpressure=10_000,
        log_enabled=False,
        **options,
    )


def url_of(host: str, port: int, tls: TlsFiles | None) -> str:
    """The URL under which clients reach the listener."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'http' if tls is None else 'https'}://{shown}:{port}"
