# One test per way out of the sandbox: files, the network, other databases, settings, Python.
import duckdb
import pytest

from engine.errors import QueryError, QueryNotSupportedError, TableNotFoundError
from engine.query.executor import QueryConfig, QueryExecutor
from tests.corpus.sql.tables import NOW_NS, catalog

SECRET = "a secret that no query may see"
# What a replacement scan would find in the frames of the caller.
home_frame = {"x": [1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.csv").write_text(f"x\n{SECRET}\n")
    duckdb.sql("SELECT 'a secret' AS x").write_parquet(str(folder / "secret.parquet"))
    with duckdb.connect(str(folder / "secret.db")) as other:
        other.execute(f"CREATE TABLE t AS SELECT '{SECRET}' AS x")
    return folder


@pytest.fixture(scope="module")
def executor():
    executor = QueryExecutor(QueryConfig(threads=1), catalog(), lambda: NOW_NS)
    yield executor
    executor.close()


STATEMENTS = {
    "copy to a file": "COPY home TO '{folder}/made.csv'",
    "copy a query": "COPY (SELECT * FROM home) TO '{folder}/made.csv'",
    "copy from a file": "COPY home FROM '{folder}/secret.csv'",
    "copy in a CTE": "WITH c AS (COPY home TO '{folder}/made.csv') SELECT * FROM c",
    "copy after a remark": "/* SELECT 1 */ COPY home TO '{folder}/made.csv'",
    "export": "EXPORT DATABASE '{folder}/made'",
    "import": "IMPORT DATABASE '{folder}'",
    "attach": "ATTACH '{folder}/secret.db' AS other",
    "attach a new file": "ATTACH '{folder}/made.db'",
    "detach": "DETACH memory",
    "install": "INSTALL httpfs",
    "install from elsewhere": "INSTALL spatial FROM 'http://127.0.0.1:1'",
    "force install": "FORCE INSTALL httpfs",
    "load": "LOAD httpfs",
    "load a file": "LOAD '{folder}/secret.db'",
    "update extensions": "UPDATE EXTENSIONS",
    "pragma": "PRAGMA database_list",
    "pragma with a value": "PRAGMA memory_limit='10GB'",
    "pragma as a call": "PRAGMA enable_profiling",
    "set": "SET memory_limit = '10GB'",
    "set global": "SET GLOBAL enable_external_access = true",
    "set a variable": "SET VARIABLE x = 1",
    "reset": "RESET lock_configuration",
    "create table": "CREATE TABLE made AS SELECT 1",
    "create temporary table": "CREATE TEMP TABLE made AS SELECT 1",
    "create view": "CREATE OR REPLACE VIEW home AS SELECT 1",
    "create macro": "CREATE MACRO abs(x) AS 7",
    "create table macro": "CREATE MACRO t() AS TABLE SELECT 1",
    "create secret": "CREATE SECRET (TYPE s3, KEY_ID 'x', SECRET 'y')",
    "create schema": "CREATE SCHEMA other",
    "create sequence": "CREATE SEQUENCE s",
    "create type": "CREATE TYPE t AS ENUM ('a')",
    "drop secret": "DROP SECRET s",
    "insert": "INSERT INTO home VALUES (1)",
    "update": "UPDATE home SET co = 0",
    "delete": "DELETE FROM home",
    "truncate": "TRUNCATE home",
    "alter": "ALTER TABLE home RENAME TO x",
    "drop": "DROP TABLE home",
    "merge": "MERGE INTO home USING readings ON true WHEN MATCHED THEN DELETE",
    "call": "CALL pragma_version()",
    "checkpoint": "FORCE CHECKPOINT",
    "vacuum": "VACUUM ANALYZE",
    "use": "USE memory",
    "begin": "BEGIN TRANSACTION",
    "prepare": "PREPARE p AS SELECT 1",
    "execute": "EXECUTE p",
    "deallocate": "DEALLOCATE p",
    "comment on": "COMMENT ON TABLE home IS 'x'",
    "from first": "FROM '{folder}/secret.csv'",
    "summarize": "SUMMARIZE home",
    "describe a file": "DESCRIBE SELECT * FROM '{folder}/secret.csv'",
    "table": "TABLE home",
    "pivot": "PIVOT home ON room USING sum(co)",
    "explain a copy": "EXPLAIN COPY home TO '{folder}/made.csv'",
    "explain analyze a copy": "EXPLAIN ANALYZE COPY home TO '{folder}/made.csv'",
    "two statements": "SELECT 1; COPY home TO '{folder}/made.csv'",
    "two statements and a remark": "SELECT 1 --;\n; SET memory_limit = '1GB'",
    "insert in a CTE": "WITH c AS (INSERT INTO home VALUES (1) RETURNING *) SELECT * FROM c",
    "delete in a subquery": "SELECT * FROM (DELETE FROM home RETURNING *)",
    "settings in a CTE": "WITH c AS (SET memory_limit = '1GB') SELECT * FROM c",
    "pragma in a subquery": "SELECT * FROM (PRAGMA database_list)",
    "select into": "SELECT * INTO made FROM home",
    "for update": "SELECT * FROM home FOR UPDATE",
    "at a snapshot": "SELECT * FROM home AT (VERSION => 1)",
    "sample": "SELECT * FROM home USING SAMPLE 10",
    "columns by pattern": "SELECT COLUMNS('.*') FROM home",
    "columns by lambda": "SELECT COLUMNS(c -> c LIKE 'r%') FROM home",
    "lambda": "SELECT list_transform([1], x -> getenv('HOME'))",
    "a function of a schema": "SELECT main.getenv('HOME')",
    "a quoted function": "SELECT \"getenv\"('HOME')",
    "a method": "SELECT 'HOME'.getenv()",
    "show all": "SHOW ALL",
    "show databases": "SHOW DATABASES",
    "show a query": "SHOW (SELECT 1)",
    "a braced list": "SELECT {{'a': 1}}",
}

TABLES = {
    "a CSV file": "'{folder}/secret.csv'",
    "a CSV file in double quotes": '"{folder}/secret.csv"',
    "a Parquet file": "'{folder}/secret.parquet'",
    "a JSON file": "'{folder}/secret.json'",
    "a database file": "'{folder}/secret.db'",
    "a pattern of files": "'{folder}/*.csv'",
    "a URL": "'https://127.0.0.1:1/x.parquet'",
    "a bucket": "'s3://bucket/x.parquet'",
    "a device": "'/dev/stdin'",
    "a Python variable": "home_frame",
    "a Python variable in capitals": '"STATEMENTS"',
    "a function of Python": "executor",
    "DuckDB's settings": "duckdb_settings",
    "DuckDB's tables": "pg_catalog.pg_class",
    "DuckDB's master table": "sqlite_master",
    "DuckDB's schema": "main.home",
    "DuckDB's database": "memory.main.home",
    "the system database": "system.main.duckdb_settings",
    "DuckDB's information_schema": "memory.information_schema.tables",
    "our own view of a table": '"headrace table 0"',
}

ROWS = {
    "read_csv": "read_csv('{folder}/secret.csv')",
    "read_csv_auto": "read_csv_auto('{folder}/secret.csv')",
    "read_parquet": "read_parquet('{folder}/secret.parquet')",
    "parquet_scan": "parquet_scan('{folder}/secret.parquet')",
    "parquet_metadata": "parquet_metadata('{folder}/secret.parquet')",
    "read_json": "read_json('{folder}/secret.csv')",
    "read_text": "read_text('{folder}/secret.csv')",
    "read_blob": "read_blob('{folder}/secret.csv')",
    "read_duckdb": "read_duckdb('{folder}/secret.db')",
    "sniff_csv": "sniff_csv('{folder}/secret.csv')",
    "glob": "glob('{folder}/*')",
    "httpfs": "read_csv('https://127.0.0.1:1/x.csv')",
    "query": "query('SELECT 1')",
    "query_table": "query_table('home')",
    "arrow_scan": "arrow_scan(0, 0, 0)",
    "pandas_scan": "pandas_scan(0)",
    "python_map_function": "python_map_function(0)",
    "duckdb_settings": "duckdb_settings()",
    "duckdb_secrets": "duckdb_secrets()",
    "duckdb_logs": "duckdb_logs()",
    "duckdb_functions": "duckdb_functions()",
    "duckdb_extensions": "duckdb_extensions()",
    "duckdb_memory": "duckdb_memory()",
    "duckdb_temporary_files": "duckdb_temporary_files()",
    "pragma_database_list": "pragma_database_list()",
    "pragma_table_info": "pragma_table_info('home')",
    "pragma_user_agent": "pragma_user_agent()",
    "which_secret": "which_secret('s3://x', 's3')",
    "sql_auto_complete": "sql_auto_complete('SEL')",
    "json_execute_serialized_sql": "json_execute_serialized_sql('{{}}')",
    "checkpoint": "checkpoint()",
    "force_checkpoint": "force_checkpoint()",
    "test_all_types": "test_all_types()",
    "repeat_row": "repeat_row(1, num_rows=1000000000)",
    "seq_scan": "seq_scan('home')",
    "enable_logging": "enable_logging()",
    "one of our macros": "headrace_us(now())",
}

VALUES = {
    "getenv": "getenv('HOME')",
    "current_setting": "current_setting('memory_limit')",
    "set_config": "set_config('memory_limit', '1GB', false)",
    "getvariable": "getvariable('x')",
    "current_database": "current_database()",
    "current_schemas": "current_schemas(true)",
    "current_query": "current_query()",
    "current_user": "current_user",
    "session_user": "session_user",
    "version": "version()",
    "write_log": "write_log('x')",
    "nextval": "nextval('s')",
    "error": "error('x')",
    "sleep": "sleep(10)",
    "sleep_ms": "sleep_ms(10)",
    "read_text": "read_text('{folder}/secret.csv')",
    "in_search_path": "in_search_path('a', 'b')",
    "json_serialize_sql": "json_serialize_sql('SELECT 1')",
    "icu_sort_key": "icu_sort_key('a', 'de')",
    "add_parquet_key": "add_parquet_key('a', 'b')",
    "constant_or_null": "constant_or_null(1, 2)",
    "pg_sleep": "pg_sleep(1)",
    "lo_import": "lo_import('/etc/passwd')",
    "pg_read_file": "pg_read_file('/etc/passwd')",
    "one of our macros": "headrace_us(time)",
    "what translation uses": "epoch_ns(time)",
    "a cast to another type": "CAST('1' AS BLOB)",
    "a cast to an enum": "'x'::ENUM('x')",
    "a cast to a name": "1::regclass",
    "collation": "room COLLATE de",
    "current_role": "current_role()",
}


def assert_nothing_happened(executor, folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "secret.csv",
        "secret.db",
        "secret.parquet",
    ]
    assert executor.run("db", "SELECT count(*) AS c FROM home").to_pydict() == {"c": [26]}
    cursor = executor._connection.cursor()
    names = "SELECT count(*) FROM duckdb_databases() WHERE NOT internal"
    assert cursor.execute(names).fetchone() == (1,)
    assert cursor.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)
    cursor.close()


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement(executor, folder, name):
    with pytest.raises(QueryError) as caught:
        executor.run("db", STATEMENTS[name].format(folder=folder))
    assert SECRET not in str(caught.value)
    assert_nothing_happened(executor, folder)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {}",
        "SELECT * FROM home WHERE co IN (SELECT 1 FROM {})",
        "WITH c AS (SELECT * FROM {}) SELECT * FROM c",
        "SELECT 1 AS x UNION ALL SELECT 2 FROM {}",
        "SHOW COLUMNS FROM {}",
        "EXPLAIN SELECT * FROM {}",
    ],
)
def test_table(executor, folder, name, sql):
    table = TABLES[name].format(folder=folder)
    with pytest.raises(QueryError) as caught:
        executor.run("db", sql.format(table))
    assert (
        isinstance(caught.value, TableNotFoundError)
        or "not found" in str(caught.value)
        or ("reserved" in str(caught.value))
    )


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {}",
        "SELECT * FROM home, {} AS t",
        "SELECT * FROM home WHERE EXISTS (SELECT 1 FROM {} AS t)",
        "WITH c AS (SELECT * FROM {} AS t) SELECT * FROM c",
        "SELECT * FROM home JOIN LATERAL {} AS t ON true",
    ],
)
def test_function_that_makes_rows(executor, folder, name, sql):
    with pytest.raises(QueryError) as caught:
        executor.run("db", sql.format(ROWS[name].format(folder=folder)))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {} AS x FROM home",
        "SELECT co FROM home WHERE {} IS NOT NULL",
        "SELECT count(*) AS c FROM home GROUP BY {}",
        "SELECT co FROM home ORDER BY {}",
        "SELECT sum(co) OVER (PARTITION BY {}) AS s FROM home",
        "SELECT coalesce(NULL, {}) AS x FROM home",
        "SELECT co FROM home LIMIT {}",
    ],
)
def test_function_or_cast(executor, folder, name, sql):
    with pytest.raises(QueryError) as caught:
        executor.run("db", sql.format(VALUES[name].format(folder=folder)))
    assert SECRET not in str(caught.value)


def test_each_query_sees_its_own_tables_only(executor):
    executor.run("db", "SELECT count(*) AS c FROM home")
    for number in range(3):
        with pytest.raises(QueryError):
            executor.run("db", f'SELECT * FROM "headrace table {number}"')


def test_a_parameter_is_a_value_and_nothing_else(executor, folder):
    for text in ("home; DROP TABLE home", "' OR 1=1 --", f"{folder}/secret.csv"):
        assert executor.run("db", "SELECT $x AS x", {"x": text}).to_pydict() == {"x": [text]}
    with pytest.raises(QueryError):
        executor.run("db", "SELECT * FROM $x", {"x": "home"})


def test_statements_are_refused_by_name(executor):
    for word in ("COPY", "ATTACH", "INSTALL", "LOAD", "PRAGMA", "SET", "CREATE"):
        with pytest.raises(QueryNotSupportedError, match=f"^{word} statements are not supported"):
            executor.run("db", f"{word} x")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT * FROM read_text('/etc/passwd')", "disabled"),
        ("SELECT * FROM glob('/*')", "disabled"),
        ("ATTACH '/tmp/x.db'", "disabled"),
        ("COPY (SELECT 1) TO '/tmp/x.csv'", "disabled"),
        ("INSTALL httpfs", "disabled|disallow"),
        ("LOAD httpfs", "disabled|disallow"),
        ("SET enable_external_access = true", "locked|cannot"),
        ("SET python_enable_replacements = true", "locked|cannot"),
        ("SET memory_limit = '10GB'", "locked"),
        ("SELECT * FROM home_frame", "not exist"),
    ],
)
def test_duckdb_itself_would_refuse_what_gets_through(executor, statement, message):
    cursor = executor._connection.cursor()
    with pytest.raises(duckdb.Error, match=f"(?i){message}"):
        cursor.execute(statement)
    cursor.close()
