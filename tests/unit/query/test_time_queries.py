import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import QueryError
from engine.query.executor import QueryConfig, QueryExecutor
from lp_core.enums import ColumnType
from tests.unit.query.fakes import SECOND, T0, FakeCatalog, snapshot

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = T0 + DAY

# 2025-01-01 at 00:00:00, 00:10:00, 01:00:00.123456789 and one nanosecond before 1970.
TIMES = [T0, T0 + 10 * MINUTE, T0 + HOUR + 123_456_789, -1]


@pytest.fixture(scope="module")
def executor():
    rows = [
        {"host": "ab"[number % 2], "v": float(number), "n": number, "time": time, "s": "x"}
        for number, time in enumerate(TIMES)
    ]
    columns = {
        "host": ColumnType.TAG,
        "v": ColumnType.FLOAT64,
        "n": ColumnType.INT64,
        "s": ColumnType.STRING,
    }
    executor = QueryExecutor(
        QueryConfig(threads=1), FakeCatalog(snapshot("t", columns, rows)), lambda: NOW
    )
    yield executor
    executor.close()


@pytest.fixture
def column(executor):
    def run(sql, **params):
        column = executor.run("db", sql, params).column(0)
        if pyarrow.types.is_timestamp(column.type):
            assert column.type == pyarrow.timestamp("ns")
            column = column.cast(pyarrow.int64())
        return column.to_pylist()

    return run


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-01T00:10:00Z",
        "2025-01-01T00:10:00",
        "2025-01-01 00:10:00",
        "2025-01-01T00:10:00.000Z",
        "2025-01-01T00:10:00.000000000Z",
        "2025-01-01T00:10:00+00:00",
        "2025-01-01T01:10:00+01:00",
        "2025-01-01 00:10",
    ],
)
def test_time_is_compared_with_text_in_every_spelling(column, text):
    expected = [TIMES[1], TIMES[2]]
    assert column(f"SELECT time FROM t WHERE time >= '{text}' ORDER BY time") == expected
    assert column(f"SELECT time FROM t WHERE '{text}' <= time ORDER BY time") == expected
    assert column("SELECT time FROM t WHERE time >= $x ORDER BY time", x=text) == expected
    assert column(f"SELECT time FROM t WHERE time = '{text}'::TIMESTAMP") == [TIMES[1]]
    assert column(f"SELECT time FROM t WHERE time = TIMESTAMP '{text}'") == [TIMES[1]]
    assert column(f"SELECT time FROM t WHERE time IN ('{text}')") == [TIMES[1]]
    assert column(f"SELECT time FROM t WHERE time BETWEEN '{text}' AND '{text}'") == [TIMES[1]]
    assert column("SELECT time FROM t WHERE time BETWEEN $x AND $x", x=text) == [TIMES[1]]


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("2262-04-11T23:47:16.854775807Z", []),
        ("2262-04-11T23:47:16.854775806Z", []),
        ("1677-09-21T00:12:43.145224193Z", TIMES),
    ],
)
def test_times_are_compared_with_the_ends_of_all_times(column, text, later):
    assert column(f"SELECT time FROM t WHERE time > '{text}'") == later
    assert column("SELECT time FROM t WHERE NOT (time <= $x)", x=text) == later
    assert column(f"SELECT time FROM t WHERE time = '{text}'") == []
    assert column(f"SELECT time FROM t WHERE time BETWEEN '{text}' AND '{text}'") == []


def test_comparisons_are_exact_to_the_nanosecond(column):
    sql = "SELECT count(*) FROM t WHERE time {} '2025-01-01T01:00:00.123456789Z'"
    assert column(sql.format("=")) == [1]
    assert column(sql.format("<")) == [3]
    assert column("SELECT count(*) FROM t WHERE time = '1969-12-31T23:59:59.999999999Z'") == [1]


def test_times_of_subqueries_are_compared_as_times(column):
    sql = """SELECT bin FROM (SELECT date_bin(INTERVAL '1 hour', time) AS bin FROM t)
             WHERE bin > '2025-01-01T02:00:00+02:00' """
    assert column(sql) == [T0 + HOUR]
    sql = "SELECT max(time) AS m FROM t GROUP BY host HAVING m > $x"
    assert column(sql, x="2025-01-01T01:00:00Z") == [TIMES[2]]


def test_time_may_be_compared_with_nanoseconds(column):
    assert column(f"SELECT time FROM t WHERE time = {T0}") == [T0]
    assert column("SELECT time FROM t WHERE time = $x", x=T0) == [T0]
    assert column("SELECT time FROM t WHERE time = $x", x=str(T0)) == [T0]


@pytest.mark.parametrize("sql", ["time > 'yesterday'", "time > '2025-99-01'", "time > $x"])
def test_text_that_is_no_time_is_an_error(column, sql):
    with pytest.raises(QueryError, match="not a timestamp"):
        column(f"SELECT time FROM t WHERE {sql}", x="soon")


@pytest.mark.parametrize("value", ["1e400", "-1e400", float("inf"), float("nan"), 1e300, 2**63])
@pytest.mark.parametrize("sql", ["time > $x", "host = 'a' AND time > $x"])
def test_numbers_beyond_all_times_are_an_error(column, sql, value):
    with pytest.raises(QueryError, match="not a timestamp"):
        column(f"SELECT time FROM t WHERE {sql}", x=value)


@pytest.mark.parametrize("literal", ["1.5e400", "1.5e300", "1e400"])
def test_literals_beyond_all_times_are_an_error(column, literal):
    with pytest.raises(QueryError, match="not a timestamp"):
        column(f"SELECT time FROM t WHERE time > {literal}")


def test_text_columns_are_compared_as_text(column):
    assert column("SELECT count(*) FROM t WHERE s = '2025-01-01T00:00:00Z'") == [0]
    assert column("SELECT count(*) FROM t WHERE host < '2025-01-01'") == [0]


@pytest.mark.parametrize(
    "span",
    [
        "INTERVAL '24 hours'",
        "interval '1 day'",
        "INTERVAL '1' DAY",
        "INTERVAL 1 DAY",
        "INTERVAL '23 hours 60 minutes'",
        "'interval 24h'",
        "'1 day'",
        "2 * INTERVAL '12 hours'",
        "INTERVAL $day",
        "$day",
        "'1 day'::INTERVAL",
    ],
)
def test_now_minus_an_interval_in_every_spelling(column, span):
    assert column(f"SELECT now() - {span} AS x", day="1 day") == [NOW - DAY]
    sql = f"SELECT count(*) FROM t WHERE time >= now() - {span}"
    assert column(sql, day="1 day") == [3]


def test_arithmetic_keeps_nanoseconds(column):
    sql = "SELECT time + INTERVAL '1 nanosecond' FROM t WHERE n = 2"
    assert column(sql) == [TIMES[2] + 1]
    assert column("SELECT time - INTERVAL '1 weeks' FROM t WHERE n = 2") == [TIMES[2] - 7 * DAY]
    assert column("SELECT INTERVAL '1 hour' + time FROM t WHERE n = 2") == [TIMES[2] + HOUR]
    assert column("SELECT time + INTERVAL '1 month' FROM t WHERE n = 2") == [TIMES[2] + 31 * DAY]
    assert column("SELECT time - INTERVAL '1 year' FROM t WHERE n = 2") == [TIMES[2] - 366 * DAY]
    assert column("SELECT max(time) + INTERVAL '1 hour' - INTERVAL '1 hour' FROM t") == [TIMES[2]]
    assert column("SELECT time + $x FROM t WHERE n = 0", x="10 minutes") == [T0 + 10 * MINUTE]
    assert column("SELECT $x - INTERVAL '1 hour'", x="2025-01-01T01:00:00Z") == [T0]
    assert column("SELECT '2025-01-01' + INTERVAL '1 hour'") == [T0 + HOUR]


def test_the_difference_of_times_is_a_duration(executor):
    table = executor.run("db", "SELECT now() - time AS d FROM t WHERE n = 0")
    assert table.column(0).cast(pyarrow.int64()).to_pylist() == [DAY]
    sql = "SELECT count(*) AS c FROM t WHERE now() - time < INTERVAL '2 days'"
    assert executor.run("db", sql).to_pydict() == {"c": [3]}


def test_now_is_one_moment_in_all_spellings(column):
    assert column("SELECT now() AS t") == [NOW]
    assert column("SELECT current_timestamp") == [NOW]
    assert column("SELECT NOW() - current_timestamp = INTERVAL '0 seconds'") == [True]
    assert column("SELECT current_date = DATE '2025-01-02'") == [True]


@pytest.mark.parametrize(
    "call",
    [
        "date_bin(INTERVAL '600 seconds', time)",
        "DATE_BIN(INTERVAL '10 minutes', time, '1970-01-01T00:00:00Z')",
        "date_bin(interval '10 minutes', time, '1970-01-01T00:00:00Z'::TIMESTAMP)",
        "date_bin(interval '10 minutes', time, TIMESTAMP '2020-01-01')",
        "date_bin('10 minutes', time)",
        "date_bin($w, time)",
        "date_bin(INTERVAL $w, time)",
    ],
)
def test_date_bin_with_and_without_origin(column, call):
    expected = [-10 * MINUTE, T0, T0 + 10 * MINUTE, T0 + HOUR]
    assert column(f"SELECT {call} AS _time FROM t ORDER BY 1", w="10 minutes") == expected
    sql = f'SELECT {call} AS _time, "host", avg(v) FROM t GROUP BY _time, "host" ORDER BY _time'
    assert column(sql, w="10 minutes") == expected
    assert column(f"SELECT {call} FROM t GROUP BY {call} ORDER BY 1", w="10 minutes") == expected


def test_date_bin_counts_from_its_origin(column):
    sql = "SELECT date_bin(INTERVAL '1 hour', time, '2025-01-01T00:05:00Z') FROM t WHERE n = 0"
    assert column(sql) == [T0 - 55 * MINUTE]
    assert column("SELECT date_bin(INTERVAL '1 week', time) FROM t WHERE n = 0") == [T0 - 6 * DAY]


def test_date_bin_by_months(column):
    assert column("SELECT date_bin(INTERVAL '1 month', time) FROM t WHERE n = 1") == [T0]
    assert column("SELECT date_bin(INTERVAL '1 month', time) FROM t WHERE n = 3") == [-31 * DAY]
    sql = "SELECT date_bin(INTERVAL '1 year', time, '2000-01-01T00:00:00Z') FROM t WHERE n = 1"
    assert column(sql) == [T0]


@settings(max_examples=50, deadline=None)
@given(
    width=st.integers(1, 10**15),
    origin=st.integers(-(10**18), 2 * 10**18),
)
def test_date_bin_agrees_with_floor_division(executor, width, origin):
    start = f"to_timestamp_nanos({origin})"
    sql = f"""SELECT date_bin(INTERVAL '{width} nanoseconds', time, {start}) AS b
              FROM t ORDER BY n"""
    found = executor.run("db", sql).column(0).cast(pyarrow.int64()).to_pylist()
    assert found == [origin + (time - origin) // width * width for time in TIMES]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("date_bin(INTERVAL '0 seconds', time)", "positive"),
        ("date_bin(INTERVAL '-1 seconds', time)", "positive"),
        ("date_bin(n, time)", "constant interval"),
        ("date_bin(INTERVAL '1 month 1 day', time)", "mixed"),
        ("date_bin(INTERVAL '1 hour')", "does not take 1 arguments"),
        ("date_bin(INTERVAL 'soon', time)", "not an interval"),
        ("date_trunc('fortnight', time)", "unknown unit"),
    ],
)
def test_misuse_of_time_functions_is_explained(column, call, error):
    with pytest.raises(QueryError, match=error):
        column(f"SELECT {call} FROM t")


def test_date_trunc_and_parts_do_not_round_up(column):
    assert column("SELECT date_trunc('day', time) FROM t WHERE n = 3") == [-DAY]
    assert column("SELECT date_trunc('hour', time) FROM t WHERE n = 2") == [T0 + HOUR]
    assert column("SELECT CAST(time AS DATE) = DATE '1969-12-31' FROM t WHERE n = 3") == [True]
    assert column("SELECT extract(year FROM time) FROM t WHERE n = 3") == [1969]
    assert column("SELECT date_part('second', time) FROM t WHERE n = 3") == [59]
    assert column("SELECT date_part('nanosecond', time) FROM t WHERE n = 2") == [123_456_789]
    assert column("SELECT extract(epoch FROM time)::BIGINT FROM t WHERE n = 2") == [
        (T0 + HOUR) // SECOND
    ]


def test_numbers_and_text_become_times(column):
    assert column("SELECT to_timestamp(5)") == [5]
    assert column("SELECT to_timestamp('2025-01-01T00:00:00Z')") == [T0]
    assert column("SELECT to_timestamp($x)", x="2025-01-01T02:00:00+02:00") == [T0]
    assert column("SELECT to_timestamp_nanos(n) FROM t ORDER BY n") == [0, 1, 2, 3]
    assert column("SELECT to_timestamp_micros(2)") == [2_000]
    assert column("SELECT to_timestamp_millis($x)", x="2") == [2_000_000]
    assert column("SELECT to_timestamp_seconds(v) FROM t WHERE n = 1") == [SECOND]
    assert column("SELECT from_unixtime(1)") == [SECOND]
    assert column("SELECT to_unixtime(time) FROM t WHERE n = 3") == [-1]
    assert column("SELECT arrow_cast(n, 'Timestamp(Nanosecond, None)') FROM t WHERE n = 1") == [1]
    assert column("SELECT x::TIMESTAMP FROM (VALUES ('2025-01-01T02:00:00+02:00')) AS v(x)") == [T0]


def test_times_become_numbers_and_text(column):
    assert column("SELECT CAST(time AS BIGINT) FROM t ORDER BY n") == TIMES
    assert column("SELECT arrow_cast(max(time), 'Int64') FROM t") == [TIMES[2]]
    assert column("SELECT time::VARCHAR FROM t WHERE n = 2") == ["2025-01-01T01:00:00.123456789"]


def test_values_of_unknown_kind_become_times_too(column):
    sql = "SELECT coalesce(x[1], x[2])::TIMESTAMP FROM (SELECT make_array({}) AS x)"
    assert column(sql.format("'2025-01-01T02:00:00+02:00'")) == [T0]
    assert column(sql.format("'2025-01-01'")) == [T0]
    assert column(sql.format("'2025-01-01T00:00:00.000000001Z'")) == [T0 + 1]
    assert column(sql.format("now()")) == [NOW]
    assert column(sql.format("current_date")) == [NOW]
