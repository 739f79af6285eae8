import pytest

from engine.errors import QueryError, QueryNotSupportedError
from engine.query.dialect import StatementKind, parse_statement
from engine.query.functions import PLAIN, REFUSED, SPECIAL
from engine.query.sandbox import check_query


def check(sql):
    statement = parse_statement(sql)
    if statement.query is not None:
        check_query(statement.query)
    return statement


@pytest.mark.parametrize(
    "sql",
    [
        "COPY cpu TO '/tmp/x'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "ATTACH '/tmp/x.db'",
        "ATTACH ':memory:' AS m",
        "DETACH m",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET memory_limit = '1GB'",
        "SET VARIABLE x = 1",
        "RESET memory_limit",
        "CREATE TABLE x (a INT)",
        "CREATE VIEW x AS SELECT 1",
        "CREATE MACRO f(a) AS a",
        "CREATE OR REPLACE TABLE cpu AS SELECT 1",
        "INSERT INTO cpu VALUES (1)",
        "UPDATE cpu SET usage = 1",
        "DELETE FROM cpu",
        "DROP TABLE cpu",
        "ALTER TABLE cpu ADD COLUMN x INT",
        "TRUNCATE cpu",
        "CALL pragma_version()",
        "EXPORT DATABASE '/tmp/x'",
        "IMPORT DATABASE '/tmp/x'",
        "CHECKPOINT",
        "VACUUM",
        "BEGIN",
        "COMMIT",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "USE memory",
        "FROM cpu",
        "SUMMARIZE cpu",
        "TABLE cpu",
        "PIVOT cpu ON host",
        "MERGE INTO cpu USING x ON true",
        "EXPLAIN DELETE FROM cpu",
        "EXPLAIN ANALYZE COPY cpu TO 'x'",
        "SHOW ALL",
        "SHOW DATABASES",
        "SHOW MEASUREMENTS",
        "SELECT 1 INTO x",
        "SELECT * FROM cpu FOR UPDATE",
        "SELECT * FROM cpu TABLESAMPLE 10 PERCENT",
        "SELECT * FROM (SELECT 1) PIVOT (sum(a) FOR b IN ('x'))",
        "SELECT {'a': 1}",
        "SELECT x -> 'a' FROM cpu",
        "SELECT CAST(x AS my_type) FROM cpu",
        "SELECT CAST(x AS STRUCT(a INT)) FROM cpu",
        "SELECT CAST(x AS BLOB) FROM cpu",
        "SELECT generate_series(1, 1000000000)",
        "WITH x AS (INSERT INTO cpu VALUES (1)) SELECT * FROM x",
    ],
)
def test_what_is_not_a_plain_query_is_refused(sql):
    with pytest.raises(QueryError):
        check(sql)


@pytest.mark.parametrize(
    ("sql", "word"),
    [("COPY cpu TO 'x'", "COPY"), ("INSERT INTO x VALUES (1)", "INSERT"), ("SET a = 1", "SET")],
)
def test_a_refusal_names_the_statement(sql, word):
    with pytest.raises(QueryNotSupportedError, match=f"^{word} statements are not supported"):
        check(sql)


@pytest.mark.parametrize(
    "call",
    [
        "read_csv('/etc/passwd')",
        "read_csv_auto('/etc/passwd')",
        "read_parquet('/x.parquet')",
        "read_json('/x.json')",
        "read_text('/etc/passwd')",
        "read_blob('/etc/passwd')",
        "parquet_scan('/x')",
        "arrow_scan(1, 2, 3)",
        "python_map_function(1)",
        "pandas_scan(1)",
        "glob('/*')",
        "sniff_csv('/x')",
        "query('SELECT 1')",
        "query_table('cpu')",
        "duckdb_settings()",
        "duckdb_tables()",
        "duckdb_secrets()",
        "duckdb_logs()",
        "pragma_table_info('cpu')",
        "pragma_database_list()",
        "which_secret('x', 's3')",
        "sql_auto_complete('SEL')",
        "repeat_row(1)",
        "test_all_types()",
        "seq_scan('cpu')",
        "checkpoint()",
        "json_execute_serialized_sql('{}')",
    ],
)
def test_table_functions_that_reach_outside_are_refused(call):
    with pytest.raises(QueryError, match="not found"):
        check(f"SELECT * FROM {call}")


@pytest.mark.parametrize(
    "call",
    [
        "getenv('HOME')",
        "current_setting('memory_limit')",
        "set_config('a', 'b')",
        "getvariable('x')",
        "write_log('x')",
        "nextval('x')",
        "current_database()",
        "current_query()",
        "version()",
        "txid_current()",
        "in_search_path('a', 'b')",
        "json_serialize_sql('SELECT 1')",
        "read_text('/etc/passwd')",
        "parse_path('/x')",
        "sleep(10)",
        "error('x')",
        "headrace_us(time)",
        "\"getenv\"('HOME')",
        '"count"(*)',
        "main.getenv('HOME')",
        "system.main.getenv('HOME')",
        "cpu.getenv('HOME')",
        "nonsense()",
    ],
)
def test_functions_that_are_not_listed_are_refused(call):
    with pytest.raises(QueryError):
        check(f"SELECT {call} FROM cpu")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_functions_that_are_not_offered_are_named_in_the_refusal(name):
    with pytest.raises(QueryNotSupportedError, match=f"{name} is not supported"):
        check(f"SELECT {name}(a) FROM cpu")


@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE cpu", ";;", "", "-- x"]
)
def test_a_query_is_exactly_one_statement(sql):
    with pytest.raises(QueryError):
        check(sql)


@pytest.mark.parametrize(
    "sql", ["SELECT", "SELECT (", "SELEC 1", "SELECT 'a", "SELECT 1 FROM", "x"]
)
def test_syntax_errors_say_so(sql):
    with pytest.raises(QueryError, match="SQL error: ParserError"):
        check(sql)


def test_deep_nesting_is_an_error_and_not_a_crash():
    with pytest.raises(QueryError, match="nested too deeply"):
        check("SELECT " + "(" * 2_000 + "1" + ")" * 2_000)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM cpu;",
        "select 1 -- remark",
        "/* remark */ SELECT 1",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT * FROM generate_series(1, 3)",
        "SELECT * FROM unnest([1, 2]) AS u(x)",
        "SELECT * EXCLUDE (host) FROM cpu",
        "SELECT count(*) FILTER (WHERE usage > 1) FROM cpu",
        "SELECT rank() OVER (PARTITION BY host ORDER BY time DESC) FROM cpu",
        "SELECT * FROM cpu WHERE host ~ '^a' AND host !~* 'B'",
        "SELECT 1.5e3, -2, NULL, TRUE",
    ],
)
def test_plain_queries_are_allowed(sql):
    assert check(sql).kind is StatementKind.QUERY


def test_no_allowed_function_is_also_announced_for_later():
    assert not set(REFUSED) & (set(PLAIN) | set(SPECIAL))


@pytest.mark.parametrize(
    ("sql", "kind", "table"),
    [
        ("SHOW TABLES", StatementKind.SHOW_TABLES, None),
        ("show columns from Cpu", StatementKind.SHOW_COLUMNS, "public.iox.cpu"),
        ('SHOW COLUMNS FROM "a.B"', StatementKind.SHOW_COLUMNS, "public.iox.a.B"),
        ("SHOW COLUMNS IN 'x'", StatementKind.SHOW_COLUMNS, "public.iox.x"),
        ("DESCRIBE system.queries", StatementKind.DESCRIBE, "public.system.queries"),
    ],
)
def test_show_and_describe_name_their_table(sql, kind, table):
    statement = parse_statement(sql)
    assert statement.kind is kind
    assert (str(statement.table) if statement.table else None) == table
