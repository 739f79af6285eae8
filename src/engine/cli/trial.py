# Owns `headrace test`: sends the input of a dry run and prints its report.
"""Try plugins out."""

import argparse
import json
from pathlib import Path

from engine.cli.catalog import parse_pairs
from engine.cli.client import Client
from engine.cli.trigger_rights import permissions_of
from engine.errors import ConfigError

_PREFIX = "/api/v3/plugin_test"


def wal_plugin(namespace: argparse.Namespace) -> None:
    """``headrace test wal_plugin``.

    Raises:
        EngineError: No input is given, or the server refuses it.
    """
    content = _content(namespace)
    if namespace.lp is not None:
        content["input_lp"] = namespace.lp
    elif namespace.file is not None:
        content["input_lp"] = Path(namespace.file).read_text(encoding="utf-8")
    elif "from" not in content:
        raise ConfigError(
            "either --lp or --file must be provided",
            hint="or --from and --to, for rows that the server has",
        )
    if namespace.table is not None:
        content["table"] = namespace.table
    _send(namespace, "wal", content)


def schedule_plugin(namespace: argparse.Namespace) -> None:
    """``headrace test schedule_plugin``."""
    content = _content(namespace)
    if namespace.schedule is not None:
        content["schedule"] = namespace.schedule
    _send(namespace, "schedule", content)


def request_plugin(namespace: argparse.Namespace) -> None:
    """``headrace test request_plugin``."""
    content = _content(namespace)
    content["query"] = parse_pairs("--query", namespace.query) or {}
    content["headers"] = parse_pairs("--header", namespace.header) or {}
    if namespace.body is not None:
        content["body"] = namespace.body
    elif namespace.file is not None:
        content["body"] = Path(namespace.file).read_text(encoding="utf-8")
    _send(namespace, "request", content)


def _content(namespace: argparse.Namespace) -> dict[str, object]:
    content: dict[str, object] = {
        "filename": namespace.filename,
        "database": namespace.database,
        "input_arguments": parse_pairs("--input-arguments", namespace.input_arguments),
        "cache_name": namespace.cache_name,
        "trigger_name": namespace.trigger,
    }
    permissions = permissions_of(namespace)
    if permissions is not None:
        content["permissions"] = permissions
    for name in ("from", "to"):
        value = getattr(namespace, f"{name}_time", None)
        if value is not None:
            content[name] = value
    return content


def _send(namespace: argparse.Namespace, kind: str, content: dict[str, object]) -> None:
    with Client(namespace) as client:
        answer = client.request("POST", f"{_PREFIX}/{kind}", content=content)
    print(json.dumps(json.loads(answer), indent=2, ensure_ascii=False))
