"""Where a trigger begins: now, at the beginning, or at a time; then live, without gap or double."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for_value

pytestmark = pytest.mark.e2e

# Writes each row that it gets under the trigger's name, so that one delivered twice is seen twice.
ECHO = """
def process_writes(api, batches, args):
    for batch in batches:
        for number, row in enumerate(batch["rows"]):
            line = LineBuilder(args["to"]).tag("run", api.batch_id).tag("row", str(number))
            api.write(line.int64_field("f", row["f"]))
"""


def seen(server: ServerProcess, table: str) -> list[int]:
    answer = server.ask("db", f"SELECT f FROM {table} ORDER BY f")
    return [row["f"] for row in answer.json()] if answer.status == 200 else []


def create(server: ServerProcess, name: str, start_from: str, **settings: Any) -> None:
    answer = server.create_trigger(
        *("db", name, "table:m", "echo.py"),
        arguments={"to": name},
        start_from=start_from,
        **settings,
    )
    assert answer.status == 200, answer.body


def write(server: ServerProcess, numbers: range) -> None:
    for number in numbers:
        assert server.write("db", f"m f={number}i {number}", precision="ns").status == 204
    assert server.write("db", "other f=-1i").status == 204


def test_triggers_begin_where_they_are_told(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server("--wal-segment-size", "16KB").start()
    server.plugin("echo.py", ECHO)
    server.cli("create", "database", "db")
    write(server, range(100, 120))
    assert server.cli("delete", "database", "db", "--yes").returncode == 0
    server.cli("create", "database", "db")
    # An idle trigger, so that the index drops what was flushed.
    create(server, "first", "now")
    write(server, range(40))
    wait_for_value(lambda: seen(server, "first"), list(range(40)), "the first trigger")
    between = datetime.now(UTC).isoformat()
    write(server, range(40, 60))
    wait_for_value(lambda: seen(server, "first"), list(range(60)), "the first trigger")
    create(server, "from_beginning", "beginning", batch_rows=7)
    create(server, "from_time", between)
    create(server, "from_epoch", "0", run_async=True)
    create(server, "from_now", "now")
    write(server, range(60, 70))
    expected = {
        "first": list(range(70)),
        "from_beginning": list(range(70)),
        "from_time": list(range(40, 70)),
        "from_epoch": list(range(70)),
        "from_now": list(range(60, 70)),
    }
    for table, rows in expected.items():
        wait_for_value(lambda name=table: seen(server, name), rows, table)
    server.kill()
    server.start()
    create(server, "after_restart", "beginning")
    write(server, range(70, 75))
    expected["after_restart"] = list(range(70))
    for table, rows in expected.items():
        rows += range(70, 75)
        wait_for_value(lambda name=table: seen(server, name), rows, table)


def test_a_catch_up_goes_on_after_kills_and_switches(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server("--wal-segment-size", "32KB").start()
    server.plugin("echo.py", "import time\n" + ECHO + "    time.sleep(0.005)\n")
    server.cli("create", "database", "db")
    lines = [f"m f={number}i {number}" for number in range(1000)]
    for start in range(0, 1000, 20):
        assert (
            server.write("db", "\n".join(lines[start : start + 20]), precision="ns").status == 204
        )
    create(server, "slow", "beginning", batch_rows=20)
    server.kill()
    server.start()
    assert server.cli("disable", "trigger", "-d", "db", "slow").returncode == 0
    assert server.cli("enable", "trigger", "-d", "db", "slow").returncode == 0
    server.kill()
    server.start()
    wait_for_value(lambda: seen(server, "slow"), list(range(1000)), "all rows once", timeout_s=60)


def test_what_is_no_start_is_refused(server: ServerProcess) -> None:
    server.plugin("echo.py", ECHO + "\ndef process_request(a, q, h, b, args): return ''\n")
    server.cli("create", "database", "db")
    for spec, start_from, text in [
        ("table:m", "yesterday", "'yesterday' is not a time"),
        ("table:m", "2999-01-01", "lies in the future"),
        ("request:x", "beginning", "a request trigger cannot start from the past"),
    ]:
        answer = server.create_trigger("db", "t", spec, "echo.py", start_from=start_from)
        assert answer.status == 400
        assert text in answer.json()["error"]
    created = server.cli(
        *("create", "trigger", "-d", "db", "t", "--trigger-spec", "all_tables"),
        *("--path", "echo.py", "--start-from", "2025-01-31T12:00:00+01:00"),
    )
    assert created.returncode == 0, created.stderr
