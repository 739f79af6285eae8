"""Requests of Grafana's InfluxQL data source, byte for byte as its backend builds them, and what it does with the answers.

The backend is written in Go: headers in Go's spelling, parameters in the order of the alphabet. It takes a
token from "Custom HTTP Headers" or a password from "Basic auth", and its body by GET or POST, as the user has chosen.
"""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_plus

import pytest

from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e

LINES = (
    "cpu,host=a usage=1,cores=4i 1735689600000000000\n"
    "cpu,host=b usage=2.5,cores=8i 1735689660000000000\n"
    "cpu,host=a usage=3 1735689720000000000\n"
)
PANEL = (
    'SELECT mean("usage") FROM "cpu" WHERE time >= 1735689600000ms and time <= 1735689720000ms '
    'GROUP BY time(1m), "host"::tag fill(null) ORDER BY time ASC'
)


def head(start: str, authorization: str, more: str = "") -> str:
    return (
        f"{start} HTTP/1.1\r\nHost: 127.0.0.1:8181\r\nUser-Agent: Grafana/12.2.0\r\n{more}"
        f"Authorization: {authorization}\r\nAccept-Encoding: gzip\r\n\r\n"
    )


def by_get(q: str, authorization: str) -> bytes:
    return head(f"GET /query?db=db&epoch=ms&q={quote_plus(q)}", authorization).encode()


def by_post(q: str, authorization: str) -> bytes:
    body = f"q={quote_plus(q)}"
    more = f"Content-Length: {len(body)}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return (head("POST /query?db=db&epoch=ms", authorization, more) + body).encode()


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"grafana:{token}".encode()).decode()


def header(token: str) -> str:
    return f"Token {token}"


Method = Callable[[str, str], bytes]
METHODS = pytest.mark.parametrize("method", [by_get, by_post])


class Grafana:
    """The asking end, with a token that may read `db` alone."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        assert server.write("db", LINES, precision="ns").status == 204
        made = server.cli("create", "token", "--admin", "--format", "json")
        server.environment["HEADRACE_AUTH_TOKEN"] = json.loads(made.stdout)["token"]
        made = server.cli(
            *("create", "token", "--name", "grafana", "--database", "db:read", "--format", "json")
        )
        self.token: str = json.loads(made.stdout)["token"]

    def send(self, sent: bytes) -> tuple[int, Any]:
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as connection:
            connection.sendall(sent)
            file = connection.makefile("rb")
            status = int(file.readline().split()[1])
            headers = {}
            while (line := file.readline().strip()) != b"":
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            assert headers["content-type"] == "application/json"
            return status, json.loads(file.read(int(headers["content-length"])))


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    server = ServerProcess(tmp_path_factory.mktemp("grafana"))
    try:
        yield Grafana(server.start())
    finally:
        server.kill()


@METHODS
@pytest.mark.parametrize("credentials", [basic, header])
def test_a_panel(grafana: Grafana, method: Method, credentials: Callable[[str], str]) -> None:
    status, content = grafana.send(method(PANEL, credentials(grafana.token)))
    assert status == 200
    # A series for each group; times are numbers of milliseconds, gaps are null.
    assert content["results"][0]["series"] == [
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
    ]


@METHODS
def test_save_and_test_finds_measurements(grafana: Grafana, method: Method) -> None:
    status, content = grafana.send(method("SHOW MEASUREMENTS", header(grafana.token)))
    assert status == 200
    assert content["results"][0]["series"][0]["values"] == [["cpu"]]


@METHODS
def test_variables_and_suggestions_show_what_there_is(grafana: Grafana, method: Method) -> None:
    for q, values in (
        ('SHOW TAG VALUES FROM "cpu" WITH KEY = "host"', [["host", "a"], ["host", "b"]]),
        ('SHOW TAG KEYS FROM "cpu"', [["host"]]),
        ('SHOW FIELD KEYS FROM "cpu"', [["cores", "integer"], ["usage", "float"]]),
        ("SHOW DATABASES", [["db"]]),
    ):
        status, content = grafana.send(method(q, header(grafana.token)))
        assert status == 200
        assert content["results"][0]["series"][0]["values"] == values


@METHODS
def test_several_queries_of_a_panel_have_their_answers_in_order(
    grafana: Grafana, method: Method
) -> None:
    q = 'SELECT "usage" FROM "cpu" LIMIT 1;\nSELECT "oops" FROM "nowhere";\nSELECT "cores" FROM "cpu" LIMIT 1'
    status, content = grafana.send(method(q, header(grafana.token)))
    assert status == 200
    assert [result["statement_id"] for result in content["results"]] == [0, 1, 2]
    # Nothing found is no error: Grafana shows "no data".
    assert [sorted(result) for result in content["results"]][1] == ["statement_id"]


@METHODS
def test_what_is_wrong_with_a_query_is_told_as_grafana_reads_it(
    grafana: Grafana, method: Method
) -> None:
    status, content = grafana.send(method("SELECT FROM cpu", header(grafana.token)))
    # It shows "error" of an answer that is well, of its results, or of a refusal.
    # A refusal is what version 1 gives.
    assert status == 400
    assert "error parsing query" in content["error"]


@METHODS
def test_a_wrong_token_or_database_is_refused_with_an_error(
    grafana: Grafana, method: Method
) -> None:
    status, content = grafana.send(method(PANEL, header("wrong")))
    assert (status, content["error"]) == (401, "the request was not authenticated")
    sent = method(PANEL, header(grafana.token)).replace(b"db=db", b"db=other")
    status, content = grafana.send(sent)
    assert status == 403
    assert content["error"]
