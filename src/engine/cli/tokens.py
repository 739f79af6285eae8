# Owns the commands on tokens.
"""Create, list and delete tokens."""

import argparse
import base64
import json
import os
import secrets
import time
from pathlib import Path

from engine.cli.client import Client
from engine.cli.confirmation import confirm
from engine.cli.shown_rows import show_listed
from engine.errors import ConfigError
from engine.setting_values import parse_lifetime

_PATH = "/api/v3/configure/token"
# As catalog/tokens.py makes them; that module imports what a command must not wait for.
_PREFIX = "apiv3_"
_RANDOM_BYTES = 64


def create(namespace: argparse.Namespace) -> None:
    """``headrace create token``.

    Raises:
        EngineError: The flags do not go together, or the server refused.
    """
    if namespace.admin == bool(namespace.database or namespace.permission):
        raise ConfigError(
            "say what the token is for: --admin, or --database NAME:read,write",
            hint="headrace create token --help",
        )
    if namespace.offline:
        _create_offline(namespace)
        return
    path, content = _order(namespace)
    if namespace.dry_run and not namespace.regenerate:
        raise ConfigError("--dry-run goes with --regenerate: nothing else is destroyed")
    deed = "make a new admin token and void the present one"
    if namespace.regenerate and not confirm(namespace, deed, asks_scripts=True):
        return
    with Client(namespace) as client:
        answer = json.loads(client.request("POST", path, content=content))
    _show_secret(namespace, answer["token"])


def show(namespace: argparse.Namespace) -> None:
    """``headrace show tokens``."""
    show_listed(namespace, _PATH)


def delete(namespace: argparse.Namespace) -> None:
    """``headrace delete token``."""
    name = namespace.token_name
    if not confirm(namespace, f'delete token "{name}"', asks_scripts=True):
        return
    with Client(namespace) as client:
        client.request("DELETE", _PATH, parameters={"token_name": name})
    print(f'Token "{name}" deleted successfully')


def _order(namespace: argparse.Namespace) -> tuple[str, object]:
    """Path and content of the request that creates the token."""
    expiry = _expiry_s(namespace)
    if namespace.regenerate:
        if not namespace.admin or namespace.name is not None or expiry is not None:
            raise ConfigError("--regenerate goes with --admin alone")
        return f"{_PATH}/admin/regenerate", None
    if namespace.admin and namespace.name is None:
        if expiry is not None:
            raise ConfigError("--expiry needs --name: the first admin token does not expire")
        return f"{_PATH}/admin", None
    if namespace.name is None:
        raise ConfigError("give the token a name: --name NAME")
    content: dict[str, object] = {"token_name": namespace.name, "expiry_secs": expiry}
    if namespace.admin:
        return f"{_PATH}/named_admin", content
    databases = [f"db:{text}" for text in namespace.database or []]
    return _PATH, {**content, "permissions": databases + (namespace.permission or [])}


def _expiry_s(namespace: argparse.Namespace) -> int | None:
    if namespace.expiry is None:
        return None
    try:
        return parse_lifetime(namespace.expiry)
    except ValueError as error:
        raise ConfigError(f"--expiry: {error}") from error


def _create_offline(namespace: argparse.Namespace) -> None:
    if not namespace.admin or namespace.regenerate or namespace.output_file is None:
        raise ConfigError("--offline goes with --admin and --output-file FILE")
    random = secrets.token_bytes(_RANDOM_BYTES)
    secret = _PREFIX + base64.urlsafe_b64encode(random).rstrip(b"=").decode()
    content: dict[str, object] = {"token": secret, "name": namespace.name or "_admin"}
    expiry = _expiry_s(namespace)
    if expiry is not None:
        content["expiry_millis"] = int(time.time() * 1000) + expiry * 1000
    path = Path(namespace.output_file)
    # Nobody else may read it, not even for a moment; and a file that exists is not replaced.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        json.dump(content, file)
        file.write("\n")
    print(f"Token file created: {path}")
    print(f"Start the server with: headrace serve --admin-token-file {path}")


def _show_secret(namespace: argparse.Namespace, secret: str) -> None:
    if namespace.format == "json":
        message = "Store the token in a safe place: it is not shown again."
        print(json.dumps({"token": secret, "help_msg": message}))
        return
    print("New token created successfully!\n")
    print(f"Token: {secret}")
    print(f"HTTP Requests Header: Authorization: Bearer {secret}\n")
    print("Store it in a safe place: it is not shown again.")
