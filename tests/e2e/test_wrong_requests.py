"""What is wrong with a request is said as an error of its sender, never as one of the server."""

import gzip
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e

JSON = {"Content-Type": "application/json"}
CONFIGURE = "/api/v3/configure"
TRIGGER = f"{CONFIGURE}/processing_engine_trigger"
# More digits than Python turns into a number.
DIGITS = "9" * 5_000
NESTED = b"[" * 100_000 + b"]" * 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a table, at which nothing fails that would be logged as a failure of its own."""
    process = ServerProcess(tmp_path_factory.mktemp("wrong")).start()
    try:
        lines = b"m,t=a f=1i 1\nm,t=b f=9223372036854775807i 2"
        assert process.write("wrong", lines).status == 204
        process.plugin("good.py", "def process_writes(influxdb3_local, batches, args=None): pass")
        yield process
        assert "Traceback" not in process.log_text
        assert process.stop() == 0
    finally:
        process.kill()


def refused(server: ServerProcess, method: str, path: str, body: bytes = b"") -> str:
    """The reason for which the request is refused."""
    answer = server.request(method, path, body, headers=JSON)
    assert answer.status == 400, answer.body
    text = answer.json()["error"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/api/v3/query_sql", b'{"db":"wrong","q":"SELECT \xff"}'),
        ("/api/v3/query_sql", b'{"db":"wrong","q":"SELECT 1","params":{"a":' + NESTED + b"}}"),
        ("/api/v3/query_influxql", b'{"db":"wrong","q":"SELECT \xff"}'),
        ("/api/v3/query_influxql", b'{"db":"wrong","q":"SELECT 1","more":' + NESTED + b"}"),
        (f"{CONFIGURE}/database", b'{"db":"\xff"}'),
        (f"{CONFIGURE}/database", b'{"db":"x","more":' + NESTED + b"}"),
    ],
)
def test_json_that_is_not_text_or_nested_without_end(
    server: ServerProcess, path: str, content: bytes
) -> None:
    assert refused(server, "POST", path, content).startswith("serde json error: ")


@pytest.mark.parametrize("path", ["/api/v3/query_sql", "/api/v3/query_influxql"])
def test_lists_among_the_parameters_are_not_read(server: ServerProcess, path: str) -> None:
    # Where they were, the last of many would show that the text breaks off.
    content = b'{"db":"wrong","q":"SELECT 1","params":{"a":[' + b"[]," * 300_000
    assert "got `array` - at `$.params[...]`" in refused(server, "POST", path, content)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_bodies_that_carry_no_rows_are_refused_sooner(server: ServerProcess, encoding: str) -> None:
    question = b'{"db":"wrong","q":"SELECT 1","more":"' + b"x" * (1 << 20) + b'"}'
    form = b"db=wrong&q=SHOW+DATABASES&more=" + b"x" * (1 << 20)
    for path, plain, kind in (
        ("/api/v3/query_sql", question, "application/json"),
        ("/api/v3/query_influxql", question, "application/json"),
        ("/query", form, "application/x-www-form-urlencoded"),
        (f"{CONFIGURE}/database", question, "application/json"),
    ):
        body = gzip.compress(plain, 1) if encoding == "gzip" else plain
        headers = {"Content-Type": kind, "Content-Encoding": encoding}
        answer = server.request("POST", path, body, headers=headers)
        assert answer.status == 413, path
        assert answer.json()["code"] == "body_too_large"
        assert "--http-json-size-max" in answer.json()["hint"]


def test_forms_of_many_parameters_are_not_read(server: ServerProcess) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.request("POST", "/query", b"q=SHOW+DATABASES" + b"&a" * 1_000, headers=headers)
    assert answer.status == 400
    assert "parameters" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/api/v3/query_sql", "/api/v3/query_influxql", "/query"])
def test_parameters_nested_without_end(server: ServerProcess, path: str) -> None:
    nested = '{"a":' + "[" * 3_000 + "]" * 3_000 + "}"
    target = f"{path}?db=wrong&q=SELECT+1&params={quote(nested)}"
    assert "nested too deeply" in refused(server, "GET", target)


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", f"{CONFIGURE}/database", {"db": "other", "retention_period": f"{DIGITS}d"}),
        ("POST", f"{TRIGGER}/backfill", {"db": "wrong", "trigger_name": "good", "from": DIGITS}),
        ("DELETE", f"{CONFIGURE}/table/rows", {"db": "wrong", "table": "m", "from": DIGITS}),
        (
            "POST",
            "/api/v3/plugin_test/wal",
            {"filename": "good.py", "database": "wrong", "from": DIGITS, "to": "3"},
        ),
        (
            "POST",
            "/api/v3/plugin_test/wal",
            {"filename": "good.py", "database": "wrong", "from": "--5", "to": "3"},
        ),
        ("GET", f"/api/v3/export?db=wrong&from={DIGITS}", None),
        ("GET", f"/query?db=wrong&q=SELECT+f+FROM+m&chunked=true&chunk_size={DIGITS}", None),
    ],
)
def test_numbers_without_end(
    server: ServerProcess, method: str, path: str, content: object
) -> None:
    server.create_trigger("wrong", "good", "all_tables", "good.py")
    body = b"" if content is None else json.dumps(content).encode()
    assert refused(server, method, path, body)


@pytest.mark.parametrize("start", [DIGITS, f"-{DIGITS}", "-9223372036854775809"])
def test_a_trigger_starts_at_a_time(server: ServerProcess, start: str) -> None:
    answer = server.create_trigger("wrong", "t", "all_tables", "good.py", start_from=start)
    assert answer.status == 400, answer.body
    assert "is not a time" in answer.json()["error"]


def test_a_trigger_that_starts_before_all_times_takes_all_rows(server: ServerProcess) -> None:
    made = server.create_trigger("wrong", "old", "all_tables", "good.py", start_from="0001-01-01")
    assert made.status == 200, made.body


@pytest.mark.parametrize(("span", "rows"), [("from=9999-01-01", 0), ("to=0001-01-01", 0), ("", 2)])
def test_an_export_of_times_that_no_row_can_have(
    server: ServerProcess, span: str, rows: int
) -> None:
    answer = server.request("GET", f"/api/v3/export?db=wrong&plain=true&{span}")
    assert answer.status == 200
    assert answer.body.count(b"m,t=") == rows


@pytest.mark.parametrize("name", ["n" * 300 + ".py", "n/" * 3_000 + "p.py"])
def test_names_that_no_file_can_have(server: ServerProcess, name: str) -> None:
    answer = server.create_trigger("wrong", "long", "all_tables", name)
    assert (answer.status, answer.json()["code"]) == (400, "plugin_not_found")
    content = json.dumps({"requirements_location": name}).encode()
    path = f"{CONFIGURE}/plugin_environment/install_requirements"
    assert refused(server, "POST", path, content).startswith("no requirements file at n")
    content = json.dumps({"plugin_name": name, "content": ""}).encode()
    assert "Path traversal" in refused(server, "POST", "/api/v3/plugins/files", content)


def test_the_name_of_a_database_that_no_database_can_have_is_not_remembered(
    server: ServerProcess,
) -> None:
    for path, question in (
        ("/api/v3/query_sql", "SELECT 4711"),
        ("/api/v3/query_influxql", "SELECT f4711 FROM m"),
    ):
        content = json.dumps({"db": "n" * 100_000, "q": question}).encode()
        answer = server.request("POST", path, content)
        assert answer.status == 404
        assert len(answer.body) < 1_000
    noted = server.query("_internal", "SELECT query_text FROM system.queries")
    assert not [row for row in noted if row["query_text"] in ("SELECT 4711", "SELECT f4711 FROM m")]
