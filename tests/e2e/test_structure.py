"""Creating and deleting databases and tables, over HTTP and from the command line."""

import json
import threading
import time
from typing import Any

import pytest

from tests.support.server import Answer, ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

DATABASE = "/api/v3/configure/database"
TABLE = "/api/v3/configure/table"


def post(server: ServerProcess, path: str, **content: Any) -> Answer:
    return server.request(
        "POST",
        path,
        json.dumps(content).encode(),
        headers={"Content-Type": "application/json"},
    )


def delete_table(server: ServerProcess, table: str, at: str | None = None) -> Answer:
    query = "" if at is None else f"&hard_delete_at={at}"
    return server.request("DELETE", f"{TABLE}?db=db&table={table}{query}")


def parquet_files(server: ServerProcess) -> int:
    return len(list(server.data_dir.rglob("*.parquet")))


def test_a_table_is_created_with_its_columns(server: ServerProcess) -> None:
    fields = [
        {"name": name, "type": kind}
        for name, kind in (
            *(("i", "int64"), ("u", "uint64"), ("d", "float64")),
            *(("b", "bool"), ("s", "utf8")),
        )
    ]
    made = post(server, TABLE, db="db", table="m", tags=["host", "area"], fields=fields)
    assert (made.status, made.body) == (200, b"")
    assert post(server, TABLE, db="db", table="m", tags=[], fields=[]).status == 409
    columns = server.query("db", "SHOW COLUMNS FROM m")
    assert [(row["column_name"], row["data_type"]) for row in columns] == [
        ("area", "Dictionary(Int32, Utf8)"),
        ("b", "Boolean"),
        ("d", "Float64"),
        ("host", "Dictionary(Int32, Utf8)"),
        ("i", "Int64"),
        ("s", "Utf8"),
        ("time", "Timestamp(ns)"),
        ("u", "UInt64"),
    ]
    assert server.query("db", "SELECT * FROM m") == []
    refused = server.write("db", "m,host=a i=1.5 1", precision="ns")
    assert refused.status == 400
    assert "iox::column_type::field::integer" in refused.body.decode()
    server.kill()
    server.start()
    assert server.write("db", "m,host=a i=1i 1", precision="ns").status == 204
    assert server.query("db", "SELECT i, host FROM m") == [{"i": 1, "host": "a"}]
    tables = server.query("_internal", "SELECT * FROM system.tables")
    assert [
        (row["table_name"], row["column_count"], row["series_key_columns"]) for row in tables
    ] == [("m", 8, "host, area")]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"tags": ["a", "a"], "fields": []}, "given twice"),
        ({"tags": ["time"], "fields": []}, "'time' is a reserved column"),
        ({"tags": [], "fields": [{"name": "f", "type": "int32"}]}, "int32"),
        ({"tags": []}, "fields"),
        ({"tags": [""], "fields": []}, "cannot be the name"),
    ],
)
def test_a_bad_declaration_is_explained(
    shared_server: ServerProcess, content: dict[str, Any], text: str
) -> None:
    answer = post(shared_server, TABLE, db="db", table="bad", **content)
    assert answer.status == 400
    assert text in answer.json()["error"]


def test_a_deleted_table_frees_its_name_and_is_kept_for_a_while(server: ServerProcess) -> None:
    server.plugin(
        "count.py",
        "def process_writes(api, batches, args):\n"
        "    for batch in batches:\n"
        "        api.write(LineBuilder('seen').int64_field('n', len(batch['rows'])))\n",
    )
    assert server.write("db", "m,t=a f=1i 1", precision="ns").status == 204
    assert server.create_trigger("db", "count", "table:m", "count.py").status == 200
    assert delete_table(server, "m").status == 200
    assert delete_table(server, "m").status == 404
    missing = server.ask("db", "SELECT * FROM m")
    assert missing.status == 400
    assert server.write("db", 'm,u=x f="other type" 2', precision="ns").status == 204
    expected = [{"f": "other type", "u": "x"}]
    assert server.query("db", "SELECT f, u FROM m") == expected
    deleted = server.query("_internal", "SELECT * FROM system.tables WHERE deleted")
    assert len(deleted) == 1
    name = deleted[0]["table_name"]
    assert name.startswith("m-2")
    assert deleted[0]["hard_deletion_time"]
    assert delete_table(server, name).status == 409
    assert delete_table(server, name, "now").status == 200
    assert delete_table(server, name, "now").status == 404
    assert server.query("_internal", "SELECT * FROM system.tables WHERE deleted") == []
    # The trigger is the database's, and goes on with the new table.
    seen = "SELECT sum(n) AS n FROM seen"
    wait_for(
        lambda: (answer := server.ask("db", seen)).status == 200 and answer.json() == [{"n": 1}],
        "the trigger sees the new table",
        timeout_s=30,
    )
    server.kill()
    server.start()
    assert server.query("db", "SELECT f, u FROM m") == expected


def test_a_bad_moment_of_deletion_is_refused(shared_server: ServerProcess) -> None:
    assert shared_server.write("db", "m f=1i 1").status == 204
    for moment in ("soon", "2030-13-01T00:00:00Z"):
        answer = delete_table(shared_server, "m", moment)
        assert answer.status == 400
        assert answer.json()["error"] == f"Cannot parse the timestamp: {moment}"
    missing = shared_server.request("DELETE", f"{TABLE}?db=nowhere&table=m")
    assert missing.status == 404
    past = delete_table(shared_server, "m", "2020-01-01T00:00:00Z")
    assert past.status == 200
    rows = shared_server.query("_internal", "SELECT table_name FROM system.tables WHERE deleted")
    assert not [row for row in rows if row["table_name"].startswith("m-")]


def test_a_deleted_database_frees_its_name_and_stops_its_triggers(server: ServerProcess) -> None:
    server.plugin("echo.py", "def process_request(api, q, h, b, args):\n    return 'done'\n")
    assert server.cli("create", "database", "db", "--retention-period", "30d").returncode == 0
    now_ns = time.time_ns()
    assert server.write("db", f"m f=1i {now_ns}", precision="ns").status == 204
    assert server.create_trigger("db", "t", "request:echo", "echo.py").status == 200
    shown = json.loads(server.cli("show", "databases", "--format", "json").stdout)
    assert shown == [{"iox::database": "db", "retention_period": "30d"}]
    assert server.request("DELETE", f"{DATABASE}?db=db").status == 200
    assert server.request("DELETE", f"{DATABASE}?db=db").status == 404
    assert server.request("GET", "/api/v3/engine/echo").status == 404
    assert server.ask("db", "SELECT 1").status == 404
    listed = server.request("GET", f"{DATABASE}?format=json&show_deleted=true").json()
    assert [row["deleted"] for row in listed] == [True]
    name = listed[0]["iox::database"]
    assert server.ask(name, "SELECT 1").status == 404
    refused = server.write(name, "m f=1i 1")
    assert refused.status == 400
    assert "cannot write to soft-deleted database" in refused.json()["error"]
    assert server.cli("create", "database", name).returncode == 1
    assert server.write("db", "m f=2i 2", precision="ns").status == 204
    for _ in range(2):
        assert server.query("db", "SELECT f FROM m") == [{"f": 2}]
        shown = json.loads(
            server.cli("show", "databases", "--show-deleted", "--format", "json").stdout
        )
        assert [(row["iox::database"], row["deleted"]) for row in shown] == [
            ("db", False),
            (name, True),
        ]
        server.kill()
        server.start()
    done = server.cli("delete", "database", name, "--hard-delete", "now", "--yes")
    assert done.returncode == 0, done.stderr
    assert server.request("GET", f"{DATABASE}?format=json&show_deleted=true").json() == [
        {"iox::database": "db", "deleted": False}
    ]


def test_rows_go_at_their_moment(server: ServerProcess) -> None:
    assert server.write("db", "m f=1i 1", precision="ns").status == 204
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    assert delete_table(server, "m", moment).status == 200
    assert delete_table(server, "m", moment).status == 404
    wait_for(
        lambda: server.query("_internal", "SELECT * FROM system.tables") == [],
        "the rows go",
        timeout_s=60,
    )
    assert "rows of a deletion are gone" in server.log_text


def test_the_commands_on_tables(server: ServerProcess) -> None:
    made = server.cli(
        "create", "table", "cpu", "-d", "db", "--tags", "host", "--fields", "usage:float64,n:int64"
    )
    assert (made.returncode, made.stdout) == (0, 'Table "db"."cpu" created successfully\n')
    bad = server.cli("create", "table", "cpu2", "-d", "db", "--fields", "usage")
    assert bad.returncode == 1
    assert "NAME:TYPE" in bad.stderr
    shown = json.loads(server.cli("show", "tables", "-d", "db", "--format", "json").stdout)
    assert shown == [{"table_name": "cpu", "columns": 4}]
    unsure = server.cli("delete", "table", "cpu", "-d", "db")
    assert unsure.returncode == 1
    assert "nothing was changed" in unsure.stderr
    gone = server.cli("delete", "table", "cpu", "-d", "db", "--yes", "--hard-delete", "never")
    assert (gone.returncode, gone.stdout) == (0, 'Table "db"."cpu" deleted successfully\n')
    rows = server.query("_internal", "SELECT * FROM system.tables")
    assert [row.get("hard_deletion_time") for row in rows] == [None]


def test_writes_beside_deletions_never_meet_the_old_columns(server: ServerProcess) -> None:
    """Each writer has a type of its own: who comes first after a deletion fixes it."""
    answers: list[Answer] = []
    stop = threading.Event()

    def write(value: str) -> None:
        while not stop.is_set():
            answers.append(server.write("db", f"m f={value} 1", precision="ns"))

    writers = [threading.Thread(target=write, args=(value,)) for value in ("1i", "1.5", '"a"')]
    for writer in writers:
        writer.start()
    try:
        for number in range(30):
            seen = len(answers)
            wait_for(lambda seen=seen: len(answers) > seen, "a write", timeout_s=30)
            at = "now" if number % 2 else "never"
            assert delete_table(server, "m", at).status in (200, 404)
            if number % 10 == 0:
                made = post(
                    server,
                    TABLE,
                    db="db",
                    table="m",
                    tags=[],
                    fields=[{"name": "f", "type": "bool"}],
                )
                assert made.status in (200, 409)
    finally:
        stop.set()
        for writer in writers:
            writer.join(60)
    assert {answer.status for answer in answers} <= {204, 400}
    assert 204 in {answer.status for answer in answers}
    server.kill()
    server.start()
    assert server.ask("db", "SELECT * FROM m").status in (200, 400)


_ARROW_PLUGIN = """
def process_batches(api, tables, args=None):
    for name, table in tables.items():
        line = LineBuilder("seen").tag("type", str(table.schema.field("f").type))
        line.int64_field("rows", table.num_rows)
        api.write(line)
"""


@pytest.mark.parametrize("restarts", [False, True])
def test_a_late_trigger_gets_rows_of_a_table_and_of_its_successor_each_with_its_types(
    server: ServerProcess, restarts: bool
) -> None:
    server.plugin("late.py", _ARROW_PLUGIN)
    assert post(server, DATABASE, db="db").status == 200
    assert server.create_trigger("db", "late", "table:m", "late.py").status == 200
    assert server.cli("disable", "trigger", "late", "-d", "db").returncode == 0
    assert server.write("db", "m f=1i 1", precision="ns").status == 204
    assert delete_table(server, "m", "now").status == 200
    assert server.write("db", 'm f="x" 2\nm f="y" 3', precision="ns").status == 204
    if restarts:
        server.kill()
        server.start()
    assert server.cli("enable", "trigger", "late", "-d", "db").returncode == 0
    wait_for(lambda: len(_seen(server)) == 2, "both tables are seen", timeout_s=60)
    assert _seen(server) == [("int64", 1), ("string", 2)]


def _seen(server: ServerProcess) -> list[tuple[str, int]]:
    answer = server.ask("db", "SELECT type, rows FROM seen ORDER BY type")
    return [(row["type"], row["rows"]) for row in answer.json()] if answer.status == 200 else []
