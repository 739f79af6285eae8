# Owns `headrace serve`: settings, logging, the server.
"""Run a server."""

import argparse
import json
import os
import sys

from engine import config, logs
from engine.errors import SettingError
from engine.serve_options import FLAGS, OPTIONS, Option
from engine.setting_values import parse_bytes, parse_mode, render_bytes
from engine.unwanted_imports import refuse_unwanted


def serve(namespace: argparse.Namespace) -> None:
    """Run until a signal ends it.

    Raises:
        EngineError: The settings are wrong, or the server cannot start.
    """
    settings = config.load(_flags(namespace), os.environ)
    config.forget_secrets(os.environ)
    logs.configure(settings.log_level)
    refuse_unwanted()
    # Imported late: the libraries behind it take a third of a second.
    from engine import server

    server.run(settings)
    sys.stderr.flush()
    # Everything is stored and closed. Threads that are still at it (a query text of a megabyte is
    # translated for seconds, and nothing can stop that) would hold up the interpreter's own end.
    os._exit(0)


def show_config(namespace: argparse.Namespace) -> None:
    """Print each setting with its value and where that comes from.

    Raises:
        SettingError: The settings are wrong.
    """
    flags = _flags(namespace)
    settings, sources = config.load_with_sources(flags, os.environ)
    rows = [
        (option.key, _shown(option, getattr(settings, option.attribute)), sources[option.attribute])
        for option in OPTIONS
    ]
    if namespace.format == "json":
        print(json.dumps({key: {"value": value, "source": source} for key, value, source in rows}))
        return
    widths = [max(len(row[index] or "") for row in rows) for index in (0, 1)]
    for key, value, source in rows:
        print(f"{key:{widths[0]}}  {value or '':{widths[1]}}  {source}")


def _flags(namespace: argparse.Namespace) -> dict[str, str | bool | None]:
    """The settings that are given as flags, by attribute.

    Raises:
        SettingError: The variable that is to hold the node id does not.
    """
    known = {option.attribute for option in FLAGS}
    flags = {key: value for key, value in vars(namespace).items() if key in known}
    variable = namespace.node_id_from_env
    if variable is not None and flags["node_id"] is None:
        flags["node_id"] = os.environ.get(variable)
        if not flags["node_id"]:
            raise SettingError(f"--node-id-from-env: variable {variable} is not set")
    return flags


def _shown(option: Option, value: object) -> str | None:
    if value is None:
        return None
    if option.is_secret:
        return "***"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        host, port = value
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    if isinstance(value, float):
        return f"{value:g}s"
    if option.parse is parse_mode and isinstance(value, int):
        return f"{value:o}"
    if option.parse is parse_bytes and isinstance(value, int):
        return render_bytes(value)
    return str(value)
