# Owns `headrace install`.
"""Install packages for plugins."""

import argparse
from pathlib import Path

from engine.cli.client import Client
from engine.errors import ConfigError

_PREFIX = "/api/v3/configure/plugin_environment"
# Building a large package takes its time.
_TIMEOUT_S = 2000.0


def package(namespace: argparse.Namespace) -> None:
    """``headrace install package``.

    Raises:
        EngineError: Nothing is named, or the server could not install it.
    """
    if not namespace.packages and namespace.requirements is None:
        raise ConfigError(
            "either package names or --requirements must be provided",
            hint="write 'headrace install package NAME…'",
        )
    if namespace.packages:
        content = {"packages": namespace.packages}
        with Client(namespace, timeout_s=_TIMEOUT_S) as client:
            client.request("POST", f"{_PREFIX}/install_packages", content=content)
        print(f"Installed {' '.join(namespace.packages)}")
    if namespace.requirements is not None:
        _install_file(namespace, namespace.requirements)


def requirements(namespace: argparse.Namespace) -> None:
    """``headrace install requirements``."""
    _install_file(namespace, namespace.file)


def _install_file(namespace: argparse.Namespace, location: str) -> None:
    if location.startswith(("http://", "https://")):
        content = {"requirements_location": location}
    else:
        # The text, because the server may run on another machine.
        content = {"requirements": Path(location).read_text(encoding="utf-8")}
    with Client(namespace, timeout_s=_TIMEOUT_S) as client:
        client.request("POST", f"{_PREFIX}/install_requirements", content=content)
    print(f"Installed what {location} says")
