"""Start and stop of the server."""

import contextlib
import http.client
import signal
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

MakeServer = Callable[..., ServerProcess]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_an_ordered_stop_keeps_everything(make_server: MakeServer, signum: int) -> None:
    server = make_server().start()
    server.cli("create", "database", "db")
    server.write("db", "m,h=a f=1i 1\n", precision="ns")
    assert server.stop(signum) == 0
    assert "stopped" in server.log_text
    server.start()
    assert server.query("db", "SELECT f, h FROM m") == [{"f": 1, "h": "a"}]
    assert server.stop() == 0


def test_the_server_stops_with_a_client_stalled_in_its_body(make_server: MakeServer) -> None:
    server = make_server().start()
    with socket.create_connection(("127.0.0.1", server.port)) as stalled:
        head = (
            "POST /api/v3/write_lp?db=db HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        )
        stalled.sendall(head.encode() + b"m f=1i")
        assert server.request("GET", "/health").status == 200
        assert server.stop(timeout_s=30) == 0


def test_the_server_stops_in_order_whatever_is_under_way(make_server: MakeServer) -> None:
    large = ("--query-text-max", "1MB", "--query-words-max", "200000")
    server = make_server("--shutdown-timeout", "500ms", *large).start()
    server.plugin("endless.py", "def process_request(a, q, h, b, args):\n    while True: pass\n")
    server.cli("create", "database", "db")
    server.write("db", "m f=1i 1\n", precision="ns")
    assert server.create_trigger("db", "endless", "request:endless", "endless.py").status == 200
    endless = "SELECT count(*) FROM generate_series(1, 100000000000) AS g(x) WHERE x % 7 = 3"
    # Half a megabyte of SQL is translated for seconds, in a thread that nothing can stop.
    numbers = ", ".join(str(number) for number in range(60_000))

    def ask(sql: str | None) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if sql is None:
                server.request("GET", "/api/v3/engine/endless")
            else:
                server.ask("db", sql)

    for sql in (None, endless, f"SELECT f FROM m WHERE f IN ({numbers})"):
        threading.Thread(target=ask, args=(sql,), daemon=True).start()
    running = "SELECT count(*) AS n FROM system.queries WHERE phase = 'received'"
    wait_for(lambda: server.query("db", running)[0]["n"] >= 3, "both queries are under way")
    wait_for(lambda: server.logs("db", "endless"), "the plugin runs")
    assert server.stop(timeout_s=30) == 0
    assert "Traceback" not in server.log_text
    server.start()
    assert server.query("db", "SELECT f FROM m") == [{"f": 1}]


def test_a_silent_client_is_cut_off(make_server: MakeServer) -> None:
    server = make_server("--http-receive-timeout", "200ms").start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as silent:
        head = (
            "POST /api/v3/write_lp?db=db HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        )
        silent.sendall(head.encode())
        assert b" 408 " in silent.recv(1000)


def test_a_second_server_on_the_same_directory_is_refused(make_server: MakeServer) -> None:
    first = make_server().start()
    second = make_server().start(wait=False)
    assert first.process is not None
    assert second.process is not None
    assert second.process.wait(20) == 1
    assert f"in use by another server (process {first.process.pid})" in second.log_text
    assert first.request("GET", "/health").status == 200


def test_addresses_other_machines_can_reach_need_a_decision(
    make_server: MakeServer, tmp_path: Path
) -> None:
    refused = make_server().cli(
        "serve", "--http-bind", "0.0.0.0:1", "--data-dir", str(tmp_path / "x")
    )
    assert refused.returncode == 1
    assert "--without-auth" in refused.stderr


def test_a_taken_port_is_an_error(make_server: MakeServer, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = make_server().cli(
            "serve", "--http-bind", f"127.0.0.1:{port}", "--data-dir", str(tmp_path / "x")
        )
    assert result.returncode == 1
    assert f"{port}" in result.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_two_servers_do_not_share_a_port(
    make_server: MakeServer, tmp_path: Path, host: str
) -> None:
    first = make_server().start()
    flags = ("--data-dir", str(tmp_path / "x"), "--without-auth")
    second = first.cli("serve", "--http-bind", f"{host}:{first.port}", *flags)
    assert second.returncode == 1
    assert f"{first.port}: Address already in use" in second.stderr
    assert "listening" not in second.stderr
    assert "--http-bind" in second.stderr
    # Its port is free at once for the next one, though connections of before linger.
    assert first.request("GET", "/health").status == 200
    first.kill()
    first.start()


@pytest.mark.parametrize("years_ahead", [1, 40])
def test_a_schedule_of_a_later_year_is_kept_over_a_restart(
    make_server: MakeServer, years_ahead: int
) -> None:
    server = make_server().start()
    server.plugin("yearly.py", "def process_scheduled_call(api, time, args=None):\n    pass\n")
    server.cli("create", "database", "db")
    spec = f"cron:0 0 0 1 1 * {datetime.now(UTC).year + years_ahead}"
    assert server.create_trigger("db", "yearly", spec, "yearly.py").status == 200
    assert server.write("db", "m f=1i 1\n", precision="ns").status == 204
    server.kill()
    server.start()
    assert server.query("db", "SELECT f FROM m") == [{"f": 1}]
    assert server.stop() == 0
