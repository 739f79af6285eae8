"""Guarantee: kill -9 while rows move to files and files are merged loses nothing, doubles nothing."""

import os
import random
import threading
from collections.abc import Callable

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for, wait_for_value

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.timeout(300)]

ROUNDS = int(os.environ.get("HEADRACE_PERSIST_CRASH_ROUNDS", "4"))
KEYS = 400
STEP_NS = 50_000_000
# Everything happens often: a few writes fill a segment, and each segment is persisted.
FLAGS = (
    *("--wal-segment-size", "32KB", "--persist-log-size", "32KB"),
    *("--checkpoint-log-size", "64KB", "--persist-window", "1s", "--wal-flush-interval", "50ms"),
)
# What the log tells of each kind of step.
STEPS = ("rows persisted", "files compacted", "checkpoint written", "log files removed")

SUMS = """
def process_writes(api, batches, args):
    for batch in batches:
        total = sum(row["f"] for row in batch["rows"])
        line = LineBuilder("sums").tag("batch", api.batch_id)
        api.write(line.int64_field("total", total).int64_field("rows", len(batch["rows"])))
"""


class Writer(threading.Thread):
    """Overwrites rows in any order, and adds new ones, until the server is gone."""

    def __init__(self, server: ServerProcess, number: int) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.tag = f"w{number}"
        self.version = 0
        self.number = 0
        # By key, the version written last: of those that were sent, and of those acknowledged.
        self.sent: dict[int, int] = {}
        self.acknowledged: dict[int, int] = {}
        self.numbers_sent = 0
        self.numbers_acknowledged = 0
        # Numbers whose write was cut off by a crash: they may be there or not.
        self.gaps: set[int] = set()

    def again(self) -> "Writer":
        """One that goes on where this one ended."""
        other = Writer(self.server, int(self.tag[1:]))
        vars(other).update(
            {name: value for name, value in vars(self).items() if not name.startswith("_")}
        )
        return other

    def run(self) -> None:
        while self.write():
            pass

    def write(self) -> bool:
        self.version += 1
        keys = random.sample(range(KEYS), random.choice((1, 20, 100)))
        overwrites = [
            f"m,w={self.tag} {random.choice(('f', 'g'))}=0i,v={self.version}i {key * STEP_NS}"
            for key in keys
        ]
        numbers = range(self.numbers_sent, self.numbers_sent + 10)
        added = [f"u,w={self.tag} f={number}i {number * STEP_NS}" for number in numbers]
        self.sent.update(dict.fromkeys(keys, self.version))
        self.numbers_sent = numbers.stop
        try:
            answer = self.server.write("db", "\n".join([*overwrites, *added]), precision="ns")
        except OSError:
            return False
        if answer.status == 204:
            self.acknowledged.update(dict.fromkeys(keys, self.version))
            self.numbers_acknowledged = numbers.stop
        return answer.status == 204


def check(server: ServerProcess, writers: list[Writer]) -> None:
    for writer in writers:
        found = server.query("db", f"SELECT time, v FROM m WHERE w = '{writer.tag}'")
        assert len(found) == len({row["time"] for row in found}), "a row is there twice"
        versions = server.query(
            "db", f"SELECT date_part('epoch', time) AS s, v FROM m WHERE w = '{writer.tag}'"
        )
        stored = {round(row["s"] * 1e9 / STEP_NS): row["v"] for row in versions}
        for key, version in writer.acknowledged.items():
            assert version <= stored.get(key, -1) <= writer.sent[key], (key, version)
        assert set(stored) <= set(writer.sent), "a row that nobody sent"
        numbers = [
            row["f"] for row in server.query("db", f"SELECT f FROM u WHERE w = '{writer.tag}'")
        ]
        assert len(numbers) == len(set(numbers))
        assert set(range(writer.numbers_acknowledged)) <= set(numbers) | writer.gaps
        assert not numbers or max(numbers) < writer.numbers_sent


def test_nothing_is_lost_or_doubled_while_files_come_and_go(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(*FLAGS).start()
    server.plugin("sums.py", SUMS)
    server.cli("create", "database", "db")
    assert server.create_trigger("db", "sums", "table:u", "sums.py").status == 200
    writers = [Writer(server, number) for number in range(2)]
    for _ in range(ROUNDS):
        for writer in writers:
            writer.start()
        files_before = server.log_text.count("rows persisted")
        enough = files_before + random.choice((0, 1, 3, 10))
        wait_for(
            lambda least=enough, group=writers: (
                server.log_text.count("rows persisted") >= least
                and all(writer.acknowledged for writer in group)
            ),
            "some rows are persisted",
            timeout_s=30,
        )
        server.kill()
        for writer in writers:
            writer.join(10)
            assert not writer.is_alive()
            gaps = set(range(writer.numbers_acknowledged, writer.numbers_sent))
            writer.gaps = writer.gaps | gaps
        server.start()
        check(server, writers)
        writers = [writer.again() for writer in writers]
    # While rows come, they are moved first. Now nobody writes, and files are merged at the latest.
    wait_for_value(
        lambda: {step for step in STEPS if step in server.log_text},
        set(STEPS),
        "each kind of step",
        timeout_s=60,
    )
    expected = server.query("db", "SELECT sum(f) AS total, count(*) AS n FROM u")[0]

    def sums() -> object:
        answer = server.ask("db", 'SELECT sum(total) AS total, sum("rows") AS n FROM sums')
        return answer.json()[0] if answer.status == 200 else None

    wait_for_value(sums, expected, "what the trigger wrote", timeout_s=30)
    assert server.stop() == 0
