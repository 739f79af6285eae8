# Owns the commands on the level of a running server's log.
"""Show and set log levels."""

import argparse

from engine.cli.client import Client
from engine.cli.shown_rows import show_listed

_PATH = "/api/v3/configure/log_level"


def show(namespace: argparse.Namespace) -> None:
    """``headrace show log-level``."""
    show_listed(namespace, _PATH)


def set_level(namespace: argparse.Namespace) -> None:
    """``headrace set log-level``."""
    level = None if namespace.level == "default" else namespace.level
    with Client(namespace) as client:
        client.request("PUT", _PATH, content={"level": level, "logger": namespace.logger})
    print(f"Log level of {namespace.logger or 'everything'} set to {namespace.level}")
