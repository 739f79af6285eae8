# Owns random questions of the shape that is answered without DuckDB, some just beside it, and the
# comparison of an answer with DuckDB's.
"""Random questions about single series."""

import random
from typing import Any, NamedTuple

import pyarrow

from engine.query.executor import QueryExecutor

TAGS = ("host", "region")
FIELDS = ("i", "u", "f", "b", "s")
NUMBERS = ("i", "u", "f")
HOSTS = ("a", "b", "ü", "zz", "nobody")
SIGNS = ("=", "!=", "<>", "<", "<=", ">", ">=")


class Question(NamedTuple):
    """A question; `order` names the columns of the answer that it sorts by."""

    sql: str
    params: dict[str, Any]
    order: tuple[str, ...]
    has_limit: bool


def random_question(rng: random.Random, low_ns: int, high_ns: int) -> Question:
    """A question about rows between two times, over a table ``m`` with `TAGS` and `FIELDS`."""
    params: dict[str, Any] = {}
    where = " AND ".join(_conditions(rng, params, low_ns, high_ns))
    make = _groups if rng.random() < 0.6 else _rows
    return make(rng, where, params)


def _conditions(rng: random.Random, params: dict[str, Any], low_ns: int, high_ns: int) -> list[str]:
    def time() -> str:
        time_ns = rng.randint(low_ns - 5, high_ns + 5)
        way = rng.randrange(4)
        if way == 0:
            params[f"p{len(params)}"] = _text(time_ns)
            return f"$p{len(params) - 1}"
        if way == 1:
            return f"now() - INTERVAL '{rng.randint(0, high_ns - low_ns)} nanoseconds'"
        return f"'{_text(time_ns)}'" if way == 2 else f"TIMESTAMP '{_text(time_ns)}'"

    def number(column: str) -> str:
        value: int | float = rng.choice((0, 1, 3, 5, 7, 2.5, 1e300, 2**53 + 1, -2))
        if column == "u":
            value = abs(value)
        if rng.random() < 0.3:
            params[f"p{len(params)}"] = rng.choice((value, str(value)))
            return f"$p{len(params) - 1}"
        return repr(value)

    host = rng.choice(HOSTS)
    params["host"] = rng.choice(HOSTS)
    found = [
        rng.choice(
            (
                f"host = '{host}'",
                f"'{host}' = m.host",
                "host = $host",
                f"host IN ('{host}', $host)",
                f"host IN ('a', 'b', '{host}')",
                "region = 'x'",
            )
        )
    ]
    if rng.random() < 0.2:
        found.append("region IN ('x', 'y')")
    if rng.random() < 0.4:
        found.append(f"time BETWEEN {time()} AND {time()}")
    if rng.random() < 0.5:
        found.append(f"time {rng.choice(SIGNS)} {time()}")
    if rng.random() < 0.4:
        column = rng.choice(NUMBERS)
        found.append(f"{column} {rng.choice(SIGNS)} {number(column)}")
    if rng.random() < 0.1:
        found.append(f"({number('f')} < f AND i >= {number('i')})")
    if rng.random() < 0.05:
        found.append(rng.choice(("b", "s = '3'", "i = i", "(u > 3 OR i < 4)", "host IS NOT NULL")))
    rng.shuffle(found)
    return found


def _text(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    assert seconds in (-1, 0)
    return f"{'1969-12-31T23:59:59' if seconds else '1970-01-01T00:00:00'}.{rest:09d}Z"


def _groups(rng: random.Random, where: str, params: dict[str, Any]) -> Question:
    bins = (
        "date_bin(INTERVAL '7 nanoseconds', time)",
        "date_bin(INTERVAL '10 nanoseconds', time, '1970-01-01T00:00:00.000000033Z')",
        "date_bin(INTERVAL '1 second', time)",
        "date_trunc('minute', time)",
        "date_trunc('week', time)",
        "date_trunc('month', time)",
    )
    keys = rng.sample((rng.choice(bins), rng.choice(bins[:2]), "host", "region", "time"),
                      rng.choice((0, 1, 1, 1, 2, 3)))  # fmt: skip
    made = ["count(*)"]
    made += [f"count({name})" for name in (*FIELDS, *TAGS)]
    made += [f"{call}({name})" for call in ("sum", "avg", "mean", "min", "max") for name in NUMBERS]
    made += ["min(time)", "max(time)", "max(host)", "min(b)", "count(DISTINCT i)"]
    shown = [f"{key} AS k{place}" if "(" in key else key for place, key in enumerate(keys)]
    names = [f"k{place}" if "(" in key else key for place, key in enumerate(keys)]
    parts = list(zip(shown, names, strict=True))
    parts += [(f"{one} AS v{place}", "") for place, one in
              enumerate(rng.sample(made, rng.randint(1, 3)))]  # fmt: skip
    rng.shuffle(parts)
    sql = f"SELECT {', '.join(part for part, _ in parts)} FROM m WHERE {where}"
    if names:
        spelt = [
            rng.choice((name, str([one for _, one in parts].index(name) + 1))) for name in names
        ]
        sql += f" GROUP BY {', '.join(spelt)}"
    order = rng.sample(names, len(names)) if rng.random() < 0.7 else []
    if order:
        sql += f" ORDER BY {', '.join(name + _direction(rng) for name in order)}"
    limit = _limit(rng, params) if order else ""
    return Question(sql + limit, params, tuple(order), bool(limit))


def _rows(rng: random.Random, where: str, params: dict[str, Any]) -> Question:
    columns = rng.sample((*TAGS, *FIELDS, "time"), rng.randint(1, 8))
    shown = "*" if rng.random() < 0.3 else ", ".join(columns)
    sql = f"SELECT {shown} FROM m WHERE {where}"
    order = rng.choice(((), ("time",), ("time",), ("host", "time")))
    if order:
        sql += f" ORDER BY {', '.join(name + _direction(rng) for name in order)}"
    limit = _limit(rng, params) if order else ""
    kept = [name for name in order if shown == "*" or name in columns]
    # A key that is not shown leaves those behind it unsorted.
    return Question(
        sql + limit, params, tuple(kept) if len(kept) == len(order) else (), bool(limit)
    )


def _direction(rng: random.Random) -> str:
    return rng.choice(("", " ASC", " DESC")) + rng.choice(("", "", " NULLS FIRST", " NULLS LAST"))


def _limit(rng: random.Random, params: dict[str, Any]) -> str:
    if rng.random() < 0.5:
        return ""
    params["limit"] = rng.randint(0, 12)
    limit = rng.choice((" LIMIT 5", " LIMIT $limit", " LIMIT 0"))
    return limit + rng.choice(("", "", " OFFSET 2"))


def check_both_ways(executor: QueryExecutor, question: Question) -> None:
    """Compare an answer with DuckDB's.

    Rows that are equal in what the question sorts by may come in any order, and any of them may be
    those that are within a limit.
    """
    answer = executor.run("db", question.sql, question.params)
    executor.preparer.answers_series = False
    try:
        expected = executor.run("db", question.sql, question.params)
    finally:
        executor.preparer.answers_series = True
    assert answer.schema == expected.schema, (question, answer.schema, expected.schema)
    assert answer.num_rows == expected.num_rows, question
    for name in question.order:
        assert _values(answer, name) == _values(expected, name), question
    is_group = "GROUP BY" in question.sql
    if not question.has_limit or is_group:
        assert sorted(_rows_of(answer)) == sorted(_rows_of(expected)), question


def _rows_of(table: Any) -> list[str]:
    # -0.0 and 0.0 are equal to DuckDB, and either may be the least of several.
    columns = [
        [repr(value + 0.0) if isinstance(value, float) else repr(value)
         for value in _plain(column).to_pylist()]
        for column in table.columns
    ]  # fmt: skip
    return list(map(repr, zip(*columns, strict=True)))


def _values(table: Any, name: str) -> list[str]:
    return list(map(repr, _plain(table.column(name)).to_pylist()))


def _plain(column: Any) -> Any:
    return column.cast(pyarrow.int64()) if pyarrow.types.is_timestamp(column.type) else column
