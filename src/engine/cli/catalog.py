# Owns the commands on databases and triggers.
"""Create, show, enable, disable and delete."""

import argparse
import sys
from pathlib import Path

from engine.cli.client import Client, print_answer
from engine.cli.plugins import upload
from engine.errors import ConfigError
from engine.setting_values import parse_bytes, parse_count, parse_seconds

_DATABASE = "/api/v3/configure/database"
_TRIGGER = "/api/v3/configure/processing_engine_trigger"


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
    if not namespace.yes and not confirm(f'Delete database "{namespace.name}" with all its rows?'):
        raise ConfigError("nothing was deleted", hint="answer yes, or add --yes")
    with Client(namespace) as client:
        client.request("DELETE", _DATABASE, parameters={"db": namespace.name})
    print(f'Database "{namespace.name}" deleted successfully')


def confirm(question: str) -> bool:
    """Whether the user says yes; without a terminal to ask on, no."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [yes/no] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def show_databases(namespace: argparse.Namespace) -> None:
    """``headrace show databases``."""
    with Client(namespace) as client:
        answer = client.request("GET", _DATABASE, parameters={"format": namespace.format})
    print_answer(answer)


def show_triggers(namespace: argparse.Namespace) -> None:
    """``headrace show triggers``."""
    parameters = {"format": namespace.format}
    if namespace.database is not None:
        parameters["db"] = namespace.database
    with Client(namespace) as client:
        answer = client.request("GET", _TRIGGER, parameters=parameters)
    print_answer(answer)


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
