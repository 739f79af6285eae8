"""Requests of Telegraf's three outputs, and what they do with the answers.

Those of influxdb and influxdb_v2 were recorded from Telegraf 1.37.2, whose outputs were called as a Go
library; influxdb_v3 is not in that version and built like them. The outputs hand Go's HTTP client a
reader, so bodies come in chunks without a length.
"""

import base64
import gzip
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e

RECORDINGS = Path(__file__).parent / "recordings" / "telegraf-1.37.2.jsonl"
LINES = (
    b"cpu,cpu=cpu-total,host=web\\ 1 usage_idle=98.5,usage_user=1.25 1700000000000000000\n"
    b'disk,host=web\\ 1,path=/ free=123456u,label="root \\"fs\\"",inodes=7i,ro=false '
    b"1700000000000000000\n"
)


def chunked(body: bytes) -> bytes:
    middle = len(body) // 2
    pieces = [body[:middle], body[middle:], b""]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def request(
    target: str, authorization: str, body: bytes, *, encoding: str = "", more: str = ""
) -> bytes:
    head = (
        f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:8181\r\n"
        "User-Agent: Telegraf/1.36.1 Go/1.25.1\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: {authorization}\r\n"
    )
    if encoding:
        head += f"Content-Encoding: {encoding}\r\n"
    return head.encode() + f"{more}Accept-Encoding: gzip\r\n\r\n".encode() + chunked(body)


TEXT = "Content-Type: text/plain; charset=utf-8\r\n"


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"telegraf:{token}".encode()).decode()


def v1(token: str, body: bytes, *, database: str = "db", encoding: str = "gzip") -> bytes:
    sent = gzip.compress(body) if encoding == "gzip" else body
    more = TEXT
    return request(f"/write?db={database}", basic(token), sent, encoding=encoding, more=more)


def v2(token: str, body: bytes, *, database: str = "db", encoding: str = "gzip") -> bytes:
    sent = gzip.compress(body) if encoding == "gzip" else body
    target = f"/api/v2/write?bucket={quote(database)}&org="
    return request(target, f"Token {token}", sent, encoding=encoding, more=TEXT)


def v3(token: str, body: bytes, *, database: str = "db", encoding: str = "gzip") -> bytes:
    sent = gzip.compress(body) if encoding == "gzip" else body
    target = f"/api/v3/write_lp?db={quote(database)}&no_sync=false"
    return request(target, f"Bearer {token}", sent, encoding=encoding, more=TEXT)


Output = Callable[..., bytes]
OUTPUTS = pytest.mark.parametrize("output", [v1, v2, v3])


class Telegraf:
    """The sending end: one connection per request, answers read as Go does."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        made = server.cli("create", "token", "--admin", "--format", "json")
        self.admin: str = json.loads(made.stdout)["token"]

    def send(self, sent: bytes) -> tuple[int, dict[str, str], bytes]:
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as connection:
            connection.sendall(sent)
            file = connection.makefile("rb")
            status = int(file.readline().split()[1])
            headers = {}
            while (line := file.readline().strip()) != b"":
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            return status, headers, file.read(int(headers.get("content-length", "0")))

    def rows(self, database: str, sql: str) -> object:
        answer = self.server.request(
            "POST",
            "/api/v3/query_sql",
            json.dumps({"db": database, "q": sql}).encode(),
            headers={"Authorization": f"Bearer {self.admin}"},
        )
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture(scope="module")
def telegraf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Telegraf]:
    server = ServerProcess(tmp_path_factory.mktemp("telegraf"), "--max-http-request-size", "64kb")
    try:
        yield Telegraf(server.start())
    finally:
        server.kill()


@OUTPUTS
@pytest.mark.parametrize("encoding", ["gzip", ""])
def test_metrics_are_stored(telegraf: Telegraf, output: Output, encoding: str) -> None:
    database = f"{output.__name__}{encoding}"
    answer = telegraf.send(output(telegraf.admin, LINES, database=database, encoding=encoding))
    assert answer[0] == 204, answer
    assert telegraf.rows(database, "SELECT host, usage_idle FROM cpu") == [
        {"host": "web 1", "usage_idle": 98.5}
    ]
    assert telegraf.rows(database, "SELECT free, label, inodes, ro FROM disk") == [
        {"free": 123456, "label": 'root "fs"', "inodes": 7, "ro": False}
    ]


@OUTPUTS
def test_metrics_that_do_not_fit_are_dropped_by_the_sender(
    telegraf: Telegraf, output: Output
) -> None:
    database = f"conflict{output.__name__}"
    assert telegraf.send(output(telegraf.admin, b"m f=1i 1\n", database=database))[0] == 204
    status, _, body = telegraf.send(output(telegraf.admin, b"m f=1.5 2\n", database=database))
    # Of the 4xx only these three do not make one of the outputs try again for ever.
    assert status in (400, 406, 422)
    content = json.loads(body)
    assert content["error"]
    if output is v2:
        assert content["code"] == "invalid"
        assert content["message"]
    if output is v3:
        assert content["data"][0]["original_line"] == "m f=1.5 2"
        assert content["data"][0]["error_message"]


@OUTPUTS
def test_batches_that_are_too_large_are_split_by_the_sender(
    telegraf: Telegraf, output: Output
) -> None:
    body = b"".join(b"m,host=h%d f=%di %d\n" % (n, n, n) for n in range(10_000))
    status, _, body = telegraf.send(output(telegraf.admin, body))
    assert status == 413
    assert json.loads(body)["error"]


@OUTPUTS
def test_a_wrong_token_keeps_the_metrics_at_the_sender(telegraf: Telegraf, output: Output) -> None:
    status, _, body = telegraf.send(output("wrong", LINES))
    assert status == 401
    assert json.loads(body)["error"] == "the request was not authenticated"


def test_version_1_creates_its_database_first(telegraf: Telegraf) -> None:
    form = b"q=" + quote('CREATE DATABASE "telegraf"').encode()
    head = (
        "POST /query HTTP/1.1\r\nHost: 127.0.0.1:8181\r\nUser-Agent: Telegraf/1.36.1 Go/1.25.1\r\n"
        f"Content-Length: {len(form)}\r\nAuthorization: {basic(telegraf.admin)}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    status, _, body = telegraf.send(head.encode() + form)
    assert status == 200
    assert "error" not in json.loads(body)["results"][0]
    assert telegraf.rows("telegraf", "SELECT 1 AS x") == [{"x": 1}]


def recorded(output: str, encoding: str) -> dict[str, tuple[str, bytes]]:
    """Heads and bodies by the metrics that they carry; AUTHORIZATION stands for what it names."""
    lines = map(json.loads, RECORDINGS.read_text().splitlines())
    return {
        line["metrics"]: (line["head"], base64.b64decode(line["body"]))
        for line in lines
        if (line["output"], line["encoding"]) == (output, encoding)
    }


RECORDED = pytest.mark.parametrize("encoding", ["gzip", "identity"])


@RECORDED
@pytest.mark.parametrize(("name", "version"), [("influxdb", "v1"), ("influxdb_v2", "v2")])
def test_what_telegraf_sent_is_stored(
    telegraf: Telegraf, name: str, version: str, encoding: str
) -> None:
    requests = recorded(name, encoding)
    authorization = basic(telegraf.admin) if version == "v1" else f"Token {telegraf.admin}"
    statuses = {
        metrics: telegraf.send(head.replace("AUTHORIZATION", authorization).encode() + body)[0]
        for metrics, (head, body) in requests.items()
    }
    expected = {"create": 200, "good": 204, "conflicting": 400}
    assert statuses == {metrics: expected[metrics] for metrics in requests}
    assert telegraf.rows(f"t{version}{encoding}", "SELECT free, label, inodes, ro FROM disk") == [
        {"free": 123456, "label": 'root "fs"', "inodes": 7, "ro": False}
    ]


@RECORDED
@pytest.mark.parametrize(("name", "output"), [("influxdb", v1), ("influxdb_v2", v2)])
def test_requests_are_built_as_telegraf_does(name: str, output: Output, encoding: str) -> None:
    head, _ = recorded(name, encoding)["good"]
    built = output(
        "token",
        LINES,
        database=f"t{output.__name__}{encoding}",
        encoding=encoding.removesuffix("identity"),
    )

    def told(text: str) -> list[str]:
        return [line for line in text.split("\r\n") if not line.startswith(("User-", "Authori"))]

    assert told(built.partition(b"\r\n\r\n")[0].decode()) == told(head.rstrip())
