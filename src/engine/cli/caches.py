# Owns the commands on caches of tables.
"""Create, show and delete caches."""

import argparse
from collections.abc import Mapping

from engine.catalog.retention import parse_retention
from engine.cli.client import Client
from engine.cli.confirmation import confirm
from engine.cli.shown_rows import show_queried
from engine.errors import ConfigError, RequestError
from engine.setting_values import parse_count

_CONFIGURE = "/api/v3/configure/"
_SECOND_NS = 1_000_000_000


def create_last(namespace: argparse.Namespace) -> None:
    """``headrace create last_cache``."""
    content = {
        "key_columns": _columns(namespace.key_columns),
        "value_columns": _columns(namespace.value_columns),
        "count": _count("--count", namespace.count),
        "ttl": _seconds("--ttl", namespace.ttl),
    }
    _create(namespace, "last_cache", content)


def create_distinct(namespace: argparse.Namespace) -> None:
    """``headrace create distinct_cache``."""
    content = {
        "columns": _columns(namespace.columns),
        "max_cardinality": _count("--max-cardinality", namespace.max_cardinality),
        "max_age": _seconds("--max-age", namespace.max_age),
    }
    _create(namespace, "distinct_cache", content)


def _create(namespace: argparse.Namespace, noun: str, content: Mapping[str, object]) -> None:
    about = {"db": namespace.database, "table": namespace.table, "name": namespace.name}
    with Client(namespace) as client:
        answer = client.request("POST", f"{_CONFIGURE}{noun}", content={**about, **content})
    print(f"new cache created: {answer.decode()}")


def show(namespace: argparse.Namespace) -> None:
    """``headrace show last_caches`` and ``headrace show distinct_caches``."""
    sql = f"SELECT * FROM system.{namespace.noun}"  # noqa: S608 - one of our own words
    show_queried(namespace, namespace.database, sql)


def delete(namespace: argparse.Namespace) -> None:
    """``headrace delete last_cache`` and ``headrace delete distinct_cache``."""
    content = {"db": namespace.database, "table": namespace.table, "name": namespace.name}
    kind = namespace.noun.replace("_", " ")
    if not confirm(namespace, f'delete {kind} "{namespace.name}"', asks_scripts=False):
        return
    with Client(namespace) as client:
        client.request("DELETE", f"{_CONFIGURE}{namespace.noun}", content=content)
    print(f"{kind} deleted successfully")


def _columns(text: str | None) -> list[str] | None:
    return None if text is None else [name for name in text.split(",") if name]


def _count(flag: str, text: str) -> int:
    try:
        return parse_count(text)
    except ValueError as error:
        raise ConfigError(f"{flag}: {error}") from error


def _seconds(flag: str, text: str) -> int:
    try:
        return parse_retention(text) // _SECOND_NS
    except RequestError as error:
        raise ConfigError(
            f"{flag}: '{text}' is not a duration", hint="write for example 30m, '4 hours' or 1d"
        ) from error
