"""Guarantee: kill -9 during a backfill, while rows move to files, hands over each row once."""

import os
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.timeout(300)]

ROUNDS = int(os.environ.get("HEADRACE_BACKFILL_CRASH_ROUNDS", "3"))
ROWS = 3_000
STEP_NS = 50_000_000
# Everything happens often: a few writes fill a segment, and each segment is persisted.
FLAGS = (
    *("--wal-segment-size", "32KB", "--persist-log-size", "32KB"),
    *("--checkpoint-log-size", "64KB", "--persist-window", "1s", "--wal-flush-interval", "50ms"),
)

# Counts in the state, too: it is committed with the same record.
SUMS = """
def process_writes(api, batches, args):
    for batch in batches:
        rows = batch["rows"]
        api.state.put("rows", api.state.get("rows", 0) + len(rows))
        line = LineBuilder("sums").tag("batch", api.batch_id).tag("table", batch["table_name"])
        line = line.int64_field("total", sum(row["f"] for row in rows))
        api.write(line.int64_field("rows", len(rows)).int64_field("state", api.state.get("rows")))
"""


class Writer(threading.Thread):
    """Adds rows at scattered times until the server is gone."""

    def __init__(self, server: ServerProcess, first: int) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.next = first

    def run(self) -> None:
        while self.write():
            pass

    def write(self) -> bool:
        """Add some rows; whether they were acknowledged."""
        numbers = range(self.next, self.next + 20)
        self.next = numbers.stop
        lines = "".join(
            f"{random.choice('uv')},t={number % 3} f={number}i "
            f"{(number * 7919 % 100_003) * STEP_NS + number}\n"
            for number in numbers
        )
        try:
            return self.server.write("db", lines, precision="ns").status == 204
        except OSError:
            return False


def stored(server: ServerProcess) -> Any:
    """Sum and number of all rows."""
    both = "(SELECT f FROM u UNION ALL SELECT f FROM v)"
    return server.query("db", f"SELECT sum(f) AS total, count(*) AS n FROM {both} x")[0]


def handed(server: ServerProcess) -> Any:
    """The same as the trigger had it."""
    answer = server.ask("db", 'SELECT sum(total) AS total, sum("rows") AS n FROM sums')
    return answer.json()[0] if answer.status == 200 else None


def progress(server: ServerProcess) -> tuple[int, bool]:
    sql = "SELECT backfilled_rows, is_backfilling FROM system.processing_engine_triggers"
    (row,) = server.query("db", sql)
    return row["backfilled_rows"], row["is_backfilling"]


def test_a_backfill_hands_over_each_row_once(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(*FLAGS).start()
    server.plugin("sums.py", SUMS)
    server.cli("create", "database", "db")
    writer = Writer(server, 0)
    first_segment = min(server.data_dir.glob("*/wal/*.wal"))
    while writer.next < ROWS or first_segment.exists():
        assert writer.write()
        assert writer.next < 1_000_000
    created = server.create_trigger(
        "db", "sums", "all_tables", "sums.py", start_from="beginning", batch_rows=40
    )
    assert created.status == 200
    assert progress(server)[1], "it begins with a backfill"
    for _ in range(ROUNDS):
        writer = Writer(server, writer.next)
        writer.start()
        rows, _ = progress(server)
        more = random.choice((0, 1, 200, 600))
        wait_for(
            lambda least=rows + more: progress(server)[0] >= least or not progress(server)[1],
            "the backfill goes on",
            timeout_s=60,
        )
        server.kill()
        writer.join(10)
        assert not writer.is_alive()
        server.start()
    expected = stored(server)
    wait_for_value(lambda: handed(server), expected, "what the trigger was handed", timeout_s=60)
    assert not progress(server)[1]
    (state,) = server.query("db", "SELECT max(state) AS n FROM sums")
    assert state["n"] == expected["n"]
    assert server.stop() == 0
