"""Rows that a trigger cannot process: found, parked, shown, replayed, dropped."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = pytest.mark.e2e

# Copies rows, counts them in its state, and fails on negative ones.
STRICT = """
def process_writes(api, batches, args):
    for batch in batches:
        for row in batch["rows"]:
            if row["f"] < 0:
                raise ValueError(f"{row['f']} is negative")
            api.write(LineBuilder("copy").int64_field("f", row["f"]).time_ns(row["time"]))
        api.state.put("rows", api.state.get("rows", 0) + len(batch["rows"]))
"""
FIXED = STRICT.replace("if row", "if False and row")
DEAD = "/api/v3/configure/processing_engine_dead_letters"


def strict_server(make_server: Callable[..., ServerProcess], **settings: Any) -> ServerProcess:
    server = make_server("--plugin-retries", "1").start()
    server.plugin("strict.py", STRICT)
    server.cli("create", "database", "db")
    settings = {"error_behavior": "retry", **settings}
    answer = server.create_trigger("db", "strict", "table:m", "strict.py", **settings)
    assert answer.status == 200
    return server


def letters(server: ServerProcess) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = server.query(
        "db", "SELECT * FROM system.processing_engine_dead_letters"
    )
    return rows


def copied(server: ServerProcess) -> Any:
    answer = server.ask("db", "SELECT count(*) AS n, sum(f) AS total FROM copy")
    return answer.json()[0] if answer.status == 200 else None


def write(server: ServerProcess, values: list[int]) -> None:
    lines = "".join(f"m f={value}i {number}\n" for number, value in enumerate(values, 1))
    assert server.write("db", lines, precision="ns").status == 204


@pytest.mark.parametrize("total", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_a_poison_row_among_many_is_parked_and_replayed_after_the_fix(
    make_server: Callable[..., ServerProcess], total: int
) -> None:
    server = strict_server(make_server)
    poison = total // 3
    for start in range(0, total, 50_000):
        numbers = range(start, min(start + 50_000, total))
        lines = "".join(
            f"m f={-1 if number == poison else number}i {number + 1}\n" for number in numbers
        )
        assert server.write("db", lines, precision="ns").status == 204
    rest = total * (total - 1) // 2 - poison
    wait_for_value(
        lambda: copied(server),
        {"n": total - 1, "total": rest},
        "all rows but one are processed",
        timeout_s=300,
    )
    (letter,) = wait_for(lambda: letters(server), "the letter")
    assert letter["trigger_name"] == "strict"
    assert letter["num_rows"] == 1
    assert json.loads(letter["rows"]) == [
        {"table_name": "m", "rows": [{"f": -1, "time": poison + 1}]}
    ]
    assert letter["error"] == "ValueError: -1 is negative"
    assert 'strict.py", line 6, in process_writes' in letter["traceback"]
    assert letter["tries"] > 2

    assert server.cli("dead-letters", "replay", "-d", "db", "--trigger", "strict").returncode == 1
    again = server.cli("dead-letters", "replay", "-d", "db", "--trigger", "strict", "--all")
    assert again.returncode == 1
    assert "1 rows failed again and stay parked" in again.stderr
    (letter_again,) = letters(server)
    assert letter_again["id"] == letter["id"]
    assert letter_again["tries"] == letter["tries"] + 1

    server.plugin("strict.py", FIXED)
    listed = json.loads(server.cli("dead-letters", "list", "-d", "db", "--format", "json").stdout)
    assert [row["id"] for row in listed] == [letter["id"]]
    replayed = server.cli("dead-letters", "replay", "-d", "db", "--trigger", "strict", letter["id"])
    assert replayed.returncode == 0, replayed.stderr
    assert replayed.stdout == "1 rows processed\n"
    assert letters(server) == []
    assert copied(server) == {"n": total, "total": rest - 1}


@pytest.mark.parametrize("run_async", [False, True])
def test_letters_and_progress_survive_kills(
    make_server: Callable[..., ServerProcess], run_async: bool
) -> None:
    server = strict_server(make_server, run_async=run_async)
    values = [-number if number % 97 == 0 else number for number in range(1, 2001)]
    bad = [value for value in values if value < 0]
    write(server, values)
    for count in (1, 5, 10):
        wait_for(lambda least=count: len(letters(server)) >= least, "letters", timeout_s=60)
        server.kill()
        server.start()
    good = [value for value in values if value > 0]
    wait_for_value(
        lambda: copied(server), {"n": len(good), "total": sum(good)}, "the rest", timeout_s=60
    )
    wait_for(lambda: len(letters(server)) == len(bad), "all letters")
    found = [json.loads(letter["rows"])[0]["rows"][0]["f"] for letter in letters(server)]
    assert sorted(found) == sorted(bad)
    # What comes later is processed.
    assert server.write("db", "m f=5i 5000", precision="ns").status == 204
    wait_for_value(
        lambda: copied(server), {"n": len(good) + 1, "total": sum(good) + 5}, "a later row"
    )


def test_a_plugin_that_cannot_be_loaded_parks_batches_whole(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = strict_server(make_server)
    server.plugin("strict.py", "def process_writes(:\n")
    write(server, [1, 2, -3, 4])
    (letter,) = wait_for(lambda: letters(server), "the letter", timeout_s=30)
    assert letter["num_rows"] == 4
    assert "SyntaxError" in letter["traceback"]
    server.plugin("strict.py", STRICT)
    answer = server.request(
        "POST", f"{DEAD}/replay", parameters={"db": "db", "trigger_name": "strict"}
    )
    assert answer.json() == {"processed_rows": 3, "parked_rows": 1}
    (left,) = letters(server)
    assert json.loads(left["rows"])[0]["rows"] == [{"f": -3, "time": 3}]
    assert copied(server) == {"n": 3, "total": 7}


def test_a_row_whose_output_is_refused_is_a_bad_row(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server("--plugin-retries", "1").start()
    server.plugin(
        "raw.py",
        """
class Raw:
    def __init__(self, text): self.text = text
    def build(self): return self.text
def process_writes(api, batches, args):
    for row in batches[0]["rows"]:
        api.write(Raw(row["line"]))
""",
    )
    server.cli("create", "database", "db")
    answer = server.create_trigger("db", "raw", "table:m", "raw.py", error_behavior="retry")
    assert answer.status == 200
    lines = "\n".join(f'm line="{text}"' for text in ("copy f=1i", "copy f=", "copy f=2i", "copy"))
    assert server.write("db", lines).status == 204
    wait_for(lambda: len(letters(server)) == 2, "both letters", timeout_s=30)
    assert copied(server) == {"n": 2, "total": 3}
    assert all("error writing back lines to db" in letter["error"] for letter in letters(server))


def test_a_row_that_kills_the_worker_is_parked(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server("--plugin-retries", "1").start()
    server.plugin("exits.py", STRICT.replace("raise ValueError", "__import__('os')._exit(3)  #"))
    server.cli("create", "database", "db")
    answer = server.create_trigger("db", "strict", "table:m", "exits.py", error_behavior="retry")
    assert answer.status == 200
    write(server, [1, 2, 3, -4, 5])
    (letter,) = wait_for(lambda: letters(server), "the letter", timeout_s=30)
    assert "exit status 3" in letter["error"]
    wait_for_value(lambda: copied(server), {"n": 4, "total": 11}, "the others")


def test_letters_can_be_dropped_and_go_with_their_trigger(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = strict_server(make_server)
    write(server, [-1, -2, -3])
    wait_for(lambda: len(letters(server)) == 3, "the letters", timeout_s=30)
    first = letters(server)[0]["id"]
    dropped = server.cli("dead-letters", "drop", "-d", "db", "--trigger", "strict", first)
    assert dropped.stdout == "1 rows dropped\n"
    assert server.cli("dead-letters", "drop", "-d", "db", "--trigger", "strict").returncode == 1
    assert first not in [letter["id"] for letter in letters(server)]
    gone = server.cli("dead-letters", "drop", "-d", "db", "--trigger", "strict", first)
    assert gone.returncode == 1
    assert f"trigger strict has no dead letter {first}" in gone.stderr
    assert server.cli("disable", "trigger", "-d", "db", "strict").returncode == 0
    refused = server.cli("dead-letters", "replay", "-d", "db", "--trigger", "strict", "--all")
    assert "headrace enable trigger strict" in refused.stderr
    parameters = {"db": "db", "trigger_name": "nobody"}
    assert server.request("DELETE", DEAD, parameters=parameters).status == 404
    server.kill()
    server.start()
    assert len(letters(server)) == 2
    assert server.cli("delete", "trigger", "-d", "db", "strict").returncode == 0
    assert letters(server) == []
    server.kill()
    server.start()
    assert letters(server) == []
    assert "parked rows dropped with their trigger" in server.log_text
