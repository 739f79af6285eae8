"""Backfill: rows from before a trigger began, in order of time, once; then live ones."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import Answer, ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = pytest.mark.e2e

# Notes each row in the order in which it is handed over; counts in the state as well.
ECHO = """
def process_writes(api, batches, args):
    for batch in batches:
        for number, row in enumerate(batch["rows"]):
            n = api.state.get("n", 0)
            api.state.put("n", n + 1)
            line = LineBuilder("seen").tag("table", batch["table_name"]).int64_field("f", row["f"])
            api.write(line.int64_field("n", n).tag("b", api.batch_id).tag("i", str(number)))
"""


def seen(server: ServerProcess) -> list[int]:
    answer = server.ask("db", "SELECT f FROM seen ORDER BY n")
    return [row["f"] for row in answer.json()] if answer.status == 200 else []


def write(server: ServerProcess, *numbers: int, table: str = "m") -> None:
    lines = "".join(f"{table} f={number}i {number}\n" for number in numbers)
    assert server.write("db", lines, precision="ns").status == 204


def backfill(server: ServerProcess, name: str, start: Any, end: Any) -> Answer:
    content = {"db": "db", "trigger_name": name, "from": start, "to": end}
    return server.request(
        "POST",
        "/api/v3/configure/processing_engine_trigger/backfill",
        json.dumps(content).encode(),
        headers={"Content-Type": "application/json"},
    )


def status(server: ServerProcess, name: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = server.query(
        "db",
        "SELECT * FROM system.processing_engine_triggers WHERE trigger_name = $name",
        {"name": name},
    )
    return rows[0]


def test_rows_of_the_past_come_in_order_of_time_and_once(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server("--wal-segment-size", "16KB").start()
    server.plugin("echo.py", ECHO)
    server.cli("create", "database", "db")
    for start in (40, 20, 60, 0):  # not in the order of their times
        for number in range(start, start + 20):
            write(server, number)
    write(server, 5, 95, table="other")
    assert server.create_trigger("db", "t", "table:m", "echo.py").status == 200
    write(server, 1000, 30)  # after the trigger began: by the cursor, whatever the time
    wait_for_value(lambda: seen(server), [1000, 30], "the live rows")

    done = server.cli("backfill", "t", "-d", "db", "--from", "10", "--to", "50", "--wait")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Backfill of trigger 't' done: 40 rows so far\n"
    expected = [1000, 30, *range(10, 50)]
    assert seen(server) == expected

    # Times that were backfilled are not again; what the trigger itself wrote is not either.
    assert backfill(server, "t", 0, "2024-01-01T00:00:00Z").status == 200
    expected += [*range(10), *range(50, 80)]
    wait_for_value(lambda: seen(server), expected, "the rest")
    wait_for_value(lambda: status(server, "t")["is_backfilling"], False, "its end")
    assert status(server, "t")["backfilled_rows"] == 80
    write(server, 2000)
    wait_for_value(lambda: seen(server), [*expected, 2000], "live rows again")
    server.kill()
    server.start()
    assert backfill(server, "t", 0, 10_000).status == 200
    write(server, 3000)
    wait_for_value(lambda: seen(server), [*expected, 2000, 3000], "nothing twice after a restart")


@pytest.mark.parametrize("run_async", [False, True])
def test_kills_neither_lose_nor_double_rows(
    make_server: Callable[..., ServerProcess], run_async: bool
) -> None:
    server = make_server().start()
    server.plugin("echo.py", ECHO)
    server.cli("create", "database", "db")
    for start in range(0, 400, 50):
        write(server, *range(start, start + 50))
    created = server.create_trigger(
        "db", "t", "table:m", "echo.py", batch_rows=5, run_async=run_async
    )
    assert created.status == 200
    assert backfill(server, "t", 0, 10_000).status == 200
    write(server, 1000)
    for least in (5, 60, 150, 300):
        wait_for(lambda least=least: len(seen(server)) >= least, "progress", timeout_s=60)
        server.kill()
        server.start()
    wait_for_value(lambda: seen(server), [*range(400), 1000], "all, in order, once", timeout_s=60)
    assert status(server, "t")["backfilled_rows"] == 400


def test_bad_rows_of_the_past_are_parked(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server("--plugin-retries", "1").start()
    strict = ECHO.replace(
        'n = api.state.get("n", 0)',
        'n = api.state.get("n", 0)\n            assert row["f"] % 100 != 50, row["f"]',
    )
    server.plugin("strict.py", strict)
    server.cli("create", "database", "db")
    write(server, *range(200))
    server.create_trigger("db", "t", "table:m", "strict.py", error_behavior="retry", batch_rows=64)
    assert backfill(server, "t", 0, 200).status == 200
    good = [number for number in range(200) if number % 100 != 50]
    wait_for_value(lambda: seen(server), good, "the good rows", timeout_s=60)
    letters = server.query("db", "SELECT num_rows, rows FROM system.processing_engine_dead_letters")
    assert [letter["num_rows"] for letter in letters] == [1, 1]
    found = [json.loads(letter["rows"])[0]["rows"][0]["f"] for letter in letters]
    assert sorted(found) == [50, 150]
    server.plugin("strict.py", ECHO)
    replayed = server.cli("dead-letters", "replay", "-d", "db", "--trigger", "t", "--all")
    assert replayed.returncode == 0, replayed.stderr


def test_a_disabled_trigger_goes_on_with_its_backfill(server: ServerProcess) -> None:
    server.plugin(
        "echo.py", "def process_writes(api, batches, args):\n    raise ValueError('no')\n"
    )
    server.cli("create", "database", "db")
    write(server, *range(10))
    server.create_trigger("db", "t", "table:m", "echo.py", error_behavior="disable")
    waited = server.cli("backfill", "t", "-d", "db", "--from", "0", "--to", "10", "--wait")
    assert waited.returncode == 1
    assert "was disabled: ValueError: no" in waited.stderr
    refused = backfill(server, "t", 0, 10)
    assert (refused.status, "does not run" in refused.json()["error"]) == (400, True)
    server.plugin("echo.py", ECHO)
    assert server.cli("enable", "trigger", "t", "-d", "db").returncode == 0
    wait_for_value(lambda: seen(server), list(range(10)), "the backfill goes on")


def test_what_cannot_be_backfilled_is_refused(server: ServerProcess) -> None:
    server.plugin("slow.py", "import time\ndef process_writes(a, b, c):\n    time.sleep(600)\n")
    server.plugin("tick.py", "def process_scheduled_call(a, b, c):\n    pass\n")
    server.cli("create", "database", "db")
    write(server, 1)
    server.create_trigger("db", "tick", "every:1h", "tick.py")
    server.create_trigger("db", "slow", "table:m", "slow.py")
    assert "does not run on rows" in backfill(server, "tick", 0, 10).json()["error"]
    assert "ends before it begins" in backfill(server, "slow", 10, 10).json()["error"]
    assert "is not a time" in backfill(server, "slow", "yesterday", 10).json()["error"]
    assert backfill(server, "nix", 0, 10).status == 404
    assert backfill(server, "slow", 0, 10).status == 200
    again = backfill(server, "slow", 0, 10)
    assert (again.status, again.json()["code"]) == (409, "already_exists")


SMALL = [
    word
    for flag in ("--wal-segment-size", "--persist-log-size", "--checkpoint-log-size")
    for word in (flag, "16KB")
]


def cut_log(server: ServerProcess) -> None:
    """Write rows of another table until the oldest file of the log is gone."""
    first = min(server.data_dir.glob("*/wal/*.wal"))
    numbers = itertools.count(1000, 500)

    def is_cut() -> bool:
        number = next(numbers)
        write(server, *range(number, number + 500), table="filler")
        return not first.exists()

    wait_for(is_cut, "the log is cut", timeout_s=60)


def test_a_backfill_goes_on_where_its_rows_left_the_log(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(*SMALL, "--wal-kept-max", "64KB").start()
    server.plugin("echo.py", ECHO)
    server.plugin(
        "slow.py", ECHO.replace("for batch", "import time; time.sleep(60)\n    for batch")
    )
    server.cli("create", "database", "db")
    write(server, *range(20))
    assert server.create_trigger("db", "t", "table:m", "slow.py").status == 200
    assert backfill(server, "t", 0, 100).status == 200
    wait_for_value(lambda: status(server, "t")["runs"], 1, "the first call")
    assert server.cli("disable", "trigger", "-d", "db", "t").returncode == 0
    cut_log(server)
    server.plugin("slow.py", ECHO)
    assert server.cli("enable", "trigger", "-d", "db", "t").returncode == 0
    wait_for_value(lambda: seen(server), list(range(20)), "the rows, from files")
    write(server, 7)
    wait_for_value(lambda: seen(server), [*range(20), 7], "the live row")
    now = status(server, "t")
    assert (now["is_backfilling"], now["disabled"], now["backfilled_rows"]) == (False, False, 20)


@pytest.mark.parametrize("is_begun_with_it", [False, True])
def test_rows_that_are_in_files_alone_come_in_order_of_time_and_once(
    make_server: Callable[..., ServerProcess], is_begun_with_it: bool
) -> None:
    server = make_server(*SMALL).start()
    server.plugin("echo.py", ECHO)
    server.cli("create", "database", "db")
    for start in (40, 20, 60, 0):  # not in the order of their times
        write(server, *range(start, start + 20))
    cut_log(server)
    write(server, *range(50, 90))  # some of them again, and all of these are in the log
    if is_begun_with_it:
        created = server.create_trigger(
            "db", "t", "table:m", "echo.py", batch_rows=8, start_from="1970-01-01T00:00:00Z"
        )
        assert created.status == 200
        expected = list(range(90))
    else:
        assert server.create_trigger("db", "t", "table:m", "echo.py", batch_rows=8).status == 200
        assert backfill(server, "t", 10, 85).status == 200
        expected = list(range(10, 85))
    for least in (1, 30):
        wait_for(lambda least=least: len(seen(server)) >= least, "progress", timeout_s=60)
        server.kill()
        server.start()
        write(server, 2000 + least)
    live = [2001, 2030]
    wait_for_value(lambda: seen(server), [*expected, *live], "all, once", timeout_s=60)
    if is_begun_with_it:
        expected += live
    else:
        expected += [*live, *range(10), *range(85, 90)]
    assert backfill(server, "t", 0, 10_000).status == 200
    wait_for_value(lambda: seen(server), expected, "the rest, nothing twice", timeout_s=60)
    write(server, 3000)
    wait_for_value(lambda: seen(server), [*expected, 3000], "live rows again")


def test_a_dry_run_over_history_has_rows_of_files(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(*SMALL).start()
    server.plugin("echo.py", ECHO)
    server.cli("create", "database", "db")
    write(server, *range(10))
    cut_log(server)
    write(server, 3, 20)
    tried = server.cli(
        *("test", "wal_plugin", "-d", "db", "--from", "2", "--to", "100", "--table", "m"),
        "echo.py",
    )
    assert tried.returncode == 0, tried.stderr
    assert json.loads(tried.stdout)["rows"] == 9
