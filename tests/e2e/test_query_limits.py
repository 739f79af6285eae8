"""Queries that nobody waits for are stopped, and those that are too many are refused."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Answer, ServerProcess
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# Goes on for hours.
ENDLESS = "SELECT count(*) FROM m a, m b, m c, m d WHERE a.f + b.f + c.f + d.f < 0"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    flags = ("--query-concurrency", "1", "--query-waiting-max", "1", "--query-timeout", "10m")
    server = ServerProcess(tmp_path, *flags).start()
    try:
        yield server
    finally:
        server.kill()


def metric(server: ServerProcess, name: str) -> float:
    text = server.request("GET", "/metrics").body.decode()
    line = next(line for line in text.splitlines() if line.startswith(f"{name} "))
    return float(line.split()[1])


@contextlib.contextmanager
def endless(server: ServerProcess) -> Iterator[None]:
    """A client that waits for an endless query; at the end it leaves."""
    content = json.dumps({"db": "db", "q": ENDLESS}).encode()
    head = (
        "POST /api/v3/query_sql HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode() + content)
        wait_for(
            lambda: metric(server, "headrace_queries_running") == 1, "the query runs", timeout_s=60
        )
        yield


def test_a_query_ends_with_its_client_and_one_too_many_is_refused(server: ServerProcess) -> None:
    lines = "\n".join(f"m f={number}i {number + 1}" for number in range(3000))
    assert server.write("db", lines, precision="nanosecond").status == 204
    with endless(server):
        pass
    # The only thread for queries is free again.
    assert server.query("db", "SELECT count(*) AS n FROM m") == [{"n": 3000}]
    (note,) = server.query(
        "_internal", "SELECT phase FROM system.queries WHERE query_text LIKE '%a.f + b.f%d.f < 0'"
    )
    assert note == {"phase": "cancel"}

    answers: list[Answer] = []

    def ask(sql: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.append(server.ask("db", sql)))
        thread.start()
        return thread

    with endless(server):
        waiting = ask("SELECT 1 AS n")
        wait_for(lambda: metric(server, "headrace_queries_waiting") == 1, "one waits", timeout_s=60)
        refused = server.ask("db", "SELECT 2 AS n")
        assert refused.status == 503
        assert refused.json()["code"] == "back_pressure"
        assert int(refused.headers["retry-after"]) > 0
        assert metric(server, "headrace_queries_refused_total") == 1
    waiting.join(60)
    assert [answer.json() for answer in answers] == [[{"n": 1}]]
