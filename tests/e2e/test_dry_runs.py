"""Dry runs: what a plugin would do, shown and not done."""

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

COUNT = """
def process_writes(api, batches, args):
    for batch in batches:
        api.info(batch["table_name"], [dict(row) for row in batch["rows"]], args)
        api.write(LineBuilder("counts").tag("t", batch["table_name"]).int64_field("n", len(batch["rows"])))
    api.write_sync_to_db("other", LineBuilder("now").int64_field("f", 1), no_sync=False)
"""


def tried(server: ServerProcess, *arguments: str) -> Any:
    result = server.cli("test", *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def own_lines(report: Any) -> list[str]:
    return [
        line
        for line in report["log_lines"]
        if not line.startswith(("INFO: starting execution", "INFO: finished execution"))
    ]


@pytest.mark.parametrize("spelling", ["wal_plugin", "wal-plugin"])
def test_written_rows_are_tried_without_a_trace(server: ServerProcess, spelling: str) -> None:
    server.plugin("count.py", COUNT)
    report = tried(
        server,
        *(spelling, "-d", "nowhere", "--lp", "cpu,host=a f=1 5\nmem f=2i 6\ncpu f=3 7"),
        *("--input-arguments", "a=1,b=2", "count.py"),
    )
    assert report["errors"] == []
    assert report["log_lines"][0] == "INFO: starting execution of wal plugin."
    assert report["log_lines"][-1].startswith("INFO: finished execution in ")
    arguments = "{'a': '1', 'b': '2'}"
    assert own_lines(report) == [
        f"INFO: cpu [{{'host': 'a', 'f': 1.0, 'time': 5}}, {{'f': 3.0, 'time': 7}}] {arguments}",
        f"INFO: mem [{{'f': 2, 'time': 6}}] {arguments}",
    ]
    assert report["database_writes"] == {
        "other": ["now f=1i"],
        "nowhere": ["counts,t=cpu n=2i", "counts,t=mem n=1i"],
    }
    shown = json.loads(server.cli("show", "databases", "--format", "json").stdout)
    assert shown == []
    logged = server.query("_internal", "SELECT * FROM system.processing_engine_logs")
    assert logged == []


def test_synchronous_writes_stand_before_buffered_ones(server: ServerProcess) -> None:
    server.plugin(
        "order.py",
        """
def process_writes(api, batches, args):
    api.write(LineBuilder("a").int64_field("f", 1))
    api.write_sync(LineBuilder("b").int64_field("f", 2), no_sync=True)
""",
    )
    report = tried(server, "wal_plugin", "-d", "db", "--lp", "m f=1", "order.py")
    assert report["database_writes"] == {"db": ["b f=2i", "a f=1i"]}


def test_input_from_a_file_and_input_that_does_not_fit(
    server: ServerProcess, tmp_path: Any
) -> None:
    server.plugin("count.py", COUNT)
    server.write("db", "cpu f=1 1\n", precision="ns")
    lines = tmp_path / "lines.lp"
    lines.write_text("mem f=1 1\n")
    report = tried(server, "wal_plugin", "-d", "db", "--file", str(lines), "count.py")
    assert own_lines(report) == ["INFO: mem [{'f': 1.0, 'time': 1}] None"]
    for bad in ("cpu f=1i 2", "cpu f=", "cpu f=1 5\n,x"):
        refused = server.cli("test", "wal_plugin", "-d", "db", "--lp", bad, "count.py")
        assert refused.returncode == 1
        assert "line protocol" in refused.stderr
    nothing = server.cli("test", "wal_plugin", "-d", "db", "count.py")
    assert "either --lp or --file must be provided" in nothing.stderr


def test_writes_that_would_be_refused_are_reported(server: ServerProcess) -> None:
    server.plugin(
        "bad.py",
        """
class Raw:
    def __init__(self, text):
        self.build = lambda: text

def process_writes(api, batches, args):
    api.write(Raw("m f="))
    api.write(Raw("m f=1i 1"))
    api.write(Raw("m f=text 1"))
    api.write(LineBuilder("fresh").int64_field("x", 1))
    api.write(LineBuilder("fresh").string_field("x", "no"))
    api.write_to_db("no good", LineBuilder("m").int64_field("f", 1))
""",
    )
    server.write("db", "m f=1.5 1\n", precision="ns")
    report = tried(server, "wal_plugin", "-d", "db", "--lp", "x f=1", "bad.py")
    errors = report["errors"]
    assert len(errors) == 5
    assert all(
        error.startswith("line protocol parse error on write to db db: ") for error in errors[:4]
    )
    assert errors[4].startswith("database name no good is invalid: ")
    assert len(report["database_writes"]["db"]) == 5
    assert server.query("db", "SELECT count(*) AS n FROM m") == [{"n": 1}]


def test_a_failure_keeps_its_log_and_has_a_traceback(server: ServerProcess) -> None:
    server.plugin(
        "fails.py",
        """
def process_writes(api, batches, args):
    api.info("before")
    api.write(LineBuilder("some_table"))
""",
    )
    report = tried(server, "wal_plugin", "-d", "db", "--lp", "m f=1", "fails.py")
    text = "InvalidLineError: At least one field is required: some_table"
    assert report["errors"] == [f"error executing plugin: {text}"]
    assert own_lines(report) == ["INFO: before"]
    assert 'fails.py", line 4, in process_writes' in report["traceback"]
    server.plugin("broken.py", "def process_writes(:\n")
    refused = server.cli("test", "wal_plugin", "-d", "db", "--lp", "m f=1", "broken.py")
    assert "SyntaxError" in refused.stderr
    missing = server.cli("test", "wal_plugin", "-d", "db", "--lp", "m f=1", "none.py")
    assert "Plugin not found" in missing.stderr


def test_schedules_are_tried_for_their_next_tick(server: ServerProcess) -> None:
    server.plugin(
        "tick.py",
        "def process_scheduled_call(api, t, args):\n    api.info(t.isoformat(), api.query('SELECT 1 AS x'))\n",
    )
    server.cli("create", "database", "db")
    arguments = ("schedule_plugin", "-d", "db", "--schedule", "0 0 0 1 1 *", "tick.py")
    report = tried(server, *arguments)
    assert report["trigger_time"].endswith("-01-01T00:00:00Z")
    time = report["trigger_time"].removesuffix("Z")
    assert own_lines(report) == [f"INFO: {time} [{{'x': 1}}]"]
    first = f"INFO: starting execution with scheduled time {time.replace('T', ' ')} UTC"
    assert report["log_lines"][0] == first
    assert tried(server, "schedule_plugin", "-d", "db", "tick.py")["errors"] == []
    for schedule, reason in (("* *", "cron expression"), ("0 0 0 30 2 *", "never triggers")):
        refused = server.cli(
            "test", "schedule_plugin", "-d", "db", "--schedule", schedule, "tick.py"
        )
        assert reason in refused.stderr
    refused = server.cli("test", "schedule_plugin", "-d", "none", "tick.py")
    assert "Database not found none" in refused.stderr


def test_requests_are_tried_with_query_headers_and_body(server: ServerProcess) -> None:
    server.plugin(
        "answer.py",
        """
def process_request(api, query, headers, body, args):
    api.write(LineBuilder("m").int64_field("f", 1))
    if "stream" in query:
        return (part for part in ("a", "b"))
    return [query, headers["x-own"], body.decode(), args], 202
""",
    )
    server.cli("create", "database", "db")
    report = tried(
        server,
        *("request_plugin", "-d", "db", "--query", "a=1", "--header", "X-Own=v"),
        *("--body", "text", "--input-arguments", "k=v", "answer.py"),
    )
    assert report["response"]["status"] == 202
    assert json.loads(report["response"]["body"]) == [{"a": "1"}, "v", "text", {"k": "v"}]
    assert report["response"]["headers"] == {"content-type": "application/json"}
    assert report["database_writes"] == {"db": ["m f=1i"]}
    streamed = tried(server, "request_plugin", "-d", "db", "--query", "stream=1", "answer.py")
    assert streamed["response"]["body"] == "ab"


def test_tests_of_one_cache_name_share_their_cache(server: ServerProcess) -> None:
    source = """
import threading
def process_scheduled_call(api, t, args):
    api.info(api.cache.get("n", 0), api.cache.get("n", 0, use_global=True), api.cache.get("lock"))
    api.cache.put("n", api.cache.get("n", 0) + 1)
    api.cache.put("n", api.cache.get("n", 0, use_global=True) + 10, use_global=True)
    api.cache.put("lock", threading.Lock())
    assert api.cache.get("lock") is not None

process_writes = process_scheduled_call
"""
    server.plugin("cached.py", source)
    server.cli("create", "database", "db")

    def seen(*arguments: str) -> list[str]:
        return own_lines(tried(server, *arguments, "-d", "db", "cached.py"))

    wal = ("wal_plugin", "--lp", "m f=1")
    assert seen("schedule_plugin") == ["INFO: 0 0 None"]
    assert seen(*wal) == ["INFO: 1 10 None"]
    assert seen("schedule_plugin", "--cache-name", "own") == ["INFO: 0 0 None"]
    assert seen("schedule_plugin", "--cache-name", "own") == ["INFO: 1 10 None"]
    assert seen(*wal) == ["INFO: 2 20 None"]


def test_packages_with_relative_imports_can_be_tried(server: ServerProcess) -> None:
    server.plugin("pack/__init__.py", "from .inner import process_writes\n")
    server.plugin("pack/inner.py", "def process_writes(api, b, args):\n    api.info('inner')\n")
    report = tried(server, "wal_plugin", "-d", "db", "--lp", "m f=1", "pack")
    assert own_lines(report) == ["INFO: inner"]


def test_stored_rows_are_replayed_in_order_of_time_and_nothing_is_stored(
    server: ServerProcess,
) -> None:
    server.plugin("count.py", COUNT)
    lines = "".join(f"b,t=x f={n}i {n}\na g={n}.5,h=1i {n}\n" for n in (30, 10, 20, 40))
    server.write("db", lines + "b only=1 15\n", precision="ns")
    report = tried(server, "wal_plugin", "-d", "db", "--from", "10", "--to", "40", "count.py")
    assert (report["calls"], report["rows"]) == (1, 7)
    assert own_lines(report) == [
        "INFO: a [{'g': 10.5, 'h': 1, 'time': 10}, {'g': 20.5, 'h': 1, 'time': 20}, "
        "{'g': 30.5, 'h': 1, 'time': 30}] None",
        "INFO: b [{'t': 'x', 'f': 10, 'time': 10}, {'only': 1.0, 'time': 15}, "
        "{'t': 'x', 'f': 20, 'time': 20}, {'t': 'x', 'f': 30, 'time': 30}] None",
    ]
    assert report["database_writes"]["db"] == ["counts,t=a n=3i", "counts,t=b n=4i"]
    only = ("--from", "1970-01-01", "--to", "2000-01-01T00:00:00Z", "--table", "b")
    report = tried(server, "wal_plugin", "-d", "db", *only, "count.py")
    assert report["database_writes"]["db"] == ["counts,t=b n=5i"]
    assert server.ask("db", "SELECT * FROM counts").status == 400
    for flags, reason in (
        (("--from", "5", "--to", "5"), "ends before it begins"),
        (("--from", "soon", "--to", "5"), "is not a time"),
        (("--from", "1"), "go together"),
        (("--from", "1", "--to", "5", "--table", "none"), "not found"),
    ):
        refused = server.cli("test", "wal_plugin", "-d", "db", *flags, "count.py")
        assert reason in refused.stderr, refused.stderr


def test_many_stored_rows_come_in_several_calls_of_one_worker(server: ServerProcess) -> None:
    server.plugin(
        "many.py",
        """
import itertools
def process_writes(api, batches, args):
    rows = sum(len(batch["rows"]) for batch in batches)
    calls = api.cache.get("calls") or itertools.count(1)
    api.cache.put("calls", calls)
    api.info(next(calls), rows, batches[0]["rows"][0]["time"])
""",
    )
    server.write("db", "\n".join(f"m f={n}i {n}" for n in range(1, 25_001)), precision="ns")
    report = tried(server, "wal_plugin", "-d", "db", "--from", "0", "--to", "99999", "many.py")
    assert own_lines(report) == ["INFO: 1 10000 1", "INFO: 2 10000 10001", "INFO: 3 5000 20001"]
    assert (report["calls"], report["rows"]) == (3, 25_000)


def test_every_tick_of_a_stretch_of_time_is_tried(server: ServerProcess) -> None:
    server.plugin(
        "tick.py", "def process_scheduled_call(api, t, args):\n    api.info(t.isoformat())\n"
    )
    server.cli("create", "database", "db")
    span = ("--from", "2025-01-01T00:00:00Z", "--to", "2025-01-01T03:00:00+00:00")
    arguments = ("schedule_plugin", "-d", "db", "--schedule", "every:1h", *span, "tick.py")
    report = tried(server, *arguments)
    assert own_lines(report) == [f"INFO: 2025-01-01T0{hour}:00:00" for hour in range(3)]
    assert (report["calls"], report["trigger_time"]) == (3, "2025-01-01T02:00:00Z")
    arguments = ("schedule_plugin", "-d", "db", "--schedule", "every:1s", *span, "tick.py")
    assert "more than 1000 ticks" in server.cli("test", *arguments).stderr


def test_a_plugin_that_hangs_or_dies_ends_its_test_only(make_server: Any) -> None:
    server = make_server("--plugin-timeout", "1s").start()
    server.plugin("hangs.py", "def process_writes(a, b, c):\n    while True: pass\n")
    server.plugin("dies.py", "import os\ndef process_writes(a, b, c):\n    os._exit(3)\n")
    for name, reason in (("hangs.py", "longer than 1 s"), ("dies.py", "exit status 3")):
        report = tried(server, "wal_plugin", "-d", "db", "--lp", "m f=1", name)
        assert reason in report["errors"][0]
    assert server.request("GET", "/health").status == 200


TOTAL = """
def process_writes(api, batches, args):
    seen = sum(len(batch["rows"]) for batch in batches)
    api.state.put("total", api.state.get("total", 0) + seen)
    api.state.delete("old")
    api.info("total", api.state.get("total"))
"""


def wait_for_log(server: ServerProcess, text: str) -> None:
    wait_for(
        lambda: any(text in line["log_text"] for line in server.logs("db", "total")),
        f"the trigger logs {text}",
    )


def test_state_is_seen_and_its_changes_shown_but_not_kept(server: ServerProcess) -> None:
    server.plugin("total.py", TOTAL)
    server.write("db", "seen f=1 1", precision="ns")
    server.create_trigger("db", "total", "table:cpu", "total.py")
    server.write("db", "cpu f=1 1\ncpu f=2 2", precision="ns")
    wait_for_log(server, "finished execution")
    arguments = ("wal_plugin", "-d", "db", "--from", "0", "--to", "10", "--table", "cpu")

    fresh = tried(server, *arguments, "total.py")
    assert own_lines(fresh) == ["INFO: total 2"]
    for _ in range(2):
        known = tried(server, *arguments, "--trigger", "total", "total.py")
        assert own_lines(known) == ["INFO: total 4"]
        assert known["state_changes"] == {"total": 4}

    server.write("db", "cpu f=3 3", precision="ns")
    wait_for_log(server, "total 3")


def test_calls_of_one_dry_run_share_its_state(server: ServerProcess) -> None:
    server.plugin(
        "ticks.py",
        """
def process_scheduled_call(api, time, args):
    api.state.put("n", api.state.get("n", 0) + 1)
""",
    )
    server.write("db", "cpu f=1 1", precision="ns")
    report = tried(
        server,
        *("schedule_plugin", "-d", "db", "--schedule", "every:1s"),
        *("--from", "2025-01-01T00:00:00Z", "--to", "2025-01-01T00:00:05Z", "ticks.py"),
    )
    assert (report["errors"], report["state_changes"]) == ([], {"n": 5})


def test_the_state_of_an_unknown_trigger_is_refused(server: ServerProcess) -> None:
    server.plugin("total.py", TOTAL)
    server.write("db", "cpu f=1 1", precision="ns")
    result = server.cli(
        "test", "wal_plugin", "-d", "db", "--lp", "m f=1", "--trigger", "nix", "total.py"
    )
    assert result.returncode == 1
    assert "nix" in result.stderr


SLEEPER = """
import os, time
from pathlib import Path
def process_scheduled_call(api, time_, args):
    Path(args["pid"] + ".part").write_text(str(os.getpid()))
    os.rename(args["pid"] + ".part", args["pid"])
    time.sleep(600)
"""


def begun_sleeper(server: ServerProcess, pid_file: Path) -> http.client.HTTPConnection:
    """A dry run that sleeps; its worker has written its pid."""
    server.plugin("sleeper.py", SLEEPER)
    server.cli("create", "database", "db")
    content = {
        "filename": "sleeper.py",
        "database": "db",
        "input_arguments": {"pid": str(pid_file)},
    }
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(
        *("POST", "/api/v3/plugin_test/schedule", json.dumps(content)),
        headers={"Content-Type": "application/json"},
    )
    wait_for(pid_file.exists, "the dry run has begun")
    return connection


def is_alive(pid_file: Path) -> bool:
    try:
        state = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return False
    return state.split()[0] != "Z"


def test_a_stop_of_the_server_ends_a_dry_run(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = make_server().start()
    connection = begun_sleeper(server, tmp_path / "pid")
    assert server.stop() == 0, server.log_text
    wait_for(lambda: not is_alive(tmp_path / "pid"), "the worker is gone")
    connection.close()


def test_a_dry_run_ends_when_nobody_waits_for_it(server: ServerProcess, tmp_path: Path) -> None:
    begun_sleeper(server, tmp_path / "pid").close()
    wait_for(lambda: not is_alive(tmp_path / "pid"), "the worker is gone")


def test_few_dry_runs_run_at_once(server: ServerProcess, tmp_path: Path) -> None:
    connections = [begun_sleeper(server, tmp_path / f"pid{number}") for number in range(4)]
    content = {"filename": "sleeper.py", "database": "db", "input_arguments": {"pid": "x"}}
    answer = server.request(
        *("POST", "/api/v3/plugin_test/schedule", json.dumps(content).encode()),
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status, answer.json()["code"]) == (503, "back_pressure")
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("kind", ["wal", "schedule"])
def test_times_beyond_the_calendar_are_refused(
    server: ServerProcess, kind: str, number: int
) -> None:
    server.plugin("sleeper.py", SLEEPER)
    server.plugin("count.py", COUNT)
    server.write("db", "cpu f=1 1", precision="ns")
    filename = "count.py" if kind == "wal" else "sleeper.py"
    for span in ({"from": number, "to": number + 5}, {"from": str(number), "to": str(number + 5)}):
        answer = server.request(
            *("POST", f"/api/v3/plugin_test/{kind}"),
            json.dumps({"filename": filename, "database": "db", **span}).encode(),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status == 400, answer.body
