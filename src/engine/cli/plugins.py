# Owns the commands on plugin code: upload beside the creation of a trigger, update, and the list.
"""Plugin files of the server."""

import argparse
from pathlib import Path

from engine.cli.client import Client
from engine.cli.shown_rows import show_queried
from engine.cli.trigger_rights import permissions_of
from engine.errors import ConfigError

_TRIGGER = "/api/v3/configure/processing_engine_trigger"
_FILES = "/api/v3/plugins/files"
_DIRECTORY = "/api/v3/plugins/directory"


def upload(client: Client, local: Path) -> str:
    """Store a local file or package on the server; return its name there.

    Raises:
        EngineError: The file cannot be read, or the server refuses it.
    """
    name = local.resolve().name
    if not local.is_dir():
        content = {"plugin_name": name, "content": _text(local)}
        client.request("POST", _FILES, content=content)
        return name
    files = _package(local)
    client.request("POST", _DIRECTORY, content={"plugin_name": name, "files": files})
    return name


def update_trigger(namespace: argparse.Namespace) -> None:
    """``headrace update trigger``: replace a trigger's code, fetch it again, or set its rights.

    Raises:
        EngineError: The file cannot be read, or the server refuses it.
    """
    name = namespace.name or namespace.trigger_name
    if name is None:
        raise ConfigError("no trigger named", hint="write 'headrace update trigger NAME -d DB'")
    permissions = permissions_of(namespace)
    if permissions is not None and namespace.path is not None:
        raise ConfigError("set the rights and replace the code one after the other")
    database = {"db": namespace.database}
    with Client(namespace) as client:
        if permissions is not None:
            rights = {**database, "trigger_name": name, "permissions": permissions}
            client.request("POST", f"{_TRIGGER}/permissions", content=rights)
        elif namespace.path is None:
            client.request(
                "POST", f"{_TRIGGER}/update", parameters={**database, "trigger_name": name}
            )
        else:
            local = Path(namespace.path)
            content: dict[str, object] = {"plugin_name": name}
            if local.is_dir():
                content["files"] = _package(local)
                client.request("PUT", _DIRECTORY, parameters=database, content=content)
            else:
                content["content"] = _text(local)
                client.request("PUT", _FILES, parameters=database, content=content)
    print(f"Trigger '{name}' updated successfully")


def show_plugins(namespace: argparse.Namespace) -> None:
    """``headrace show plugins``."""
    sql = "SELECT * FROM system.plugin_files ORDER BY plugin_name, file_path"
    show_queried(namespace, "_internal", sql)


def _package(directory: Path) -> list[dict[str, str]]:
    if not (directory / "__init__.py").is_file():
        raise ConfigError(
            f"Multi-file plugin directory must contain __init__.py: {directory}",
            hint="add an __init__.py that defines or imports the entry point",
        )
    files = sorted(file for file in directory.rglob("*.py") if "__pycache__" not in file.parts)
    return [
        {"relative_path": file.relative_to(directory).as_posix(), "content": _text(file)}
        for file in files
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}") from error
