"""Settings from flags and environment."""

from pathlib import Path

import pytest

from engine import config, setting_values
from engine.errors import ConfigError, SettingError
from engine.serve_options import OPTIONS


def test_flags_win_over_the_environment_which_wins_over_defaults() -> None:
    environment = {"INFLUXDB3_DATA_DIR": "/from/environment", "HEADRACE_NODE_ID": "env-node"}
    settings = config.load({"node_id": "flag-node"}, environment)
    assert settings.node_id == "flag-node"
    assert settings.data_dir == Path("/from/environment")
    assert settings.http_bind == ("127.0.0.1", 8181)
    assert settings.plugins_path == Path("/from/environment/plugins")


def test_what_zero_means_something_for_may_be_zero() -> None:
    flags = {"http_connections_per_address": "0", "query_cache_max": "0", "disk_reserve": "0"}
    settings = config.load(flags, {})
    assert (settings.http_connections_per_address, settings.query_cache_max) == (0, 0)


def test_every_option_is_a_setting() -> None:
    fields = config.ServeConfig.__dataclass_fields__
    assert {option.attribute for option in OPTIONS} == set(fields)


@pytest.mark.parametrize(
    ("text", "size"), [("1048576", 1 << 20), ("64MB", 64 << 20), ("2 gb", 2 << 30), ("10k", 10240)]
)
def test_sizes(text: str, size: int) -> None:
    assert setting_values.parse_bytes(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("500ms", 0.5), ("5m", 300), ("2", 2)])
def test_durations(text: str, seconds: float) -> None:
    assert setting_values.parse_seconds(text) == seconds


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"http_bind": "nowhere"}, "--http-bind"),
        ({"http_bind": "127.0.0.1:99999"}, "not an address"),
        ({"disable_authz": "write"}, "--disable-authz"),
        ({"tls_cert": "/nowhere/cert.pem"}, "go together"),
        ({"node_id": "a/b"}, "--node-id"),
        ({"object_store": "s3"}, "--object-store"),
        ({"trigger_rights": "mine"}, "--trigger-rights"),
        ({"wal_flush_interval": "0s"}, "--wal-flush-interval"),
        ({"max_http_request_size": "-1"}, "--max-http-request-size"),
        ({"query_concurrency": "0"}, "--query-concurrency"),
        ({"query_concurrency": "100000"}, "not between 1 and 1024"),
        ({"http_connections_per_address": "-1"}, "--http-connections-per-address"),
        ({"query_timeout": "9999999999h"}, "--query-timeout"),
        ({"max_http_request_size": "0"}, "--max-http-request-size"),
        ({"wal_segment_size": "1"}, "not between 4KB and 64GB"),
        ({"wal_segment_size": "999999GB"}, "--wal-segment-size"),
        ({"query_memory_limit": "1kb"}, "--query-memory-limit"),
        ({"query_text_max": "1"}, "--query-text-max"),
        ({"query_words_max": "99"}, "--query-words-max"),
        ({"plugin_memory_max": "1kb"}, "not between 32MB"),
        ({"log_level": "loud"}, "--log-level"),
        ({"flight_bind": "127.0.0.1:8181"}, "port 8181 is that of HTTP"),
        (
            {"flight_bind": "127.0.0.1:8182", "tls_minimum_version": "tls-1.3"},
            "pyarrow serves TLS 1.2 too",
        ),
        ({"http_socket_mode": "888"}, "--http-socket-mode"),
        ({"http_socket_mode": "077"}, "--http-socket-mode"),
    ],
)
def test_wrong_values_name_their_flag(flags: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        config.load(flags, {})


def test_a_wrong_environment_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="INFLUXDB3_WAL_FLUSH_INTERVAL"):
        config.load({}, {"INFLUXDB3_WAL_FLUSH_INTERVAL": "soon"})


def test_other_addresses() -> None:
    settings = config.load({"http_bind": "[::]:80", "without_auth": True}, {})
    assert settings.http_bind == ("::", 80)
    assert settings.without_auth


def settings_file(directory: Path, text: str) -> dict[str, str]:
    path = directory / "headrace.toml"
    path.write_text(text)
    return {"config": str(path)}


def test_a_file_gives_what_flags_and_environment_do_not(tmp_path: Path) -> None:
    flags = settings_file(
        tmp_path,
        'node-id = "file-node"\nquery_concurrency = 3\nwithout-auth = true\n'
        'max-http-request-size = "2MB"\nquery-timeout = 1.5\nplugin-retries = 7\n',
    )
    settings, sources = config.load_with_sources(
        {**flags, "node_id": "flag-node"}, {"HEADRACE_PLUGIN_RETRIES": "9"}
    )
    assert (settings.node_id, sources["node_id"]) == ("flag-node", "--node-id")
    assert (settings.plugin_retries, sources["plugin_retries"]) == (9, "HEADRACE_PLUGIN_RETRIES")
    assert settings.query_concurrency == 3
    assert sources["query_concurrency"] == f"{flags['config']}: query-concurrency"
    assert settings.without_auth
    assert settings.max_http_request_size == 2 << 20
    assert settings.query_timeout == 1.5
    assert sources["data_dir"] == "default"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("node-idd = 'x'", "no setting 'node-idd'"),
        ("not toml", "not TOML"),
        ("query-concurrency = 0", "query-concurrency: .0. is not a whole"),
        ("query-concurrency = true", "as a string or a number"),
        ("query-concurrency = [1]", "as a string or a number"),
        ("admin-token = 'x'", "no setting 'admin-token'"),
        ("config = 'x'", "no setting 'config'"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        config.load(settings_file(tmp_path, text), {})


def test_a_misspelt_setting_gets_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        config.load(settings_file(tmp_path, "nod-id = 'x'"), {})
    assert "node-id" in caught.value.hint


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingError, match="--config: cannot read /nowhere"):
        config.load({"config": "/nowhere"}, {})


def test_secrets_do_not_stay_in_the_environment_nor_in_texts() -> None:
    environment = {"HEADRACE_ADMIN_TOKEN": "apiv3_secret", "PATH": "/bin"}
    settings = config.load({}, environment)
    assert settings.admin_token == "apiv3_secret"
    assert "apiv3_secret" not in repr(settings)
    config.forget_secrets(environment)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2_592_000), ("1y", 31_536_000), ("90", 90)])
def test_lifetimes(text: str, seconds: int) -> None:
    assert setting_values.parse_lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "1.5d", "101y", "-1d", "1month"])
def test_wrong_lifetimes(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|between"):
        setting_values.parse_lifetime(text)
