"""Guarantee: kill -9 amid everything a server does loses nothing that was acknowledged, doubles
nothing, and brings nothing back that was deleted; nor does any answer before it.

HEADRACE_SOAK_ROUNDS sets the number of kills; `make soak` goes on for long.

Faults of the program that were tried by hand, once each, and that failed a soak of 14 rounds:

- a checkpoint that leaves out deletes, marks or the times of series, or is one position ahead with
  what is in files
- recovery that adds a frame's rows twice, before the checkpoint or behind it; rows of a deleted
  table that come back with it; the log cut beyond what the newest checkpoint covers
- a merge without the newest file, or in the wrong order; files that claim to know deletes which
  came while they were made; a deleted table that stays; retention of one table for another
- a trigger's cursor stored before what it wrote (seen at the end, by the sums)

What they cannot see: what a lost sync costs (tests/property/test_power_cuts.py does).
"""

import itertools
import json
import os
import random
from collections.abc import Callable

import pytest

from engine.persist.planner import FILES_PER_WINDOW_MAX
from tests.support.server import ServerProcess
from tests.support.soak_clients import (
    JSON,
    RETENTION_NS,
    SECOND_NS,
    Ager,
    Client,
    Editor,
    Numberer,
    NumberReader,
    Reader,
)
from tests.support.waiting import wait_for, wait_for_value

ROUNDS = int(os.environ.get("HEADRACE_SOAK_ROUNDS") or 6)
# Of one server: several can then run side by side.
ROUNDS_OF_A_PART = 40

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.timeout(300 + 20 * ROUNDS_OF_A_PART)]

# Everything happens often: a few writes fill a segment, and each segment is persisted; checkpoints
# come between, so that they know of rows, deletes and tables that the log alone holds.
FLAGS = (
    *("--wal-segment-size", "32KB", "--persist-log-size", "32KB"),
    *("--checkpoint-log-size", "8KB", "--persist-window", "1s", "--wal-flush-interval", "50ms"),
)
# What the log tells of each kind of step: what is seen before the last kill, and what at the end.
STEPS = ("rows persisted", "checkpoint written", "table deleted", "database deleted")
LATE_STEPS = ("files compacted", "log files removed", "deleted rows removed from a file")
SUMS = """
def process_writes(api, batches, args):
    for batch in batches:
        total = sum(row["f"] for row in batch["rows"])
        line = LineBuilder(args["to"]).tag("batch", api.batch_id)
        api.write(line.int64_field("total", total).int64_field("rows", len(batch["rows"])))
"""
TRIGGERS = {"sums": False, "async_sums": True}


def set_up(server: ServerProcess) -> None:
    server.plugin("sums.py", SUMS)
    server.write("db", "aging,w=x f=0i 0\nshared,w=x,k=x f=0i,g=0i 0", precision="ns")
    for table, run_async in TRIGGERS.items():
        answer = server.create_trigger(
            *("db", table, "table:numbers", "sums.py"), arguments={"to": table}, run_async=run_async
        )
        assert answer.status == 200, answer.body
    for path, content in (
        ("database", {"table": "aging", "retention_period": f"{RETENTION_NS // SECOND_NS}s"}),
        ("last_cache", {"table": "shared", "name": "last", "ttl": 10**9 * 4}),
        (
            "distinct_cache",
            {"table": "shared", "name": "keys", "columns": ["w", "k"], "max_age": 4 * 10**9},
        ),
    ):
        method = "PUT" if path == "database" else "POST"
        body = json.dumps({"db": "db", **content}).encode()
        answer = server.request(method, f"/api/v3/configure/{path}", body, headers=JSON)
        assert answer.status < 300, (path, answer.body)


def clients_of(server: ServerProcess) -> list[Client]:
    editors = [
        Editor(server, "db", "shared", "shared0"),
        Editor(server, "db", "shared", "shared1"),
        Editor(server, "db", "own", "own0"),
        Editor(server, "apart", "own", "own1"),
    ]
    # Many small ones: they are merged on their way to the log.
    numberers = [Numberer(server, f"n{number}", (1,)) for number in range(3)]
    numberers.append(Numberer(server, "n3", (1, 5, 200)))
    readers = [Reader(server, f"r{number}", editors) for number in range(2)]
    return [
        *editors,
        *numberers,
        *readers,
        NumberReader(server, "r2", numberers),
        Ager(server, "a"),
    ]


def part_from(server: ServerProcess, clients: list[Client], steps: tuple[str, ...]) -> None:
    """Let the server go, mostly by a kill, once it has taken `steps`; it comes back."""
    goal = random.choice((20, 60, 200))

    def is_enough() -> bool:
        for client in clients:
            client.check_failure()
        counts = [client.steps for client in clients]
        return all(counts) and sum(counts) >= goal and all(one in server.log_text for one in steps)

    for client in clients:
        client.begin()
    wait_for(is_enough, "some steps of everybody", timeout_s=60)
    for client in clients:
        client.is_parting = True
    if random.random() < 0.15:
        assert server.stop() == 0
    else:
        server.kill()
    for client in clients:
        client.end()
    if random.random() < 0.25:
        # The next one goes before it is really there.
        recovered, polls = server.log_text.count("log recovered"), iter(range(random.randrange(30)))
        server.start(wait=False)
        wait_for(lambda: server.log_text.count("log recovered") > recovered, "a start")
        wait_for(lambda: next(polls, None) is None, "a moment")
        server.kill()
    server.start()


@pytest.mark.parametrize("first_round", range(0, ROUNDS, ROUNDS_OF_A_PART))
def test_nothing_is_lost_doubled_or_back(
    make_server: Callable[..., ServerProcess], first_round: int
) -> None:
    server = make_server(*FLAGS).start()
    set_up(server)
    clients = clients_of(server)
    rounds = min(ROUNDS_OF_A_PART, ROUNDS - first_round)
    for number in range(1, rounds + 1):
        part_from(server, clients, STEPS if number == rounds else ())
        for client in clients:
            client.settle()
    fill_a_window(server)
    # While rows come, they are moved first. Now nobody writes, and files are merged at the latest.
    wait_for_value(
        lambda: {step for step in LATE_STEPS if step in server.log_text},
        set(LATE_STEPS),
        "each kind of step",
        timeout_s=60,
    )
    expected = server.query("db", "SELECT sum(f) AS total, count(*) AS n FROM numbers")[0]
    for table in TRIGGERS:
        wait_for_value(
            lambda name=table: sums(server, name), expected, f"what {table} wrote", timeout_s=60
        )
    # A stop in order writes a checkpoint; what it holds is no other than what the log did.
    assert server.stop() == 0
    server.start()
    for client in clients:
        client.settle()
    assert server.stop() == 0


def fill_a_window(server: ServerProcess) -> None:
    """Give one table as many files in a window as are merged, however few the clients have left."""
    times = itertools.count()
    for _ in range(FILES_PER_WINDOW_MAX):
        persisted = server.log_text.count("rows persisted")

        def is_persisted(before: int = persisted) -> bool:
            # A segment is sealed by the write after those that fill it.
            server.write("db", f'filler s="{"-" * 40_000}" {next(times)}', precision="ns")
            return server.log_text.count("rows persisted") > before

        wait_for(is_persisted, "a full segment's way into a file", interval_s=0.1)


def sums(server: ServerProcess, table: str) -> object:
    answer = server.ask("db", f'SELECT sum(total) AS total, sum("rows") AS n FROM {table}')
    # The table is there once the trigger has caught up with anything.
    return answer.json()[0] if answer.status == 200 else None
