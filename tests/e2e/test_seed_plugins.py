"""The seed document's three example plugins, word for word, created with its shell commands."""

import json
from pathlib import Path

import pytest

from tests.support.seed import seed_plugin
from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e


def test_wal_plugin_reports_the_rows_of_each_table(server: ServerProcess) -> None:
    server.plugin("wal_plugin.py", seed_plugin("process_writes", "write_reports"))
    assert server.cli("create", "database", "mydb").returncode == 0
    created = server.cli(
        *("create", "trigger", "--trigger-spec", "all-tables"),
        *("--plugin-filename", "wal_plugin.py", "--trigger-arguments", "double_count_table=cpu"),
        *("--database", "mydb", "reports"),
    )
    assert created.returncode == 0, created.stderr
    assert created.stdout == "Trigger reports created successfully\n"
    server.write("mydb", "cpu,host=a usage=1\ncpu,host=b usage=2\nmem,host=a free=3i\n")
    sql = "SELECT table_name, sum(row_count) AS n FROM write_reports GROUP BY table_name ORDER BY 1"
    rows = wait_for(
        lambda: server.ask("mydb", sql).status == 200 and server.query("mydb", sql), "reports"
    )
    assert rows == [{"table_name": "cpu", "n": 4}, {"table_name": "mem", "n": 1}]
    assert {"log_level": "INFO", "log_text": "wal_plugin.py done"} in server.logs("mydb", "reports")


def test_wal_plugin_for_one_table_sees_only_that_table(server: ServerProcess) -> None:
    server.plugin(
        "examples/wal_plugin/wal_plugin.py", seed_plugin("process_writes", "write_reports")
    )
    server.cli("create", "database", "mydb")
    created = server.cli(
        *("create", "trigger", "--trigger-spec", "table:cpu"),
        *(
            "--plugin-filename",
            "examples/wal_plugin/wal_plugin.py",
            "--database",
            "mydb",
            "cpu-only",
        ),
    )
    assert created.returncode == 0, created.stderr
    server.write("mydb", "mem free=3i\n")
    server.write("mydb", "mem free=3i\ncpu usage=1\n")
    sql = "SELECT table_name, row_count FROM write_reports"
    rows = wait_for(
        lambda: server.ask("mydb", sql).status == 200 and server.query("mydb", sql), "reports"
    )
    assert rows == [{"table_name": "cpu", "row_count": 1}]


def test_schedule_plugin_reports_a_silent_table(server: ServerProcess) -> None:
    server.plugin("check.py", seed_plugin("process_scheduled_call", "No data in"))
    server.cli("create", "database", "mydb")
    server.write("mydb", "quiet f=1i 1000000000\nbusy f=1i\n", precision="ns")
    for table in ("quiet", "busy"):
        created = server.cli(
            *("create", "trigger", "--trigger-spec", "every:1s", "--plugin-filename", "check.py"),
            *("--trigger-arguments", f"table_name={table}", "--database", "mydb", f"check-{table}"),
        )
        assert created.returncode == 0, created.stderr
    created = server.cli(
        *(
            "create",
            "trigger",
            "--trigger-spec",
            "schedule:* * * * * *",
            "--plugin-filename",
            "check.py",
        ),
        *("--database", "mydb", "check-nothing"),
    )
    assert created.returncode == 0, created.stderr

    def errors(trigger: str) -> list[str]:
        lines = server.logs("mydb", trigger)
        return [line["log_text"] for line in lines if line["log_level"] == "ERROR"]

    expected = "No data in quiet in the last 5 minutes"
    wait_for(lambda: expected in errors("check-quiet"), "the silent table is reported")
    wait_for(
        lambda: "No table_name provided for schedule plugin" in errors("check-nothing"),
        "no arguments",
    )
    wait_for(
        lambda: any("finished" in line["log_text"] for line in server.logs("mydb", "check-busy")),
        "busy",
    )
    assert errors("check-busy") == []


def test_request_plugin_answers_and_writes(server: ServerProcess, tmp_path: Path) -> None:
    server.plugin("examples/my-on-request.py", seed_plugin("process_request", "parsed JSON"))
    server.cli("create", "database", "mydb")
    created = server.cli(
        *("create", "trigger", "--trigger-spec", "request:my-plugin"),
        *("--plugin-filename", "examples/my-on-request.py", "--database", "mydb", "my-plugin"),
    )
    assert created.returncode == 0, created.stderr
    answer = server.request(
        "POST",
        "/api/v3/engine/my-plugin",
        json.dumps({"hello": "world"}).encode(),
        parameters={"a": "b c"},
        headers={"X-Custom": "yes", "Authorization": "Bearer secret"},
    )
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"status": "ok", "line": "request_data,tag1=tag1_value field1=1i"}
    # Stored before the answer: the client may query at once.
    assert server.query("mydb", "SELECT tag1, field1 FROM request_data") == [
        {"tag1": "tag1_value", "field1": 1}
    ]
    texts = [line["log_text"] for line in server.logs("mydb", "my-plugin")]
    assert "query_parameters: a=b c" in texts
    assert "request_headers: x-custom=yes" in texts
    assert "parsed JSON request body: {'hello': 'world'}" in texts
    assert not any("secret" in text for text in texts)


def test_error_behavior_flags_of_the_seed(server: ServerProcess) -> None:
    server.plugin(
        "bad.py", "def process_writes(api, batches, args=None):\n    raise ValueError('no')\n"
    )
    server.cli("create", "database", "mydb")
    for behavior in ("retry", "disable", "log"):
        created = server.cli(
            *("create", "trigger", "--error-behavior", behavior, "--run-asynchronously"),
            *("--trigger-spec", "all_tables", "--plugin-filename", "bad.py"),
            *("--database", "mydb", behavior),
        )
        assert created.returncode == 0, created.stderr
    server.write("mydb", "m f=1i\n")

    def triggers() -> dict[str, dict[str, object]]:
        shown = server.cli("show", "triggers", "--format", "json").stdout
        return {row["trigger_name"]: row for row in json.loads(shown)}

    wait_for(lambda: triggers()["disable"]["disabled"], "the failing trigger is disabled")
    assert "ValueError: no" in str(triggers()["disable"]["disabled_reason"])
    for trigger in ("log", "retry", "disable"):
        wait_for(
            lambda name=trigger: any(
                line["log_level"] == "ERROR"
                and "bad.py" in line["log_text"]
                and "line 2" in line["log_text"]
                for line in server.logs("mydb", name)
            ),
            f"traceback of {trigger}",
        )
    assert server.cli("enable", "trigger", "--database", "mydb", "disable").returncode == 0
    wait_for(lambda: triggers()["disable"]["disabled"], "it fails again on the same data")
