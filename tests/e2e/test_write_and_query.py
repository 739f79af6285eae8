"""Writes over HTTP are durable and visible; refusals are explained."""

import gzip
import json
import socket

import pytest

from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e


def test_written_rows_are_visible_to_the_next_query(shared_server: ServerProcess) -> None:
    answer = shared_server.write("visible", "cpu,host=a usage=1.5,cores=4i 1700000000000000000\n")
    assert (answer.status, answer.body) == (204, b"")
    rows = shared_server.query("visible", "SELECT * FROM cpu")
    assert rows == [{"cores": 4, "host": "a", "time": "2023-11-14T22:13:20", "usage": 1.5}]


def test_gzip_bodies_are_accepted(shared_server: ServerProcess) -> None:
    body = gzip.compress(b"m f=1i 1\n") + gzip.compress(b"m f=2i 2\n")
    answer = shared_server.request(
        "POST",
        "/api/v3/write_lp",
        body,
        parameters={"db": "zipped", "precision": "ns"},
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.status == 204
    assert shared_server.query("zipped", "SELECT sum(f) AS s FROM m") == [{"s": 3}]


def test_broken_gzip_is_refused(shared_server: ServerProcess) -> None:
    answer = shared_server.request(
        "POST",
        "/api/v3/write_lp",
        gzip.compress(b"m f=1i 1\n")[:-9],
        parameters={"db": "zipped_badly"},
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.status == 400
    assert "gzip" in answer.json()["error"]


def test_good_lines_are_kept_beside_bad_ones(shared_server: ServerProcess) -> None:
    answer = shared_server.write(
        "partial", "\nm f=1i 1\n# note\nm f= 2\nm f=3i 3\n", precision="ns"
    )
    assert answer.status == 400
    content = answer.json()
    assert content["error"] == "partial write of line protocol occurred"
    (line,) = content["data"]
    assert line["line_number"] == 4
    assert line["original_line"] == "m f= 2"
    assert line["error_message"]
    assert shared_server.query("partial", "SELECT f FROM m ORDER BY time") == [{"f": 1}, {"f": 3}]


def test_all_or_nothing_stores_nothing_of_a_body_with_a_bad_line(
    shared_server: ServerProcess,
) -> None:
    answer = shared_server.write("strict", "m f=1i 1\nm f=oops 2\n", accept_partial="false")
    assert answer.status == 400
    content = answer.json()
    assert content["error"] == "line protocol parsing error"
    assert content["data"]["line_number"] == 2
    assert shared_server.ask("strict", "SELECT * FROM m").status in (400, 404)


def test_a_type_conflict_is_a_line_error_and_leaves_no_schema(shared_server: ServerProcess) -> None:
    assert shared_server.write("types", "m f=1i 1\n").status == 204
    answer = shared_server.write("types", "m f=1.5,leaked=1i 2\n")
    assert answer.status == 400
    assert "f" in answer.json()["data"][0]["error_message"]
    columns = shared_server.query("types", "SHOW COLUMNS FROM m")
    assert {column["column_name"] for column in columns} == {"f", "time"}


def test_the_last_write_of_a_point_wins_per_field(shared_server: ServerProcess) -> None:
    shared_server.write("last", "m,h=a x=1i,y=1i 10\n", precision="ns")
    shared_server.write("last", "m,h=a x=2i 10\nm,h=a x=9i 11\n", precision="ns")
    rows = shared_server.query("last", "SELECT x, y FROM m ORDER BY time")
    assert rows == [{"x": 2, "y": 1}, {"x": 9}]


@pytest.mark.parametrize(
    ("body", "parameters", "status", "text"),
    [
        (b"", {"db": "bad"}, 400, "incoming write was empty"),
        (b"# only a comment\n", {"db": "bad"}, 400, "incoming write was empty"),
        (b"m f=1 \xff", {"db": "bad"}, 400, "utf8"),
        (b"m f=1", {}, 400, "db"),
        (b"m f=1", {"db": "no space"}, 400, "invalid character"),
        (b"m f=1", {"db": "bad", "precision": "h"}, 400, "precision"),
        (b"m f=1", {"db": "bad", "no_sync": "1"}, 400, "no_sync"),
    ],
)
def test_wrong_requests_are_refused_with_a_reason(
    shared_server: ServerProcess, body: bytes, parameters: dict[str, str], status: int, text: str
) -> None:
    answer = shared_server.request("POST", "/api/v3/write_lp", body, parameters=parameters)
    assert answer.status == status
    content = answer.json()
    assert text in content["error"] + content.get("hint", "")


def test_bodies_over_the_limit_are_refused(shared_server: ServerProcess) -> None:
    line = b"m f=1i 1\n"
    answer = shared_server.request(
        "POST",
        "/api/v3/write_lp",
        line * (11 * 1024 * 1024 // len(line)),
        parameters={"db": "huge"},
    )
    assert answer.status == 413
    bomb = gzip.compress(b"\n" * (64 * 1024 * 1024))
    answer = shared_server.request(
        "POST",
        "/api/v3/write_lp",
        bomb,
        parameters={"db": "huge"},
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.status == 413


def test_v1_and_v2_write_routes(shared_server: ServerProcess) -> None:
    v2 = {"bucket": "old", "org": "x", "precision": "s"}
    assert shared_server.request("POST", "/api/v2/write", b"m f=1i 1", parameters=v2).status == 204
    v1 = {"db": "old", "precision": "ms", "u": "me"}
    assert shared_server.request("POST", "/write", b"m f=2i 2000", parameters=v1).status == 204
    rows = shared_server.query("old", "SELECT f, time FROM m ORDER BY time")
    assert [row["time"] for row in rows] == ["1970-01-01T00:00:01", "1970-01-01T00:00:02"]
    policy = {"db": "old", "rp": "Weekly"}
    assert shared_server.request("POST", "/write", b"m f=3i 3", parameters=policy).status == 204
    assert shared_server.query("old/weekly", "SELECT f FROM m") == [{"f": 3}]
    refused = shared_server.request("POST", "/api/v2/write", b"m f=", parameters=v2)
    assert refused.status == 400
    assert refused.json()["code"] == "invalid"


def test_no_sync_writes_become_visible(shared_server: ServerProcess) -> None:
    assert shared_server.write("fast", "m f=1i 1\n", no_sync="true").status == 204
    # A write that waits is behind the other one in the log.
    assert shared_server.write("fast", "m f=2i 2\n").status == 204
    assert shared_server.query("fast", "SELECT count(*) AS n FROM m") == [{"n": 2}]


@pytest.mark.parametrize(
    ("format_name", "content_type", "body"),
    [
        ("json", "application/json", b'[{"f":1.0,"t":"a"},{"f":2.5}]'),
        ("jsonl", "application/jsonl", b'{"f":1.0,"t":"a"}\n{"f":2.5}\n'),
        ("csv", "text/csv", b"f,t\n1.0,a\n2.5,\n"),
    ],
)
def test_query_formats(
    shared_server: ServerProcess, format_name: str, content_type: str, body: bytes
) -> None:
    shared_server.write("formats", "m,t=a f=1 1\nm f=2.5 2\n", precision="ns")
    answer = shared_server.request(
        "GET",
        "/api/v3/query_sql",
        parameters={
            "db": "formats",
            "q": "SELECT f, t FROM m ORDER BY time",
            "format": format_name,
        },
    )
    assert answer.status == 200
    assert answer.headers["content-type"] == content_type
    assert answer.body == body


def test_query_parameters_are_bound(shared_server: ServerProcess) -> None:
    shared_server.write("bound", "m,t=a f=1i 1\nm,t=b f=2i 2\n", precision="ns")
    rows = shared_server.query("bound", "SELECT f FROM m WHERE t = $t", {"t": "b"})
    assert rows == [{"f": 2}]
    answer = shared_server.request(
        "GET",
        "/api/v3/query_sql",
        parameters={
            "db": "bound",
            "q": "SELECT f FROM m WHERE f > $f",
            "params": json.dumps({"f": 1}),
        },
    )
    assert answer.json() == [{"f": 2}]


@pytest.mark.parametrize(
    ("sql", "status"),
    [
        ("DROP TABLE m", 405),
        ("INSERT INTO m VALUES (1)", 405),
        ("SELECT * FROM read_csv('/etc/passwd')", 400),
        ("SELECT * FROM nothing", 400),
        ("SELEC 1", 400),
        ("SELECT 1; SELECT 2", 400),
    ],
)
def test_statements_other_than_queries_are_refused(
    shared_server: ServerProcess, sql: str, status: int
) -> None:
    shared_server.write("guarded", "m f=1i 1\n")
    answer = shared_server.ask("guarded", sql)
    assert answer.status == status, answer.body
    assert answer.json()["error"]


def test_queries_are_remembered(shared_server: ServerProcess) -> None:
    shared_server.write("remembered", "m f=1i 1\n")
    shared_server.query("remembered", "SELECT f FROM m")
    shared_server.ask("remembered", "SELECT nothing FROM m")
    rows = shared_server.query("remembered", "SELECT * FROM system.queries ORDER BY issue_time")
    assert [row["phase"] for row in rows] == ["success", "fail", "received"]
    assert rows[0]["query_text"] == "SELECT f FROM m"


def test_unknown_databases_and_routes_are_404(shared_server: ServerProcess) -> None:
    answer = shared_server.ask("nowhere", "SELECT 1")
    assert answer.status == 404
    assert answer.json()["error"] == "query error: database not found: nowhere"
    assert shared_server.request("GET", "/api/v9/nothing").status == 404


def test_health_ping_and_metrics(shared_server: ServerProcess) -> None:
    assert shared_server.request("GET", "/health").body == b"OK"
    ping = shared_server.request("GET", "/ping")
    assert ping.json()["version"]
    assert ping.headers["x-influxdb-version"] == ping.json()["version"]
    shared_server.write("counted", "m f=1i 1\n")
    text = shared_server.request("GET", "/metrics").body.decode()
    assert "# TYPE headrace_write_rows_total counter" in text
    assert "headrace_wal_commit_seconds_bucket" in text


def test_clients_of_http_1_0_need_name_no_host(shared_server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=60) as client:
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.0 200 ")


def test_invented_methods_make_no_time_series(shared_server: ServerProcess) -> None:
    assert shared_server.request("INVENTED", "/health").status == 404
    text = shared_server.request("GET", "/metrics").body.decode()
    assert 'method="other"' in text
    assert "INVENTED" not in text


def test_requests_from_foreign_web_pages_are_refused(shared_server: ServerProcess) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        answer = shared_server.request("GET", "/ping", headers=headers)
        assert answer.status == 403
        assert "refused" in answer.json()["error"]
    assert shared_server.request("GET", "/ping", headers={"Host": "localhost"}).status == 200
