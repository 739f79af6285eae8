"""The HTTP API over a Unix socket."""

import http.client
import json
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

MakeServer = Callable[..., ServerProcess]


@pytest.fixture
def path() -> Iterator[Path]:
    # Not pytest's own directory, whose path may be longer than that of a socket.
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "h.sock"


def started(make_server: MakeServer, path: Path, *flags: str) -> ServerProcess:
    server = make_server("--http-socket", str(path), *flags).start()
    wait_for(lambda: answers(path), "the socket answers")
    return server


def get(path: Path, target: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(30)
        connection.sock.connect(str(path))
        connection.request("GET", target, headers=headers or {})
        with connection.getresponse() as response:
            return response.status, response.read()
    finally:
        connection.close()


def answers(path: Path) -> bool:
    try:
        return get(path, "/health")[0] == 200
    except OSError:
        return False


def test_commands_write_and_query_over_the_socket(make_server: MakeServer, path: Path) -> None:
    server = started(make_server, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"socket={path}" in server.log_text
    host = ("--host", f"unix://{path}")
    written = server.cli("write", *host, "--database", "db", "m f=1i 1")
    assert written.returncode == 0, written.stderr
    asked = server.cli("query", *host, "--database", "db", "--format", "json", "SELECT f FROM m")
    assert json.loads(asked.stdout) == [{"f": 1}], asked.stderr
    # The address goes on, beside it.
    assert server.query("db", "SELECT f FROM m") == [{"f": 1}]
    assert server.stop() == 0
    assert not path.exists()
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []
    refused = server.cli("query", *host, "--database", "db", "SELECT 1")
    assert refused.returncode != 0
    assert f"no server answers at unix://{path}" in refused.stderr


def test_tokens_hold_on_the_socket(make_server: MakeServer, path: Path) -> None:
    server = started(make_server, path)
    target = "/api/v3/query_sql?db=_internal&q=SELECT+1"
    assert get(path, target)[0] == 200
    made = server.cli("create", "token", "--admin", "--format", "json")
    token = json.loads(made.stdout)["token"]
    assert get(path, target)[0] == 401
    assert get(path, target, {"Authorization": "Bearer wrong"})[0] == 401
    assert get(path, target, {"Authorization": f"Bearer {token}"})[0] == 200
    assert "wrong token" in server.log_text


def test_the_mode_is_a_setting_and_a_socket_left_behind_is_replaced(
    make_server: MakeServer, path: Path
) -> None:
    server = started(make_server, path, "--http-socket-mode", "660")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    server.kill()
    assert path.is_socket()
    server.start()
    wait_for(lambda: answers(path), "the socket answers again")
    assert server.stop() == 0
    assert not path.exists()


def test_a_taken_path_refuses_the_start(make_server: MakeServer, path: Path) -> None:
    path.write_text("mine")
    server = make_server("--http-socket", str(path)).start(wait=False)
    assert server.process is not None
    assert server.process.wait(60) != 0
    assert "exists and is not a socket" in server.log_text
    assert path.read_text() == "mine"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        server.start(wait=False)
        assert server.process.wait(60) != 0
        assert "another process listens on" in server.log_text
    assert path.is_socket()


def test_a_path_that_no_socket_can_have_is_refused(make_server: MakeServer, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    server = make_server("--http-socket", str(long)).start(wait=False)
    assert server.process is not None
    assert server.process.wait(60) != 0
    assert "longer than the 107 bytes" in server.log_text
    absent = tmp_path / "absent" / "h.sock"
    server.flags[-1] = os.fspath(absent)
    server.start(wait=False)
    assert server.process.wait(60) != 0
    assert f"cannot write to {absent.parent}" in server.log_text
