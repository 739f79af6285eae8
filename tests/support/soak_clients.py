# Owns the clients of the soak: each changes rows that nobody else touches, one request after the
# other, and knows what must be there; others ask meanwhile and compare. Servers die under them.
"""Clients that know what a server must have."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any

from tests.support.server import Answer, ServerProcess

KEYS = 200
STEP_NS = 50_000_000
SECOND_NS = 1_000_000_000
RETENTION_NS = 3_600 * SECOND_NS
JSON = {"Content-Type": "application/json"}

# By key, the fields f and g.
Rows = dict[int, tuple[int | None, int | None]]


class Client:
    """Does one step after the other while a server is there."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        self.server = server
        self.name = name
        self.steps = 0
        # The server is about to go: from now on, a request that fails is no failure.
        self.is_parting = False
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start, with a server that answers."""
        self.steps, self.is_parting = 0, False
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait for the end, which the server's brings; say what went wrong."""
        assert self._thread is not None
        self._thread.join(60)
        assert not self._thread.is_alive(), f"{self.name} goes on without a server"
        self.check_failure()

    def check_failure(self) -> None:
        """Raise what the thread has met."""
        if self._failure is not None:
            raise AssertionError(f"{self.name}: {self._failure}") from self._failure

    def step(self) -> None:
        """Do something."""
        raise NotImplementedError

    def settle(self) -> None:
        """Look, after a restart, whether what must be there is; nobody else asks meanwhile."""

    def _work(self) -> None:
        try:
            while not self.is_parting:
                self.step()
                self.steps += 1
        except (OSError, HTTPException) as error:
            if not self.is_parting:
                self._failure = error
        except Exception as error:
            # Told by the main thread.
            self._failure = error


def expect(answer: Answer, *good: int) -> bool:
    """Whether there is the table that was asked for; other failures are errors.

    Raises:
        ConnectionError: The server goes.
    """
    if answer.status == 503 and b"shutting down" in answer.body:
        raise ConnectionError("the server goes")
    is_missing = answer.status == 404 or (answer.status == 400 and b"not found" in answer.body)
    assert answer.status in good or (is_missing and 200 in good), f"{answer.status} {answer.body!r}"
    return answer.status == 200


class Editor(Client):
    """Overwrites and deletes rows under a tag of its own, also with their table or database."""

    def __init__(self, server: ServerProcess, database: str, table: str, name: str) -> None:
        super().__init__(server, name)
        self.database = database
        self.table = table
        # After each step that was begun; those up to `done` are acknowledged.
        self.states: list[Rows] = [{}]
        self.done = 0

    def step(self) -> None:
        choice = random.random()
        if choice < 0.6:
            self._write()
        elif choice < 0.85 or not self.name.startswith("own"):
            self._delete_rows()
        elif self.database == "db":
            self._delete_table()
        else:
            self._delete_database()

    def _write(self) -> None:
        keys = random.sample(range(KEYS), random.choice((1, 20, 100)))
        field, value = random.choice("fg"), random.randrange(1_000_000)
        after = dict(self.states[-1])
        for key in keys:
            f, g = after.get(key, (None, None))
            after[key] = (value, g) if field == "f" else (f, value)
        lines = "\n".join(
            f"{self.table},w={self.name},k=k{key} {field}={value}i {key * STEP_NS}" for key in keys
        )
        self.states.append(after)
        self._ended(self.server.write(self.database, lines, precision="ns"), 204)

    def _delete_rows(self) -> None:
        low = random.randrange(KEYS)
        high = low + random.choice((1, 10, KEYS))
        choices: tuple[tuple[str, Callable[[int], bool]], ...] = (
            (f"w = '{self.name}'", lambda key: True),
            (f"w = '{self.name}' AND k >= 'k5'", lambda key: f"k{key}" >= "k5"),
            (f"w = '{self.name}' AND k IN ('k1', 'k7')", lambda key: key in (1, 7)),
        )
        where, is_meant = random.choice(choices)
        content: dict[str, object] = {"db": self.database, "table": self.table, "where": where}
        content |= {"from": low * STEP_NS, "to": high * STEP_NS}
        self.states.append(
            {
                key: row
                for key, row in self.states[-1].items()
                if not (low <= key < high and is_meant(key))
            }
        )
        body = json.dumps(content).encode()
        path = "/api/v3/configure/table/rows"
        self._ended(self.server.request("DELETE", path, body, headers=JSON), 200)

    def _delete_table(self) -> None:
        soon = datetime.fromtimestamp(time.time() + 1.5, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._delete("table", {"table": self.table}, random.choice(("now", "default", soon)))

    def _delete_database(self) -> None:
        if random.random() < 0.5:
            self._delete("database", {}, "default")
        self._delete("database", {}, "now")

    def _delete(self, what: str, parameters: dict[str, str], at: str) -> None:
        parameters = {"db": self.database, "hard_delete_at": at, **parameters}
        self.states.append({})
        path = f"/api/v3/configure/{what}"
        self._ended(self.server.request("DELETE", path, parameters=parameters), 200)

    def _ended(self, answer: Answer, *good: int) -> None:
        expect(answer, *good)
        self.done = len(self.states) - 1

    def settle(self) -> None:
        """Compare; the step that the end of the server cut off may have been taken or not."""
        found = read_rows(self)
        possible = self.states[self.done :]
        assert found in possible, _difference(found, possible[0])
        self.states, self.done = [found], 0
        if self.database != "db":
            # Its name is free only once nothing of it is kept.
            self._delete("database", {}, "now") if not found else None


def read_rows(editor: Editor, condition: str = "") -> Rows:
    """What there is of an editor's rows."""
    sql = f"SELECT *, date_part('epoch', time) AS s FROM {editor.table} WHERE w = $w{condition}"
    found: Rows = {}
    rows = _ask(editor, sql)
    for row in rows:
        found[_key(row["s"])] = (row.get("f"), row.get("g"))
    assert len(found) == len(rows), "a row is there twice"
    return found


def _key(seconds: float) -> int:
    return round(seconds * SECOND_NS / STEP_NS)


def _ask(editor: Editor, sql: str) -> list[dict[str, Any]]:
    answer = editor.server.ask(editor.database, sql, {"w": editor.name})
    # Else table or database, or with it the cache, was deleted.
    rows: list[dict[str, Any]] = answer.json() if expect(answer, 200) else []
    return rows


def _difference(found: Rows, expected: Rows) -> str:
    back = sorted(set(found) - set(expected))
    gone = sorted(set(expected) - set(found))
    other = [key for key in found if key in expected and found[key] != expected[key]]
    return f"back: {back[:5]}, gone: {gone[:5]}, with other values: {other[:5]}"


class Reader(Client):
    """Asks for the rows of editors while they change them: each answer is that of one moment."""

    def __init__(self, server: ServerProcess, name: str, editors: list[Editor]) -> None:
        super().__init__(server, name)
        self.editors = editors

    def step(self) -> None:
        editor = random.choice(self.editors)
        ways = [self._rows, self._range, self._sums, self._last_points]
        if editor.table == "shared":
            ways += [self._last_cache, self._distinct_cache]
        first = editor.done
        way = random.choice(ways)
        found, expected = way(editor)
        possible = editor.states[first:]
        assert any(found == expected(rows) for rows in possible), (
            f"{way.__name__} of {editor.name} gave none of {len(possible)} states; "
            f"{found} is not {expected(possible[0])}"
        )

    def _rows(self, editor: Editor) -> Any:
        return read_rows(editor), lambda rows: rows

    def _range(self, editor: Editor) -> Any:
        low = random.randrange(KEYS)
        high = low + random.choice((1, 20))
        times = [
            datetime.fromtimestamp(key * STEP_NS / SECOND_NS, UTC).isoformat(
                timespec="microseconds"
            )
            for key in (low, high)
        ]
        found = read_rows(editor, f" AND time >= '{times[0]}' AND time < '{times[1]}'")
        return found, lambda rows: {key: rows[key] for key in rows if low <= key < high}

    def _sums(self, editor: Editor) -> Any:
        sql = f"SELECT count(*) AS n, count(DISTINCT k) AS k FROM {editor.table} WHERE w = $w"
        rows = _ask(editor, sql)
        found = (rows[0]["n"], rows[0]["k"]) if rows else (0, 0)
        return found, lambda rows: (len(rows), len(rows))

    def _last_points(self, editor: Editor) -> Any:
        sql = (
            f"SELECT DISTINCT ON (w, k) * FROM {editor.table} WHERE w = $w ORDER BY w, k, time DESC"
        )
        return _by_name(_ask(editor, sql)), _named

    def _last_cache(self, editor: Editor) -> Any:
        return _by_name(
            _ask(editor, "SELECT * FROM last_cache('shared', 'last') WHERE w = $w")
        ), _named

    def _distinct_cache(self, editor: Editor) -> Any:
        rows = _ask(editor, "SELECT k FROM distinct_cache('shared', 'keys') WHERE w = $w")
        assert len({row["k"] for row in rows}) == len(rows)
        return {row["k"] for row in rows}, lambda rows: {f"k{key}" for key in rows}


def _by_name(rows: list[dict[str, Any]]) -> dict[str, tuple[int | None, int | None]]:
    found = {row["k"]: (row.get("f"), row.get("g")) for row in rows}
    assert len(found) == len(rows), "a row is there twice"
    return found


def _named(rows: Rows) -> dict[str, tuple[int | None, int | None]]:
    return {f"k{key}": row for key, row in rows.items()}


class Numberer(Client):
    """Adds numbered rows, which triggers sum up."""

    def __init__(self, server: ServerProcess, name: str, sizes: tuple[int, ...]) -> None:
        super().__init__(server, name)
        self.sizes = sizes
        self.next = 0
        self.writes = 0
        self.acknowledged: set[int] = set()

    def step(self) -> None:
        numbers = range(self.next, self.next + random.choice(self.sizes))
        self.next = numbers.stop
        lines = "".join(
            f"numbers,w={self.name} f={number}i {number * STEP_NS}\n" for number in numbers
        )
        answer = self.server.write("db", lines, precision="ns")
        expect(answer, 204)
        self.acknowledged.update(numbers)
        self.writes += 1

    def settle(self) -> None:
        self.compare(self.acknowledged, 0)

    def compare(self, acknowledged: set[int], least: int) -> None:
        """Look at the numbers from `least` on."""
        sql = "SELECT f FROM numbers WHERE w = $w AND f >= $least"
        answer = self.server.ask("db", sql, {"w": self.name, "least": least})
        if not expect(answer, 200):
            assert not acknowledged, "the table is gone"
            return
        found = [row["f"] for row in answer.json()]
        numbers = set(found)
        assert len(found) == len(numbers), f"{len(found) - len(numbers)} rows are there twice"
        missing = {number for number in acknowledged if number >= least} - numbers
        assert not missing, f"{len(missing)} acknowledged rows are gone: {sorted(missing)[:5]}"
        assert not found or max(found) < self.next, "a row that nobody sent"


class NumberReader(Client):
    """Asks for numbers while they come."""

    def __init__(self, server: ServerProcess, name: str, numberers: list[Numberer]) -> None:
        super().__init__(server, name)
        self.numberers = numberers

    def step(self) -> None:
        numberer = random.choice(self.numberers)
        least = max(0, numberer.next - random.choice((10, 500, 5_000)))
        # Copied first: what is acknowledged later may be missing.
        numberer.compare(_copied(numberer.acknowledged), least)


def _copied(numbers: set[int]) -> set[int]:
    # In one step of the interpreter, so no other thread changes it meanwhile.
    return numbers.copy()


class Ager(Client):
    """Adds rows to a table with retention: expired ones, some that are about to expire, new ones."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        super().__init__(server, name)
        self.times: set[int] = set()
        self.sent: set[int] = set()

    def step(self) -> None:
        now_ns = time.time_ns()
        ages = random.sample(tuple(_ages()), 3)
        times = [now_ns - age - random.randrange(1_000) for age in ages]
        self.sent.update(times)
        lines = "\n".join(f"aging,w={self.name} f=1i {one}" for one in times)
        answer = self.server.write("db", lines, precision="ns")
        expect(answer, 204)
        self.times.update(times)
        self.settle()

    def settle(self) -> None:
        begun_ns = time.time_ns()
        answer = self.server.ask("db", "SELECT CAST(time AS BIGINT) AS t FROM aging")
        ended_ns = time.time_ns()
        if not expect(answer, 200):
            assert not self.times, "the table is gone"
            return
        found = [row["t"] for row in answer.json()]
        assert len(found) == len(set(found)), "a row is there twice"
        kept = {one for one in self.times if one >= ended_ns - RETENTION_NS}
        assert kept <= set(found), f"{len(kept - set(found))} rows are gone before their time"
        old = [one for one in found if one < begun_ns - RETENTION_NS]
        assert not old, f"{len(old)} rows are there after their time"
        assert set(found) <= self.sent, "a row that nobody sent"
        self.times, self.sent = kept, {one for one in self.sent if one >= begun_ns - RETENTION_NS}


def _ages() -> Iterator[int]:
    yield from (2 * RETENTION_NS, RETENTION_NS + SECOND_NS, RETENTION_NS // 2, 0)
    yield from (RETENTION_NS - tenths * SECOND_NS // 10 for tenths in range(5, 30))
