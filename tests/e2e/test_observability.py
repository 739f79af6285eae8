"""What an operator sees of a running server: its log, its metrics, its state for a supervisor."""

import json
import math
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Answer, ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

MakeServer = Callable[..., ServerProcess]

WAITING = """
import os, time
def process_request(api, query, headers, body, args):
    api.info("begun")
    while not os.path.exists(args["file"]):
        time.sleep(0.01)
    return "done"
"""


def samples(server: ServerProcess) -> dict[str, float]:
    text = server.request("GET", "/metrics").body.decode()
    return {
        f"{sample.name}{sorted(sample.labels.items()) or ''}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def lines(server: ServerProcess, event: str) -> list[str]:
    return [line for line in server.log_text.splitlines() if f" {event}" in line]


def test_slow_queries_are_logged_with_their_text_and_the_id_of_their_request(
    make_server: MakeServer,
) -> None:
    server = make_server("--slow-query-time", "1ms").start()
    server.write("db", "m f=1i")
    sql = "SELECT f FROM m -- a comment\n WHERE f <> 'x\" y' OR f IN (" + "1, " * 600 + "1)"
    for number, (text, status) in enumerate([("SELECT count(*) FROM m", 200), (sql, None)]):
        body = json.dumps({"db": "db", "q": text}).encode()
        headers = {"X-Request-Id": f"mine-{number}"}
        answer = server.request("POST", "/api/v3/query_sql", body, headers=headers)
        assert status is None or answer.status == status
    short, long = lines(server, "slow query")
    assert "database=db query_type=sql phase=success" in short
    assert 'text="SELECT count(*) FROM m"' in short
    assert short.endswith("request_id=mine-0")
    assert re.search(r" seconds=\d+\.\d{3} ", short)
    # One line, whatever the text holds, and no longer than is of use.
    assert long.endswith('…" request_id=mine-1')
    assert r"a comment\n WHERE" in long
    assert len(long) < 1500
    assert samples(server)["headrace_slow_queries_total"] == 2
    assert server.stop() == 0
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) \S+ .+")
    for line in server.log_text.splitlines():
        assert form.fullmatch(line), line


def test_the_log_level_changes_while_the_server_runs(make_server: MakeServer) -> None:
    server = make_server("--slow-query-time", "1ms").start()
    server.write("db", "m f=1i")

    def slow_lines() -> int:
        before = len(lines(server, "slow query"))
        assert server.ask("db", "SELECT count(*) FROM m").status == 200
        return len(lines(server, "slow query")) - before

    assert slow_lines() == 1
    assert server.cli("set", "log-level", "error", "--logger", "engine.query").returncode == 0
    assert slow_lines() == 0
    shown = json.loads(server.cli("show", "log-level", "--format", "json").stdout)
    assert shown == [
        {"logger": "root", "level": "info"},
        {"logger": "engine.query", "level": "error"},
    ]
    assert server.cli("set", "log-level", "default", "--logger", "engine.query").returncode == 0
    assert slow_lines() == 1
    assert server.cli("set", "log-level", "error").returncode == 0
    assert slow_lines() == 0
    assert server.cli("set", "log-level", "debug").returncode == 0
    assert slow_lines() == 1
    assert len(lines(server, "log level set")) == 4
    for words, text in (
        (("error", "--logger", "engine.qery"), "did you mean 'engine.query'?"),
        (("error", "--logger", "asyncio"), "there is no logger 'asyncio'"),
        (("default",), "only the level of a logger can be taken back"),
    ):
        result = server.cli("set", "log-level", *words)
        assert result.returncode == 1
        assert text in result.stderr
    assert len(lines(server, "log level set")) == 4, "what is refused is not set"
    assert server.cli("set", "log-level", "loud").returncode == 2
    assert server.stop() == 0


def test_a_stopping_server_finishes_what_is_under_way_and_takes_nothing_new(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server("--shutdown-timeout", "60s").start()
    gate = tmp_path / "gate"
    server.plugin("waiting.py", WAITING)
    server.cli("create", "database", "db")
    created = server.create_trigger(
        "db", "waiting", "request:waiting", "waiting.py", arguments={"file": str(gate)}
    )
    assert created.status == 200, created.body
    answers: list[Answer] = []
    asked = threading.Thread(
        target=lambda: answers.append(server.request("GET", "/api/v3/engine/waiting", timeout_s=90))
    )
    asked.start()
    wait_for(lambda: server.logs("db", "waiting"), "the request is under way")
    assert server.process is not None
    server.process.terminate()
    wait_for(lambda: lines(server, "stopping"), "it stops")
    assert server.request("GET", "/health").status == 200
    for refused in (server.write("db", "m f=2i"), server.ask("db", "SELECT 1")):
        assert refused.status == 503
        assert refused.json()["error"] == "the server is shutting down"
        assert refused.headers["retry-after"] == "5"
    assert server.process.poll() is None
    assert not answers
    gate.touch()
    asked.join(60)
    assert [answer.status for answer in answers] == [200]
    assert b"done" in answers[0].body
    assert server.process.wait(60) == 0
    assert not lines(server, "requests cut off")


def test_every_metric_is_what_the_parser_of_prometheus_takes(make_server: MakeServer) -> None:
    server = make_server().start()
    server.plugin("p.py", "def process_writes(api, batches, args=None):\n    pass\n")
    server.write("db", "m,host=a f=1i")
    server.create_trigger("db", "watch", "all_tables", "p.py")
    assert server.write("db", "m f=oops").status == 400
    assert server.ask("db", "SELECT nothing FROM m").status == 400
    assert server.ask("none", "SELECT 1").status == 404
    text = server.request("GET", "/metrics").body.decode()
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.name.startswith(("headrace_", "process_")), family.name
        for sample in family.samples:
            assert math.isfinite(sample.value), sample
            if family.type != "gauge":
                assert sample.value >= 0
    # Each line of the text belongs to a family that was announced.
    announced = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert announced == set(re.findall(r"^# HELP (\S+)", text, re.MULTILINE))
    seen = samples(server)
    assert seen["headrace_write_rows_total"] == 1
    assert seen["headrace_write_lines_rejected_total"] == 1
    assert seen["headrace_write_seconds_count"] == 1
    assert seen["headrace_http_errors_total[('code', 'partial_write')]"] == 1
    assert seen["headrace_http_errors_total[('code', 'database_not_found')]"] == 1
    assert seen["headrace_live_rows"] == 1
    assert seen["headrace_databases"] == seen["headrace_tables"] == seen["headrace_triggers"] == 1
    assert seen["headrace_wal_disk_bytes"] > 0
    assert seen["headrace_wal_failed"] == 0
    assert seen["headrace_http_requests_active"] == 1
    assert seen["headrace_queries_running"] == seen["headrace_queries_waiting"] == 0
    assert seen["process_resident_memory_bytes"] > 1e6
    assert seen["process_cpu_seconds_total"] > 0
    assert server.stop() == 0


def test_a_supervisor_is_told_when_the_server_answers_and_when_it_stops(
    make_server: MakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(path))
        supervisor.settimeout(60)
        server = make_server()
        server.environment["NOTIFY_SOCKET"] = str(path)
        server.start(wait=False)
        assert supervisor.recv(100) == b"READY=1"
        assert server.request("GET", "/health").status == 200
        # Plugins are not to speak for it.
        server.plugin(
            "p.py",
            "import os\ndef process_request(a, q, h, b, args):\n"
            "    return str(os.environ.get('NOTIFY_SOCKET'))\n",
        )
        server.cli("create", "database", "db")
        server.create_trigger("db", "t", "request:t", "p.py")
        assert b"None" in server.request("GET", "/api/v3/engine/t").body
        assert server.stop() == 0
        assert supervisor.recv(100) == b"STOPPING=1"


def test_queries_leave_no_lines_of_what_translates_them(shared_server: ServerProcess) -> None:
    shared_server.write("quiet", "m f=1i 1\n")
    assert shared_server.query("quiet", "SELECT l[2] AS x FROM (SELECT [3, 4] AS l)") == [{"x": 4}]
    assert "sqlglot" not in shared_server.log_text
