# Owns the commands on secrets. Values come from standard input, so that neither the list of
# processes nor the shell's history has them.
"""Create, list and delete secrets."""

import argparse
import getpass
import sys

from engine.cli.client import Client
from engine.cli.confirmation import confirm
from engine.cli.shown_rows import show_listed
from engine.errors import ConfigError

_PATH = "/api/v3/configure/secret"


def create(namespace: argparse.Namespace) -> None:
    """``headrace create secret``.

    Raises:
        EngineError: No value is given, or the server refuses it.
    """
    if sys.stdin.isatty():
        value = getpass.getpass(f"Value of {namespace.name}: ")
    else:
        value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise ConfigError("the secret has no value", hint="send it on standard input")
    with Client(namespace) as client:
        client.request("POST", _PATH, content={"name": namespace.name, "value": value})
    print(f"Secret {namespace.name} stored")


def show(namespace: argparse.Namespace) -> None:
    """``headrace show secrets``: their names."""
    show_listed(namespace, _PATH)


def delete(namespace: argparse.Namespace) -> None:
    """``headrace delete secret``."""
    if not confirm(namespace, f'delete secret "{namespace.name}"', asks_scripts=False):
        return
    with Client(namespace) as client:
        client.request("DELETE", _PATH, content={"name": namespace.name})
    print(f"Secret {namespace.name} deleted")
