# Owns the commands on databases and triggers.
"""Create, show, enable, disable and delete."""

import argparse
import json
from pathlib import Path

from engine.cli.client import Client
from engine.cli.confirmation import confirm
from engine.cli.plugins import upload
from engine.cli.shown_rows import show_listed, show_queried
from engine.cli.trigger_rights import permissions_of
from engine.errors import ConfigError
from engine.setting_values import parse_bytes, parse_count, parse_seconds

_DATABASE = "/api/v3/configure/database"
_TRIGGER = "/api/v3/configure/processing_engine_trigger"
# Retention as people write it: in the largest unit that divides it.
_RETENTION = """
WITH kept AS (
    SELECT database_name, NULL AS table_name, retention_period_ns FROM system.databases
    WHERE NOT deleted
    UNION ALL
    SELECT t.database_name, t.table_name, t.retention_period_ns
    FROM system.tables t JOIN system.databases d ON t.database_name = d.database_name
    WHERE t.retention_period_ns IS DISTINCT FROM d.retention_period_ns
    AND NOT t.deleted AND NOT d.deleted
), seconds AS (
    SELECT *, CAST(retention_period_ns AS BIGINT) / 1000000000 AS s FROM kept
)
SELECT database_name, table_name, CASE
    WHEN s IS NULL THEN 'infinite'
    WHEN s % 86400 = 0 THEN concat(CAST(s / 86400 AS BIGINT), 'd')
    WHEN s % 3600 = 0 THEN concat(CAST(s / 3600 AS BIGINT), 'h')
    WHEN s % 60 = 0 THEN concat(CAST(s / 60 AS BIGINT), 'm')
    ELSE concat(CAST(s AS BIGINT), 's')
END AS retention_period
FROM seconds WHERE $name = '' OR database_name = $name
ORDER BY database_name, table_name NULLS FIRST
"""


def parse_pairs(flag: str, texts: list[str] | None) -> dict[str, str] | None:
    """``["a=1,b=2", "c=3"]``, the values of `flag`, as a dict; None without any.

    Raises:
        ConfigError: An item has no equals sign.
    """
    if texts is None:
        return None
    result: dict[str, str] = {}
    for item in (item for text in texts for item in text.split(",")):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ConfigError(
                f"{flag}: '{item}' must be formatted as \"key=value\"",
                hint="values cannot contain commas",
            )
        result[key] = value
    return result


def create_database(namespace: argparse.Namespace) -> None:
    """``headrace create database``."""
    with Client(namespace) as client:
        client.request(
            "POST",
            _DATABASE,
            content={"db": namespace.name, "retention_period": namespace.retention_period},
        )
    print(f'Database "{namespace.name}" created successfully')


def update_database(namespace: argparse.Namespace) -> None:
    """``headrace update database``."""
    _update_retention(namespace, namespace.name, None)
    print(f'Database "{namespace.name}" updated successfully')


def update_table(namespace: argparse.Namespace) -> None:
    """``headrace update table``."""
    _update_retention(namespace, namespace.database, namespace.name)
    print(f'Table "{namespace.name}" updated successfully')


def _update_retention(namespace: argparse.Namespace, database: str, table: str | None) -> None:
    period = namespace.retention_period
    content = {
        "db": database,
        "table": table,
        "retention_period": None if period.lower() == "none" else period,
    }
    with Client(namespace) as client:
        client.request("PUT", _DATABASE, content=content)


def delete_database(namespace: argparse.Namespace) -> None:
    """``headrace delete database``."""
    with Client(namespace) as client:
        taken = _contents(client, namespace.name) if namespace.dry_run else ""
        deed = f'delete database "{namespace.name}" with all its rows'
        if not confirm(namespace, deed, asks_scripts=True, unsaid=taken):
            return
        parameters = {"db": namespace.name, "hard_delete_at": namespace.hard_delete}
        client.request("DELETE", _DATABASE, parameters=parameters)
    print(f'Database "{namespace.name}" deleted successfully')


def _contents(client: Client, database: str) -> str:
    """What goes with `database`."""
    content = {
        "db": database,
        "q": "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox' "
        "ORDER BY table_name",
        "format": "json",
    }
    tables = json.loads(client.request("POST", "/api/v3/query_sql", content=content))
    parameters = {"db": database, "format": "json"}
    triggers = json.loads(client.request("GET", _TRIGGER, parameters=parameters))
    return f": tables {_listed(tables, 'table_name')}; triggers {_listed(triggers, 'trigger_name')}"


def _listed(rows: list[dict[str, str]], key: str) -> str:
    return ", ".join(row[key] for row in rows) or "none"


def show_databases(namespace: argparse.Namespace) -> None:
    """``headrace show databases``."""
    parameters = {"show_retention": "true"}
    if namespace.show_deleted:
        parameters["show_deleted"] = "true"
    show_listed(namespace, _DATABASE, parameters)


def show_retention(namespace: argparse.Namespace) -> None:
    """``headrace show retention``: of databases, and of tables that have another."""
    show_queried(namespace, "_internal", _RETENTION, {"name": namespace.database or ""})


def show_triggers(namespace: argparse.Namespace) -> None:
    """``headrace show triggers``."""
    parameters = {} if namespace.database is None else {"db": namespace.database}
    show_listed(namespace, _TRIGGER, parameters)


def create_trigger(namespace: argparse.Namespace) -> None:
    """``headrace create trigger``."""
    settings: dict[str, object] = {
        "run_async": namespace.run_async,
        "error_behavior": namespace.error_behavior,
        "allow_self": namespace.allow_self,
        "start_from": namespace.start_from,
    }
    try:
        if namespace.timeout is not None:
            settings["timeout_s"] = parse_seconds(namespace.timeout)
        if namespace.memory_max is not None:
            settings["memory_max_bytes"] = parse_bytes(namespace.memory_max)
        if namespace.concurrency is not None:
            settings["concurrency"] = parse_count(namespace.concurrency)
        if namespace.batch_rows is not None:
            settings["batch_rows"] = parse_count(namespace.batch_rows)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    permissions = permissions_of(namespace)
    if permissions is not None:
        settings["permissions"] = permissions
    arguments = parse_pairs("--trigger-arguments", namespace.trigger_arguments)
    with Client(namespace) as client:
        path = namespace.path
        if namespace.upload:
            path = upload(client, Path(path))
        client.request(
            "POST",
            _TRIGGER,
            content={
                "db": namespace.database,
                "trigger_name": namespace.name,
                "plugin_filename": path,
                "trigger_specification": namespace.trigger_spec,
                "trigger_settings": settings,
                "trigger_arguments": arguments,
                "disabled": namespace.disabled,
            },
        )
    print(f"Trigger {namespace.name} created successfully")


def _switch(namespace: argparse.Namespace, verb: str) -> None:
    with Client(namespace) as client:
        client.request(
            "POST",
            f"{_TRIGGER}/{verb}",
            parameters={"db": namespace.database, "trigger_name": namespace.name},
        )
    print(f"Trigger {namespace.name} {verb}d successfully")


def enable_trigger(namespace: argparse.Namespace) -> None:
    """``headrace enable trigger``."""
    _switch(namespace, "enable")


def disable_trigger(namespace: argparse.Namespace) -> None:
    """``headrace disable trigger``."""
    _switch(namespace, "disable")


def delete_trigger(namespace: argparse.Namespace) -> None:
    """``headrace delete trigger``."""
    deed = f'delete trigger "{namespace.name}" with its state and dead letters'
    if not confirm(namespace, deed, asks_scripts=False):
        return
    with Client(namespace) as client:
        client.request(
            "DELETE",
            _TRIGGER,
            content={
                "db": namespace.database,
                "trigger_name": namespace.name,
                "force": namespace.force,
            },
        )
    print(f"Trigger {namespace.name} deleted successfully")
