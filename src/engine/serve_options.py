# Owns the flags of `headrace serve`, with their environment variables and the reading of their
# values; config.py says what they set, and what goes together. Imports nothing heavy: the command
# line reads it for --help.
"""Flags of the server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from engine.setting_values import (
    DEFAULT_BIND,
    parse_bind,
    parse_bytes,
    parse_count,
    parse_exemptions,
    parse_level,
    parse_mode,
    parse_nice,
    parse_number,
    parse_package_manager,
    parse_seconds,
    parse_switch,
    parse_tls_version,
    parse_trigger_rights,
    parse_url,
)


# A dataclass would cost every client command a hundredth of a second.
class Option(NamedTuple):
    """One flag of ``headrace serve``, and an attribute of `ServeConfig`."""

    flag: str
    environment: tuple[str, ...]
    parse: Callable[[str], Any]
    help: str
    metavar: str = "VALUE"
    # Spellings of the reference.
    aliases: tuple[str, ...] = ()
    is_switch: bool = False
    # Not a flag, for everybody can read those, and never shown.
    is_secret: bool = False
    # Smallest and largest value of a size or count.
    least: int = 1
    most: int = 1 << 50

    @property
    def attribute(self) -> str:
        """Name in `ServeConfig`."""
        return self.key.replace("-", "_")

    @property
    def flags(self) -> tuple[str, ...]:
        """All spellings; the first is ours."""
        return self.flag, *self.aliases

    @property
    def key(self) -> str:
        """Name in a settings file."""
        return self.flag.removeprefix("--")


OPTIONS = (
    Option(
        "--node-id",
        ("HEADRACE_NODE_ID", "INFLUXDB3_NODE_ID", "INFLUXDB3_NODE_IDENTIFIER_PREFIX"),
        str,
        "name of this writer; part of every path and frame",
        "NAME",
        aliases=("--host-id",),
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
        "--disk-reserve",
        ("HEADRACE_DISK_RESERVE",),
        parse_bytes,
        "space that rows leave free on the disk; below it writes get 507 (default 256MB)",
        "SIZE",
        least=0,
    ),
    Option(
        "--plugin-dir",
        ("HEADRACE_PLUGIN_DIR", "INFLUXDB3_PLUGIN_DIR"),
        Path,
        "directory of the plugins, created when absent (default DATA_DIR/plugins)",
        "DIR",
    ),
    Option(
        "--plugin-repo",
        ("HEADRACE_PLUGIN_REPO", "INFLUXDB3_PLUGIN_REPO"),
        parse_url,
        "where plugins with the prefix gh: are fetched from (default: the public collection)",
        "URL",
    ),
    Option(
        "--virtual-env-location",
        ("HEADRACE_VIRTUAL_ENV_LOCATION", "INFLUXDB3_VIRTUAL_ENV_LOCATION"),
        Path,
        "virtual environment of the plugins' packages (default PLUGIN_DIR/.venv)",
        "DIR",
    ),
    Option(
        "--package-manager",
        ("HEADRACE_PACKAGE_MANAGER", "INFLUXDB3_PACKAGE_MANAGER"),
        parse_package_manager,
        "what installs packages: discover (uv where there is one, else pip), pip, uv, or disabled",
        "NAME",
    ),
    Option(
        "--disable-package-management",
        ("HEADRACE_DISABLE_PACKAGE_MANAGEMENT", "INFLUXDB3_DISABLE_PACKAGE_MANAGEMENT"),
        parse_switch,
        "the same as --package-manager disabled",
        is_switch=True,
    ),
    Option(
        "--http-bind",
        ("HEADRACE_HTTP_BIND", "INFLUXDB3_HTTP_BIND_ADDR"),
        parse_bind,
        f"address to listen on (default {DEFAULT_BIND})",
        "HOST:PORT",
    ),
    Option(
        "--flight-bind",
        ("HEADRACE_FLIGHT_BIND",),
        parse_bind,
        "address for Flight SQL, for example 127.0.0.1:8182 (default: not served)",
        "HOST:PORT",
    ),
    Option(
        "--http-socket",
        ("HEADRACE_HTTP_SOCKET",),
        Path,
        "Unix socket to listen on as well (clients: --host unix:///PATH)",
        "PATH",
    ),
    Option(
        "--http-socket-mode",
        ("HEADRACE_HTTP_SOCKET_MODE",),
        parse_mode,
        "permissions of the Unix socket's file, in octal (default 600)",
        "MODE",
        least=0,
    ),
    Option(
        "--tls-cert",
        ("HEADRACE_TLS_CERT", "INFLUXDB3_TLS_CERT"),
        Path,
        "certificate chain (PEM): serve HTTPS; needs --tls-key",
        "FILE",
    ),
    Option(
        "--tls-key",
        ("HEADRACE_TLS_KEY", "INFLUXDB3_TLS_KEY"),
        Path,
        "private key (PEM) of the certificate",
        "FILE",
    ),
    Option(
        "--tls-minimum-version",
        ("HEADRACE_TLS_MINIMUM_VERSION", "INFLUXDB3_TLS_MINIMUM_VERSION"),
        parse_tls_version,
        "oldest version of TLS that clients may speak: tls-1.2 or tls-1.3 (default tls-1.2)",
        "VERSION",
    ),
    Option(
        "--without-auth",
        ("HEADRACE_WITHOUT_AUTH", "INFLUXDB3_WITHOUT_AUTH", "INFLUXDB3_START_WITHOUT_AUTH"),
        parse_switch,
        "accept everybody who can reach the address, whatever token they send",
        is_switch=True,
    ),
    Option(
        "--disable-authz",
        ("HEADRACE_DISABLE_AUTHZ", "INFLUXDB3_DISABLE_AUTHZ"),
        parse_exemptions,
        "what needs no token: metrics (health and ping never do), separated by commas",
        "NAMES",
    ),
    Option(
        "--admin-token-file",
        ("HEADRACE_ADMIN_TOKEN_FILE", "INFLUXDB3_ADMIN_TOKEN_FILE"),
        Path,
        "admin token to begin with, made by 'headrace create token --admin --offline'",
        "FILE",
    ),
    Option(
        "--admin-token",
        ("HEADRACE_ADMIN_TOKEN",),
        str,
        "admin token to begin with",
        is_secret=True,
    ),
    Option(
        "--config",
        ("HEADRACE_CONFIG",),
        Path,
        "TOML file with settings, named as the flags without --; flags and environment win",
        "FILE",
    ),
    Option(
        "--max-http-request-size",
        ("HEADRACE_MAX_HTTP_REQUEST_SIZE", "INFLUXDB3_MAX_HTTP_REQUEST_SIZE"),
        parse_bytes,
        "largest request body, before and after decompression (default 10MB)",
        "SIZE",
    ),
    Option(
        "--http-json-size-max",
        ("HEADRACE_HTTP_JSON_SIZE_MAX",),
        parse_bytes,
        "the same of requests that carry no rows, code of plugins or requests to plugins: "
        "questions and configuration (default 1MB)",
        "SIZE",
        least=1 << 10,
    ),
    Option(
        "--http-receive-timeout",
        ("HEADRACE_HTTP_RECEIVE_TIMEOUT",),
        parse_seconds,
        "longest silence of a client within its body (default 15s)",
        "DURATION",
    ),
    Option(
        "--http-idle-timeout",
        ("HEADRACE_HTTP_IDLE_TIMEOUT",),
        parse_seconds,
        "connections that do nothing for as long are closed (default 30s)",
        "DURATION",
    ),
    Option(
        "--http-connections-per-address",
        ("HEADRACE_HTTP_CONNECTIONS_PER_ADDRESS",),
        parse_number,
        "connections of one other machine (of one /64 in IPv6); the newest beyond are closed, "
        "0 for any number (default 2000)",
        "N",
        least=0,
    ),
    Option(
        "--http-busy-poll-us",
        ("HEADRACE_HTTP_BUSY_POLL_US",),
        parse_number,
        "microseconds for which a core stays awake for the next small write of a client that sends "
        "one upon the other; 0 to sleep at once (default 300)",
        "N",
        least=0,
        most=10_000,
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
        "--live-rows-max",
        ("HEADRACE_LIVE_ROWS_MAX",),
        parse_bytes,
        "rows, as bytes of log, in no file yet; beyond it writes are answered 503 (default 4GB)",
        "SIZE",
        least=1 << 20,
    ),
    Option(
        "--persist-window",
        ("HEADRACE_PERSIST_WINDOW", "INFLUXDB3_GEN1_DURATION"),
        parse_seconds,
        "time that a new Parquet file spans at least; must divide an hour (default 10m)",
        "DURATION",
        aliases=("--gen1-duration",),
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
        aliases=("--exec-mem-pool-bytes", "--exec-mem-pool-size"),
        least=1 << 25,
    ),
    Option(
        "--query-cache-max",
        ("HEADRACE_QUERY_CACHE_MAX",),
        parse_bytes,
        "memory for what queries come back to in files (default 256MB; 0: none)",
        "SIZE",
        least=0,
    ),
    Option(
        "--query-temp-max",
        ("HEADRACE_QUERY_TEMP_MAX",),
        parse_bytes,
        "disk space that all queries may take when their memory is short (default 1GB; 0: none)",
        "SIZE",
        least=0,
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
        aliases=("--max-concurrent-queries",),
        most=1 << 10,
    ),
    Option(
        "--slow-query-time",
        ("HEADRACE_SLOW_QUERY_TIME",),
        parse_seconds,
        "queries that take as long are logged with their text (default 10s)",
        "DURATION",
    ),
    Option(
        "--query-waiting-max",
        ("HEADRACE_QUERY_WAITING_MAX",),
        parse_count,
        "queries that wait for others; more are answered with 503 (default 100)",
        "N",
        most=1 << 20,
    ),
    Option(
        "--query-text-max",
        ("HEADRACE_QUERY_TEXT_MAX",),
        parse_bytes,
        "longest text of a query (default 256KB)",
        "SIZE",
        least=1 << 10,
        most=1 << 26,
    ),
    Option(
        "--query-words-max",
        ("HEADRACE_QUERY_WORDS_MAX",),
        parse_count,
        "words, numbers and signs in a query; 10,000 take up to a second to parse (default 10000)",
        "N",
        least=100,
        most=1_000_000,
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
        "--plugin-nice",
        ("HEADRACE_PLUGIN_NICE",),
        parse_nice,
        "how far plugins give way where processor time is short, 0 to 19 (default 10)",
        "N",
        least=0,
        most=19,
    ),
    Option(
        "--plugin-processes-max",
        ("HEADRACE_PLUGIN_PROCESSES_MAX",),
        parse_count,
        "processes of a plugin's worker, itself included; more end it (default 256)",
        "N",
        most=1 << 16,
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
        "--plugin-log-retention",
        ("HEADRACE_PLUGIN_LOG_RETENTION",),
        parse_seconds,
        "age at which log lines of plugins go (default 7d)",
        "TIME",
    ),
    Option(
        "--plugin-log-size-max",
        ("HEADRACE_PLUGIN_LOG_SIZE_MAX",),
        parse_bytes,
        "disk space of the log lines of plugins, of which the oldest go (default 64MB)",
        "SIZE",
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
        "--trigger-rights",
        ("HEADRACE_TRIGGER_RIGHTS",),
        parse_trigger_rights,
        "what new triggers without --database-rights may do: all, or read and write their own "
        "database (default all)",
        "WHICH",
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
        aliases=("--log-filter",),
    ),
)


FLAGS = tuple(option for option in OPTIONS if not option.is_secret)
