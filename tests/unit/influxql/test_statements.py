"""What statements of InfluxQL answer, over the small table of the query tests and one of a regular rhythm."""

from typing import Any

import pytest

from engine.errors import (
    DatabaseNotFoundError,
    QueryError,
    QueryNotSupportedError,
    QueryResourceError,
    QueryTimeoutError,
)
from engine.influxql import results
from engine.influxql.engine import InfluxqlEngine, database_of, databases_of
from engine.influxql.parser import parse
from engine.influxql.results import Series
from engine.query.executor import QueryConfig, QueryExecutor
from lp_core.enums import ColumnType
from tests.unit.query.fakes import SECOND, T0, FakeCatalog, cpu, snapshot

MINUTE = 60 * SECOND
NOW = T0 + 7200 * SECOND
LATE = T0 + 3600 * SECOND + 123_456_789
RANGE = "time >= '2025-01-01T00:00:00Z' AND time < '2025-01-01T00:06:00Z'"


def rhythm() -> Any:
    """Two hosts, a value a minute; minutes 2 and 3 are missing, minute 4 is there for one host."""
    rows = [
        {"host": host, "load": float(base + minute), "jobs": minute, "time": T0 + minute * MINUTE}
        for host, base in (("a", 0), ("b", 100))
        for minute in (0, 1, 4, 5)
        if not (host == "b" and minute == 4)
    ]
    columns = {"host": ColumnType.TAG, "load": ColumnType.FLOAT64, "jobs": ColumnType.INT64}
    return snapshot("rhythm", columns, rows)


def odd() -> Any:
    columns = {'we"ird': ColumnType.FLOAT64, "t": ColumnType.INT64, "__c0": ColumnType.INT64}
    rows = [{'we"ird': 1.0, "t": 7, "__c0": 8, "time": T0}, {"t": 9, "time": T0 + SECOND}]
    return snapshot("odd 'table'", columns, rows)


@pytest.fixture(scope="module")
def engine() -> InfluxqlEngine:
    catalog = FakeCatalog(cpu(), rhythm(), odd())
    return InfluxqlEngine(QueryExecutor(QueryConfig(), catalog), catalog, lambda: NOW)


def run(engine: InfluxqlEngine, text: str, **parameters: object) -> list[Series]:
    (statement,) = parse(text, parameters)
    return engine.series(statement, "db", "")


def rows(engine: InfluxqlEngine, text: str, **parameters: object) -> list[list[Any]]:
    found = run(engine, text, **parameters)
    assert len(found) <= 1, found
    return found[0].values if found else []


def test_raw_columns_in_the_order_of_time(engine: InfluxqlEngine) -> None:
    (series,) = run(engine, "SELECT usage, host FROM cpu")
    assert series.columns == ["time", "usage", "host"]
    assert series.values == [[T0, 1.5, "a"], [T0 + MINUTE, 2.5, "b"]]


def test_rows_need_a_field_of_those_selected(engine: InfluxqlEngine) -> None:
    assert rows(engine, "SELECT host FROM cpu") == []
    assert [row[0] for row in rows(engine, "SELECT note, usage FROM cpu")] == [
        *(T0, T0 + MINUTE, LATE)
    ]


def test_a_wildcard_means_fields_and_tags_by_name(engine: InfluxqlEngine) -> None:
    (series,) = run(engine, "SELECT * FROM cpu")
    assert series.columns == ["time", "cores", "host", "note", "total", "up", "usage"]
    assert series.values[2] == [LATE, 7, "a", "it's", None, None, None]
    first, second = run(engine, "SELECT * FROM cpu GROUP BY *")
    assert (first.tags, second.tags) == ({"host": "a"}, {"host": "b"})
    assert "host" not in first.columns
    (fields,) = run(engine, "SELECT *::field FROM cpu")
    assert "host" not in fields.columns
    (some,) = run(engine, "SELECT /^(u|h)/ FROM cpu")
    assert some.columns == ["time", "host", "up", "usage"]


@pytest.mark.parametrize(
    ("condition", "usages"),
    [
        ("host = 'a'", [1.5]),
        ("host != 'a'", [2.5]),
        ("host =~ /^[bc]$/", [2.5]),
        ("host !~ /b/", [1.5]),
        ("'b' = host", [2.5]),
        ("nowhere = ''", [1.5, 2.5]),
        ("nowhere != 'x'", [1.5, 2.5]),
        ("nowhere = 'x'", []),
        ("nowhere > 1", []),
        ("usage > 1.5", [2.5]),
        ("2 > usage", [1.5]),
        ("usage = 'text'", []),
        ("note = 5", []),
        ("note = '5'", [1.5]),
        ("up = true", [1.5]),
        ("up", [1.5]),
        ("cores % 2 = 1 AND usage / 0 > 1", []),
        ("cores - 1 = 5", [1.5]),
        ("-cores < -5", [1.5]),
        ("(host = 'a' OR host = 'b') AND usage < 2", [1.5]),
        ("time > '2025-01-01'", [2.5]),
        ("time >= '2025-01-01 00:01:00'", [2.5]),
        ("time = 1735689600s", [1.5]),
        ("time < 1735689600000000001", [1.5]),
        ("time > now() - 2h", [2.5]),
        ("time > now() - 1h", []),
        ("host = $host", [2.5]),
        (" OR ".join(f"host = '{name}'" for name in "abcdefghijkl" * 20), [1.5, 2.5]),
        (" AND ".join(["host = 'a'", "(usage < 2 OR usage > 3)"] * 50), [1.5]),
    ],
)
def test_conditions(engine: InfluxqlEngine, condition: str, usages: list[float]) -> None:
    found = rows(engine, f"SELECT usage FROM cpu WHERE {condition}", host="b")
    assert [row[1] for row in found] == usages


def test_numbers_that_outgrow_64_bits_go_on_as_floats(engine: InfluxqlEngine) -> None:
    (row, *_) = rows(engine, f"SELECT cores * {2**62}, cores * {10**30}, cores + 1 FROM cpu")
    assert row[1:] == [6.0 * 2**62, pytest.approx(6e30), 7]
    assert [type(value) for value in row[1:]] == [float, float, int]


def test_texts_cannot_break_out_of_their_quotes(engine: InfluxqlEngine) -> None:
    assert rows(engine, "SELECT cores FROM cpu WHERE note = $n", n="it's") == [[LATE, 7]]
    for text in ("x' OR '1'='1", "x\\", 'x"', "x';--", "'''"):
        assert rows(engine, "SELECT cores FROM cpu WHERE note = $n OR host = $n", n=text) == []
        assert rows(engine, "SELECT cores FROM cpu WHERE $n = $n AND host = $n", n=text) == []


def test_odd_names(engine: InfluxqlEngine) -> None:
    (series,) = run(engine, """SELECT "we\\"ird", t, __c0 FROM "odd 'table'" ORDER BY time DESC""")
    assert series.name == "odd 'table'"
    assert series.columns == ["time", 'we"ird', "t", "__c0"]
    assert series.values == [[T0 + SECOND, None, 9, None], [T0, 1.0, 7, 8]]
    assert rows(engine, """SELECT max(t), "we\\"ird" FROM "odd 'table'" """) == [
        [T0 + SECOND, 9, None]
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count(usage)", 2),
        ("count(note)", 2),
        ("count(distinct(host))", None),
        ("count(distinct(cores))", 3),
        ("sum(cores)", 18),
        ("mean(cores)", 6.0),
        ("median(cores)", 6.0),
        ("mode(cores)", 6),
        ("spread(cores)", 2),
        ("stddev(cores)", 1.0),
        ("percentile(cores, 1)", None),
        ("percentile(cores, 200)", None),
        ("percentile(cores, 1e308)", None),
        ("mean(usage) * 2 + sum(cores)", 22.0),
        ("mean(cores) / 0", 0),
        ("sum(cores) % 5", 3.0),
        ("sum(cores) % 0", 0),
        ("-sum(cores)", -18),
        ("round(mean(usage) + 0.5)", 3),
        ("pow(sum(cores), 2)", 324.0),
        ("floor(mean(usage)) + ceil(mean(usage) + 0.5)", 5),
    ],
)
def test_aggregates(engine: InfluxqlEngine, field: str, value: Any) -> None:
    found = rows(engine, f"SELECT {field} AS x FROM cpu")
    assert found == ([] if value is None else [[0, value]])
    # The time of an aggregate is where its range begins.
    bounded = rows(engine, f"SELECT {field} AS x FROM cpu WHERE time >= '2025-01-01'")
    assert bounded == ([] if value is None else [[T0, value]])


@pytest.mark.parametrize("field", ["sqrt(0 - sum(cores))", "mean(nothing) + sum(cores)"])
def test_mathematics_may_have_no_value(engine: InfluxqlEngine, field: str) -> None:
    assert rows(engine, f"SELECT {field} AS x FROM cpu") == [[0, None]]


@pytest.mark.parametrize(
    ("field", "row"),
    [
        ("first(usage)", [T0, 1.5]),
        ("last(usage)", [T0 + MINUTE, 2.5]),
        ("last(note)", [LATE, "it's"]),
        ("min(cores)", [T0 + MINUTE, 5]),
        ("max(cores)", [LATE, 7]),
        ("-max(cores)", [LATE, -7]),
        ("max(usage), host, note", [T0 + MINUTE, 2.5, "b", None]),
        ("min(cores), host", [T0 + MINUTE, 5, "b"]),
        ("first(note), cores + 1", [T0, "5", 7]),
        ("last(usage), cores", [T0 + MINUTE, 2.5, 5]),
        ("percentile(cores, 50)", [T0, 6]),
        ("percentile(cores, 100), note", [LATE, 7, "it's"]),
        ("sample(cores, 9), host", [T0, 6, "a"]),
    ],
)
def test_selectors_have_the_time_and_the_columns_of_their_row(
    engine: InfluxqlEngine, field: str, row: list[Any]
) -> None:
    assert rows(engine, f"SELECT {field} FROM cpu")[0] == row


def test_columns_are_named_as_clients_know(engine: InfluxqlEngine) -> None:
    def names(fields: str) -> list[str]:
        (series,) = run(engine, f"SELECT {fields} FROM cpu")
        return series.columns[1:]

    assert names("mean(usage), mean(cores), mean(usage) AS m") == ["mean", "mean_1", "m"]
    assert names("mean(*)") == ["mean_cores", "mean_total", "mean_usage"]
    assert names("count(/^(up|note)$/)") == ["count_note", "count_up"]
    assert names("mean(usage) * 2, max(cores) - min(cores)") == ["mean", "max_min"]
    assert names("usage, usage, cores * 2") == ["usage", "usage_1", "cores"]


def test_intervals_without_rows(engine: InfluxqlEngine) -> None:
    def loads(fill: str) -> list[Any]:
        text = (
            f"SELECT mean(load) FROM rhythm WHERE host = 'a' AND {RANGE} GROUP BY time(1m) {fill}"
        )
        return [row[1] for row in rows(engine, text)]

    assert loads("") == [0.0, 1.0, None, None, 4.0, 5.0]
    assert loads("fill(null)") == [0.0, 1.0, None, None, 4.0, 5.0]
    assert loads("fill(none)") == [0.0, 1.0, 4.0, 5.0]
    assert loads("fill(-1)") == [0.0, 1.0, -1, -1, 4.0, 5.0]
    assert loads("fill(previous)") == [0.0, 1.0, 1.0, 1.0, 4.0, 5.0]
    assert loads("fill(linear)") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_counts_of_empty_intervals_are_zero(engine: InfluxqlEngine) -> None:
    text = f"SELECT count(load) FROM rhythm WHERE {RANGE} GROUP BY time(2m)"
    assert [row[1] for row in rows(engine, text)] == [4, 0, 3]
    assert [row[1] for row in rows(engine, f"{text} fill(7)")] == [4, 7, 3]


def test_intervals_may_be_moved(engine: InfluxqlEngine) -> None:
    text = f"SELECT sum(jobs) FROM rhythm WHERE host = 'a' AND {RANGE} GROUP BY time(2m, 1m)"
    assert rows(engine, text) == [
        [T0 - MINUTE, 0],
        [T0 + MINUTE, 1],
        [T0 + 3 * MINUTE, 4],
        [T0 + 5 * MINUTE, 5],
    ]


def test_without_an_end_intervals_go_on_until_now(engine: InfluxqlEngine) -> None:
    found = rows(engine, "SELECT sum(jobs) FROM rhythm GROUP BY time(1h)")
    assert found == [[T0, 16], [T0 + 3600 * SECOND, None], [NOW, None]]


def test_series_of_tags_with_intervals_and_limits(engine: InfluxqlEngine) -> None:
    text = f"SELECT max(load) FROM rhythm WHERE {RANGE} GROUP BY time(3m), host"
    first, second = run(engine, text)
    assert (first.tags, first.values) == ({"host": "a"}, [[T0, 1.0], [T0 + 3 * MINUTE, 5.0]])
    assert (second.tags, second.values) == ({"host": "b"}, [[T0, 101.0], [T0 + 3 * MINUTE, 105.0]])
    # The latest first means the last series first, too.
    (limited,) = run(engine, f"{text} ORDER BY time DESC LIMIT 1 SLIMIT 1 SOFFSET 1")
    assert (limited.tags, limited.values) == ({"host": "a"}, [[T0 + 3 * MINUTE, 5.0]])
    (skipped,) = run(engine, f"{text} LIMIT 1 OFFSET 1 SLIMIT 1")
    assert skipped.values == [[T0 + 3 * MINUTE, 5.0]]
    (unknown,) = run(engine, "SELECT max(load) FROM rhythm GROUP BY nothing")
    assert unknown.tags == {"nothing": ""}


def test_rows_are_limited_for_each_series(engine: InfluxqlEngine) -> None:
    first, second = run(engine, "SELECT jobs FROM rhythm GROUP BY host LIMIT 2")
    assert [len(first.values), len(second.values)] == [2, 2]
    assert [row[1] for row in rows(engine, "SELECT jobs FROM rhythm LIMIT 3 OFFSET 2")] == [1, 1, 4]
    last = rows(engine, "SELECT jobs FROM rhythm WHERE host = 'a' ORDER BY time DESC LIMIT 2")
    assert [row[1] for row in last] == [5, 4]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("difference(load)", [(1, 1.0), (4, 3.0), (5, 1.0)]),
        ("derivative(load, 1m)", [(1, 1.0), (4, 1.0), (5, 1.0)]),
        ("derivative(load)", [(1, 1 / 60), (4, 1 / 60), (5, 1 / 60)]),
        ("non_negative_difference(-load)", []),
        ("non_negative_derivative(load, 1m)", [(1, 1.0), (4, 1.0), (5, 1.0)]),
        ("cumulative_sum(jobs)", [(0, 0), (1, 1), (4, 5), (5, 10)]),
        ("moving_average(jobs, 2)", [(1, 0.5), (4, 2.5), (5, 4.5)]),
        ("elapsed(jobs, 1m)", [(1, 1), (4, 3), (5, 1)]),
        ("elapsed(jobs)", [(1, MINUTE), (4, 3 * MINUTE), (5, MINUTE)]),
        ("difference(load) * 10", [(1, 10.0), (4, 30.0), (5, 10.0)]),
    ],
)
def test_transformations(engine: InfluxqlEngine, field: str, values: list[tuple[int, Any]]) -> None:
    found = rows(engine, f"SELECT {field} FROM rhythm WHERE host = 'a'")
    expected = [[T0 + minute * MINUTE, pytest.approx(value)] for minute, value in values]
    assert found == expected


def test_transformations_of_aggregates(engine: InfluxqlEngine) -> None:
    text = "SELECT {} FROM rhythm WHERE host = 'a' AND " + RANGE + " GROUP BY time(2m) fill({})"
    difference = rows(engine, text.format("difference(max(load))", "none"))
    assert difference == [[T0 + 4 * MINUTE, 4.0]]
    filled = rows(engine, text.format("difference(max(load))", "0"))
    # The interval before the range is looked at as well.
    assert filled == [[T0, 1.0], [T0 + 2 * MINUTE, -1.0], [T0 + 4 * MINUTE, 5.0]]
    # The unit of an aggregate's derivative is its interval.
    derivative = rows(engine, text.format("derivative(max(load))", "0"))
    assert derivative == [[T0, 1.0], [T0 + 2 * MINUTE, -1.0], [T0 + 4 * MINUTE, 5.0]]
    by_second = rows(engine, text.format("derivative(max(load), 1s)", "0"))
    assert by_second[2] == [T0 + 4 * MINUTE, pytest.approx(5 / 120)]


def test_functions_with_several_rows(engine: InfluxqlEngine) -> None:
    assert rows(engine, "SELECT top(load, 2) FROM rhythm") == [
        [T0 + MINUTE, 101.0],
        [T0 + 5 * MINUTE, 105.0],
    ]
    first, second = run(engine, "SELECT bottom(jobs, 1) FROM rhythm GROUP BY host")
    assert (first.values, second.values) == ([[T0, 0]], [[T0, 0]])
    distinct = rows(engine, f"SELECT distinct(jobs) FROM rhythm WHERE {RANGE} GROUP BY time(3m)")
    assert distinct == [[T0, 0], [T0, 1], [T0 + 3 * MINUTE, 4], [T0 + 3 * MINUTE, 5]]
    assert rows(engine, "SELECT integral(jobs, 1m) FROM rhythm WHERE host = 'a'") == [
        [0, pytest.approx(0.5 + 7.5 + 4.5)]
    ]


def test_several_tables(engine: InfluxqlEngine) -> None:
    names = [series.name for series in run(engine, "SELECT * FROM cpu, rhythm, cpu, nowhere")]
    assert names == ["cpu", "rhythm"]
    names = [series.name for series in run(engine, "SELECT * FROM /^(c|r)/")]
    assert names == ["cpu", "rhythm"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("SHOW MEASUREMENTS", [["cpu"], ["odd 'table'"], ["rhythm"]]),
        ("SHOW MEASUREMENTS LIMIT 1 OFFSET 2", [["rhythm"]]),
        ("SHOW MEASUREMENTS WITH MEASUREMENT = cpu", [["cpu"]]),
        ("SHOW MEASUREMENTS WITH MEASUREMENT =~ /m$/", [["rhythm"]]),
        ("SHOW MEASUREMENTS WHERE host = 'b' AND usage > 2", [["cpu"]]),
        ("SHOW TAG KEYS FROM cpu", [["host"]]),
        ("SHOW TAG KEYS FROM cpu WHERE host = 'zz'", []),
        ("SHOW FIELD KEYS FROM rhythm", [["jobs", "integer"], ["load", "float"]]),
        ("SHOW TAG VALUES FROM cpu WITH KEY = host", [["host", "a"], ["host", "b"]]),
        ("SHOW TAG VALUES FROM cpu WITH KEY =~ /h/ WHERE up = true", [["host", "a"]]),
        ("SHOW TAG VALUES FROM cpu WITH KEY != host", []),
        ("SHOW TAG VALUES FROM cpu WITH KEY IN (host, x) LIMIT 1", [["host", "a"]]),
        ("SHOW SERIES FROM cpu", [["cpu,host=a"], ["cpu,host=b"]]),
        ("SHOW SERIES FROM \"odd 'table'\"", [["odd\\ 'table'"]]),
        ("SHOW RETENTION POLICIES", [["autogen", "0s", "168h0m0s", 1, True]]),
    ],
)
def test_show(engine: InfluxqlEngine, text: str, answer: list[list[Any]]) -> None:
    assert rows(engine, text) == answer


def test_show_names_each_table(engine: InfluxqlEngine) -> None:
    found = run(engine, "SHOW TAG VALUES WITH KEY = host")
    assert [series.name for series in found] == ["cpu", "rhythm"]
    (second,) = run(engine, "SHOW FIELD KEYS SLIMIT 1 SOFFSET 2")
    assert second.name == "rhythm"
    assert second.columns == ["fieldKey", "fieldType"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT mean(note) FROM cpu", "works on numbers"),
        ("SELECT difference(note) FROM cpu", "works on numbers"),
        ("SELECT moving_average(last(note), 2) FROM cpu GROUP BY time(1h)", "works on numbers"),
        ("SELECT usage, mean(usage) FROM cpu", "mixing aggregate and non-aggregate"),
        ("SELECT max(usage), min(usage), host FROM cpu", "mixing multiple selector"),
        ("SELECT foo(usage) FROM cpu", "undefined function foo"),
        ("SELECT usage FROM cpu GROUP BY time(1m)", "at least one aggregate"),
        ("SELECT mean(usage * 2) FROM cpu", "expected field argument in mean"),
        ("SELECT mean(usage, 2) FROM cpu", "number of arguments for mean"),
        ("SELECT percentile(usage) FROM cpu", "number of arguments"),
        ("SELECT percentile(usage, 'x') FROM cpu", "needs a number"),
        ("SELECT moving_average(usage, 0) FROM cpu", "above 0"),
        ("SELECT top(usage, 0) FROM cpu", "above 0"),
        ("SELECT top(usage, 3), mean(usage) FROM cpu", "cannot be combined"),
        ("SELECT top(usage, 2, 3) FROM cpu", "only fields or tags"),
        ("SELECT difference(mean(usage)) FROM cpu", "requires a GROUP BY interval"),
        ("SELECT difference(usage) FROM cpu GROUP BY time(1h)", "aggregate function required"),
        ("SELECT moving_average(usage, 1) FROM cpu", "greater than 1"),
        ("SELECT usage FROM cpu fill(none)", "must be used with a function"),
        ("SELECT a FROM (SELECT usage AS a FROM cpu ORDER BY time DESC)", "same direction"),
        ("SELECT usage FROM cpu tz('Nowhere/Land')", "unable to find time zone"),
        ("SELECT usage FROM cpu tz(UTC)", "name of a time zone in quotes"),
        ("SELECT time FROM cpu", "at least 1 non-time field"),
        ("SELECT 1 FROM cpu", "at least 1 non-time field"),
        ("SELECT usage = 1 FROM cpu", "invalid operator"),
        ("SELECT 'text' FROM cpu", "SELECT takes"),
        ("SELECT usage FROM cpu WHERE host =~ 'a'", "regular expression on its right"),
        ("SELECT usage FROM cpu WHERE host =~ /(/", "regular|missing"),
        ("SELECT usage FROM cpu WHERE usage", "^$"),
        ("SELECT usage FROM cpu WHERE time > 'soon'", "invalid timestamp"),
        ("SELECT usage FROM cpu WHERE time > host", "times, now"),
        ("SELECT usage FROM /(/", "invalid regular expression"),
        ("SELECT mean(usage) FROM cpu GROUP BY time(1ns)", "intervals for each"),
    ],
)
def test_wrong_statements(engine: InfluxqlEngine, text: str, reason: str) -> None:
    if reason == "^$":
        assert rows(engine, text) == []
        return
    with pytest.raises(QueryError, match=reason):
        run(engine, text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT holt_winters(mean(usage), 3, 4) FROM cpu", "holt_winters"),
    ],
)
def test_functions_that_are_not_supported_are_named(
    engine: InfluxqlEngine, text: str, name: str
) -> None:
    with pytest.raises(QueryNotSupportedError, match=name):
        run(engine, text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM rhythm",
        "SELECT percentile(load, 50) FROM rhythm",
        "SELECT top(load, 9) FROM rhythm",
        "SELECT load FROM /h/",
        "SELECT mean(m) FROM (SELECT load AS m FROM rhythm)",
    ],
)
def test_answers_that_are_too_large_are_refused(
    engine: InfluxqlEngine, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    assert run(engine, text)
    monkeypatch.setattr(results, "CELLS_MAX", 9)
    with pytest.raises(QueryResourceError, match="more than 9 values"):
        run(engine, text)
    assert rows(engine, "SELECT max(load) FROM rhythm")


def test_all_queries_of_a_statement_share_its_time() -> None:
    catalog = FakeCatalog(cpu(), rhythm())
    engine = InfluxqlEngine(QueryExecutor(QueryConfig(timeout_ms=1), catalog), catalog, lambda: NOW)
    subqueries = ", ".join(["(SELECT usage FROM cpu)"] * 200)
    with pytest.raises(QueryTimeoutError):
        run(engine, f"SELECT count(usage) FROM {subqueries}")


def test_columns_of_many_tables_are_bounded(
    engine: InfluxqlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.influxql.engine.COLUMNS_MAX", 10)
    assert run(engine, "SELECT usage FROM /./")
    with pytest.raises(QueryError, match="more than 10 columns"):
        run(engine, "SELECT * FROM /./")


def test_databases_of_statements() -> None:
    def named(text: str, default: str = "db", policy: str = "") -> list[str]:
        (statement,) = parse(text)
        return databases_of(statement, default, policy)

    assert named("SELECT a FROM m") == ["db"]
    assert named("SELECT a FROM m, other..m") == ["db", "other"]
    assert named("SELECT a FROM other.weekly.m") == ["other/weekly"]
    assert named("SELECT a FROM m", policy="weekly") == ["db/weekly"]
    assert named("SELECT a FROM autogen.m", policy="weekly") == ["db"]
    assert named("SELECT a FROM (SELECT a FROM (SELECT a FROM x..m)), n") == ["x", "db"]
    assert named("SHOW TAG KEYS ON other") == ["other"]
    assert named("SHOW TAG KEYS FROM x..m") == ["x"]
    assert named("SHOW DATABASES", default="") == []
    with pytest.raises(QueryError, match="database is required"):
        named("SELECT a FROM m", default="")
    assert database_of("db", "Autogen") == "db"


def test_an_unknown_database_is_an_error(engine: InfluxqlEngine) -> None:
    with pytest.raises(DatabaseNotFoundError, match="database not found: nope"):
        run(engine, "SHOW MEASUREMENTS ON nope")
