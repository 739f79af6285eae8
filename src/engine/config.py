# Owns the settings of `headrace serve`: every flag with its environment variables, default and
# check. This module alone reads the environment; components get their own struct (built in
# server.py). Imports nothing heavy: the command line reads it for --help.
"""Server settings from flags and environment."""

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import ConfigError

_BYTE_UNITS = {
    "": 1,
    "b": 1,
    "kb": 1 << 10,
    "mb": 1 << 20,
    "gb": 1 << 30,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
}
# Longer than anybody waits, and short enough for every timer of the system.
_SECONDS_MAX = 366 * 86_400
_SECOND_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}\Z")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

DEFAULT_BIND = "127.0.0.1:8181"


def parse_bytes(text: str) -> int:
    """A size such as ``64MB``, ``512kb`` or ``1048576`` (bytes; units count in 1024).

    Raises:
        ValueError: It is not a size.
    """
    match = re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", text.strip())
    if match is None or match[2].lower() not in _BYTE_UNITS:
        raise ValueError(f"'{text}' is not a size: write for example 64MB or 1048576")
    return int(match[1]) * _BYTE_UNITS[match[2].lower()]


def render_bytes(size: int) -> str:
    """`size` as `parse_bytes` reads it, in the largest unit that divides it."""
    for unit in ("gb", "mb", "kb"):
        if size and size % _BYTE_UNITS[unit] == 0:
            return f"{size // _BYTE_UNITS[unit]}{unit.upper()}"
    return str(size)


def parse_seconds(text: str) -> float:
    """A duration such as ``1s``, ``500ms`` or ``5m``.

    Raises:
        ValueError: It is not a duration between a millisecond and a year.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?", text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a duration: write for example 500ms, 1s or 5m")
    seconds = float(match[1]) * _SECOND_UNITS[match[2] or "s"]
    if not 0.001 <= seconds <= _SECONDS_MAX:
        raise ValueError(f"'{text}' is not between 1ms and {_SECONDS_MAX // 3600}h")
    return seconds


def parse_bind(text: str) -> tuple[str, int]:
    """Host and port of an address such as ``127.0.0.1:8181`` or ``[::1]:8181``.

    Raises:
        ValueError: It is not an address.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"'{text}' is not an address: write HOST:PORT, for example {DEFAULT_BIND}")
    return host or "127.0.0.1", int(port)


def parse_level(text: str) -> str:
    """A log level.

    Raises:
        ValueError: It is none.
    """
    if text.lower() not in ("debug", "info", "warn", "error"):
        raise ValueError(f"'{text}' is not a log level: use debug, info, warn or error")
    return text.lower()


def parse_count(text: str) -> int:
    """A whole number of at least 1.

    Raises:
        ValueError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"'{text}' is not a whole number above 0")
    return int(text)


@dataclass(frozen=True)
class Option:
    """One flag of ``headrace serve``, and an attribute of `ServeConfig`."""

    flag: str
    environment: tuple[str, ...]
    parse: Callable[[str], Any]
    help: str
    metavar: str = "VALUE"
    is_switch: bool = False
    # Smallest and largest value of a size or count.
    least: int = 1
    most: int = 1 << 50

    @property
    def attribute(self) -> str:
        """Name in `ServeConfig`."""
        return self.flag.removeprefix("--").replace("-", "_")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Settings of one server."""

    node_id: str = field(default_factory=lambda: f"{socket.gethostname()[:27] or 'local'}-node")
    object_store: str = "file"
    data_dir: Path = field(default_factory=lambda: Path.home() / ".headrace")
    plugin_dir: Path | None = None
    http_bind: tuple[str, int] = ("127.0.0.1", 8181)
    without_auth: bool = False
    max_http_request_size: int = 10 * 1024 * 1024
    http_receive_timeout: float = 15.0
    wal_flush_interval: float = 1.0
    wal_segment_size: int = 64 * 1024 * 1024
    wal_kept_max: int = 10 * 1024 * 1024 * 1024
    checkpoint_log_size: int = 128 * 1024 * 1024
    persist_log_size: int = 128 * 1024 * 1024
    persist_window: float = 600.0
    persist_memory_max: int = 512 * 1024 * 1024
    query_memory_limit: int = 2 * 1024 * 1024 * 1024
    query_timeout: float = 60.0
    query_concurrency: int = 8
    plugin_timeout: float = 300.0
    plugin_memory_max: int | None = None
    plugin_batch_rows: int = 100_000
    plugin_retries: int = 5
    async_trigger_concurrency_limit: int = 4
    # With what follows (listener, plugins, queries, log) the stop takes less than ten seconds.
    shutdown_timeout: float = 7.0
    log_level: str = "info"

    @property
    def plugins_path(self) -> Path:
        """Plugin directory, below the data directory unless set."""
        return self.plugin_dir if self.plugin_dir is not None else self.data_dir / "plugins"


OPTIONS = (
    Option(
        "--node-id",
        ("HEADRACE_NODE_ID", "INFLUXDB3_NODE_ID", "INFLUXDB3_NODE_IDENTIFIER_PREFIX"),
        str,
        "name of this writer; part of every path and frame",
        "NAME",
    ),
    Option(
        "--object-store",
        ("HEADRACE_OBJECT_STORE", "INFLUXDB3_OBJECT_STORE"),
        str,
        "where data lives; only 'file' so far",
        "KIND",
    ),
    Option(
        "--data-dir",
        ("HEADRACE_DATA_DIR", "INFLUXDB3_DATA_DIR", "INFLUXDB3_DB_DIR"),
        Path,
        "directory of the data (default ~/.headrace)",
        "DIR",
    ),
    Option(
        "--plugin-dir",
        ("HEADRACE_PLUGIN_DIR", "INFLUXDB3_PLUGIN_DIR"),
        Path,
        "directory of the plugins, created when absent (default DATA_DIR/plugins)",
        "DIR",
    ),
    Option(
        "--http-bind",
        ("HEADRACE_HTTP_BIND", "INFLUXDB3_HTTP_BIND_ADDR"),
        parse_bind,
        f"address to listen on (default {DEFAULT_BIND})",
        "HOST:PORT",
    ),
    Option(
        "--without-auth",
        ("HEADRACE_WITHOUT_AUTH", "INFLUXDB3_WITHOUT_AUTH", "INFLUXDB3_START_WITHOUT_AUTH"),
        str,
        "accept everybody who can reach the address; needed for any address but loopback",
        is_switch=True,
    ),
    Option(
        "--max-http-request-size",
        ("HEADRACE_MAX_HTTP_REQUEST_SIZE", "INFLUXDB3_MAX_HTTP_REQUEST_SIZE"),
        parse_bytes,
        "largest request body, before and after decompression (default 10MB)",
        "SIZE",
    ),
    Option(
        "--http-receive-timeout",
        ("HEADRACE_HTTP_RECEIVE_TIMEOUT",),
        parse_seconds,
        "longest silence of a client within its body (default 15s)",
        "DURATION",
    ),
    Option(
        "--wal-flush-interval",
        ("HEADRACE_WAL_FLUSH_INTERVAL", "INFLUXDB3_WAL_FLUSH_INTERVAL"),
        parse_seconds,
        "how often WAL triggers are handed what was written (default 1s)",
        "DURATION",
    ),
    Option(
        "--wal-segment-size",
        ("HEADRACE_WAL_SEGMENT_SIZE",),
        parse_bytes,
        "size at which a log file is sealed (default 64MB)",
        "SIZE",
        least=1 << 12,
        most=1 << 36,
    ),
    Option(
        "--wal-kept-max",
        ("HEADRACE_WAL_KEPT_MAX",),
        parse_bytes,
        "log kept for triggers that lag; beyond it they lose the oldest rows (default 10GB)",
        "SIZE",
        least=1 << 12,
    ),
    Option(
        "--checkpoint-log-size",
        ("HEADRACE_CHECKPOINT_LOG_SIZE",),
        parse_bytes,
        "growth of the log after which a checkpoint is written at the latest (default 128MB)",
        "SIZE",
        least=1 << 12,
    ),
    Option(
        "--persist-log-size",
        ("HEADRACE_PERSIST_LOG_SIZE",),
        parse_bytes,
        "sealed log files from which rows are moved to Parquet files (default 128MB)",
        "SIZE",
        least=1 << 12,
    ),
    Option(
        "--persist-window",
        ("HEADRACE_PERSIST_WINDOW", "INFLUXDB3_GEN1_DURATION"),
        parse_seconds,
        "time that a new Parquet file spans; must divide an hour (default 10m)",
        "DURATION",
    ),
    Option(
        "--persist-memory-max",
        ("HEADRACE_PERSIST_MEMORY_MAX",),
        parse_bytes,
        "memory for writing and merging Parquet files (default 512MB)",
        "SIZE",
        least=1 << 20,
    ),
    Option(
        "--query-memory-limit",
        ("HEADRACE_QUERY_MEMORY_LIMIT", "INFLUXDB3_EXEC_MEM_POOL_BYTES"),
        parse_bytes,
        "memory of all queries together (default 2GB)",
        "SIZE",
        least=1 << 25,
    ),
    Option(
        "--query-timeout",
        ("HEADRACE_QUERY_TIMEOUT",),
        parse_seconds,
        "longest time of a query (default 60s)",
        "DURATION",
    ),
    Option(
        "--query-concurrency",
        ("HEADRACE_QUERY_CONCURRENCY", "INFLUXDB3_MAX_CONCURRENT_QUERIES"),
        parse_count,
        "queries that run at once; others wait (default 8)",
        "N",
        most=1 << 10,
    ),
    Option(
        "--plugin-timeout",
        ("HEADRACE_PLUGIN_TIMEOUT",),
        parse_seconds,
        "longest time of a plugin run without a time-out of its own (default 5m)",
        "DURATION",
    ),
    Option(
        "--plugin-memory-max",
        ("HEADRACE_PLUGIN_MEMORY_MAX",),
        parse_bytes,
        "memory of a plugin's worker without a limit of its own (default: no limit)",
        "SIZE",
        least=1 << 25,
    ),
    Option(
        "--plugin-batch-rows",
        ("HEADRACE_PLUGIN_BATCH_ROWS",),
        parse_count,
        "rows of one call of a WAL trigger (default 100000)",
        "N",
    ),
    Option(
        "--plugin-retries",
        ("HEADRACE_PLUGIN_RETRIES",),
        parse_count,
        "retries of a failed run before its bad rows are searched and parked (default 5)",
        "N",
        most=1 << 10,
    ),
    Option(
        "--async-trigger-concurrency-limit",
        ("HEADRACE_ASYNC_TRIGGER_CONCURRENCY_LIMIT", "INFLUXDB3_ASYNC_TRIGGER_CONCURRENCY_LIMIT"),
        parse_count,
        "runs of one asynchronous trigger at once (default 4)",
        "N",
        most=1 << 10,
    ),
    Option(
        "--shutdown-timeout",
        ("HEADRACE_SHUTDOWN_TIMEOUT", "INFLUXDB3_SHUTDOWN_TIMEOUT"),
        parse_seconds,
        "time for requests under way when the server stops (default 7s)",
        "DURATION",
    ),
    Option(
        "--log-level",
        ("HEADRACE_LOG_LEVEL", "INFLUXDB3_LOG_FILTER", "LOG_FILTER"),
        parse_level,
        "debug, info, warn or error (default info)",
        "LEVEL",
    ),
)


def load(flags: Mapping[str, str | bool | None], environment: Mapping[str, str]) -> ServeConfig:
    """Settings from `flags` (by attribute name) first, then `environment`, then the defaults.

    Raises:
        ConfigError: A value cannot be understood, or values do not go together.
    """
    values: dict[str, Any] = {}
    for option in OPTIONS:
        source, text = option.flag, flags.get(option.attribute)
        if text is None or text is False:
            source = next((name for name in option.environment if environment.get(name)), "")
            text = environment.get(source) if source else None
        if text is None:
            continue
        if option.is_switch:
            values[option.attribute] = text is True or str(text).lower() in ("1", "true", "yes")
            continue
        try:
            value = option.parse(str(text))
        except ValueError as error:
            raise ConfigError(f"{source}: {error}") from error
        if isinstance(value, int) and not option.least <= value <= option.most:
            raise ConfigError(
                f"{source}: {text} is not between {render_bytes(option.least)} and "
                f"{render_bytes(option.most)}"
            )
        values[option.attribute] = value
    config = ServeConfig(**values)
    _check(config)
    return config


def _check(config: ServeConfig) -> None:
    if not _NODE_ID.match(config.node_id):
        raise ConfigError(
            f"--node-id: '{config.node_id}' is not a node id",
            hint="use 1 to 32 letters, digits, dots, underscores and hyphens, the first a letter "
            "or digit",
        )
    if config.object_store != "file":
        raise ConfigError(
            f"--object-store: '{config.object_store}' is not supported yet",
            hint="use --object-store file",
        )
    if 3_600_000 % round(config.persist_window * 1000):
        raise ConfigError(
            f"--persist-window: an hour is no multiple of {config.persist_window:g}s",
            hint="use for example 5m, 10m, 30m or 1h",
        )
    if config.http_bind[0] not in _LOOPBACK and not config.without_auth:
        raise ConfigError(
            f"--http-bind: {config.http_bind[0]} can be reached from other machines, and the "
            "server has no tokens",
            hint="bind to 127.0.0.1, or add --without-auth when the network keeps strangers out",
        )
