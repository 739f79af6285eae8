# Owns the settings of granian, which listens and speaks HTTP.
"""The listening socket."""

from pathlib import Path
from typing import Any

import msgspec
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.server.embed import Server as GranianServer


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
    return GranianServer(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.auto,
        websockets=False,
        backlog=1024,
        # Our own limits answer with 503; granian's would let /health wait in line.
        backpressure=10_000,
        log_enabled=False,
        ssl_cert=None if tls is None else tls.certificate,
        ssl_key=None if tls is None else tls.key,
        ssl_protocol_min=_VERSIONS["tls-1.2" if tls is None else tls.minimum_version],
    )


def url_of(host: str, port: int, tls: TlsFiles | None) -> str:
    """The URL under which clients reach the listener."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'http' if tls is None else 'https'}://{shown}:{port}"
