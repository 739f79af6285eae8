"""Request plugins that answer piece by piece."""

import http.client
import socket
from pathlib import Path

import pytest

from tests.support.probe import Probe
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e


def test_pieces_arrive_while_the_plugin_still_runs(probe: Probe) -> None:
    """The plugin goes on only after the client, having read the first piece, has told it so."""
    source = """
    import time
    def process_request(api, query, headers, body, args):
        def pieces():
            yield "first\\n"
            deadline = time.monotonic() + 10
            while not api.cache.get("go", use_global=True):
                assert time.monotonic() < deadline
            yield b"second\\n"
        if "go" in query:
            api.cache.put("go", True, use_global=True)
            return "going"
        return pieces(), 201, {"X-Own": "v", "Content-Type": "text/plain"}
    """
    path = f"stream-{probe.database}"
    probe.trigger(f"request:{path}", source, run_async=True)
    connection = http.client.HTTPConnection("127.0.0.1", probe.server.port, timeout=20)
    connection.request("GET", f"/api/v3/engine/{path}")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["x-own"]) == (201, "v")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.readline() == b"first\n"
    assert probe.server.request("GET", f"/api/v3/engine/{path}?go=1").body == b"going"
    assert answer.read() == b"second\n"
    connection.close()


def test_what_a_generator_writes_is_stored_before_the_answer_ends(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        for n in range(3):
            api.write(LineBuilder("m").int64_field("n", n).time_ns(n))
            yield f"{n}\\n"
    """
    assert probe.ask(source).body == b"0\n1\n2\n"
    assert probe.server.query(probe.database, "SELECT count(*) AS n FROM m") == [{"n": 3}]


def test_a_failure_before_the_first_piece_is_a_500(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        raise ValueError("early")
        yield "never"
    """
    answer = probe.ask(source)
    assert answer.status == 500
    assert answer.json()["error"] == "Python function call failed: ValueError: early"


@pytest.mark.parametrize("last", ["raise ValueError('late')", "yield 5", "yield bad_line(api)"])
def test_a_failure_after_the_first_piece_cuts_the_answer_and_stores_nothing(
    probe: Probe, last: str
) -> None:
    source = f"""
    def bad_line(api):
        api.write(type("Bad", (), {{"build": lambda self: "m n="}})())
        return "text"

    def process_request(api, query, headers, body, args):
        api.write(LineBuilder("m").int64_field("n", 1))
        yield "start"
        {last}
    """
    path = probe.endpoint(source)
    with pytest.raises((http.client.IncompleteRead, http.client.RemoteDisconnected, OSError)):
        probe.server.request("GET", path)
    assert probe.server.ask(probe.database, "SELECT * FROM m").status == 400
    texts = probe.own_texts(f"{probe.database}-1")
    assert any("error executing request plugin" in text for text in texts)


def test_a_generator_without_pieces_is_an_empty_answer(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        yield ""
    """
    answer = probe.ask(source)
    assert (answer.status, answer.body) == (200, b"")


def test_the_generator_is_closed_when_the_client_leaves(probe: Probe) -> None:
    source = """
    def process_request(api, query, headers, body, args):
        try:
            while True:
                yield "x" * 1000
        finally:
            api.info("cleaned up")
    """
    path = probe.endpoint(source)
    with socket.create_connection(("127.0.0.1", probe.server.port), timeout=20) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    trigger = f"{probe.database}-1"
    wait_for(lambda: "cleaned up" in probe.texts(trigger), "the generator is closed")
    assert any("client closed the connection" in text for text in probe.own_texts(trigger))


def test_a_streamed_run_is_not_repeated_when_its_state_was_changed_under_it(probe: Probe) -> None:
    """The client would get the pieces twice; the answer is cut off instead, and nothing stored."""
    source = """
    import time
    def process_request(api, query, headers, body, args):
        if "bump" in query:
            api.state.put("n", api.state.get("n", 0) + 1)
            return "bumped"
        def pieces():
            seen = api.state.get("n", 0)
            yield "first\\n"
            deadline = time.monotonic() + 10
            while not api.cache.get("go on", use_global=True):
                assert time.monotonic() < deadline
            api.state.put("n", seen + 100)
            yield "last\\n"
        if "go" in query:
            api.cache.put("go on", True, use_global=True)
            return "going"
        return pieces()
    """
    path = f"conflict-{probe.database}"
    name = probe.trigger(f"request:{path}", source, run_async=True)
    connection = http.client.HTTPConnection("127.0.0.1", probe.server.port, timeout=20)
    connection.request("GET", f"/api/v3/engine/{path}")
    answer = connection.getresponse()
    assert answer.readline() == b"first\n"
    assert probe.server.request("GET", f"/api/v3/engine/{path}?bump=1").body == b"bumped"
    assert probe.server.request("GET", f"/api/v3/engine/{path}?go=1").body == b"going"
    with pytest.raises((http.client.IncompleteRead, OSError)):
        answer.read()
    answer.close()
    connection.close()
    wait_for(
        lambda: any("changed the state that this one had read" in t for t in probe.texts(name)),
        "the run fails",
    )


ENDLESS = """
import os
def process_request(api, query, headers, body, args):
    if "pid" in query:
        return str(os.getpid())
    def pieces():
        try:
            while True:
                yield b"x" * 5_000_000
        finally:
            api.info("cleaned up")
    return pieces()
"""


def test_a_client_that_does_not_read_costs_neither_worker_nor_memory(probe: Probe) -> None:
    path = f"slow-{probe.database}"
    name = probe.trigger(f"request:{path}", ENDLESS, run_async=True, timeout_s=2.0)
    pid = probe.server.request("GET", f"/api/v3/engine/{path}?pid=1").body
    server_pid = probe.server.process.pid if probe.server.process else 0
    before = memory_mb(server_pid)
    with socket.create_connection(("127.0.0.1", probe.server.port), timeout=20) as client:
        client.sendall(f"GET /api/v3/engine/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        wait_for(lambda: "cleaned up" in probe.texts(name), "the run ends at its time-out")
        assert memory_mb(server_pid) - before < 50
    assert probe.server.request("GET", f"/api/v3/engine/{path}?pid=1").body == pid


def memory_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (size,) = (line.split()[1] for line in lines if line.startswith("VmRSS"))
    return int(size) // 1024
