# Owns where a command's connection comes from: flag, environment, profile file, default, in this
# order. This module alone reads the profile file. A token is only ever sent to the host that it was
# given for.
"""Connection settings of the commands."""

import argparse
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.cli.parsing import nearest
from engine.cli.shared_flags import DEFAULT_HOST
from engine.errors import SettingError

DEFAULT_PROFILE = "default"

# By attribute: environment variables, and key in the profile file.
_SOURCES = {
    "host": (("HEADRACE_HOST_URL", "INFLUXDB3_HOST_URL"), "host"),
    "token": (("HEADRACE_AUTH_TOKEN", "INFLUXDB3_AUTH_TOKEN"), "token"),
    "tls_ca": (("HEADRACE_TLS_CA", "INFLUXDB3_TLS_CA"), "tls-ca"),
    "tls_no_verify": (("HEADRACE_TLS_NO_VERIFY", "INFLUXDB3_TLS_NO_VERIFY"), "tls-no-verify"),
    "database": (("HEADRACE_DATABASE_NAME", "INFLUXDB3_DATABASE_NAME"), "database"),
}
_SWITCH = "tls_no_verify"
# Permissions of everybody but the owner.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def profile_file(environment: Mapping[str, str]) -> Path:
    """Where profiles are kept: ``headrace/config.toml`` in the user's configuration directory."""
    directory = environment.get("XDG_CONFIG_HOME")
    # A relative one is to be ignored, says the XDG specification.
    base = Path(directory) if directory and Path(directory).is_absolute() else None
    return (base or Path.home() / ".config") / "headrace" / "config.toml"


def complete(namespace: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> None:
    """Give the attributes of `namespace` that no flag gave a value.

    Raises:
        SettingError: The profile file is not right, or no database is named.
    """
    if hasattr(namespace, "host"):
        _connect(namespace, environment)
    is_about_database = getattr(namespace, "is_about_database", False)
    if is_about_database:
        namespace.name = namespace.name or namespace.database
    missing = (is_about_database and namespace.name is None) or (
        getattr(namespace, "needs_database", False) and namespace.database is None
    )
    if missing:
        raise SettingError(
            "no database is named", hint="add --database NAME, or set HEADRACE_DATABASE_NAME"
        )


def _connect(namespace: argparse.Namespace, environment: Mapping[str, str]) -> None:
    profile = _profile(namespace.profile or environment.get("HEADRACE_PROFILE"), environment)
    takes_database = any(
        getattr(namespace, mark, False) for mark in ("needs_database", "is_about_database")
    )
    given: dict[str, Any] = {}
    for attribute, (names, _) in _SOURCES.items():
        if attribute == "host":
            names = (*getattr(namespace, "host_environment", ()), *names)
        value = getattr(namespace, attribute, None)
        if value is None:
            value = next((environment[name] for name in names if environment.get(name)), None)
            if attribute == _SWITCH and value is not None:
                value = value == "true"
        given[attribute] = value
    host = profile.get("host", DEFAULT_HOST)
    is_of_profile = given["host"] in (None, host)
    for attribute, (_, key) in _SOURCES.items():
        # A token, or trust in a bad certificate, for one server is nothing for another.
        if given[attribute] is None and (is_of_profile or attribute == "database"):
            given[attribute] = profile.get(key)
    given["host"] = given["host"] or host
    given[_SWITCH] = bool(given[_SWITCH])
    if not takes_database:
        # Where the database is a choice, or something else by that name, only a flag says so.
        del given["database"]
    for attribute, value in given.items():
        setattr(namespace, attribute, value)


def _profile(name: str | None, environment: Mapping[str, str]) -> dict[str, Any]:
    path = profile_file(environment)
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except FileNotFoundError:
        if name is None:
            return {}
        raise SettingError(
            f"--profile {name}: there is no file {path}", hint=f"write [profiles.{name}] into it"
        ) from None
    except (OSError, ValueError) as error:
        raise SettingError(f"cannot read {path}: {error}") from error
    # Imported late: most commands run without a profile.
    import tomllib

    try:
        content = tomllib.loads(text)
    except ValueError as error:
        raise SettingError(f"{path} is not TOML: {error}") from error
    profiles = _checked(content, path)
    if mode & _OTHERS and any("token" in profile for profile in profiles.values()):
        raise SettingError(f"{path} has a token, and others may read it", hint=f"chmod 600 {path}")
    if name is None:
        return profiles.get(DEFAULT_PROFILE, {})
    if name not in profiles:
        guess = nearest(name, profiles)
        raise SettingError(
            f"{path}: there is no profile '{name}'",
            hint=f"did you mean '{guess}'?" if guess else f"it has {', '.join(profiles) or 'none'}",
        )
    return profiles[name]


def _checked(content: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    known = {key: attribute for attribute, (_, key) in _SOURCES.items()}
    profiles = content.pop("profiles", {})
    if content or not isinstance(profiles, dict):
        key = next(iter(content), "profiles")
        raise SettingError(
            f"{path}: '{key}' stands outside of a profile", hint="begin with [profiles.default]"
        )
    for name, profile in profiles.items():
        if not isinstance(profile, dict):
            raise SettingError(f"{path}: profile '{name}' is no table: write [profiles.{name}]")
        for key, value in profile.items():
            if key not in known:
                guess = nearest(key, known)
                raise SettingError(
                    f"{path}: profile '{name}': there is no setting '{key}'",
                    hint=f"did you mean '{guess}'?" if guess else f"there is {', '.join(known)}",
                )
            wanted = bool if known[key] == _SWITCH else str
            if not isinstance(value, wanted):
                raise SettingError(
                    f"{path}: profile '{name}': {key}: write "
                    + ("true or false" if wanted is bool else "it as a string")
                )
    return profiles
