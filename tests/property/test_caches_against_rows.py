# Whatever the order of writes, deletes of rows and tables, persisting, compactions and crashes: caches
# hold what a dict of rows says, and queries for last points answer as they do without caches.
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.catalog.caches import DistinctCacheDraft, LastCacheDraft
from engine.errors import QueryError
from engine.query.cached_rows import CachedRows
from engine.query.dialect import parse_statement
from engine.query.last_points import last_points
from engine.query.rewrite import fold_names
from tests.property.test_storage_against_model import (
    DAY_NS,
    EXAMPLES,
    MINUTE_NS,
    STEPS,
    Machine,
    ordered,
    write,
)

pytestmark = pytest.mark.timeout(1800)

# All of them take the last rows of groups of which no two rows have one time, so that there is but
# one answer: the tags t and u tell a series.
QUERIES = (
    "SELECT t, u, f, g, s, b, time FROM (SELECT *, row_number() OVER (PARTITION BY t, u ORDER BY "
    "time DESC) AS rn FROM m{where}) WHERE rn = 1",
    "WITH last AS (SELECT *, rank() OVER (PARTITION BY t, u ORDER BY time DESC) AS rn FROM m{where})"
    " SELECT t, u, f, g, time FROM last WHERE 1 = rn AND u IS NULL",
    "SELECT t, u, g, time FROM m{where} QUALIFY row_number() OVER (PARTITION BY u, t ORDER BY time "
    "DESC) < 2",
    "SELECT DISTINCT ON (t, u) t, u, f, b, time FROM m{where} ORDER BY t, u, time DESC",
    "SELECT t, u, last_value(f ORDER BY time) AS f, max(time) AS time FROM m{where} GROUP BY t, u",
    "SELECT t, u, last_value(s ORDER BY time) IGNORE NULLS AS s FROM m{where} GROUP BY t, u",
    "SELECT t, coalesce(u, '') AS u, selector_last(g, time)['value'] AS g, "
    "selector_last(b, time)['time'] AS time FROM m{where} GROUP BY 1, 2",
    "SELECT max(time) AS time FROM m{where}",
    "SELECT time FROM m{where} ORDER BY time DESC LIMIT 1",
)
WHERE = (
    "",
    " WHERE time >= '1970-01-01T12:00:00Z'",
    " WHERE time > '1970-01-01T00:05:00Z' AND t = 'a'",
    " WHERE time < '1970-01-02T00:00:00Z' AND (u IS NULL OR u <> 'b')",
    " WHERE time BETWEEN '1970-01-01T00:00:00Z' AND '1970-01-20T00:00:00Z'",
)
# Neighbours differ in both, so that a few checks see all of each.
STATEMENTS = [
    QUERIES[number % len(QUERIES)].format(where=WHERE[number % len(WHERE)])
    for number in range(len(QUERIES) * len(WHERE))
]
QUERIES_PER_CHECK = 4
LAST = {
    "all": {},
    "two": {"count": 2, "ttl_s": 5 * 86_400, "value_columns": ("g",)},
    "by u": {"key_columns": ("u",), "count": 3, "ttl_s": 100 * 86_400},
    "by s": {"key_columns": ("s",), "ttl_s": 100 * 86_400, "value_columns": ("f",)},
}
DISTINCT = {
    "t": {"wanted": ("t",)},
    "u and t": {"wanted": ("u", "t"), "age_max_s": 3 * 86_400},
    "two s": {"wanted": ("s",), "age_max_s": 100 * 86_400, "cardinality_max": 2},
}


class CacheMachine(Machine):
    """A storage with caches, and the dict that they must equal."""

    _turn = 0

    def do(self, step: tuple[Any, ...]) -> None:
        if step == ("forget",):
            self.storage.caches.forget("db")
            self.check(all_columns=True)
        else:
            super().do(step)

    def check(self, *, all_columns: bool) -> None:
        del all_columns
        if "m" not in self.rows:
            self._check_none()
            return
        self._create()
        now_ns = self.storage.clock.time_ns
        rows = [
            {"t": key[0], "u": key[1], "time": key[2], **values}
            for key, values in self.rows["m"].items()
            if self._is_kept(key[2])
        ]
        for cache in self.storage.state.catalog.caches.last(self._database_id):
            since_ns = now_ns - cache.ttl_ns
            self._check_last(cache, [row for row in rows if row["time"] >= since_ns])
        for cache in self.storage.state.catalog.caches.distinct(self._database_id):
            since_ns = now_ns - cache.age_max_ns
            self._check_distinct(cache, [row for row in rows if row["time"] >= since_ns])
        self._check_last_points()

    def _check_none(self) -> None:
        """A table that is gone has taken its caches with it, and a new one has none."""
        caches = self.storage.state.catalog.caches
        assert not caches.last(self._database_id)
        assert not caches.distinct(self._database_id)
        assert self.storage.caches.last_points("db", "m") is None

    @property
    def _database_id(self) -> Any:
        return self.storage.state.catalog.database("db").id

    def _create(self) -> None:
        """The caches for which the table has the columns by now."""
        caches = self.storage.state.catalog.caches
        columns = self.storage.state.store.columns("db", "m")
        known = {name for name, _ in columns}
        there = {cache.name for cache in caches.last(self._database_id)}
        there |= {cache.name for cache in caches.distinct(self._database_id)}
        for name, about in LAST.items():
            used = {*about.get("key_columns", ()), *about.get("value_columns", ())}
            # The keys of the first one are all tags: those of a later one are no keys.
            if name not in there and used | {"t", "u"} <= known:
                draft = LastCacheDraft(table="m", columns=columns, name=name, **about)
                self.storage.change(caches.new_last(self._database_id, draft))
        for name, about in DISTINCT.items():
            if name not in there and set(about["wanted"]) <= known:
                draft = DistinctCacheDraft(table="m", columns=columns, name=name, **about)
                self.storage.change(caches.new_distinct(self._database_id, draft))

    def _check_last(self, cache: Any, rows: list[dict[str, Any]]) -> None:
        names = cache.value_columns
        if names is None:
            columns = {name for name, _ in self.storage.state.store.columns("db", "m")}
            names = sorted(columns - set(cache.key_columns))
        names = [*cache.key_columns, *names, "time"]
        groups: dict[Any, list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(tuple(row.get(key) for key in cache.key_columns), []).append(row)
        expected = []
        for group in groups.values():
            # Of rows of one time, those with the lesser tags come first.
            group.sort(key=lambda row: [(row[tag] is not None, row[tag]) for tag in sorted("tu")])
            group.sort(key=lambda row: -row["time"])
            expected += group[: cache.count]
        found = self.storage.query(f"SELECT * FROM last_cache('m', '{cache.name}')")
        assert ordered(found, names) == ordered(expected, names), cache.name
        assert all(set(row) == set(names) for row in found)

    def _check_distinct(self, cache: Any, rows: list[dict[str, Any]]) -> None:
        latest: dict[Any, int] = {}
        for row in rows:
            key = tuple(row.get(name) for name in cache.columns)
            latest[key] = max(latest.get(key, row["time"]), row["time"])
        answer = self.storage.query(f"SELECT * FROM distinct_cache('m', '{cache.name}')")
        found = [tuple(row[name] for name in cache.columns) for row in answer]
        assert len(found) == len(set(found)) == min(len(latest), cache.cardinality_max)
        assert set(found) <= set(latest)
        # Those left out are no later than the ones that are there.
        times = [latest[key] for key in found]
        assert all(latest[key] <= min(times) for key in set(latest) - set(found))

    def _check_last_points(self) -> None:
        known = {name for name, _ in self.storage.state.store.columns("db", "m")}
        if not {*"tufgsb"} <= known:
            return
        assert self.storage.caches.last_points("db", "m") is not None
        executor = self.storage.executor
        sources = executor._sources
        for _ in range(QUERIES_PER_CHECK):
            sql = STATEMENTS[self._turn % len(STATEMENTS)]
            self._turn += 1
            found = _rows(executor.run("db", sql))
            # As if it had never heard of caches.
            sources._cached, cached = CachedRows(None), sources._cached
            expected = _rows(executor.run("db", sql))
            sources._cached = cached
            assert found == expected, sql


def _rows(table: Any) -> list[list[Any]]:
    fields = [
        pyarrow.field(field.name, pyarrow.int64())
        if pyarrow.types.is_timestamp(field.type)
        else field
        for field in table.schema
    ]
    rows = table.cast(pyarrow.schema(fields)).to_pylist()
    return ordered(rows, table.column_names)


# All columns, so that every query can be asked from the beginning.
FULL = write(
    ("m", {"t": "a", "u": "b"}, 0, {"f": 1, "g": 2, "s": 3, "b": 4}),
    ("m", {"t": "a"}, 5 * MINUTE_NS, {"f": 1}),
)


@settings(max_examples=max(4, EXAMPLES // 4), deadline=None)
@given(
    st.lists(st.one_of(STEPS, st.just(("forget",))), min_size=2, max_size=10),
    st.sampled_from((None, None, DAY_NS)),
)
# Deletes meet rows that caches have, live and in files; what is written to a row afterwards is not
# merged with what it had, and a delete that has nothing left to do is not forgotten.
@example(
    [
        ("look",),
        ("delete", "m", "t = 'a'", 5 * MINUTE_NS, 5 * MINUTE_NS),
        write(("m", {"t": "a"}, 5 * MINUTE_NS, {"g": 7})),
        ("persist",),
        ("delete", "m", "t = 'a'", 0, 0),
        write(("m", {"t": "a", "u": "b"}, 0, {"s": 1}), ("m", {"t": "b"}, DAY_NS, {"f": 1})),
        ("persist",),
        ("delete", "m", None, DAY_NS, DAY_NS),
        ("purge",),
        ("forget",),
        ("delete", "m", None, 0, 2 * DAY_NS),
        ("restart",),
    ],
    None,
)
# A table comes again under the name of one with caches: its rows are none of theirs.
@example(
    [
        ("persist",),
        ("delete table", True),
        FULL,
        ("delete", "m", "u IS NULL", 0, DAY_NS),
        ("delete table", False),
        write(("m", {"t": "b", "u": "a"}, 0, {"s": 1})),
        ("checkpoint",),
        ("restart",),
        ("delete table", True),
        ("restart",),
    ],
    None,
)
def test_caches_and_last_points_are_those_of_the_rows(
    steps: list[tuple[Any, ...]], retention_ns: int | None
) -> None:
    with TemporaryDirectory() as directory:
        machine = CacheMachine(Path(directory), 1 << 20, retention_ns)
        try:
            for step in [FULL, *steps]:
                machine.do(step)
        finally:
            machine.storage.close()


def test_every_query_of_this_file_is_one_for_last_points() -> None:
    for sql in STATEMENTS:
        query = parse_statement(sql).query
        assert query is not None
        fold_names(query)
        assert len(last_points(query)) == 1, sql


def test_a_cache_that_is_not_there_is_refused_by_name() -> None:
    with TemporaryDirectory() as directory:
        machine = CacheMachine(Path(directory), 1 << 20, None)
        try:
            machine.do(FULL)
            for sql, said in (
                ("SELECT * FROM last_cache('m')", "has several last caches: name one"),
                ("SELECT * FROM last_cache('m', 'x')", "last cache not found: 'x' for table 'm'"),
                ("SELECT * FROM distinct_cache('n')", "distinct cache not found for table 'n'"),
                ("SELECT * FROM last_cache(m)", "takes the name of a table and of a cache"),
                ("SELECT last_cache('m')", "Invalid function 'last_cache'"),
                ('SELECT * FROM "headrace last_cache"."[]"', "is reserved"),
            ):
                with pytest.raises(QueryError, match=said.replace("(", r"\(")):
                    machine.storage.query(sql)
        finally:
            machine.storage.close()
