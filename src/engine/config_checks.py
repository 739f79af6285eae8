# Owns what must hold between the settings of `headrace serve`, and of some beyond their form.
"""Checks of server settings."""

import re
from typing import TYPE_CHECKING

from engine.errors import SettingError

if TYPE_CHECKING:
    from engine.config import ServeConfig

_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}\Z")


def check(config: "ServeConfig") -> None:
    """Whether the settings go together.

    Raises:
        SettingError: They do not.
    """
    if not _NODE_ID.match(config.node_id):
        raise SettingError(
            f"--node-id: '{config.node_id}' is not a node id",
            hint="use 1 to 32 letters, digits, dots, underscores and hyphens, the first a letter "
            "or digit",
        )
    if config.object_store != "file":
        raise SettingError(
            f"--object-store: '{config.object_store}' is not supported yet",
            hint="use --object-store file",
        )
    if config.flight_bind is not None and config.flight_bind[1] == config.http_bind[1]:
        raise SettingError(
            f"--flight-bind: port {config.http_bind[1]} is that of HTTP",
            hint="Flight needs a port of its own, for example 8182",
        )
    if config.flight_bind is not None and config.tls_minimum_version != "tls-1.2":
        raise SettingError(
            f"--flight-bind: pyarrow serves TLS 1.2 too, and --tls-minimum-version says "
            f"{config.tls_minimum_version}",
            hint="leave one of the two out",
        )
    if (config.tls_cert is None) != (config.tls_key is None):
        raise SettingError("--tls-cert and --tls-key go together: give both or neither")
    for flag, path in (("--tls-cert", config.tls_cert), ("--tls-key", config.tls_key)):
        if path is not None and not path.is_file():
            raise SettingError(f"{flag}: there is no file {path}")
    if config.admin_token is not None and config.admin_token_file is not None:
        raise SettingError("HEADRACE_ADMIN_TOKEN and --admin-token-file exclude each other")
    if config.live_rows_max < config.persist_log_size + 2 * config.wal_segment_size:
        raise SettingError(
            "--live-rows-max: it must be at least --persist-log-size and two log files "
            "(--wal-segment-size), or rows would be refused before any move to files",
            hint="raise it, or lower the others",
        )
    if 3_600_000 % round(config.persist_window * 1000):
        raise SettingError(
            f"--persist-window: an hour is no multiple of {config.persist_window:g}s",
            hint="use for example 5m, 10m, 30m or 1h",
        )
