# Owns `headrace query`.
"""Run SQL or InfluxQL."""

import argparse
import sys
from pathlib import Path

from engine.cli.answers import check_target, deliver
from engine.cli.client import Client
from engine.errors import ConfigError


def query(namespace: argparse.Namespace) -> None:
    """Send the question, print or store the answer.

    Raises:
        EngineError: The server refused, or there is no question.
    """
    check_target(namespace)
    params: dict[str, str] = {}
    for item in namespace.param or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--param: '{item}' must be formatted as NAME=VALUE")
        params[name] = value
    content: dict[str, object] = {
        "db": namespace.database,
        "q": _question(namespace),
        "format": namespace.format,
        "params": params,
    }
    with Client(namespace) as client:
        path = f"/api/v3/query_{namespace.language}"
        answer = client.request("POST", path, content=content)
    deliver(namespace, answer)


def _question(namespace: argparse.Namespace) -> str:
    if namespace.sql is not None and namespace.sql != "-":
        return str(namespace.sql)
    is_named = "-" in (namespace.sql, namespace.file)
    if namespace.file is not None and not is_named:
        return _decoded(Path(namespace.file).read_bytes(), namespace.file)
    if sys.stdin.isatty() and not is_named:
        raise ConfigError(
            "no query given", hint="pass it as argument, with --file, or on standard input"
        )
    return _decoded(sys.stdin.buffer.read(), "standard input")


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not UTF-8 text: {error}") from error
