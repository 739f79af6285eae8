"""Rules of the reference engine that the published plugins do not show; names follow its sections.

Entry points and environment of the code (1), the API (2), specifications (3), settings and
lifecycle (4), plugin files (5), answers (8), system tables (9). Dry runs (7), uploads (5.5) and
packages (6) have files of their own among the end-to-end tests.
"""

import json

import pytest

from tests.support.probe import Probe
from tests.support.server import Answer
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

ANSWER = "def process_request(api, query, headers, body, args):\n    return 'here'\n"
TRIGGER = "/api/v3/configure/processing_engine_trigger"


def created(probe: Probe, content: dict[str, object]) -> Answer:
    filename = probe.file(ANSWER)
    body = {
        "db": probe.database,
        "trigger_name": "t",
        "plugin_filename": filename,
        "trigger_specification": f"request:{probe.database}",
        **content,
    }
    return probe.server.request(
        "POST", TRIGGER, json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )


# 1. Entry points.


def test_1_1_a_missing_entry_point_is_explained_with_its_signature(probe: Probe) -> None:
    filename = probe.file("x = 1\n")
    for spec, text in (
        ("all_tables", "process_writes(influxdb3_local, table_batches, args=None)"),
        ("every:1s", "process_scheduled_call(influxdb3_local, call_time, args=None)"),
        (
            "request:x-1-1",
            "process_request(influxdb3_local, query_parameters, request_headers, request_body, "
            "args=None) -> Tuple[str, Optional[Dict[str, str]]]",
        ),
    ):
        answer = probe.server.create_trigger(probe.database, "t", spec, filename)
        name = text.partition("(")[0]
        assert answer.status == 400
        assert answer.json()["error"] == (
            f"the {name} function is not present in the plugin. Should be defined as: {text}"
        )


def test_1_1_what_write_and_schedule_plugins_return_is_ignored(probe: Probe) -> None:
    source = """
    def process_writes(api, batches, args):
        api.info("called")
        return batches

    def process_scheduled_call(api, t, args):
        api.info("called")
        return object()
    """
    assert probe.after_write(source, "m f=1 1", spec="table:m") == ["called"]
    assert set(probe.own_texts(probe.trigger("every:1s", source))) == {"called"}


def test_1_3_repeated_points_are_delivered_one_by_one(probe: Probe) -> None:
    source = "def process_writes(api, batches, args):\n    api.info([r['f'] for r in batches[0]['rows']])"
    assert probe.after_write(source, "m,t=a f=1 1\nm,t=a f=2 1\nm,t=a f=2 1") == ["[1.0, 2.0, 2.0]"]


def test_1_3_a_trigger_of_one_table_is_not_called_for_others(probe: Probe) -> None:
    trigger = probe.trigger(
        "table:wanted",
        "def process_writes(api, batches, args):\n    api.info([b['table_name'] for b in batches])",
    )
    probe.write("other f=1 1")
    probe.write("other f=2 2\nwanted f=1 1")
    assert probe.own_texts(trigger) == ["['wanted']"]
    assert probe.texts(trigger).count("starting execution of wal plugin.") == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_1_5_methods_but_get_and_post_are_not_found(probe: Probe, method: str) -> None:
    path = probe.endpoint(ANSWER)
    assert probe.server.request(method, path).status == 404
    assert probe.server.request("GET", path).status == 200


def test_1_5_a_compressed_body_arrives_decompressed_and_odd_headers_do_no_harm(
    probe: Probe,
) -> None:
    import gzip

    source = """
    def process_request(api, query, headers, body, args):
        return [body.decode(), headers["x-odd"]]
    """
    headers = {"Content-Encoding": "gzip", "X-Odd": "gr\u00fc\u00dfe"}
    answer = probe.ask(source, method="POST", body=gzip.compress(b"text"), headers=headers)
    assert answer.status == 200
    assert answer.json()[0] == "text"
    path = probe.endpoint(source)
    wrong = probe.server.request("POST", path, b"x", headers={"Content-Encoding": "br"})
    assert wrong.status == 400


def test_1_6_the_module_is_not_main_and_names_its_file(probe: Probe) -> None:
    source = """
    import sys
    def process_request(api, query, headers, body, args):
        return [__name__ == "__main__", __file__.endswith(".py"), sys.modules[__name__] is not None]
    """
    assert probe.value(source) == [False, True, True]


# 2. The API.


def test_2_the_api_has_the_known_names(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        return sorted(name for name in dir(api) if not name.startswith("_"))
    """
    known = ["cache", "error", "info", "query", "warn", "write", "write_sync"]
    names = probe.value(source)
    assert isinstance(names, list)
    assert {*known, "write_sync_to_db", "write_to_db"} <= set(names)


def test_2_2_a_failed_run_drops_what_it_buffered_and_keeps_what_it_wrote_at_once(
    probe: Probe,
) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        api.write(LineBuilder("buffered").int64_field("f", 1))
        api.write_sync(LineBuilder("now").int64_field("f", 1), no_sync=False)
        raise SystemExit("out")
    """
    answer = probe.ask(source)
    assert answer.status == 500
    assert "SystemExit: out" in answer.json()["error"]
    tables = [row["table_name"] for row in probe.server.query(probe.database, "SHOW TABLES")]
    assert "now" in tables
    assert "buffered" not in tables


@pytest.mark.parametrize("database", ["_internal", "no good", "", "-x"])
def test_2_2_a_bad_database_name_fails_the_run(probe: Probe, database: str) -> None:
    source = f"""
    def process_request(api, query, headers, body, args):
        api.write(LineBuilder("m").int64_field("f", 1))
        api.write_to_db({database!r}, LineBuilder("m").int64_field("f", 1))
        return "never"
    """
    answer = probe.ask(source)
    assert answer.status == 500
    assert f"error writing back lines to {probe.database}, {database}" in answer.json()["error"]
    assert probe.server.ask(probe.database, "SELECT * FROM m").status == 400


def test_2_3_no_sync_is_a_bool_by_position_or_name(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        line = LineBuilder("m").int64_field("f", 1)
        try:
            api.write_sync(line, no_sync=1)
        except TypeError as error:
            text = str(error)
        return [text, api.write_sync(line, True), api.write_sync(line, no_sync=False)]
    """
    assert probe.value(source) == ["no_sync must be a bool, not int", None, None]


def test_2_4_names_of_other_databases_are_checked(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        texts = []
        for database in ("nowhere", "no good"):
            try:
                api.query("SELECT 1", database=database)
            except QueryError as error:
                texts.append(str(error))
        return texts
    """
    nowhere, bad = probe.value(source)
    assert "nowhere" in nowhere
    assert bad


def test_2_4_every_type_of_sql_has_a_python_value(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        (row,) = api.query('''SELECT CAST(1 AS INTEGER) AS i, CAST(1.5 AS REAL) AS r,
            2.50 AS d, CAST('2025-01-02' AS DATE) AS day,
            INTERVAL '1 second' AS span, NULL AS nothing''')
        return {name: [type(value).__name__, value if name != "span" else None]
                for name, value in row.items()}
    """
    value = probe.value(source)
    assert isinstance(value, dict)
    assert value["i"] == ["int", 1]
    assert value["r"] == ["float", 1.5]
    assert value["d"] == ["float", 2.5]
    assert value["day"] == ["str", "2025-01-02"]
    assert value["nothing"] == ["NoneType", None]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("put(1, 2)", "TypeError"),
        ("get(b'k')", "TypeError"),
        ("put('k', 1, ttl=-1)", "ValueError"),
        ("put('k', 1, ttl=float('nan'))", "ValueError"),
        ("put('k', 1, ttl=1e300)", "ValueError"),
        ("put('k', lambda: 1, use_global=True)", "TypeError"),
    ],
)
def test_2_5_the_cache_refuses_what_it_cannot_keep(probe: Probe, call: str, error: str) -> None:
    source = f"""
    def process_request(api, query, headers, body, args):
        try:
            api.cache.{call}
        except Exception as error:
            return type(error).__name__
    """
    assert probe.ask(source).body.decode() == error


def test_2_5_an_overwrite_replaces_the_time_to_live(probe: Probe) -> None:
    source = """
    import time
    def process_request(api, query, headers, body, args):
        api.cache.put("k", 1, ttl=0.01)
        api.cache.put("k", 2)
        api.cache.put("clock", 1, ttl=0.02)
        deadline = time.monotonic() + 10
        while api.cache.get("clock"):
            assert time.monotonic() < deadline
        return [api.cache.get("k")]
    """
    assert probe.value(source) == [2]


def test_2_5_the_own_cache_goes_when_the_trigger_is_disabled(probe: Probe) -> None:
    path = probe.endpoint(
        """
        def process_request(api, query, headers, body, args):
            api.cache.put("n", api.cache.get("n", 0) + 1)
            return [api.cache.get("n")]
        """
    )
    assert probe.server.request("GET", path).json() == [1]
    assert probe.server.request("GET", path).json() == [2]
    name = f"{probe.database}-1"
    for verb in ("disable", "enable"):
        result = probe.server.cli(verb, "trigger", "-d", probe.database, name)
        assert result.returncode == 0, result.stderr
    answer = wait_for(
        lambda: (a := probe.server.request("GET", path)).status == 200 and a, "it answers again"
    )
    assert answer.json() == [1]


# 3. Specifications.


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (" table: m ", "table:m"),
        ("all-tables", "all_tables"),
        ("all_tables", "all_tables"),
        ("cron:0 0 8 * * MON-FRI", "cron:0 0 8 * * MON-FRI"),
        ("schedule:0 0 8 * * * 2060", "cron:0 0 8 * * * 2060"),
        ("schedule:*/5 * * * *", "cron:*/5 * * * *"),
        ("every:90m", "every:1h 30m"),
        ("every:1h 30 minutes", "every:1h 30m"),
        ("request:a/b-3", "request:a/b-3"),
    ],
)
def test_3_accepted_specifications_and_their_echo(probe: Probe, spec: str, shown: str) -> None:
    filename = probe.file(
        "def process_request(a, b, c, d, e): pass\n"
        "def process_writes(a, b, c): pass\n"
        "def process_scheduled_call(a, b, c): pass\n"
    )
    answer = probe.server.create_trigger(probe.database, "t", spec, filename)
    assert answer.status == 200, answer.body
    rows = probe.server.request(
        "GET", TRIGGER, parameters={"db": probe.database, "format": "json"}
    ).json()
    assert rows[0]["trigger_specification"] == shown


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("table:", "table name is empty"),
        ("every:", "couldn't parse to duration"),
        ("every:soon", "couldn't parse to duration"),
        ("every:2y", "don't support every schedules of over 1 year"),
        ("every:0s", "under 1 ms"),
        ("every:999us", "under 1 ms"),
        ("cron:* *", "fields"),
        ("cron:0 0 0 31 2 *", "never triggers"),
        ("cron:0 0 0 1 1 * 1999", "never triggers"),
        ("request:", "request path is empty"),
        ("nonsense", "expect one of the following forms"),
        ("Table:m", "expect one of the following forms"),
    ],
)
def test_3_refused_specifications_are_400_with_a_hint(probe: Probe, spec: str, reason: str) -> None:
    answer = created(probe, {"trigger_specification": spec})
    assert answer.status == 400
    content = answer.json()
    assert content["error"].startswith(f"failed to parse trigger from {spec}")
    assert reason in content["error"] + content["hint"]


def test_3_4_a_request_path_is_unique_on_the_server(probe: Probe) -> None:
    other = Probe(probe.server, f"{probe.database}-other")
    assert created(probe, {"trigger_specification": "request:taken-3-4"}).status == 200
    answer = created(other, {"trigger_specification": "request:taken-3-4"})
    assert answer.status == 409
    assert probe.database in answer.json()["error"]


# 4. Settings and lifecycle.


def test_4_1_settings_have_defaults_and_error_behavior_takes_any_case(probe: Probe) -> None:
    assert created(probe, {}).status == 200
    settings = {"run_async": False, "error_behavior": "Retry"}
    again = {"trigger_name": "u", "trigger_specification": "request:u-4-1"}
    assert created(probe, {**again, "trigger_settings": settings, "unknown": 1}).status == 200
    rows = probe.server.query(
        probe.database,
        "SELECT trigger_name, error_behavior, disabled FROM system.processing_engine_triggers",
    )
    assert [(row["trigger_name"], row["error_behavior"], row["disabled"]) for row in rows] == [
        ("t", "log", False),
        ("u", "retry", False),
    ]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"db": "nowhere"}, 404),
        ({"plugin_filename": "nowhere.py"}, 400),
        ({"plugin_filename": "../x.py"}, 400),
        ({"trigger_settings": {"error_behavior": "explode"}}, 400),
        ({"trigger_arguments": {"a": 1}}, 400),
        ({"trigger_name": ""}, 400),
    ],
)
def test_4_1_what_is_wrong_with_a_trigger_is_said_at_creation(
    probe: Probe, content: dict[str, object], status: int
) -> None:
    answer = created(probe, content)
    assert answer.status == status, answer.body
    assert answer.json()["error"]


def test_4_1_a_name_is_taken_once_per_database(probe: Probe) -> None:
    other = Probe(probe.server, f"{probe.database}-other")
    assert created(probe, {}).status == 200
    again = created(probe, {"trigger_specification": "request:again-4-1"})
    assert again.status == 409
    assert again.json()["error"] == "attempted to create a resource that already exists"
    assert created(other, {}).status == 200


def test_4_2_enable_disable_and_delete(probe: Probe) -> None:
    assert created(probe, {"disabled": True}).status == 200
    path = f"/api/v3/engine/{probe.database}"
    named = {"db": probe.database, "trigger_name": "t"}
    assert probe.server.request("GET", path).status == 404
    for _ in range(2):
        assert probe.server.request("POST", f"{TRIGGER}/enable", parameters=named).status == 200
    assert probe.server.request("GET", path).body == b"here"
    running = probe.server.request("DELETE", TRIGGER, parameters=named)
    assert running.status == 409
    assert "Disable it first or use --force" in running.json()["error"]
    for _ in range(2):
        assert probe.server.request("POST", f"{TRIGGER}/disable", parameters=named).status == 200
    assert probe.server.request("GET", path).status == 404
    assert probe.server.request("DELETE", TRIGGER, parameters=named).status == 200
    for verb in ("enable", "disable"):
        missing = probe.server.request("POST", f"{TRIGGER}/{verb}", parameters=named)
        assert missing.status == 404
        assert missing.json()["error"] == "the requested resource was not found: t"


def test_4_2_arguments_split_at_commas_and_the_first_equals_sign(probe: Probe) -> None:
    filename = probe.file(
        "def process_request(api, query, headers, body, args):\n    return sorted(args.items())\n"
    )
    result = probe.server.cli(
        *("create", "trigger", "-d", probe.database, "--trigger-spec", "request:args-4-2"),
        *("--path", filename, "--trigger-arguments", "a=1=2,b=x y", "--trigger-arguments", "a=3"),
        "t",
    )
    assert result.returncode == 0, result.stderr
    answer = probe.server.request("GET", "/api/v3/engine/args-4-2")
    assert answer.json() == [["a", "3"], ["b", "x y"]]
    wrong = probe.server.cli(
        *("create", "trigger", "-d", probe.database, "--trigger-spec", "request:x"),
        *("--path", filename, "--trigger-arguments", "a=1,b", "u"),
    )
    assert wrong.returncode == 1
    assert 'must be formatted as "key=value"' in wrong.stderr


def test_4_5_a_new_trigger_sees_what_is_written_after_its_creation(probe: Probe) -> None:
    probe.write("m f=1 1")
    source = "def process_writes(api, batches, args):\n    api.info([r['f'] for r in batches[0]['rows']])"
    assert probe.after_write(source, "m f=2 2", spec="table:m") == ["[2.0]"]


# 5. Plugin files.


def test_5_3_a_file_that_is_gone_keeps_running_until_it_is_back(probe: Probe) -> None:
    path = probe.endpoint(ANSWER)
    assert probe.server.request("GET", path).body == b"here"
    file = next(probe.server.plugin_dir.glob(f"{probe.database}_1.py"))
    file.write_text(ANSWER.replace("here", "changed"))
    assert probe.server.request("GET", path).body == b"changed"


def test_5_4_packages_import_absolutely_and_relatively_and_names_do_not_collide(
    probe: Probe,
) -> None:
    """Two packages of one name, and one called like a module of the standard library."""
    for parent in ("one", "two"):
        probe.file(f"WHO = {parent!r}\n", f"compat_{parent}/json/inner.py")
        probe.file(
            "from .inner import WHO\nimport json\n"
            "def process_request(api, query, headers, body, args):\n"
            "    return json.dumps([WHO])\n",
            f"compat_{parent}/json/__init__.py",
        )
        answer = probe.server.create_trigger(
            probe.database, parent, f"request:{probe.database}-{parent}", f"compat_{parent}/json"
        )
        assert answer.status == 200, answer.body
    for parent in ("one", "two"):
        answer = probe.server.request("GET", f"/api/v3/engine/{probe.database}-{parent}")
        assert answer.json() == [parent]


def test_5_4_a_directory_without_init_is_refused(probe: Probe) -> None:
    probe.file("x = 1\n", "compat_no_init/inner.py")
    answer = created(probe, {"plugin_filename": "compat_no_init"})
    assert answer.status == 400
    assert "must contain __init__.py" in answer.json()["error"]


# 8. Answers.


@pytest.mark.parametrize("status", [99, 1000, "True", "'many'"])
def test_8_a_status_that_http_does_not_know_is_a_500(probe: Probe, status: object) -> None:
    answer = probe.ask(
        f"def process_request(api, query, headers, body, args):\n    return 'x', {status}"
    )
    assert answer.status == 500
    assert "status of a response" in answer.json()["error"]


def test_8_headers_merge_without_regard_to_case(probe: Probe) -> None:
    answer = probe.ask(
        "def process_request(api, query, headers, body, args):\n"
        "    return {'a': 1}, 201, {'content-TYPE': 'application/problem+json', 'X-N': 5}\n"
    )
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-n"] == "5"


# 9. System tables.


def test_9_1_tables_have_the_known_columns(probe: Probe) -> None:
    assert created(probe, {"trigger_arguments": {"k": "v"}}).status == 200
    triggers = probe.server.query(
        probe.database,
        "SELECT trigger_name, trigger_specification FROM system.processing_engine_triggers",
    )
    shown = json.dumps({"request_path": {"path": probe.database}}, separators=(",", ":"))
    assert triggers == [{"trigger_name": "t", "trigger_specification": shown}]
    arguments = probe.server.query(
        probe.database, "SELECT * FROM system.processing_engine_trigger_arguments"
    )
    assert arguments == [{"argument_key": "k", "argument_value": "v", "trigger_name": "t"}]
    (file,) = probe.server.query(
        "_internal", f"SELECT * FROM system.plugin_files WHERE file_name = '{probe.database}_1.py'"
    )
    assert file["plugin_name"] == "t"
    assert file["size_bytes"] == len(ANSWER)


def test_9_1_logs_are_those_of_the_database_and_all_in_internal(probe: Probe) -> None:
    other = Probe(probe.server, f"{probe.database}-other")
    path = other.endpoint(
        "def process_request(api, query, headers, body, args):\n    api.info('only there')\n"
    )
    assert probe.server.request("GET", path).status == 204
    sql = "SELECT log_text FROM system.processing_engine_logs WHERE log_text = 'only there'"
    assert probe.server.query(probe.database, sql) == []
    assert len(probe.server.query(other.database, sql)) == 1
    assert len(probe.server.query("_internal", sql)) == 1
    both = probe.server.query(
        other.database,
        "SELECT count(*) AS n FROM system.processing_engine_logs WHERE time = event_time",
    )
    assert both[0]["n"] >= 3


def test_9_3_each_run_has_its_automatic_lines(probe: Probe) -> None:
    path = probe.endpoint(ANSWER)
    assert probe.server.request("GET", path).status == 200
    start, end = probe.texts(f"{probe.database}-1")
    assert start == "starting execution of request plugin."
    assert end.startswith("finished execution in ")
