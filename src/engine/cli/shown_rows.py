# Owns the commands that only show rows: asked for in the format that the user wants, and passed on
# as they come.
"""Rows of a server, shown."""

import argparse
from collections.abc import Mapping

from engine.cli.answers import check_target, deliver
from engine.cli.client import Client

_NOTHING: Mapping[str, str] = {}


def show_listed(
    namespace: argparse.Namespace, path: str, parameters: Mapping[str, str] = _NOTHING
) -> None:
    """Show what the server lists at `path`.

    Raises:
        ConfigError: Parquet would go to a terminal.
        ServerError: The server refused, or cannot be reached.
    """
    check_target(namespace)
    with Client(namespace) as client:
        answer = client.request("GET", path, parameters={"format": namespace.format, **parameters})
    deliver(namespace, answer)


def show_queried(
    namespace: argparse.Namespace, database: str, sql: str, params: Mapping[str, str] = _NOTHING
) -> None:
    """Show what SQL answers with.

    Raises:
        ConfigError: Parquet would go to a terminal.
        ServerError: The server refused, or cannot be reached.
    """
    check_target(namespace)
    content = {"db": database, "q": sql, "params": params, "format": namespace.format}
    with Client(namespace) as client:
        answer = client.request("POST", "/api/v3/query_sql", content=content)
    deliver(namespace, answer)
