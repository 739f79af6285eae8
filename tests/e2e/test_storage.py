"""Files, retention and the log's files, on a real server."""

import json
import time
from collections.abc import Callable

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = pytest.mark.e2e

SECOND_NS = 1_000_000_000
FLAGS = (
    *("--wal-segment-size", "64KB", "--persist-log-size", "64KB"),
    *("--checkpoint-log-size", "64KB", "--persist-window", "1m"),
)


def fill(server: ServerProcess, first: int, count: int, database: str = "db") -> None:
    for start in range(first, first + count, 500):
        lines = "".join(
            f"m,t=t{number % 7} f={number}i {number * SECOND_NS}\n"
            for number in range(start, start + 500)
        )
        assert server.write(database, lines, precision="ns").status == 204


def test_rows_move_to_files_while_they_are_queried(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(*FLAGS).start()
    server.cli("create", "database", "db")
    sums = "SELECT count(*) AS n, sum(f) AS s FROM m"
    rows, expected = 0, []
    while rows < 20_000 or "log files removed" not in server.log_text:
        assert rows < 2_000_000
        fill(server, rows, 2_000)
        rows += 2_000
        expected = [{"n": rows, "s": rows * (rows - 1) // 2}]
        assert server.query("db", sums) == expected
    server.kill()
    server.start()
    assert server.query("db", sums) == expected
    assert server.stop() == 0
    server.start()
    assert server.query("db", sums) == expected
    last = server.log_text.rpartition("log recovered")[2]
    read = int(last.partition("frames=")[2].split()[0])
    assert read < rows / 500 / 2, "most of it is in files"
    metrics = server.request("GET", "/metrics").body.decode()
    assert "headrace_persist_errors_total 0" in metrics


def test_retention_is_set_and_cleared(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server().start()
    made = server.cli("create", "database", "db", "--retention-period", "1h")
    assert made.returncode == 0, made.stderr
    now_ns = time.time_ns()
    lines = "\n".join(
        f"{table} f=1i {now_ns - age_s * SECOND_NS}" for table in "mn" for age_s in (7_200, 60)
    )
    assert server.write("db", lines, precision="ns").status == 204

    def count(table: str) -> int:
        found: int = server.query("db", f"SELECT count(*) AS n FROM {table}")[0]["n"]
        return found

    assert (count("m"), count("n")) == (1, 1)
    assert server.cli("update", "table", "-d", "db", "n", "-r", "1d").returncode == 0
    assert (count("m"), count("n")) == (1, 2)
    assert server.cli("update", "database", "db", "-r", "none").returncode == 0
    assert (count("m"), count("n")) == (2, 2)
    path = "/api/v3/configure/database/retention_period"
    answer = server.request("POST", path, parameters={"db": "db", "duration": "30m"})
    assert answer.status == 204
    assert (count("m"), count("n")) == (1, 2)
    assert server.request("DELETE", path, parameters={"db": "db"}).status == 204
    assert count("m") == 2
    refused = server.cli("update", "database", "db", "-r", "soon")
    assert refused.returncode == 1
    assert "'soon' is not a retention period" in refused.stderr
    assert server.request("POST", path, parameters={"db": "no", "duration": "1h"}).status == 404
    unknown = {"db": "db", "table": "nn"}
    assert server.request("POST", path, parameters={**unknown, "duration": "1h"}).status == 404
    assert server.request("DELETE", path, parameters=unknown).status == 404
    assert server.request("DELETE", path, parameters={"db": "db", "table": "n"}).status == 204


ROWS = """
def process_writes(api, batches, args):
    rows = sum(len(batch["rows"]) for batch in batches)
    api.write(LineBuilder("seen").int64_field("rows", rows))
"""


def test_a_disabled_trigger_goes_on_where_it_stopped(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(*FLAGS).start()
    server.cli("create", "database", "db")
    server.plugin("rows.py", ROWS)
    server.create_trigger("db", "t", "table:m", "rows.py")
    assert server.cli("disable", "trigger", "-d", "db", "t").returncode == 0
    first = 0
    while server.log_text.count("checkpoint written") < 5:
        assert first < 2_000_000
        fill(server, first, 500)
        first += 500
    server.kill()
    server.start()
    assert server.cli("enable", "trigger", "-d", "db", "t").returncode == 0

    def seen() -> object:
        answer = server.ask("db", 'SELECT sum("rows") AS n FROM seen')
        return answer.json()[0]["n"] if answer.status == 200 else None

    wait_for_value(seen, first, "it has seen every row", timeout_s=30)

    def is_log_removed() -> bool:
        # With the next checkpoint, which needs rows.
        fill(server, first, 500)
        return "log files removed" in server.log_text

    wait_for(is_log_removed, "the log goes", timeout_s=30)


def test_a_disabled_trigger_that_holds_too_much_of_the_log_is_told_what_it_lost(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(*FLAGS, "--wal-kept-max", "512KB").start()
    server.cli("create", "database", "db")
    server.plugin("rows.py", ROWS)
    created = server.cli(
        *("create", "trigger", "-d", "db", "late", "--trigger-spec", "table:m"),
        *("--path", "rows.py", "--disabled"),
    )
    assert created.returncode == 0, created.stderr
    first = 0
    while "log files removed" not in server.log_text:
        assert first < 2_000_000
        fill(server, first, 500)
        first += 500
    server.cli("enable", "trigger", "-d", "db", "late")
    wait_for(
        lambda: any("are skipped" in row["log_text"] for row in server.logs("db", "late")),
        "the loss is said",
    )
    shown = server.query("db", "SELECT skipped FROM system.processing_engine_triggers")
    start, _, end = shown[0]["skipped"].partition("-")
    assert 1 < int(start) < int(end)
    fill(server, first, 500)

    def seen() -> object:
        answer = server.ask("db", 'SELECT sum("rows") >= 500 AS enough FROM seen')
        return answer.json()[0]["enough"] if answer.status == 200 else None

    wait_for_value(seen, True, "it goes on with what there is")
    assert server.stop() == 0


def test_tokens_and_triggers_outlive_the_log_that_made_them(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(*FLAGS).start()
    server.cli("create", "database", "db")
    server.plugin("rows.py", "def process_writes(api, batches, args):\n    pass\n")
    server.create_trigger("db", "t", "table:other", "rows.py")
    made = server.cli("create", "token", "--admin", "--format", "json")
    headers = {"Authorization": f"Bearer {json.loads(made.stdout)['token']}"}
    first = 0
    while "log files removed" not in server.log_text:
        assert first < 2_000_000
        lines = "".join(f"m f={number}i {number}\n" for number in range(first, first + 1_000))
        parameters = {"db": "db", "precision": "ns"}
        answer = server.request(
            "POST", "/api/v3/write_lp", lines.encode(), headers=headers, parameters=parameters
        )
        assert answer.status == 204
        first += 1_000
    for end in (server.kill, server.stop):
        end()
        server.start()
        path, query = "/api/v3/query_sql", {"db": "db", "q": "SELECT count(*) AS n FROM m"}
        assert server.request("GET", path, parameters=query).status == 401
        counted = server.request("GET", path, headers=headers, parameters=query)
        assert counted.json() == [{"n": first}]
        path = "/api/v3/configure/processing_engine_trigger"
        (trigger,) = server.request("GET", path, headers=headers).json()
        assert trigger["trigger_name"] == "t"


def test_a_checkpoint_does_not_double_rows_of_a_range_that_has_begun(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(*FLAGS, "--wal-flush-interval", "500ms").start()
    source = """
import time

def process_writes(api, batches, args):
    for batch in batches:
        for row in batch["rows"]:
            if row["f"] > 1 and SLOW:
                time.sleep(60)
            line = LineBuilder("seen").tag("b", api.batch_id).time_ns(row["time"])
            api.write(line.int64_field("f", row["f"]))
"""
    server.plugin("slow.py", f"SLOW = True\n{source}")
    server.cli("create", "database", "db")
    server.cli("create", "database", "other")
    server.create_trigger("db", "t", "table:m", "slow.py", batch_rows=2)
    # One range: a frame of another database, then one that takes two calls.
    server.write("other", "m f=1")
    server.write("db", "".join(f"m f={number}i {number}\n" for number in range(4)), precision="ns")
    sql = "SELECT f FROM seen ORDER BY f"
    wait_for(lambda: server.ask("db", sql).status == 200, "the first call")
    filler = "".join(f'filler,t={number} s="{"x" * 400}"\n' for number in range(100))
    while "checkpoint written" not in server.log_text:
        server.write("other", filler)
    assert server.cli("disable", "trigger", "-d", "db", "t").returncode == 0
    server.plugin("slow.py", f"SLOW = False\n{source}")
    assert server.cli("enable", "trigger", "-d", "db", "t").returncode == 0
    wait_for(lambda: {"f": 3} in server.query("db", sql), "the last row")
    assert [row["f"] for row in server.query("db", sql)] == [0, 1, 2, 3]
