"""Settings from flags and environment."""

from pathlib import Path

import pytest

from engine import config
from engine.errors import ConfigError


def test_flags_win_over_the_environment_which_wins_over_defaults() -> None:
    environment = {"INFLUXDB3_DATA_DIR": "/from/environment", "HEADRACE_NODE_ID": "env-node"}
    settings = config.load({"node_id": "flag-node"}, environment)
    assert settings.node_id == "flag-node"
    assert settings.data_dir == Path("/from/environment")
    assert settings.http_bind == ("127.0.0.1", 8181)
    assert settings.plugins_path == Path("/from/environment/plugins")


def test_every_option_is_a_setting() -> None:
    fields = config.ServeConfig.__dataclass_fields__
    assert {option.attribute for option in config.OPTIONS} == set(fields)


@pytest.mark.parametrize(
    ("text", "size"), [("1048576", 1 << 20), ("64MB", 64 << 20), ("2 gb", 2 << 30), ("10k", 10240)]
)
def test_sizes(text: str, size: int) -> None:
    assert config.parse_bytes(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("500ms", 0.5), ("5m", 300), ("2", 2)])
def test_durations(text: str, seconds: float) -> None:
    assert config.parse_seconds(text) == seconds


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"http_bind": "nowhere"}, "--http-bind"),
        ({"http_bind": "127.0.0.1:99999"}, "not an address"),
        ({"http_bind": "192.0.2.1:8181"}, "--http-bind"),
        ({"node_id": "a/b"}, "--node-id"),
        ({"object_store": "s3"}, "--object-store"),
        ({"wal_flush_interval": "0s"}, "--wal-flush-interval"),
        ({"max_http_request_size": "-1"}, "--max-http-request-size"),
        ({"query_concurrency": "0"}, "--query-concurrency"),
        ({"query_concurrency": "100000"}, "--query-concurrency"),
        ({"query_timeout": "9999999999h"}, "--query-timeout"),
        ({"max_http_request_size": "0"}, "--max-http-request-size"),
        ({"wal_segment_size": "1"}, "not between 4KB and 64GB"),
        ({"wal_segment_size": "999999GB"}, "--wal-segment-size"),
        ({"query_memory_limit": "1kb"}, "--query-memory-limit"),
        ({"plugin_memory_max": "1kb"}, "not between 32MB"),
        ({"log_level": "loud"}, "--log-level"),
    ],
)
def test_wrong_values_name_their_flag(flags: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        config.load(flags, {})


def test_a_wrong_environment_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="INFLUXDB3_WAL_FLUSH_INTERVAL"):
        config.load({}, {"INFLUXDB3_WAL_FLUSH_INTERVAL": "soon"})


def test_other_addresses_with_the_switch() -> None:
    settings = config.load({"http_bind": "[::]:80", "without_auth": True}, {})
    assert settings.http_bind == ("::", 80)
