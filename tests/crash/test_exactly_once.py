"""Guarantee: whatever is killed and when, sums, state and dead letters add up to what was written.

`make soak` runs a thousand rounds; HEADRACE_SOAK_ROUNDS sets another number.
"""

import itertools
import os
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for, wait_for_value

ROUNDS = int(os.environ.get("HEADRACE_SOAK_ROUNDS") or 200)
# Of one server: several can then run side by side.
ROUNDS_OF_A_PART = 50
# Triggers that are killed all the time lag; at the end they are left alone.
CATCH_UP_S = 60 + ROUNDS_OF_A_PART / 4

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.timeout(120 + 5 * ROUNDS_OF_A_PART)]

# Writes the sum of each batch, and the sum of all batches so far out of its state. A little slow, so
# that kills hit it at work; a moody one fails now and then, but seldom twice.
SUMS = """
import random, time
def process_writes(api, batches, args):
    rows = [row["f"] for batch in batches for row in batch["rows"]]
    total, seen = sum(rows), api.state.get("seen", 0)
    time.sleep(random.random() * 0.02)
    if args.get("moody") and not api.cache.get("failed") and random.random() < 0.1:
        api.cache.put("failed", True)
        raise RuntimeError("out of luck")
    api.cache.delete("failed")
    api.state.put("seen", seen + total)
    line = LineBuilder(args["to"]).tag("batch", api.batch_id).int64_field("total", total)
    api.write(line.int64_field("n", len(rows)).int64_field("seen", seen + total))
"""
# Refuses some rows for good.
STRICT = SUMS.replace(
    "total, seen =",
    """if any(f % 2003 == 0 for f in rows):
        raise ValueError("a bad number")
    total, seen =""",
)

TRIGGERS = {
    "sums": ("sums.py", {"moody": "yes"}, False),
    "async_sums": ("sums.py", {"moody": "yes"}, True),
    "strict": ("strict.py", {}, False),
    "async_strict": ("strict.py", {}, True),
}


class Writer(threading.Thread):
    """Writes numbered rows all the time, into whatever server is there."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.is_stopping = False
        self.acknowledged = 0
        self.numbers: Iterator[int] = itertools.count(1)

    def run(self) -> None:
        while not self.is_stopping:
            numbers = list(itertools.islice(self.numbers, random.choice((1, 1, 3, 30))))
            lines = "".join(f"m f={number}i {number}\n" for number in numbers)
            try:
                if self.server.write("db", lines, precision="ns").status == 204:
                    self.acknowledged += 1
            except OSError:
                # The rows may be stored or not; nobody is listening until the next start.
                wait_for(lambda: self.is_stopping or self.server.is_up(), "a server")


def kill_something(server: ServerProcess) -> None:
    """Kills the server, or the process of a plugin, or the one that they are forked from."""
    assert server.process is not None
    victim = random.choice(("server", "server", "worker", "worker", "worker", "zygote"))
    family = psutil.Process(server.process.pid).children()
    # The zygote is the server's only child that has children, the workers are those.
    workers = [worker for child in family for worker in _children(child)]
    if victim == "worker" and workers:
        _kill(random.choice(workers))
    elif victim == "zygote" and family:
        _kill(random.choice(family))
    else:
        server.kill()
        server.start()


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []  # it went by itself


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return  # it went by itself


def one(server: ServerProcess, sql: str) -> dict[str, Any] | None:
    answer = server.ask("db", sql)
    return answer.json()[0] if answer.status == 200 else None


def parked_of(server: ServerProcess, trigger: str) -> list[int]:
    rows = server.query(
        "db",
        "SELECT rows FROM system.processing_engine_dead_letters WHERE trigger_name = $name",
        {"name": trigger},
    )
    assert all(row["rows"].startswith('[{"table_name":"m","rows":[{"f":') for row in rows)
    return [int(row["rows"].split('"f":')[1].split(",")[0]) for row in rows]


@pytest.mark.parametrize("first_round", range(0, ROUNDS, ROUNDS_OF_A_PART))
def test_sums_and_state_add_up_after_any_kills(
    make_server: Callable[..., ServerProcess], first_round: int
) -> None:
    flags = ("--wal-flush-interval", "50ms", "--wal-segment-size", "1MB", "--plugin-retries", "3")
    server = make_server(*flags).start()
    server.plugin("sums.py", SUMS)
    server.plugin("strict.py", STRICT)
    server.cli("create", "database", "db")
    for table, (filename, arguments, run_async) in TRIGGERS.items():
        answer = server.create_trigger(
            *("db", table, "table:m", filename),
            arguments={"to": table, **arguments},
            run_async=run_async,
            error_behavior="retry",
        )
        assert answer.status == 200
    writer = Writer(server)
    writer.start()
    for _ in range(min(ROUNDS_OF_A_PART, ROUNDS - first_round)):
        enough = writer.acknowledged + random.randint(1, 30)
        wait_for(lambda least=enough: writer.acknowledged >= least, "some writes")
        kill_something(server)
    writer.is_stopping = True
    writer.join(10)
    assert not writer.is_alive()

    written = one(server, "SELECT sum(f) AS total, count(*) AS n FROM m")
    assert written is not None
    bad = [row["f"] for row in server.query("db", "SELECT f FROM m WHERE f % 2003 = 0")]
    for table in TRIGGERS:
        expected = dict(written)
        if "strict" in table:
            wait_for(
                lambda name=table: len(parked_of(server, name)) >= len(bad),
                f"the dead letters of {table}",
                timeout_s=CATCH_UP_S,
            )
            expected = {"total": written["total"] - sum(bad), "n": written["n"] - len(bad)}
        wait_for_value(
            lambda name=table: one(server, f"SELECT sum(total) AS total, sum(n) AS n FROM {name}"),
            expected,
            f"what {table} wrote",
            timeout_s=CATCH_UP_S,
        )
        assert sorted(parked_of(server, table)) == (sorted(bad) if "strict" in table else [])
        assert_a_chain(server.query("db", f"SELECT * FROM {table} ORDER BY seen"))
    assert server.stop() == 0


def assert_a_chain(rows: list[dict[str, Any]]) -> None:
    """Each run saw the state that exactly the runs before it had left."""
    assert len({row["batch"] for row in rows}) == len(rows), "a batch is there twice"
    seen = 0
    for row in rows:
        seen += row["total"]
        assert row["seen"] == seen
