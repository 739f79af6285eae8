# Whatever the order of writes, deletes of rows and tables, persisting, compactions, failures, crashes
# and damage to the newest checkpoint: every query answers as a dict of rows would, in which a later
# write wins field by field.
import contextlib
import copy
import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.catalog.changes import DeleteHidden, DeleteTable, DeleteTrigger
from engine.catalog.model import Trigger
from engine.errors import BackPressureError
from engine.persist.planner import ERA_NS
from engine.persist.thread import PersistConfig
from engine.query import doubts, lookups
from engine.store.past import order_of
from tests.support.storage import HandClock, Storage

pytestmark = pytest.mark.timeout(1800)

MINUTE_NS = 60 * 1_000_000_000
DAY_NS = 24 * 60 * MINUTE_NS
# Under the sanitizers each takes ten times as long.
_EXAMPLES = "4" if "HEADRACE_SANITIZE" in os.environ else "15"
EXAMPLES = int(os.environ.get("HEADRACE_STORAGE_EXAMPLES", _EXAMPLES))
# What becomes of rows that are there twice, as in large tables or in those with many such rows.
REPEATS: dict[str, list[tuple[Any, str, int]]] = {
    "folded": [],
    "looked up": [(lookups, "EARLIER_ROWS_MIN", 0), (lookups, "FEW_SHARE", 0)],
    "in slices": [(doubts, "ROW_BYTES", 1 << 30), (doubts, "FEW_SHARE", 0)],
}
COLUMNS = ("f", "g", "s", "b", "t", "u")
FIELDS = ("f", "g", "s", "b")

# Ten-minute windows, hours, days and weeks are all hit; and times before 1970.
TIMES = st.one_of(
    st.integers(-3, 40).map(lambda number: number * 5 * MINUTE_NS),
    st.integers(0, 20).map(lambda number: number * DAY_NS // 2),
)
POINTS = st.builds(
    lambda table, tags, time_ns, values: (table, tags, time_ns, values),
    st.sampled_from(("m", "m", "m", "File_Index")),
    st.dictionaries(st.sampled_from("tu"), st.sampled_from(("a", "b", "é")), max_size=2),
    TIMES,
    st.dictionaries(st.sampled_from(FIELDS), st.integers(0, 9), min_size=1),
)
TAG_TESTS = {
    "t = 'a'": lambda t, u: t == "a",
    "t != 'a'": lambda t, u: t is not None and t != "a",
    "u IS NULL": lambda t, u: u is None,
    "NOT (t IN ('a', 'é') OR u = 'b')": lambda t, u: (
        t is not None and t not in ("a", "é") and u is not None and u != "b"
    ),
    "t >= 'b' AND u IS NOT NULL": lambda t, u: t is not None and t >= "b" and u is not None,
    "'b' < t OR u < 'b'": lambda t, u: (t is not None and t > "b") or (u is not None and u < "b"),
}
DELETES = st.builds(
    lambda table, test, low_ns, length_ns: ("delete", table, test, low_ns, low_ns + length_ns),
    st.sampled_from(("m", "m", "File_Index")),
    st.one_of(st.none(), st.sampled_from(sorted(TAG_TESTS))),
    TIMES,
    st.sampled_from((0, 5 * MINUTE_NS, 2 * 60 * MINUTE_NS, 20 * DAY_NS)),
)
WRITES = st.lists(POINTS, min_size=1, max_size=8).map(lambda points: ("write", points))
STEPS = st.one_of(
    WRITES,
    WRITES,
    DELETES,
    st.sampled_from([("rewrite", 1), ("rewrite", 3)]),
    st.sampled_from(
        [
            ("seal",),
            ("persist",),
            ("persist",),
            ("work",),
            ("work",),
            ("work with retention",),
            ("checkpoint",),
            ("refuse",),
            ("restart",),
            ("damage",),
            ("clock",),
            ("look",),
            ("trigger", "all_tables"),
            ("trigger", "table:m"),
            ("delete trigger",),
            ("purge",),
            ("delete table", False),
            ("delete table", True),
        ]
    ),
)


def line(table: str, tags: dict[str, str], time_ns: int, values: dict[str, int]) -> str:
    key = "".join(f",{name}={value}" for name, value in tags.items())
    texts = {"f": "{}.5", "g": "{}i", "s": '"text {}"', "b": "{}"}
    fields = ",".join(
        f"{name}={texts[name].format(value if name != 'b' else 'tf'[value % 2])}"
        for name, value in values.items()
    )
    return f"{table}{key} {fields} {time_ns}"


def stored(name: str, value: int) -> Any:
    return {"f": value + 0.5, "g": value, "s": f"text {value}", "b": value % 2 == 0}[name]


class Machine:
    """A storage and the dict that it must equal."""

    def __init__(self, directory: Path, memory_bytes_max: int, retention_ns: int | None) -> None:
        self.storage = Storage(
            directory,
            PersistConfig(
                log_bytes=1,
                checkpoint_log_bytes=2_000,
                window_ns=10 * MINUTE_NS,
                memory_bytes_max=memory_bytes_max,
            ),
            clock=HandClock(2 * DAY_NS),
        )
        self.retention_ns = retention_ns
        self.storage.create_database(retention_ns=retention_ns)
        self.rows: dict[str, dict[tuple[str | None, str | None, int], dict[str, Any]]] = {}
        # By name of a trigger, the rows there were when it began.
        self.pasts: dict[str, Any] = {}

    def do(self, step: tuple[Any, ...]) -> None:
        storage = self.storage
        match step:
            case ("write", points):
                storage.write("\n".join(line(*point) for point in points))
                for table, tags, time_ns, values in points:
                    rows = self.rows.setdefault(table, {})
                    row = rows.setdefault((tags.get("t"), tags.get("u"), time_ns), {})
                    row |= {name: stored(name, value) for name, value in values.items()}
            case ("delete", table, test, low_ns, high_ns):
                self.delete(table, test, low_ns, high_ns)
            case ("delete table", is_hidden):
                self.delete_table("m", is_hidden=is_hidden)
            case ("purge",):
                storage.persist.purger.purge()
            case ("seal",):
                storage.seal()
            case ("persist",):
                storage.persist_all()
            case ("work",):
                storage.persist.work()
            case ("rewrite", every):
                # Of files that merges have not joined yet.
                storage.persist_all()
                self.write_again(every)
                storage.persist_all()
                while storage.persist.rewriter.rewrite(storage.persist_all):
                    pass
            case ("work with retention",):
                storage.persist.work(with_retention=True)
            case ("checkpoint",):
                storage.persist.checkpointer.write()
            case ("refuse",):
                storage.failure = BackPressureError("no")
                with contextlib.suppress(BackPressureError):
                    storage.persist.work()
                storage.failure = None
            case ("restart",):
                self.storage = storage.restart()
            case ("damage",):
                newest = storage.paths.checkpoints()[-1:]
                # The first one that there is has nothing before it to fall back to.
                if newest and len(storage.paths.checkpoints()) > 1:
                    content = bytearray(newest[0].read_bytes())
                    content[len(content) // 2] ^= 1
                    newest[0].write_bytes(content)
                    self.storage = storage.restart()
            case ("trigger", spec):
                name = f"t{storage.state.position}"
                storage.create_trigger(name, spec)
                self.pasts[name] = copy.deepcopy(self.rows)
            case ("delete trigger",):
                for name in list(self.pasts)[:1]:
                    del self.pasts[name]
                    storage.change(DeleteTrigger(storage.state.catalog.trigger("db", name).id))
            case ("clock",):
                storage.clock.time_ns += DAY_NS // 4
        self.check(all_columns=step[0] != "write")
        for database in self.storage.state.store.databases():
            found = sorted(table.name for table in database.tables_with_deletes())
            assert found == sorted(table.name for table in database.tables() if table.deletes)
        if step[0] in ("look", "persist", "work", "rewrite", "restart"):
            for name, rows in self.pasts.items():
                self.check_past(storage.state.catalog.trigger("db", name), rows)

    def write_again(self, every: int) -> None:
        """Late, one row of so many; and one that ends the windows of all others."""
        points: list[tuple[str, dict[str, str], int, dict[str, int]]] = [
            (
                "m",
                {name: tag for name, tag in zip("tu", key[:2], strict=True) if tag},
                key[2],
                {"f": every},
            )
            for key in [key for key in self.rows.get("m", ()) if key[2] <= 10 * DAY_NS][::every]
        ]
        self.do(("write", [*points, ("m", {}, 2 * ERA_NS, {"g": every})]))

    def check_past(self, trigger: Trigger, rows: Any) -> None:
        start = self.storage.state.backfills.start(trigger.id)
        found = self.storage.past_rows(start, trigger.table, rows_max=8)
        expected = [
            (key[2], table)
            for table, keys in rows.items()
            if trigger.table in (None, table)
            for key in keys
            if self._is_kept(key[2])
        ]
        # In time order, then by table; which tag is the first one, the table knows.
        assert [order_of(row.key) for row in found] == sorted(order_of(row.key) for row in found)
        assert sorted((row.row["time"], row.table) for row in found) == sorted(expected)
        for row in found:
            key = (row.row.get("t"), row.row.get("u"), row.row["time"])
            values = {name: value for name, value in row.row.items() if name not in "tu"}
            assert values == rows[row.table][key] | {"time": key[2]}
        for table in self.storage.state.store.database("db").tables():
            for entry in table.files if trigger.table in (None, table.name) else ():
                assert not entry.first_position <= start < entry.last_position
        if found:
            middle = found[len(found) // 2].key
            rest = self.storage.past_rows(start, trigger.table, after=middle, rows_max=5)
            assert rest == found[len(found) // 2 + 1 :]

    def delete(self, table: str, test: str | None, low_ns: int, high_ns: int) -> None:
        rows = self.rows.get(table)
        if rows is None:
            return
        names = {name for key in rows for name, value in zip("tu", key[:2], strict=True) if value}
        live = self.storage.state.store.database("db")
        assert live is not None
        known = {name for name, _ in live.columns(table)}
        assert names <= known
        if test is not None and not {"t", "u"} <= known:
            test = None
        self.storage.delete_rows(table, where=test, low_ns=low_ns, high_ns=high_ns)
        for key in list(rows):
            is_meant = test is None or TAG_TESTS[test](key[0], key[1])
            if is_meant and low_ns <= key[2] <= high_ns:
                del rows[key]
        for past in self.pasts.values():
            for key in list(past.get(table, ())):
                is_meant = test is None or TAG_TESTS[test](key[0], key[1])
                if is_meant and low_ns <= key[2] <= high_ns:
                    del past[table][key]
        assert not any(
            low_ns <= key[2] <= high_ns and (test is None or TAG_TESTS[test](key[0], key[1]))
            for key in rows
        )

    def delete_table(self, table: str, *, is_hidden: bool) -> None:
        if self.rows.pop(table, None) is None:
            return
        for past in self.pasts.values():
            past.pop(table, None)
        catalog = self.storage.state.catalog
        database_id = catalog.database("db").id
        self.storage.change(
            catalog.hiding_of_table("db", table, deleted_ns=0, hard_delete_ns=None)
            if is_hidden
            else DeleteTable(database_id, "db", table)
        )
        for deleted in catalog.deleted.all()[1:]:
            self.storage.change(DeleteHidden(deleted.id))

    def check(self, *, all_columns: bool) -> None:
        for table, rows in self.rows.items():
            if not rows:
                assert self.storage.query(f'SELECT time FROM "{table}"') == []
                continue
            known = {name for row in rows.values() for name in row} | {"time"}
            known |= {
                tag for key in rows for tag, value in zip("tu", key[:2], strict=True) if value
            }
            names = [name for name in (*COLUMNS, "time") if name in known]
            if not all_columns:
                names = [*names[:1], "time"]
            self._compare(table, names, "true", [*rows])
            low, high = 2 * MINUTE_NS, 3 * DAY_NS // 2
            within = [key for key in rows if low <= key[2] < high]
            first, last = "1970-01-01T00:02:00Z", "1970-01-02T12:00:00Z"
            for condition in (
                f"time >= '{first}' AND time < '{last}'",
                f"time BETWEEN '{first}' AND timestamp '{last}' - interval '1 nanosecond'",
                "(time >= $low) AND $high > time",
            ):
                self._compare(table, names, condition, within, low=first, high=last)
            both = self.storage.query(
                f'SELECT count(*) AS n FROM "{table}" a LEFT JOIN "{table}" b ON a.time = b.time '
                f"WHERE b.time < '{first}'"
            )
            before = Counter(key[2] for key in rows if key[2] < low and self._is_kept(key[2]))
            assert both == [{"n": sum(count * count for count in before.values())}]

    def _is_kept(self, time_ns: int) -> bool:
        return self.retention_ns is None or (
            time_ns >= self.storage.clock.time_ns - self.retention_ns
        )

    def _compare(
        self,
        table: str,
        names: list[str],
        condition: str,
        keys: list[tuple[str | None, str | None, int]],
        **params: str,
    ) -> None:
        expected = [
            {"t": key[0], "u": key[1], "time": key[2], **self.rows[table][key]}
            for key in keys
            if self._is_kept(key[2])
        ]
        sql = f'SELECT {", ".join(names)} FROM "{table}" WHERE {condition}'
        found = self.storage.query(sql, **params)
        assert ordered(found, names) == ordered(expected, names)
        sql = f'SELECT count(*) AS n FROM "{table}" WHERE {condition}'
        assert self.storage.query(sql, **params) == [{"n": len(expected)}]


def ordered(rows: list[dict[str, Any]], names: list[str]) -> list[list[Any]]:
    return sorted(([row.get(name) for name in names] for row in rows), key=repr)


def write(*points: tuple[str, dict[str, str], int, dict[str, int]]) -> tuple[str, Any]:
    return ("write", list(points))


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(STEPS, min_size=3, max_size=25),
    st.sampled_from((1 << 20, 2_000)),
    st.sampled_from((None, None, DAY_NS)),
    st.sampled_from(sorted(REPEATS)),
)
# What is written to a row after it was deleted does not bring its older fields back, whether the
# delete met it in memory or in a file, and is merged with what was written before it or not.
@example(
    [
        write(("m", {"t": "a", "u": "b"}, 0, {"f": 1, "g": 1}), ("m", {"t": "b"}, 0, {"f": 1})),
        ("delete", "m", "t = 'a'", 0, 0),
        write(("m", {"t": "a", "u": "b"}, 0, {"s": 2})),
        ("persist",),
        ("delete", "m", "t = 'a'", 0, 0),
        write(("m", {"t": "a", "u": "b"}, 0, {"b": 1}), ("m", {"t": "a"}, DAY_NS, {"f": 3})),
        ("checkpoint",),
        ("restart",),
        ("persist",),
        ("work",),
        ("delete", "m", None, 0, 0),
        ("purge",),
        ("restart",),
    ],
    1 << 20,
    None,
    "folded",
)
# Files are merged while some of their rows are deleted, and later ones of the same identity are not.
@example(
    [
        write(("m", {"t": "a", "u": "b"}, 0, {"f": 1}), ("m", {"t": "b"}, 0, {"f": 1})),
        ("persist",),
        ("delete", "m", "t = 'a'", 0, 0),
        write(("m", {"t": "a", "u": "b"}, 0, {"g": 2}), ("m", {"t": "b"}, 9 * DAY_NS, {"f": 1})),
        ("persist",),
        ("delete", "m", "t != 'a'", 0, 0),
        ("work",),
        ("restart",),
    ],
    1 << 20,
    None,
    "looked up",
)
# Files are rewritten with a later one that repeats rows of theirs, beside a trigger and a delete.
@example(
    [
        write(
            *(("m", {"t": tag}, time * MINUTE_NS, {"g": 1}) for tag in "ab" for time in range(9))
        ),
        ("persist",),
        ("rewrite", 3),
        ("trigger", "table:m"),
        ("delete", "m", "t = 'a'", 0, 5 * MINUTE_NS),
        ("rewrite", 1),
        ("rewrite", 3),
        ("delete trigger",),
        ("rewrite", 3),
        ("restart",),
    ],
    2_000,
    None,
    "in slices",
)
# A row in a file is overwritten in part by one that is live, then in a file, then merged.
@example(
    [
        write(("m", {"t": "a"}, 0, {"f": 1, "g": 1}), ("m", {"t": "b"}, DAY_NS, {"f": 1})),
        ("seal",),
        write(("m", {"t": "a"}, 0, {"f": 2})),
        ("work",),
        ("seal",),
        write(("m", {"t": "c"}, 9 * DAY_NS, {"s": 2})),
        ("work",),
        ("checkpoint",),
        ("restart",),
        ("work",),
    ],
    1 << 20,
    None,
    "looked up",
)
def test_storage_answers_as_a_dict_would(
    steps: list[tuple[Any, ...]], memory_bytes_max: int, retention_ns: int | None, repeats: str
) -> None:
    with contextlib.ExitStack() as stack:
        for module, name, value in REPEATS[repeats]:
            stack.enter_context(mock.patch.object(module, name, value))
        directory = stack.enter_context(TemporaryDirectory())
        machine = Machine(Path(directory), memory_bytes_max, retention_ns)
        try:
            for step in [*steps, ("restart",)]:
                machine.do(step)
        finally:
            machine.storage.close()
