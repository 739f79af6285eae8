# Owns the settings of `headrace serve`: the default of each, and what goes together. This module
# alone reads the environment and the settings file; components get their own struct (built in
# server.py). Imports nothing heavy: commands need it to start fast.
"""Server settings from flags, environment and file."""

import difflib
import socket
import tomllib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.config_checks import check
from engine.errors import SettingError
from engine.serve_options import FLAGS, OPTIONS, Option
from engine.setting_values import parse_bytes, render_bytes

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Settings of one server."""

    node_id: str = field(default_factory=lambda: f"{socket.gethostname()[:27] or 'local'}-node")
    object_store: str = "file"
    data_dir: Path = field(default_factory=lambda: Path.home() / ".headrace")
    disk_reserve: int = 256 * 1024 * 1024
    plugin_dir: Path | None = None
    plugin_repo: str | None = None
    virtual_env_location: Path | None = None
    package_manager: str = "discover"
    disable_package_management: bool = False
    http_bind: tuple[str, int] = ("127.0.0.1", 8181)
    flight_bind: tuple[str, int] | None = None
    http_socket: Path | None = None
    http_socket_mode: int = 0o600
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_minimum_version: str = "tls-1.2"
    without_auth: bool = False
    disable_authz: frozenset[str] = frozenset()
    admin_token_file: Path | None = None
    admin_token: str | None = field(default=None, repr=False)
    config: Path | None = None
    max_http_request_size: int = 10 * 1024 * 1024
    http_json_size_max: int = 1024 * 1024
    http_receive_timeout: float = 15.0
    http_idle_timeout: float = 30.0
    http_connections_per_address: int = 2_000
    http_busy_poll_us: int = 300
    wal_flush_interval: float = 1.0
    wal_segment_size: int = 64 * 1024 * 1024
    wal_kept_max: int = 10 * 1024 * 1024 * 1024
    checkpoint_log_size: int = 128 * 1024 * 1024
    persist_log_size: int = 128 * 1024 * 1024
    live_rows_max: int = 4 * 1024 * 1024 * 1024
    persist_window: float = 600.0
    persist_memory_max: int = 512 * 1024 * 1024
    query_memory_limit: int = 2 * 1024 * 1024 * 1024
    query_cache_max: int = 256 * 1024 * 1024
    query_temp_max: int = 1024 * 1024 * 1024
    query_timeout: float = 60.0
    query_concurrency: int = 8
    query_waiting_max: int = 100
    slow_query_time: float = 10.0
    query_text_max: int = 256 * 1024
    query_words_max: int = 10_000
    plugin_timeout: float = 300.0
    plugin_memory_max: int | None = None
    plugin_nice: int = 10
    plugin_processes_max: int = 256
    plugin_batch_rows: int = 100_000
    plugin_retries: int = 5
    plugin_log_retention: float = 7 * 86_400.0
    plugin_log_size_max: int = 64 * 1024 * 1024
    async_trigger_concurrency_limit: int = 4
    trigger_rights: str = "all"
    # With what follows (listener, plugins, queries, log) the stop takes less than ten seconds.
    shutdown_timeout: float = 7.0
    log_level: str = "info"

    @property
    def plugins_path(self) -> Path:
        """Plugin directory, below the data directory unless set."""
        return self.plugin_dir if self.plugin_dir is not None else self.data_dir / "plugins"

    @property
    def venv_path(self) -> Path:
        """Virtual environment of the plugins, in the plugin directory unless set."""
        location = self.virtual_env_location
        return location if location is not None else self.plugins_path / ".venv"


DEFAULT_SOURCE = "default"


def load(flags: Mapping[str, str | bool | None], environment: Mapping[str, str]) -> ServeConfig:
    """Settings from `flags` (by attribute name), `environment`, file and defaults, in this order.

    Raises:
        SettingError: A value cannot be understood, or values do not go together.
    """
    return load_with_sources(flags, environment)[0]


def load_with_sources(
    flags: Mapping[str, str | bool | None], environment: Mapping[str, str]
) -> tuple[ServeConfig, dict[str, str]]:
    """As `load`, and for each setting where it comes from.

    Raises:
        SettingError: A value cannot be understood, or values do not go together.
    """
    by_attribute = {option.attribute: option for option in OPTIONS}
    path, source = _given(by_attribute["config"], flags, environment, {}, "")
    entries = {} if path is None else _read_file(Path(path), source)
    values: dict[str, Any] = {}
    sources = dict.fromkeys(by_attribute, DEFAULT_SOURCE)
    for attribute, option in by_attribute.items():
        text, source = _given(option, flags, environment, entries, f"{path}: {option.key}")
        if text is not None:
            values[attribute] = _parsed(option, text, source)
            sources[attribute] = source
    config = ServeConfig(**values)
    check(config)
    return config, sources


def _given(
    option: Option,
    flags: Mapping[str, str | bool | None],
    environment: Mapping[str, str],
    entries: Mapping[str, str],
    place: str,
) -> tuple[str | None, str]:
    """The text that is given for a setting, and where."""
    flag = flags.get(option.attribute)
    if flag is not None and flag is not False:
        return ("true" if flag is True else str(flag)), option.flag
    for name in option.environment:
        if environment.get(name):
            return environment[name], name
    return entries.get(option.attribute), place


def _parsed(option: Option, text: str, source: str) -> Any:
    try:
        value = option.parse(text)
    except ValueError as error:
        raise SettingError(f"{source}: {error}") from error
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if is_number and not option.least <= value <= option.most:
        shown = render_bytes if option.parse is parse_bytes else str
        raise SettingError(
            f"{source}: {text} is not between {shown(option.least)} and {shown(option.most)}"
        )
    return value


def _read_file(path: Path, source: str) -> dict[str, str]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{source}: cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingError(f"{source}: {path} is not TOML: {error}") from error
    known = {option.key: option for option in FLAGS if option.attribute != "config"}
    entries: dict[str, str] = {}
    for key, value in content.items():
        option = known.get(key.replace("_", "-"))
        if option is None:
            nearest = difflib.get_close_matches(key.replace("_", "-"), known, 1)
            raise SettingError(
                f"{path}: there is no setting '{key}'",
                hint=f"did you mean '{nearest[0]}'?"
                if nearest
                else "settings are named as the flags of 'headrace serve', without --",
            )
        if isinstance(value, bool) and option.is_switch:
            value = str(value).lower()
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise SettingError(f"{path}: {key}: write it as a string or a number")
        entries[option.attribute] = str(value)
    return entries


def forget_secrets(environment: MutableMapping[str, str]) -> None:
    """Take what nobody else should read out of `environment`, which plugins inherit."""
    for option in OPTIONS:
        if option.is_secret:
            for name in option.environment:
                environment.pop(name, None)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    return host in _LOOPBACK
