# What the listener says before it listens.

from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.http.http_config import HttpConfig
from engine.http.listener import TlsFiles, listener


def test_tls_files_that_are_none_are_named_by_their_flags(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path in (cert, key):
        path.write_text("no PEM\n")
    with pytest.raises(ConfigError, match="--tls-cert and --tls-key"):
        listener(None, HttpConfig(), TlsFiles(cert, key))
