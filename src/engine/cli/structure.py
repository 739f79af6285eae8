# Owns the commands on tables and rows.
"""Create, show and delete tables; delete rows."""

import argparse
import json

from engine.cli.client import Client
from engine.cli.confirmation import confirm
from engine.cli.shown_rows import show_queried
from engine.errors import ConfigError

_TABLE = "/api/v3/configure/table"
_ROWS = "/api/v3/configure/table/rows"


def create_table(namespace: argparse.Namespace) -> None:
    """``headrace create table``."""
    fields = []
    for item in _items(namespace.fields):
        name, colon, kind = item.rpartition(":")
        if not colon or not name:
            raise ConfigError(
                f"--fields: '{item}' must be formatted as NAME:TYPE",
                hint="types are utf8, int64, uint64, float64 and bool",
            )
        fields.append({"name": name, "type": kind})
    content = {
        "db": namespace.database,
        "table": namespace.name,
        "tags": _items(namespace.tags),
        "fields": fields,
    }
    with Client(namespace) as client:
        client.request("POST", _TABLE, content=content)
    print(f'Table "{namespace.database}"."{namespace.name}" created successfully')


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def show_tables(namespace: argparse.Namespace) -> None:
    """``headrace show tables``."""
    sql = (
        "SELECT table_name, (SELECT count(*) FROM information_schema.columns c "
        "WHERE c.table_schema = 'iox' AND c.table_name = t.table_name) AS columns "
        "FROM information_schema.tables t WHERE table_schema = 'iox' ORDER BY table_name"
    )
    show_queried(namespace, namespace.database, sql)


def delete_table(namespace: argparse.Namespace) -> None:
    """``headrace delete table``."""
    deed = f'delete table "{namespace.name}" with all its rows'
    if not confirm(namespace, deed, asks_scripts=True):
        return
    parameters = {
        "db": namespace.database,
        "table": namespace.name,
        "hard_delete_at": namespace.hard_delete,
    }
    with Client(namespace) as client:
        client.request("DELETE", _TABLE, parameters=parameters)
    print(f'Table "{namespace.database}"."{namespace.name}" deleted successfully')


def delete_rows(namespace: argparse.Namespace) -> None:
    """``headrace delete rows``."""
    asked = {"where": namespace.where, "from": namespace.start, "to": namespace.end}
    content = {
        "db": namespace.database,
        "table": namespace.table,
        **{name: value for name, value in asked.items() if value is not None},
    }
    with Client(namespace) as client:
        deed = f'delete rows of "{namespace.table}"'
        if namespace.dry_run or not namespace.yes:
            counted = client.request("DELETE", _ROWS, content=content | {"dry_run": True})
            deed = f'delete {json.loads(counted)["rows"]} rows of "{namespace.table}" for good'
        if not confirm(namespace, deed, asks_scripts=True):
            return
        client.request("DELETE", _ROWS, content=content)
    print(f'Rows of "{namespace.database}"."{namespace.table}" deleted successfully')
