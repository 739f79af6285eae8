"""Guarantee: what was acknowledged survives kill -9, once; trigger write-backs add up exactly."""

import random
import threading
from collections.abc import Callable

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.timeout(300)]

ROUNDS = 8
WRITERS = 3

SUMS = """
def process_writes(api, batches, args):
    for batch in batches:
        total = sum(row["f"] for row in batch["rows"])
        line = LineBuilder(args["to"]).tag("batch", api.batch_id)
        api.write(line.int64_field("total", total).int64_field("rows", len(batch["rows"])))
"""


class Writer(threading.Thread):
    """Writes numbered rows until the server is gone; remembers what it sent, and what was kept."""

    def __init__(
        self,
        server: ServerProcess,
        number: int,
        first: int,
        sizes: tuple[int, ...] = (1, 1, 5, 200),
    ) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.sizes = sizes
        self.tag = f"w{number}"
        self.next = first
        self.acknowledged: set[int] = set()
        self.sent: set[int] = set()

    def run(self) -> None:
        while True:
            size = random.choice(self.sizes)
            numbers = range(self.next, self.next + size)
            self.next += size
            self.sent.update(numbers)
            lines = "".join(f"m,w={self.tag} f={number}i {number}\n" for number in numbers)
            try:
                if self.server.write("db", lines, precision="ns").status == 204:
                    self.acknowledged.update(numbers)
            except OSError:
                return


def test_acknowledged_rows_and_write_backs_survive_kill_9(
    make_server: Callable[..., ServerProcess],
) -> None:
    # Small segments, so that crashes hit their ends too; short flushes, so that runs begin and end
    # while rows come in.
    server = make_server("--wal-segment-size", "256KB", "--wal-flush-interval", "50ms").start()
    server.plugin("sums.py", SUMS)
    server.cli("create", "database", "db")
    for table, run_async in (("sums", False), ("async_sums", True)):
        settings = {"arguments": {"to": table}, "run_async": run_async}
        assert server.create_trigger("db", table, "table:m", "sums.py", **settings).status == 200
    acknowledged: dict[str, set[int]] = {f"w{number}": set() for number in range(WRITERS)}
    sent: dict[str, set[int]] = {f"w{number}": set() for number in range(WRITERS)}
    first = [1] * WRITERS
    for _ in range(ROUNDS):
        writers = [Writer(server, number, first[number]) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        # Some crashes come at once, others after several runs of the triggers.
        enough = random.choice((random.randint(5, 40), random.randint(5_000, 40_000)))
        wait_for(
            lambda group=writers, least=enough: (
                sum(len(one.acknowledged) for one in group) >= least
            ),
            "some rows are acknowledged",
        )
        server.kill()
        for number, writer in enumerate(writers):
            writer.join(10)
            assert not writer.is_alive()
            acknowledged[writer.tag] |= writer.acknowledged
            sent[writer.tag] |= writer.sent
            first[number] = writer.next
        server.start()
    rows = server.query("db", "SELECT w, f FROM m")
    stored: dict[str, list[int]] = {tag: [] for tag in acknowledged}
    for row in rows:
        stored[row["w"]].append(row["f"])
    for tag, numbers in stored.items():
        assert len(numbers) == len(set(numbers)), "a row is there twice"
        assert acknowledged[tag] <= set(numbers), "an acknowledged row is lost"
        assert set(numbers) <= sent[tag], "a row that nobody sent"

    expected = server.query("db", "SELECT sum(f) AS total, count(*) AS n FROM m")[0]

    def sums(table: str) -> object:
        answer = server.ask("db", f'SELECT sum(total) AS total, sum("rows") AS n FROM {table}')
        # The table is there once the trigger has caught up with anything.
        return answer.json()[0] if answer.status == 200 else None

    for table in ("sums", "async_sums"):
        wait_for_value(
            lambda name=table: sums(name),
            expected,
            f"what the trigger wrote to {table}",
            timeout_s=30,
        )
    assert server.stop() == 0


def commits(server: ServerProcess) -> int:
    """How many commits the server has made."""
    metrics = server.request("GET", "/metrics").body.decode()
    (line,) = [x for x in metrics.splitlines() if x.startswith("headrace_wal_commit_seconds_count")]
    return int(line.split()[1])


def test_lines_that_were_merged_survive_kill_9_each_for_itself(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server("--wal-segment-size", "256KB").start()
    server.cli("create", "database", "db")
    writers = 16
    acknowledged: dict[str, set[int]] = {f"w{number}": set() for number in range(writers)}
    sent: dict[str, set[int]] = {f"w{number}": set() for number in range(writers)}
    first = [1] * writers
    frames, writes = 0, 0
    for _ in range(3):
        group = [Writer(server, number, first[number], (1,)) for number in range(writers)]
        for writer in group:
            writer.start()
        enough = random.randint(500, 3000)
        wait_for(
            lambda group=group, least=enough: sum(len(one.acknowledged) for one in group) >= least,
            "some rows are acknowledged",
        )
        frames += commits(server)
        server.kill()
        for number, writer in enumerate(group):
            writer.join(10)
            assert not writer.is_alive()
            acknowledged[writer.tag] |= writer.acknowledged
            sent[writer.tag] |= writer.sent
            first[number] = writer.next
            writes += len(writer.acknowledged)
        server.start()
    assert frames < writes, "nothing was merged"
    stored: dict[str, list[int]] = {tag: [] for tag in acknowledged}
    for row in server.query("db", "SELECT w, f FROM m"):
        stored[row["w"]].append(row["f"])
    for tag, numbers in stored.items():
        assert len(numbers) == len(set(numbers)), "a row is there twice"
        assert acknowledged[tag] <= set(numbers), "an acknowledged row is gone"
        assert set(numbers) <= sent[tag]
