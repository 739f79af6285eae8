# Last rows of series are enough for a query only where it surely needs no others.
import pytest

from engine.query.dialect import TableName, parse_statement
from engine.query.last_points import last_points
from engine.query.rewrite import fold_names

RANK = "row_number() OVER (PARTITION BY host ORDER BY time DESC)"


def found(sql):
    query = parse_statement(sql).query
    fold_names(query)
    return last_points(query)


@pytest.mark.parametrize(
    ("sql", "tags", "has_end"),
    [
        (f"SELECT * FROM (SELECT *, {RANK} AS rn FROM cpu) WHERE rn = 1", {"host"}, False),
        (f"SELECT * FROM (SELECT *, {RANK} AS rn FROM cpu) AS l WHERE x > 1 AND 2 > l.rn", {"host"},
         False),
        (f"WITH l AS (SELECT *, {RANK} AS rn FROM cpu c) SELECT max(x) FROM l WHERE rn <= 1",
         {"host"}, False),
        (f"SELECT x FROM cpu QUALIFY {RANK} = 1", {"host"}, False),
        ("SELECT DISTINCT ON (host) * FROM cpu WHERE time < now() ORDER BY host, time DESC",
         {"host"}, True),
        ("SELECT DISTINCT ON (host) * FROM cpu WHERE (region = 'x' OR host LIKE 'a%') AND "
         "'2022-01-01' <= time ORDER BY host ASC, time DESC LIMIT 3", {"host", "region"}, False),
        ("SELECT host, selector_last(x, time)['value'] AS x, selector_last(x, time)['time'] AS time "
         "FROM cpu WHERE time BETWEEN '2022-01-01' AND $end GROUP BY host ORDER BY host",
         {"host"}, True),
        ("SELECT upper(host), last_value(x ORDER BY time) * 2 FROM cpu GROUP BY 1 HAVING "
         "max(time) > '2022-01-01'", {"host"}, False),
        ("SELECT x FROM iox.cpu WHERE host = 'a' ORDER BY time DESC LIMIT 1", {"host"}, False),
        # As InfluxQL's last() is asked for.
        ("SELECT coalesce(\"host\", '') AS __g0, selector_last(\"x\", time)['time'] AS __t, "
         "selector_last(\"x\", time)['value'] AS __c0, max(time) AS __n FROM \"cpu\" "
         "WHERE (time >= $low) GROUP BY 1 ORDER BY 1", {"host"}, False),
        ("SELECT a.x FROM (SELECT max(time) AS x FROM cpu) a, mem", set(), False),
    ],
)  # fmt: skip
def test_ways_to_ask_for_last_points(sql, tags, has_end):
    ((table, points),) = found(sql).items()
    assert (table, set(points.tags), points.has_end) == (TableName("iox", "cpu"), tags, has_end)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM cpu",
        "SELECT max(x) FROM cpu",
        f"SELECT *, {RANK} AS rn FROM cpu",
        f"SELECT * FROM (SELECT *, {RANK} AS rn FROM cpu) WHERE rn = 2",
        f"SELECT * FROM (SELECT *, {RANK} AS rn FROM cpu) WHERE rn <= 2",
        f"SELECT * FROM (SELECT *, {RANK} AS rn FROM cpu) WHERE rn = 1 OR x > 1",
        f"SELECT * FROM (SELECT *, {RANK} AS rn FROM cpu) WHERE NOT rn = 1",
        f"SELECT * FROM (SELECT *, {RANK} AS rn FROM cpu LIMIT 5) WHERE rn = 1",
        f"SELECT * FROM (SELECT *, {RANK} AS rn FROM cpu) a JOIN mem ON true WHERE rn = 1",
        f"SELECT * FROM (SELECT *, {RANK} + 1 AS rn FROM cpu) WHERE rn = 1",
        f"SELECT * FROM (SELECT *, {RANK} AS rn, lag(x) OVER (ORDER BY time) AS y FROM cpu) "
        "WHERE rn = 1",
        "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time) AS rn FROM "
        "cpu) WHERE rn = 1",
        "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time DESC, x) AS rn "
        "FROM cpu) WHERE rn = 1",
        "SELECT * FROM (SELECT *, count(*) OVER (PARTITION BY host ORDER BY time DESC) AS rn FROM "
        "cpu) WHERE rn = 1",
        f"WITH l AS (SELECT *, {RANK} AS rn FROM cpu) SELECT * FROM l a, l b WHERE a.rn = 1",
        f"WITH l AS (SELECT *, {RANK} AS rn FROM cpu) SELECT (SELECT count(*) FROM l), * FROM l "
        "WHERE rn = 1",
        "SELECT DISTINCT ON (host) * FROM cpu ORDER BY host, time",
        "SELECT DISTINCT ON (host) * FROM cpu ORDER BY host, x, time DESC",
        "SELECT DISTINCT ON (host) * FROM cpu",
        "SELECT DISTINCT host FROM cpu ORDER BY time DESC LIMIT 1",
        "SELECT last_value(x ORDER BY time DESC) FROM cpu",
        "SELECT last_value(x ORDER BY y) FROM cpu",
        "SELECT last_value(x) FROM cpu",
        "SELECT last_value(x + y ORDER BY time) FROM cpu",
        "SELECT last_value(x ORDER BY time), count(*) FROM cpu",
        "SELECT last_value(x ORDER BY time) FILTER (WHERE y > 1) FROM cpu",
        "SELECT last_value(x ORDER BY time), sum(y) FROM cpu GROUP BY host",
        "SELECT selector_first(x, time)['value'] FROM cpu",
        "SELECT max(time), min(time) FROM cpu",
        "SELECT max(time) FROM cpu a, mem b",
        "SELECT max(time) FROM cpu WHERE time < '2022-01-01' AND time <= now()",
        "SELECT max(time), (SELECT max(time) FROM mem) FROM cpu",
        "SELECT (SELECT max(time) FROM cpu), (SELECT sum(x) FROM cpu)",
        "WITH cpu AS (SELECT 1 AS x) SELECT max(time) FROM cpu",
        "SELECT max(time) FROM system.queries",
        "SELECT max(time) FROM last_cache('cpu')",
        "SELECT x FROM cpu ORDER BY time DESC LIMIT 2",
        "SELECT x FROM cpu ORDER BY time DESC LIMIT 1 OFFSET 1",
        "SELECT x FROM cpu ORDER BY time DESC",
        "SELECT x FROM cpu ORDER BY time LIMIT 1",
        "SELECT x, y AS time FROM cpu ORDER BY time DESC LIMIT 1",
    ],
)
def test_queries_that_may_need_other_rows(sql):
    points = found(sql)
    assert TableName("iox", "cpu") not in points


@pytest.mark.parametrize(
    "condition",
    ["x > 1", "time = '2022-01-01'", "time <> now()", "time > y", "NOT time < now()", "x IS NULL"],
)
def test_conditions_on_other_columns_than_tags_are_told(condition):
    # The executor knows that these are no tags.
    for points in found(f"SELECT max(time) FROM cpu WHERE {condition}").values():
        assert points.tags & {"x", "y", "time"}
