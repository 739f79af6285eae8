"""InfluxQL over HTTP: version 1's /query as Grafana and shells ask it, and version 3's route."""

import json
import struct
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tests.support.server import Answer, ServerProcess

pytestmark = pytest.mark.e2e

LINES = (
    "cpu,host=a usage=1,cores=4i 1735689600000000000\n"
    "cpu,host=b usage=2.5,cores=8i 1735689660000000000\n"
    "cpu,host=a usage=3 1735689720000000000\n"
)


@pytest.fixture(scope="module")
def filled(shared_server: ServerProcess) -> ServerProcess:
    assert shared_server.write("db", LINES, precision="ns").status == 204
    assert shared_server.write("db/weekly", "old f=1i 1", precision="ns").status == 204
    return shared_server


def get(server: ServerProcess, q: str, **parameters: str) -> Answer:
    return server.request("GET", f"/query?{urlencode({'db': 'db', 'q': q, **parameters})}")


def results(server: ServerProcess, q: str, **parameters: str) -> Any:
    answer = get(server, q, **parameters)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["results"]


def test_a_panel_of_grafana(filled: ServerProcess) -> None:
    # The words of Grafana's query builder, with its epoch.
    q = (
        'SELECT mean("usage") FROM "cpu" WHERE ("host"::tag =~ /^(a|b)$/) AND '
        "time >= 1735689600000ms and time <= 1735689720000ms "
        'GROUP BY time(1m), "host"::tag fill(null) ORDER BY time ASC'
    )
    (result,) = results(filled, q, epoch="ms")
    assert result == {
        "statement_id": 0,
        "series": [
            {
                "name": "cpu",
                "tags": {"host": "a"},
                "columns": ["time", "mean"],
                "values": [[1735689600000, 1], [1735689660000, None], [1735689720000, 3]],
            },
            {
                "name": "cpu",
                "tags": {"host": "b"},
                "columns": ["time", "mean"],
                "values": [[1735689600000, None], [1735689660000, 2.5], [1735689720000, None]],
            },
        ],
    }


def test_the_lists_of_grafanas_editor(filled: ServerProcess) -> None:
    def values(q: str) -> Any:
        return results(filled, q)[0]["series"][0]["values"]

    assert ["db"] in values("SHOW DATABASES")
    assert values('SHOW RETENTION POLICIES on "db"')[0][0] == "autogen"
    assert values("SHOW MEASUREMENTS LIMIT 100") == [["cpu"]]
    assert values("SHOW MEASUREMENTS WITH MEASUREMENT =~ /(?i)CP/ LIMIT 100") == [["cpu"]]
    assert values('SHOW TAG KEYS FROM "cpu"') == [["host"]]
    assert values('SHOW FIELD KEYS FROM "cpu"') == [["cores", "integer"], ["usage", "float"]]
    assert values('SHOW TAG VALUES FROM "cpu" WITH KEY = "host"') == [["host", "a"], ["host", "b"]]


@pytest.mark.parametrize(
    ("period", "shown"), [("30d", "720h0m0s"), ("1h 1m 1s", "1h1m1s"), (None, "0s")]
)
def test_a_retention_policy_lasts_as_long_as_rows_are_kept(
    filled: ServerProcess, period: str | None, shown: str
) -> None:
    name = f"kept{shown}"
    content = json.dumps({"db": name, "retention_period": period}).encode()
    headers = {"Content-Type": "application/json"}
    made = filled.request("POST", "/api/v3/configure/database", content, headers=headers)
    assert made.status == 200
    (series,) = results(filled, f'SHOW RETENTION POLICIES ON "{name}"')[0]["series"]
    assert series["values"][0][:2] == ["autogen", shown]


def test_failures_of_statements_are_in_an_answer_that_is_well(filled: ServerProcess) -> None:
    for q, error in (
        ("SELECT holt_winters(usage) FROM cpu", "holt_winters() is not supported"),
        ("DROP DATABASE db", "DROP DATABASE is not supported in InfluxQL"),
    ):
        (result,) = results(filled, q)
        assert error in result["error"]
    (result,) = results(filled, "SHOW MEASUREMENTS", db="nope")
    assert result["error"] == "database not found: nope"
    (result,) = results(filled, "SHOW MEASUREMENTS", db="")
    assert "database is required" in result["error"]
    first, second = results(filled, "SHOW MEASUREMENTS; SELECT nothing(x) FROM cpu; SHOW TAG KEYS")
    assert first["series"]
    assert (second["statement_id"], second["error"]) == (1, "undefined function nothing()")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/query", "missing query parameters 'db' and 'q'"),
        ("/query?db=db", "expected a query"),
        ("/query?db=db&q=SELECT+FROM+cpu", "error parsing query: found FROM"),
        ("/query?db=db&q=SHOW+TAG+KEYS;+SELEC", "error parsing query: found SELEC"),
        ("/query?db=db&q=SHOW+TAG+KEYS&epoch=x", "unknown epoch"),
        ("/query?db=db&q=SHOW+TAG+KEYS&params=1", "params"),
        ("/query?db=db&q=SHOW+TAG+KEYS&chunked=true&chunk_size=0", "chunk_size"),
    ],
)
def test_wrong_requests(filled: ServerProcess, path: str, text: str) -> None:
    answer = filled.request("GET", path)
    assert answer.status == 400
    assert text in answer.json()["error"]


def test_questions_in_bodies(filled: ServerProcess) -> None:
    q = "SELECT usage FROM cpu WHERE host = $host"
    form = urlencode({"q": q, "db": "db", "params": '{"host": "b"}', "epoch": "s"}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = filled.request("POST", "/query?db=other&q=SHOW+DATABASES", form, headers=headers)
    assert answer.json()["results"][0]["series"][0]["values"] == [[1735689660, 2.5]]
    for headers in ({}, {"Content-Type": "application/vnd.influxql"}):
        answer = filled.request("POST", "/query?db=db", b"SHOW MEASUREMENTS", headers=headers)
        assert answer.json()["results"][0]["series"][0]["values"] == [["cpu"]]


def test_questions_in_files_and_forms_in_parts(filled: ServerProcess) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="db"\r\n\r\ndb\r\n--x\r\nContent-Disposition: '
        b'form-data; name="q"; filename="q.txt"\r\n\r\nSELECT usage\nFROM cpu LIMIT 1\n\r\n--x--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = filled.request("POST", "/query?epoch=s", body, headers=headers)
    assert answer.json()["results"][0]["series"][0]["values"] == [[1735689600, 1]]
    answer = filled.request("POST", "/query?q=SHOW+DATABASES", body, headers=headers)
    assert answer.json()["results"][0]["series"][0]["name"] == "databases"


def test_answers_in_messagepack(filled: ServerProcess) -> None:
    headers = {"Accept": "application/x-msgpack"}
    target = f"/query?{urlencode({'db': 'db', 'q': 'SELECT usage FROM cpu LIMIT 1'})}"
    answer = filled.request("GET", target, headers=headers)
    assert answer.headers["content-type"] == "application/x-msgpack"
    (row,) = msgspec.msgpack.decode(answer.body)["results"][0]["series"][0]["values"]
    assert row == [msgspec.msgpack.Ext(5, struct.pack(">qI", 1735689600, 0)), 1.0]


def test_chunks_csv_and_retention_policies(filled: ServerProcess) -> None:
    chunked = get(filled, "SELECT usage FROM cpu", chunked="true", chunk_size="2")
    documents = [json.loads(line) for line in chunked.body.splitlines()]
    assert [len(one["results"][0]["series"][0]["values"]) for one in documents] == [2, 1]
    target = f"/query?{urlencode({'db': 'db', 'q': 'SELECT usage FROM cpu LIMIT 1'})}"
    csv = filled.request("GET", target, headers={"Accept": "application/csv"})
    assert csv.headers["content-type"] == "application/csv"
    assert csv.body == b"name,tags,time,usage\ncpu,,1735689600000000000,1\n"
    (result,) = results(filled, "SELECT f FROM old", rp="weekly")
    assert result["series"][0]["values"] == [["1970-01-01T00:00:00.000000001Z", 1]]
    (result,) = results(filled, 'SELECT f FROM "db"."weekly"."old"', db="")
    assert result["series"]


def test_create_database_is_there_for_old_senders(filled: ServerProcess) -> None:
    assert filled.request("POST", "/query?q=CREATE+DATABASE+made").json() == {
        "results": [{"statement_id": 0}]
    }
    names = [
        row["iox::database"] for row in filled.request("GET", "/api/v3/configure/database").json()
    ]
    assert "made" in names
    (result,) = results(filled, "CREATE DATABASE other")
    assert "POST" in result["error"]
    (result,) = filled.request("POST", "/query?q=CREATE+DATABASE+%22a+b%22").json()["results"]
    assert "invalid character" in result["error"]


def test_version_3_gives_one_table(filled: ServerProcess) -> None:
    question = {"db": "db", "q": "SELECT mean(usage) FROM cpu GROUP BY host"}
    answer = filled.request("POST", "/api/v3/query_influxql", json.dumps(question).encode())
    assert answer.status == 200, answer.body
    assert answer.json() == [
        {"iox::measurement": "cpu", "time": "1970-01-01T00:00:00", "host": "a", "mean": 2.0},
        {"iox::measurement": "cpu", "time": "1970-01-01T00:00:00", "host": "b", "mean": 2.5},
    ]
    query = urlencode({"db": "db", "q": "SHOW FIELD KEYS", "format": "csv"})
    csv = filled.request("GET", f"/api/v3/query_influxql?{query}")
    assert csv.body.decode().splitlines()[0] == "iox::measurement,fieldKey,fieldType"
    rows = filled.request("GET", "/api/v3/query_influxql?q=SHOW+DATABASES").json()
    assert {"iox::measurement": "databases", "iox::database": "db", "deleted": False} in rows


@pytest.mark.parametrize(
    ("question", "status", "text"),
    [
        ({"db": "db"}, 400, "q"),
        ({"db": "db", "q": "SELECT"}, 400, "error parsing query"),
        ({"db": "db", "q": "SHOW TAG KEYS; SHOW TAG KEYS"}, 400, "only one InfluxQl statement"),
        ({"q": "SHOW TAG KEYS"}, 400, "database is required"),
        ({"db": "nope", "q": "SHOW TAG KEYS"}, 404, "database not found"),
        ({"db": "db", "q": "DROP DATABASE db"}, 405, "not supported"),
    ],
)
def test_version_3_fails_with_a_status(
    filled: ServerProcess, question: dict[str, str], status: int, text: str
) -> None:
    answer = filled.request("POST", "/api/v3/query_influxql", json.dumps(question).encode())
    assert answer.status == status, answer.body
    assert text in answer.json()["error"]


def test_questions_are_noted_with_their_language(filled: ServerProcess) -> None:
    results(filled, "SELECT usage FROM cpu LIMIT 1")
    rows = filled.query(
        "db",
        "SELECT DISTINCT query_type, success FROM system.queries WHERE query_text LIKE '%LIMIT 1'",
    )
    assert {"query_type": "influxql", "success": True} in rows


def test_a_token_decides_about_every_database_of_a_statement(
    make_server: Any,
) -> None:
    server = make_server().start()
    server.write("mine", "m f=1i 1")
    server.write("theirs", "m f=2i 1")
    made = server.cli("create", "token", "--admin", "--format", "json")
    server.environment["HEADRACE_AUTH_TOKEN"] = json.loads(made.stdout)["token"]
    made = server.cli(
        *("create", "token", "--database", "mine:read", "--name", "r", "--format", "json")
    )
    secret = json.loads(made.stdout)["token"]

    def ask(q: str) -> Answer:
        query = urlencode({"db": "mine", "q": q, "u": "grafana", "p": secret})
        return server.request("POST", f"/query?{query}")

    assert ask("SELECT f FROM m").json()["results"][0]["series"]
    assert ask("SHOW DATABASES").json()["results"][0]["series"][0]["values"] == [["mine"]]
    form = {"q": "SHOW DATABASES", "u": "grafana", "p": secret}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.request("POST", "/query", urlencode(form).encode(), headers=headers)
    assert answer.json()["results"][0]["series"][0]["values"] == [["mine"]]
    form |= {"p": "wrong"}
    answer = server.request("POST", "/query", urlencode(form).encode(), headers=headers)
    assert answer.status == 401
    for q in (
        "SELECT f FROM theirs..m",
        "SELECT f FROM m, theirs..m",
        "SHOW MEASUREMENTS ON theirs",
        "SHOW TAG KEYS ON theirs.autogen",
        "SHOW TAG KEYS FROM theirs../m/",
        "SELECT f FROM m; SELECT f FROM theirs..m",
        "SELECT f FROM _internal..x",
        "CREATE DATABASE fresh",
        "CREATE DATABASE mine",
    ):
        answer = ask(q)
        assert answer.status == 403, (q, answer.body)
        assert secret.encode() not in answer.body
    for nothing in (None, ""):
        server.environment.pop("HEADRACE_AUTH_TOKEN", None)
        flags = () if nothing is None else ("--token", nothing)
        assert "give a token with --token" in server.cli("show", "databases", *flags).stderr


def test_no_parameters_may_be_null(filled: ServerProcess) -> None:
    # Go's client of version 1 encodes a map that is not there.
    query = urlencode({"q": "SHOW DATABASES", "params": "null", "epoch": "ms"})
    answer = filled.request("POST", f"/query?{query}")
    assert answer.status == 200
    assert answer.json()["results"][0]["series"]
