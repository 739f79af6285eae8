import contextvars
import threading

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import (
    DatabaseNotFoundError,
    QueryCancelledError,
    QueryError,
    QueryResourceError,
    QueryTimeoutError,
    TableNotFoundError,
)
from engine.query.asker import ASKER, Asker
from engine.query.executor import QueryConfig, QueryExecutor
from lp_core.enums import ColumnType
from tests.unit.query.fakes import CPU_COLUMNS, CPU_ROWS, T0, FakeCatalog, cpu, snapshot

ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000000) AS g(x) WHERE x % 7 = 3"


class WatchedAsker(Asker):
    """Tells when its query has begun."""

    def __init__(self):
        super().__init__()
        self.has_begun = threading.Event()

    def begun(self, stop):
        super().begun(stop)
        self.has_begun.set()


@pytest.fixture(scope="module")
def executor():
    mixed = snapshot(
        "mixed",
        {"Temp": ColumnType.FLOAT64, "temp": ColumnType.INT64, "TEMP": ColumnType.TAG},
        [{"Temp": 1.5, "temp": 2, "TEMP": "x", "time": 1}],
    )
    dotted = snapshot("_a.b", {"v": ColumnType.INT64}, [{"v": 1, "time": 1}])
    upper = snapshot("Upper", {"v": ColumnType.INT64}, [{"v": 2, "time": 1}])
    empty = snapshot("empty", {"v": ColumnType.INT64}, [])
    system = {"queries": pyarrow.table({"id": ["1"], "running": [True]})}
    catalog = FakeCatalog(cpu(), mixed, dotted, upper, empty, system=system)
    executor = QueryExecutor(QueryConfig(threads=2), catalog, lambda: T0 + 3_600_000_000_000)
    yield executor
    executor.close()


@pytest.fixture
def rows(executor):
    def run(sql, **params):
        table = executor.run("db", sql, params)
        columns = [
            column.cast(pyarrow.int64()) if pyarrow.types.is_timestamp(column.type) else column
            for column in table.columns
        ]
        return [tuple(row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]

    return run


def test_select_star_is_alphabetical_with_time_in_sequence(executor):
    table = executor.run("db", "SELECT * FROM cpu")
    assert table.column_names == sorted([*CPU_COLUMNS, "time"])
    assert table.schema.field("time").type == pyarrow.timestamp("ns")
    assert table.schema.field("total").type == pyarrow.uint64()
    assert table.num_rows == len(CPU_ROWS)


def test_a_table_without_rows_has_its_columns(executor):
    table = executor.run("db", "SELECT * FROM empty")
    assert (table.column_names, table.num_rows) == (["time", "v"], 0)


@pytest.mark.parametrize(
    "name", ['"_a.b"', "'_a.b'", 'iox."_a.b"', 'public.iox."_a.b"', '"iox"."_a.b"']
)
def test_a_name_with_a_dot_is_one_table(rows, name):
    assert rows(f"SELECT v FROM {name}") == [(1,)]


def test_unquoted_names_are_lower_case_and_quoted_ones_exact(rows):
    assert rows('SELECT V FROM "Upper"') == [(2,)]
    assert rows("SELECT CPU.USAGE FROM CPU WHERE HOST = 'b'") == [(2.5,)]
    with pytest.raises(TableNotFoundError, match=r"table 'public\.iox\.upper' not found") as caught:
        rows("SELECT v FROM Upper")
    assert '"Upper"' in caught.value.hint


def test_columns_of_several_tables_that_differ_in_case_only_are_kept_apart():
    tables = [
        snapshot(
            name, dict.fromkeys(columns, ColumnType.INT64), [dict.fromkeys((*columns, "time"), 1)]
        )
        for name, columns in (("m", ("ab", "aB")), ("n", ("aB", "AB")))
    ]
    executor = QueryExecutor(QueryConfig(threads=1), FakeCatalog(*tables))
    answer = executor.run("db", 'SELECT m.ab, m."aB", n."aB", n."AB" FROM m, n')
    executor.close()
    assert answer.column_names[:2] == ["ab", "aB"]
    assert answer.num_rows == 1


def test_columns_that_differ_in_case_only_are_kept_apart(executor, rows):
    table = executor.run("db", "SELECT * FROM mixed")
    assert table.column_names == ["TEMP", "Temp", "temp", "time"]
    assert rows('SELECT "Temp", Temp, "TEMP" FROM mixed') == [(1.5, 2, "x")]
    table = executor.run("db", 'SELECT q.* FROM (SELECT "Temp", temp AS "TEMP" FROM mixed) AS q')
    assert table.to_pydict() == {"Temp": [1.5], "TEMP": [2]}


def test_unknown_names_are_errors(rows, executor):
    with pytest.raises(TableNotFoundError, match=r"table 'public\.iox\.nope' not found"):
        rows("SELECT * FROM nope")
    with pytest.raises(TableNotFoundError, match=r"public\.system\.nope"):
        rows("SELECT * FROM system.nope")
    with pytest.raises(TableNotFoundError, match=r"public\.other\.cpu"):
        rows("SELECT * FROM other.cpu")
    with pytest.raises(QueryError, match=r'"nope" not found'):
        rows("SELECT nope FROM cpu")
    with pytest.raises(DatabaseNotFoundError, match=r"^query error: database not found: foo$"):
        executor.run("foo", "SELECT 1")


@pytest.mark.parametrize(
    "name",
    ["'/etc/passwd'", "'x.csv'", '"x.parquet"', "'https://example.org/x.csv'", "CPU_ROWS", "rows"],
)
def test_files_and_python_variables_are_no_tables(rows, name):
    with pytest.raises(TableNotFoundError):
        rows(f"SELECT * FROM {name}")


@pytest.mark.parametrize(
    "name",
    ["duckdb_settings", "sqlite_master", "pg_catalog.pg_tables", "main.cpu", "temp.cpu"],
)
def test_duckdbs_own_tables_are_not_reachable(rows, name):
    with pytest.raises(TableNotFoundError):
        rows(f"SELECT * FROM {name}")


@pytest.mark.parametrize("settings", ["duckdb", "pyarrow"])
def test_the_database_itself_is_locked(executor, settings):
    cursor = executor._connection.cursor()
    for statement in (
        "SET memory_limit = '10GB'",
        "SET enable_external_access = true",
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "SELECT * FROM CPU_ROWS",
    ):
        with pytest.raises(Exception, match=r"(?i)cannot|permission|disabled|not exist|locked"):
            cursor.execute(statement)
    cursor.close()


def test_a_cte_hides_a_table_only_where_it_is_visible(rows):
    sql = "WITH cpu AS (SELECT host FROM cpu WHERE usage > 2) SELECT * FROM cpu"
    assert rows(sql) == [("b",)]
    sql = """WITH a AS (SELECT 1 AS x) SELECT x FROM a
             UNION ALL SELECT count(*) FROM (WITH cpu AS (SELECT 5) SELECT * FROM cpu) ORDER BY 1"""
    assert rows(sql) == [(1,), (1,)]


def test_numbers_divide_as_in_the_reference_system(rows):
    assert rows("SELECT 1 / 2, 7 / 2.0, cores / 4, usage / 2, cores / usage FROM cpu LIMIT 1") == [
        (0, 3.5, 1, 0.75, 4.0)
    ]
    assert rows("SELECT sum(cores) / count(*), avg(cores) / 4 FROM cpu") == [(6, 1.5)]
    assert rows("SELECT usage / 0 FROM cpu WHERE host = 'b'") == [(float("inf"),)]
    assert rows("SELECT CAST(1.9 AS BIGINT), (-1.9)::INT, usage::BIGINT FROM cpu LIMIT 1") == [
        (1, -1, 1)
    ]


def test_results_have_the_types_of_the_reference_system(executor):
    sql = """SELECT sum(cores) AS a, sum(total) AS b, count(*) AS c, avg(cores) AS d, 1.5 AS e,
             1 AS f, min(host) AS g, max(time) AS h, max(time) - min(time) AS i, now() AS j,
             usage::REAL AS k, date_trunc('day', time) AS l, NULL AS m
             FROM cpu GROUP BY usage, time LIMIT 1"""
    types = {field.name: str(field.type) for field in executor.run("db", sql).schema}
    assert types == {
        "a": "int64",
        "b": "int64",
        "c": "int64",
        "d": "double",
        "e": "double",
        "f": "int64",
        "g": "string",
        "h": "timestamp[ns]",
        "i": "duration[ns]",
        "j": "timestamp[ns]",
        "k": "double",
        "l": "timestamp[ns]",
        "m": "int64",
    }


def test_sums_beyond_64_bits_come_back_as_wider_numbers(rows):
    assert rows("SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) AS v(x)") == [(2**63,)]
    assert rows("SELECT sum(x) FROM (VALUES (18446744073709551615), (1)) AS v(x)") == [(2.0**64,)]


def test_result_columns_are_named_like_the_expressions(executor):
    sql = """SELECT COUNT(*), avg(usage), count(DISTINCT host), host, usage AS "U"
             FROM cpu GROUP BY 4, 5"""
    names = executor.run("db", sql).column_names
    assert names == ["count(*)", "avg(cpu.usage)", "count(DISTINCT cpu.host)", "host", "U"]


def test_nulls_sort_last_upwards_and_first_downwards(rows):
    assert rows("SELECT usage FROM cpu ORDER BY usage") == [(1.5,), (2.5,), (None,)]
    assert rows("SELECT usage FROM cpu ORDER BY usage DESC") == [(None,), (2.5,), (1.5,)]


def test_first_and_last_value_are_aggregates_and_window_functions(rows):
    sql = """SELECT first_value(cores ORDER BY time), last_value(usage ORDER BY time),
             last_value(usage ORDER BY time) IGNORE NULLS FROM cpu"""
    assert rows(sql) == [(6, None, 2.5)]
    sql = "SELECT first_value(cores) OVER (ORDER BY time) FROM cpu"
    assert rows(sql) == [(6,), (6,), (6,)]


def test_selectors_give_a_value_and_its_time(rows):
    sql = """SELECT selector_first(usage, time)['value'], selector_last(usage, time)['value'],
             selector_last(usage, time)['time'], selector_max(cores, time)['time'],
             selector_min(cores, time)['value'] FROM cpu"""
    last = T0 + 60 * 10**9
    assert rows(sql) == [(1.5, 2.5, last, CPU_ROWS[2]["time"], 5)]


def test_of_equal_extremes_a_selector_takes_the_earliest(rows):
    sql = """SELECT selector_max(v, time)['time'], selector_min(v, time)['time']
             FROM (SELECT 1 AS v, time FROM cpu ORDER BY time DESC)"""
    assert rows(sql) == [(T0, T0)]


def test_statistics(rows):
    sql = """SELECT median(cores), approx_median(cores), approx_percentile_cont(cores, 0.5),
             approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY cores), stddev(cores), var(cores),
             approx_distinct(host) FROM cpu"""
    assert rows(sql) == [(6.0, 6.0, 6.0, 6.0, 1.0, 1.0, 2)]


def test_regular_expressions_match_anywhere(rows):
    assert rows("SELECT host FROM cpu WHERE note ~ 's$'") == [("a",)]
    assert rows("SELECT count(*) FROM cpu WHERE host ~* 'A' AND host !~ 'b' AND host !~* 'B'") == [
        (2,)
    ]
    sql = """SELECT regexp_like('abc', 'B', 'i'), regexp_count('abab', 'a'),
             regexp_replace('ab', '(a)', '$1$1')"""
    assert rows(sql) == [(True, 2, "aab")]


def test_text_functions(rows):
    sql = "SELECT lpad('a', 3), to_hex(255), btrim(' a '), nvl(NULL, 'x'), concat('a', NULL, 'b')"
    assert rows(sql) == [("  a", "ff", "a", "x", "ab")]


def test_arrow_types_can_be_asked_for_and_cast_to(rows):
    sql = "SELECT arrow_typeof(host), arrow_typeof(time), arrow_typeof(usage) FROM cpu LIMIT 1"
    assert rows(sql) == [("Dictionary(Int32, Utf8)", "Timestamp(ns)", "Float64")]
    assert rows(
        "SELECT arrow_cast(time, 'Int64'), arrow_cast(usage, 'Int64') FROM cpu LIMIT 1"
    ) == [(T0, 1)]
    assert rows("SELECT arrow_cast('7', 'Int64'), arrow_cast(7, 'Utf8')") == [(7, "7")]


def test_parameters_are_used_as_what_they_stand_beside(rows):
    count = "SELECT count(*) FROM cpu WHERE "
    assert rows(count + "usage > $x", x="1.75") == [(1,)]
    assert rows(count + "usage > $x", x=1.75) == [(1,)]
    assert rows(count + "cores > $x", x="5.5") == [(2,)]
    assert rows(count + "cores = $x", x="5") == [(1,)]
    assert rows(count + "host = $x", x="a") == [(2,)]
    assert rows(count + "note = $x", x=5) == [(1,)]
    assert rows(count + "note = $x", x="it's") == [(1,)]
    assert rows(count + "up = $x", x=True) == [(1,)]
    assert rows(count + "up = $x", x="true") == [(1,)]
    assert rows(count + "host IN ($a, $b)", a="a", b="zz") == [(2,)]
    assert rows(count + "host = $x", x=None) == [(0,)]
    assert rows("SELECT arrow_cast($ns, 'Int64'), usage * $f FROM cpu LIMIT 1", ns="12", f="2") == [
        (12, 3.0)
    ]
    assert rows("SELECT host FROM cpu ORDER BY time LIMIT $n OFFSET $m", n="1", m=1) == [("b",)]
    assert rows("SELECT 3 - $x, -$x", x=-2) == [(5, 2)]


def test_a_missing_parameter_is_named_and_a_spare_one_ignored(rows):
    assert rows("SELECT $a AS a", a="x", spare=1) == [("x",)]
    with pytest.raises(QueryError, match=r"^No value found for placeholder with name \$host$"):
        rows("SELECT * FROM cpu WHERE host = $host")


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=("Cs",))))
def test_any_text_survives_as_parameter_and_as_literal(executor, text):
    assert executor.run("db", "SELECT $x AS x", {"x": text}).to_pydict() == {"x": [text]}
    literal = text.replace("'", "''")
    assert executor.run("db", f"SELECT '{literal}' AS x").to_pydict() == {"x": [text]}


def test_odd_names_survive(executor):
    table = executor.run("db", 'SELECT host AS "a""b;--", host AS "é ""x""" FROM cpu LIMIT 1')
    assert table.column_names == ['a"b;--', 'é "x"']


def test_explain_gives_a_plan_and_does_not_run(executor):
    table = executor.run("db", f"EXPLAIN {ENDLESS}")
    assert table.column_names == ["plan_type", "plan"]
    assert executor.run("db", "EXPLAIN ANALYZE SELECT * FROM cpu").num_rows == 1


def test_the_columns_of_an_answer_are_known_without_running(executor):
    def columns(sql, **params):
        table = executor.run("db", sql, params, is_schema_only=True)
        assert table.num_rows == 0
        return table.column_names

    assert columns(ENDLESS.replace("count(*)", "x AS a, x AS a, 1.5 AS b")) == ["a", "a", "b"]
    assert columns(f"EXPLAIN ANALYZE {ENDLESS}") == ["plan_type", "plan"]
    assert columns("SELECT $a AS a", a=1) == ["a"]
    with pytest.raises(QueryError, match="nope"):
        columns("SELECT nope FROM cpu")


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT $b, $a FROM cpu WHERE time > $b", ("b", "a")),
        ("SELECT $10, $9, $1", ("1", "9", "10")),
        ("WITH t AS (SELECT $x AS v) SELECT * FROM t WHERE v = $y", ("x", "y")),
        ("SELECT 1", ()),
        ("SHOW TABLES", ()),
    ],
)
def test_placeholders_have_an_order(executor, sql, names):
    assert executor.parameters(sql) == names


def test_a_query_that_runs_too_long_is_stopped(executor):
    with pytest.raises(QueryTimeoutError):
        executor.run("db", ENDLESS, timeout_ms=50)
    assert executor.run("db", "SELECT 1 AS x", timeout_ms=0).to_pydict() == {"x": [1]}


def test_closing_stops_queries_under_way():
    executor = QueryExecutor(QueryConfig(threads=1), FakeCatalog())
    asker = WatchedAsker()
    ended: list[type[Exception]] = []

    def ask():
        ASKER.set(asker)
        try:
            executor.run("db", ENDLESS, timeout_ms=0)
        except QueryError as error:
            ended.append(type(error))

    asking = threading.Thread(target=ask)
    asking.start()
    assert asker.has_begun.wait(10)
    executor.close()
    asking.join(10)
    assert ended == [QueryCancelledError]
    with pytest.raises(QueryCancelledError, match="shutting down"):
        executor.run("db", "SELECT 1 AS x")


def test_a_query_can_be_cancelled_from_another_thread(executor):
    asker = WatchedAsker()

    def leave():
        asker.has_begun.wait(10)
        asker.leave()

    leaving = threading.Thread(target=leave)
    leaving.start()
    context = contextvars.copy_context()
    context.run(ASKER.set, asker)
    with pytest.raises(QueryCancelledError):
        context.run(executor.run, "db", ENDLESS)
    leaving.join()
    asker.leave()  # too late, and harmless
    with pytest.raises(QueryCancelledError):
        context.run(executor.run, "db", ENDLESS)  # nobody waits for this one either
    assert executor.run("db", "SELECT 1 AS x").num_rows == 1


def test_memory_is_limited():
    config = QueryConfig(memory_limit_bytes=32 * 1024 * 1024, threads=1)
    executor = QueryExecutor(config, FakeCatalog())
    sql = "SELECT x, count(*) FROM generate_series(1, 20000000) AS g(x) GROUP BY x ORDER BY x"
    with pytest.raises(QueryResourceError, match="memory"):
        executor.run("db", sql)
    assert executor.run("db", "SELECT 1 AS x").num_rows == 1
    executor.close()


def test_what_memory_is_too_small_for_takes_disk_space_within_its_limit(tmp_path):
    sql = (
        "SELECT max(n) AS n FROM (SELECT row_number() OVER (ORDER BY md5(CAST(x AS VARCHAR))) AS n "
    )
    sql += "FROM generate_series(1, 1000000) AS g(x))"
    for limit, is_enough in ((1 << 30, True), (1 << 20, False)):
        config = QueryConfig(
            memory_limit_bytes=32 * 1024 * 1024,
            threads=1,
            temp_directory=str(tmp_path),
            temp_bytes_max=limit,
        )
        executor = QueryExecutor(config, FakeCatalog())
        if is_enough:
            assert executor.run("db", sql).to_pylist() == [{"n": 1_000_000}]
            # No query reads or writes there by name.
            with pytest.raises(QueryError):
                executor.run("db", f"SELECT * FROM read_text('{tmp_path}/*')")
        else:
            with pytest.raises(QueryResourceError, match="memory"):
                executor.run("db", sql)
        executor.close()


def test_results_are_limited():
    executor = QueryExecutor(QueryConfig(result_bytes_max=100_000), FakeCatalog())
    with pytest.raises(QueryResourceError, match="larger"):
        executor.run("db", "SELECT * FROM generate_series(1, 1000000)")
    executor.close()


def test_one_long_text_cannot_fill_the_memory(rows):
    assert rows("SELECT repeat('ab', 2), lpad('a', 3, 'xy')") == [("abab", "xya")]
    for call in ("repeat('a', 2000000000)", "repeat('ab', 6000000)", "lpad('a', 2000000000)"):
        with pytest.raises(QueryError, match="longer than 10000000"):
            rows(f"SELECT length({call})")


def test_what_fails_late_is_explained_too(executor):
    sql = """SELECT CAST(CASE WHEN x = 3000000 THEN 'a' ELSE '1' END AS BIGINT) AS n
             FROM generate_series(1, 4000000) AS g(x)"""
    with pytest.raises(QueryError, match="Could not convert string 'a'"):
        executor.run("db", sql)
    with pytest.raises(QueryTimeoutError):
        executor.run("db", "SELECT * FROM generate_series(1, 20000000000)", timeout_ms=50)


def test_the_names_of_our_views_are_reserved(rows):
    with pytest.raises(QueryError, match="reserved"):
        rows('WITH "headrace table 0" AS (SELECT 1) SELECT * FROM cpu')


def test_long_texts_are_refused():
    executor = QueryExecutor(QueryConfig(text_bytes_max=10), FakeCatalog())
    with pytest.raises(QueryError, match="longer"):
        executor.run("db", "SELECT 1234567890")
    executor.close()


def test_many_threads_may_ask_at_once(executor):
    failures = []

    def ask(number):
        try:
            for _ in range(10):
                sql = f"SELECT count(*) + {number} AS n FROM cpu WHERE usage > $x"
                found = executor.run("db", sql, {"x": "1"}).to_pydict()["n"]
                assert found == [2 + number]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_rows_that_come_later_are_seen_by_the_next_query():
    catalog = FakeCatalog(snapshot("t", {"v": ColumnType.INT64}, [{"v": 1, "time": 1}]))
    executor = QueryExecutor(QueryConfig(), catalog)
    count = "SELECT count(*) AS n FROM t"
    assert executor.run("db", count).to_pydict() == {"n": [1]}
    catalog.tables["t"] = snapshot(
        "t",
        {"v": ColumnType.INT64, "w": ColumnType.TAG},
        [{"v": 1, "time": 1}, {"w": "x", "time": 2}],
    )
    assert executor.run("db", count).to_pydict() == {"n": [2]}
    assert executor.run("db", "SELECT w FROM t ORDER BY time").to_pydict() == {"w": [None, "x"]}
    executor.close()


def test_system_tables_and_the_information_schema_can_be_queried(executor, rows):
    assert rows("SELECT id, running FROM system.queries") == [("1", True)]
    sql = """SELECT column_name, data_type, is_nullable FROM information_schema.columns
             WHERE table_name = $m AND data_type != 'Utf8'"""
    assert rows(sql, m="cpu") == [
        ("cores", "Int64", "YES"),
        ("host", "Dictionary(Int32, Utf8)", "YES"),
        ("time", "Timestamp(ns)", "NO"),
        ("total", "UInt64", "YES"),
        ("up", "Boolean", "YES"),
        ("usage", "Float64", "YES"),
    ]
    sql = "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
    assert rows(sql) == [("Upper",), ("_a.b",), ("cpu",), ("empty",), ("mixed",)]
    assert rows(
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name = 'iox'"
    ) == [("iox",)]


def test_show_and_describe(executor):
    tables = executor.run("db", "SHOW TABLES")
    assert tables.column_names == ["table_catalog", "table_schema", "table_name", "table_type"]
    assert tables.to_pylist()[0]["table_name"] == "Upper"
    columns = executor.run("db", "SHOW COLUMNS FROM cpu").to_pylist()
    assert columns[1] == {
        "table_catalog": "public",
        "table_schema": "iox",
        "table_name": "cpu",
        "column_name": "host",
        "data_type": "Dictionary(Int32, Utf8)",
        "is_nullable": "YES",
    }
    assert executor.run("db", "DESCRIBE cpu").column_names == [
        "column_name",
        "data_type",
        "is_nullable",
    ]
    assert executor.run("db", "SHOW COLUMNS FROM system.queries").num_rows == 2
    with pytest.raises(TableNotFoundError, match="not found"):
        executor.run("db", "SHOW COLUMNS FROM nope")
