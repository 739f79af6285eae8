"""Guarantee: after kill -9 nothing deleted is back and nothing else is gone, wherever rows were."""

import json
import os
import random
import threading
from collections.abc import Callable

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.timeout(300)]

ROUNDS = int(os.environ.get("HEADRACE_DELETE_CRASH_ROUNDS", "2"))
KEYS = 200
STEP_NS = 50_000_000
# Everything happens often: a few writes fill a segment, and each segment is persisted.
FLAGS = (
    *("--wal-segment-size", "32KB", "--persist-log-size", "32KB"),
    *("--checkpoint-log-size", "64KB", "--persist-window", "1s", "--wal-flush-interval", "50ms"),
)
# What the log tells of each kind of step; the last kill comes only when all were seen.
STEPS = ("rows persisted", "checkpoint written", "deleted rows removed from a file")

Rows = dict[int, tuple[int | None, int | None]]


class Client(threading.Thread):
    """Writes and deletes rows that nobody else touches, one step after the other."""

    def __init__(self, server: ServerProcess, number: int, rows: Rows) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.number = number
        # One has a table of its own, which it deletes now and then; the others share one.
        self.table = f"own{number}" if number == 0 else "shared"
        self.tag = f"c{number}"
        # As it must be, and as it may be when the last step was cut off by the crash.
        self.rows = rows
        self.cut_off: Rows | None = None
        self.steps = 0

    def run(self) -> None:
        while self.step():
            self.steps += 1

    def step(self) -> bool:
        """Do something; return whether it was acknowledged."""
        choice = random.random()
        try:
            if choice < 0.6:
                return self.write()
            if choice < 0.97 or self.number:
                return self.delete()
            return self.delete_table()
        except OSError:
            return False

    def write(self) -> bool:
        keys = random.sample(range(KEYS), random.choice((1, 20, 100)))
        field, value = random.choice(("f", "g")), random.randrange(1_000_000)
        after = dict(self.rows)
        for key in keys:
            f, g = after.get(key, (None, None))
            after[key] = (value, g) if field == "f" else (f, value)
        self.cut_off = after
        lines = "\n".join(
            f"{self.table},w={self.tag},k=k{key} {field}={value}i {key * STEP_NS}" for key in keys
        )
        return self._ended(self.server.write("db", lines, precision="ns").status, after)

    def delete(self) -> bool:
        low = random.randrange(KEYS)
        high = low + random.choice((1, 10, KEYS))
        where, is_meant = random.choice(
            (
                (f"w = '{self.tag}'", lambda key: True),
                (f"w = '{self.tag}' AND k >= 'k5'", lambda key: f"k{key}" >= "k5"),
                (f"w = '{self.tag}' AND k IN ('k1', 'k7')", lambda key: key in (1, 7)),
            )
        )
        after = {
            key: value
            for key, value in self.rows.items()
            if not (low <= key < high and is_meant(key))
        }
        self.cut_off = after
        content: dict[str, object] = {"db": "db", "table": self.table, "where": where}
        if low or high < KEYS:
            content |= {"from": low * STEP_NS, "to": high * STEP_NS}
        answer = self.server.request(
            "DELETE",
            "/api/v3/configure/table/rows",
            json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )
        # 404: there is no table yet, or not any more.
        return self._ended(204 if answer.status in (200, 404) else answer.status, after)

    def delete_table(self) -> bool:
        self.cut_off = {}
        at = random.choice(("now", "default"))
        answer = self.server.request(
            "DELETE", f"/api/v3/configure/table?db=db&table={self.table}&hard_delete_at={at}"
        )
        return self._ended(204 if answer.status in (200, 404) else answer.status, {})

    def _ended(self, status: int, after: Rows) -> bool:
        if status == 204:
            self.rows, self.cut_off = after, None
        return status == 204

    def check(self) -> None:
        """Compare what is there with what must be; take it over."""
        sql = f"SELECT *, date_part('epoch', time) AS s FROM {self.table}"
        answer = self.server.ask("db", sql)
        found: Rows = {}
        if answer.status == 200:
            own = [row for row in answer.json() if row["w"] == self.tag]
            for row in own:
                key = round(row["s"] * 1e9 / STEP_NS)
                found[key] = (row.get("f"), row.get("g"))
            assert len(found) == len(own), "a row is there twice"
        else:
            # It was deleted.
            assert b"not found" in answer.body, answer.body
        assert found == self.rows or found == self.cut_off, _difference(found, self.rows)
        self.rows = found


def _difference(found: Rows, expected: Rows) -> str:
    back = sorted(set(found) - set(expected))
    gone = sorted(set(expected) - set(found))
    other = [key for key in found if key in expected and found[key] != expected[key]]
    return f"back: {back[:5]}, gone: {gone[:5]}, with other values: {other[:5]}"


def test_nothing_deleted_comes_back(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(*FLAGS).start()
    server.cli("create", "database", "db")
    kept: list[Rows] = [{}, {}, {}]
    for table in ("own0", "shared"):
        assert server.write("db", f"{table},w=x,k=x f=0i,g=0i 0", precision="ns").status == 204
    for round_number in range(ROUNDS):
        clients = [Client(server, number, rows) for number, rows in enumerate(kept)]
        for client in clients:
            client.start()
        enough = server.log_text.count("rows persisted") + random.choice((0, 1, 3))
        wait_for(
            lambda least=enough, group=clients: (
                server.log_text.count("rows persisted") >= least
                and all(client.steps for client in group)
            ),
            "some rows are persisted",
            timeout_s=60,
        )
        if round_number == ROUNDS - 1:
            wait_for(
                lambda: all(step in server.log_text for step in STEPS),
                "each step is seen",
                timeout_s=120,
            )
        server.kill()
        for client in clients:
            client.join(30)
            assert not client.is_alive()
        server.start()
        for client in clients:
            client.check()
        kept = [client.rows for client in clients]
    # A stop in order writes a checkpoint; what it holds is no other than what the log did.
    assert server.stop() == 0
    server.start()
    for number, rows in enumerate(kept):
        Client(server, number, rows).check()
    assert server.stop() == 0
