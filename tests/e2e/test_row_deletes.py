"""Deleting rows over HTTP and from the command line."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import Answer, ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

ROWS = "/api/v3/configure/table/rows"
DAY = "1970-01-0{}T00:00:00Z"
DAY_NS = 86_400 * 1_000_000_000


def delete(server: ServerProcess, **content: Any) -> Answer:
    return server.request(
        "DELETE",
        ROWS,
        json.dumps({"db": "db", "table": "m", **content}).encode(),
        headers={"Content-Type": "application/json"},
    )


def fill(server: ServerProcess, hosts: str = "abc", days: int = 4) -> None:
    lines = "\n".join(
        f"m,host={host} f={day}i {day * DAY_NS}" for host in hosts for day in range(days)
    )
    assert server.write("db", lines, precision="ns").status == 204


def left(server: ServerProcess) -> list[tuple[str, int]]:
    return [
        (row["host"], row["f"])
        for row in server.query("db", "SELECT host, f FROM m ORDER BY host, f")
    ]


def test_rows_are_gone_at_once_and_for_good(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server("--wal-segment-size", "32KB", "--persist-log-size", "32KB").start()
    fill(server)
    counted = delete(server, where="host = 'a'", dry_run=True)
    assert (counted.status, counted.json()) == (200, {"rows": 4})
    assert len(left(server)) == 12
    assert delete(server, where="host = 'a'").json()["position"] > 0
    # From inclusive, to exclusive.
    assert delete(server, **{"from": DAY.format(2), "to": DAY.format(3)}).status == 200
    expected = [(host, day) for host in "bc" for day in (0, 2, 3)]
    assert left(server) == expected
    # What is written later stays.
    assert server.write("db", "m,host=a f=9i 0", precision="ns").status == 204
    expected = [("a", 9), *expected]
    for _ in range(2):
        assert left(server) == expected
        server.kill()
        server.start()
    number = 0
    while "rows persisted" not in server.log_text:
        number += 1
        lines = "\n".join(f'other,k={number} s="{"x" * 100}" {n}' for n in range(200))
        assert server.write("db", lines, precision="ns").status == 204
    assert left(server) == expected
    files = "SELECT sum(row_count) AS n FROM system.parquet_files WHERE table_name = 'm'"
    assert server.query("db", files) == [{"n": len(expected)}]
    again = delete(server, where="host IN ('b', 'c')", to=str(DAY_NS))
    assert again.status == 200
    expected = [("a", 9), *((host, day) for host in "bc" for day in (2, 3))]
    assert left(server) == expected
    assert server.stop() == 0
    server.start()
    assert left(server) == expected


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        ({}, 400, "nothing says which rows"),
        ({"where": "f > 5"}, 405, "'f' is a field"),
        ({"where": "host = now()"}, 400, "cannot be compared"),
        ({"where": "host = 'a'; DROP TABLE m"}, 400, "one statement"),
        ({"where": "nothing = 'a'"}, 400, "no column 'nothing'"),
        ({"from": "yesterday"}, 400, "'from' is not a time"),
        ({"from": 5, "to": 5}, 400, "no time is from"),
        ({"table": "nowhere", "from": 5}, 404, "Table nowhere not in DB schema for db"),
        ({"db": "nowhere", "from": 5}, 404, "Database not found nowhere"),
        ({"from": 5, "to": []}, 400, "serde json error"),
    ],
)
def test_a_bad_delete_is_explained_and_deletes_nothing(
    shared_server: ServerProcess, content: dict[str, Any], status: int, text: str
) -> None:
    fill(shared_server, "a", 1)
    answer = delete(shared_server, **content)
    assert answer.status == status, answer.body
    assert text in answer.json()["error"]
    assert left(shared_server) == [("a", 0)]


def test_the_command_asks_counts_and_deletes(server: ServerProcess) -> None:
    fill(server)
    command = ("delete", "rows", "-d", "db", "--table", "m")
    counted = server.cli(*command, "--where", "host = 'a'", "--dry-run")
    assert counted.returncode == 0
    assert counted.stdout == 'Would delete 4 rows of "m" for good; nothing was done\n'
    unsure = server.cli(*command, "--where", "host = 'a'")
    assert unsure.returncode == 1
    assert "Delete 4 rows" in unsure.stderr
    assert "nothing was changed" in unsure.stderr
    assert len(left(server)) == 12
    flags = ("--where", "host = 'a'", "--from", DAY.format(2), "--to", DAY.format(4))
    done = server.cli(*command, *flags, "--yes")
    assert (done.returncode, done.stdout) == (0, 'Rows of "db"."m" deleted successfully\n')
    assert left(server)[:3] == [("a", 0), ("a", 3), ("b", 0)]
    assert server.cli(*command, "--yes").returncode == 1


def test_a_trigger_has_seen_what_is_deleted(server: ServerProcess) -> None:
    server.plugin(
        "sums.py",
        "def process_writes(api, batches, args):\n"
        "    n = sum(len(batch['rows']) for batch in batches)\n"
        "    api.write(LineBuilder('seen').int64_field('n', n))\n",
    )
    assert server.cli("create", "database", "db").returncode == 0
    assert server.create_trigger("db", "sums", "table:m", "sums.py").status == 200
    fill(server)
    assert delete(server, **{"from": 0}).status == 200
    assert left(server) == []

    def is_seen() -> bool:
        answer = server.ask("db", "SELECT sum(n) AS n FROM seen")
        return answer.status == 200 and answer.json() == [{"n": 12}]

    wait_for(is_seen, "the trigger sees what was written", timeout_s=30)
