# Owns `headrace show system`.
"""Show system tables."""

import argparse
import json

from engine.cli.answers import check_target, deliver
from engine.cli.client import Client
from engine.cli.parsing import nearest
from engine.cli.shown_rows import show_queried
from engine.errors import ConfigError

_TABLES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'system' "
    "ORDER BY table_name"
)


def list_tables(namespace: argparse.Namespace) -> None:
    """``headrace show system table-list``."""
    show_queried(namespace, namespace.database, _TABLES)


def show_table(namespace: argparse.Namespace) -> None:
    """``headrace show system table``.

    Raises:
        ConfigError: There is no such table.
    """
    check_target(namespace)
    with Client(namespace) as client:
        known = _names(client, namespace)
        if namespace.name not in known:
            guess = nearest(namespace.name, known)
            raise ConfigError(
                f"system table '{namespace.name}' not found: please use a valid system table "
                f"name: {json.dumps(known)}",
                hint=f"did you mean '{guess}'?" if guess else "",
            )
        answer = _ask(client, namespace, _question(namespace), namespace.format)
    deliver(namespace, answer)


def show_summary(namespace: argparse.Namespace) -> None:
    """``headrace show system summary``.

    Raises:
        ConfigError: The format has no room for several tables.
    """
    if namespace.format != "pretty" or namespace.output is not None:
        raise ConfigError(
            "a summary is several tables, for reading", hint="show one of them: 'show system table'"
        )
    with Client(namespace) as client:
        for name in _names(client, namespace):
            print(f"{name} summary:")
            # The limit is a number, the name is one that the server gave.
            sql = f'SELECT * FROM system."{name}" LIMIT {namespace.limit}'  # noqa: S608
            deliver(namespace, _ask(client, namespace, sql, "pretty"))


def _question(namespace: argparse.Namespace) -> str:
    order = f" ORDER BY {namespace.order_by}" if namespace.order_by else ""
    # What the user writes here is the user's own query, with no rights but the user's.
    return (
        f'SELECT {namespace.select or "*"} FROM system."{namespace.name}"{order} '  # noqa: S608
        f"LIMIT {namespace.limit}"
    )


def _names(client: Client, namespace: argparse.Namespace) -> list[str]:
    return [row["table_name"] for row in json.loads(_ask(client, namespace, _TABLES, "json"))]


def _ask(client: Client, namespace: argparse.Namespace, sql: str, form: str) -> bytes:
    content = {"db": namespace.database, "q": sql, "format": form}
    return client.request("POST", "/api/v3/query_sql", content=content)
