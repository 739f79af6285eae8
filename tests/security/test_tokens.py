"""The life of tokens on a real server: creation, schemes, restart, regeneration, secrecy."""

import base64
import json
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lp_core import SegmentReader
from tests.support.server import ROOT, ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

MakeServer = Callable[..., ServerProcess]
GOLDEN = Path(__file__).resolve().parents[1] / "e2e" / "golden" / "before-tokens.wal"


def create(server: ServerProcess, *flags: str) -> str:
    made = server.cli("create", "token", *flags)
    assert made.returncode == 0, made.stderr
    (line,) = [line for line in made.stdout.splitlines() if line.startswith("Token: ")]
    return line.removeprefix("Token: ")


def status(server: ServerProcess, authorization: str | None, path: str = "?db=db") -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return server.request("POST", f"/write{path}", b"m f=1i", headers=headers).status


def test_the_first_admin_token_closes_the_server_for_everybody_else(server: ServerProcess) -> None:
    assert "no admin token exists" in server.log_text
    assert status(server, None) == 204
    answer = server.request("POST", "/api/v3/configure/token/admin")
    assert answer.status == 201
    content = answer.json()
    assert set(content) == {*("id", "name", "token", "hash", "created_at", "expiry", "permissions")}
    assert content["name"] == "_admin"
    assert len(content["token"]) == 92
    assert len(content["hash"]) == 128
    assert content["expiry"] is None
    assert status(server, None) == 401
    secret = content["token"]
    basic = base64.b64encode(f"anybody:{secret}".encode()).decode()
    for authorization in (f"Bearer {secret}", f"Token {secret}", f"Basic {basic}"):
        assert status(server, authorization) == 204
    assert status(server, None, f"?db=db&u=anybody&p={secret}") == 204
    assert status(server, f"Bearer {secret}", "?db=db&p=wrong") == 401
    assert status(server, "Bearer") == 400
    headers = {"Authorization": f"Bearer {secret}"}
    again = server.request("POST", "/api/v3/configure/token/admin", headers=headers)
    assert again.status == 409


def damage_last_frame(server: ServerProcess) -> None:
    """Flip a bit in what the log has last."""
    path = max((server.data_dir / "node0" / "wal").glob("*.wal"))
    content = bytearray(path.read_bytes())
    *_, frame = SegmentReader(bytes(content)).scan()
    content[frame.offset + 70] ^= 1
    path.write_bytes(content)


def test_tokens_survive_a_kill_and_a_restart_and_no_deleted_one_a_damaged_log(
    make_server: MakeServer,
) -> None:
    server = make_server().start()
    admin = create(server, "--admin")
    server.environment["HEADRACE_AUTH_TOKEN"] = admin
    reader = create(server, "--database", "db:read", "--name", "reader")
    gone = create(server, "--database", "db:write", "--name", "gone")
    assert server.cli("delete", "token", "--token-name", "gone", "--yes").returncode == 0
    server.kill()
    damage_last_frame(server)
    server.start()
    assert "the log has lost changes of tokens" in server.log_text
    assert status(server, f"Bearer {admin}") == 204
    assert status(server, f"Bearer {reader}") == 403
    assert status(server, f"Bearer {gone}") == 401
    assert status(server, None) == 401
    shown = json.loads(server.cli("show", "tokens", "--format", "json").stdout)
    assert [(row["name"], row["permissions"]) for row in shown] == [
        ("_admin", "*:*:*"),
        ("reader", "db:db:read"),
    ]
    assert server.stop() == 0


def test_regeneration_voids_the_old_token(make_server: MakeServer) -> None:
    server = make_server().start()
    old = create(server, "--admin")
    server.environment["HEADRACE_AUTH_TOKEN"] = old
    unsure = server.cli("create", "token", "--admin", "--regenerate")
    assert unsure.returncode == 1
    assert status(server, f"Bearer {old}") == 204
    new = create(server, "--admin", "--regenerate", "--yes")
    assert status(server, f"Bearer {old}") == 401
    assert status(server, f"Bearer {new}") == 204
    server.kill()
    server.start()
    assert status(server, f"Bearer {old}") == 401
    assert status(server, f"Bearer {new}") == 204


def test_a_client_that_is_known_well_is_refused_without_its_token(make_server: MakeServer) -> None:
    server = make_server().start()
    server.environment["HEADRACE_AUTH_TOKEN"] = create(server, "--admin")
    secret = create(server, "--database", "db:write", "--name", "writer")
    headers = {"Authorization": f"Bearer {secret}"}

    def write() -> int:
        path = "/api/v3/write_lp?db=db&precision=ns"
        return server.request("POST", path, b"m f=1i 1", headers=headers).status

    assert [write() for _ in range(5)] == [204] * 5
    assert server.cli("delete", "token", "--token-name", "writer", "--yes").returncode == 0
    assert [write() for _ in range(2)] == [401] * 2
    answer = server.request("POST", "/api/v3/write_lp?db=other&precision=ns", b"m f=1i 1")
    assert answer.status == 401


def test_the_operators_token_cannot_be_deleted(server: ServerProcess) -> None:
    server.environment["HEADRACE_AUTH_TOKEN"] = create(server, "--admin")
    refused = server.cli("delete", "token", "--token-name", "_admin", "--yes")
    assert refused.returncode == 1
    assert "cannot delete operator token" in refused.stderr
    assert create(server, "--admin", "--name", "second", "--expiry", "1h")
    assert server.cli("delete", "token", "--token-name", "second", "--yes").returncode == 0
    missing = server.cli("delete", "token", "--token-name", "second", "--yes")
    assert "not found" in missing.stderr


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--admin", "--database", "db:read"),
        ("--database", "db:read"),
        ("--database", "db:fly", "--name", "x"),
        ("--database", "d b:read", "--name", "x"),
        ("--database", "_internal:read", "--name", "x"),
        ("--admin", "--expiry", "1h"),
        ("--admin", "--name", "x", "--expiry", "soon"),
        ("--admin", "--regenerate", "--name", "x"),
        ("--admin", "--offline"),
    ],
)
def test_wrong_orders_create_nothing(guarded: ServerProcess, flags: tuple[str, ...]) -> None:
    refused = guarded.cli("create", "token", *flags, "--yes")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    shown = json.loads(guarded.cli("show", "tokens", "--format", "json").stdout)
    assert [row["name"] for row in shown] == ["_admin"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> ServerProcess:  # type: ignore[misc]
    server = ServerProcess(tmp_path_factory.mktemp("guarded")).start()
    try:
        server.environment["HEADRACE_AUTH_TOKEN"] = create(server, "--admin")
        yield server
    finally:
        server.kill()


def test_a_databases_token_before_any_admin_token_is_refused(server: ServerProcess) -> None:
    refused = server.cli("create", "token", "--database", "db:read", "--name", "x")
    assert refused.returncode == 1
    assert "headrace create token --admin" in refused.stderr
    assert status(server, None) == 204


def test_wrong_tokens_are_slowed_counted_and_logged_without_their_text(
    make_server: MakeServer,
) -> None:
    server = make_server("--disable-authz", "metrics", "--log-level", "debug").start()
    good = create(server, "--admin")
    started = time.monotonic()
    for _ in range(4):
        assert status(server, "Bearer apiv3_guessed") == 401
    assert status(server, None, "?db=db&u=x&p=apiv3_guessed") == 401
    assert time.monotonic() - started > 0.1 + 0.2 + 0.4 + 0.8
    quick = time.monotonic()
    assert status(server, f"Bearer {good}") == 204
    assert time.monotonic() - quick < 0.8
    text = server.request("GET", "/metrics").body.decode()
    assert 'headrace_auth_failures_total{reason="wrong token"} 5' in text
    assert "wrong token client=127.0.0.1" in server.log_text
    assert "guessed" not in server.log_text
    assert good not in server.log_text
    assert server.stop() == 0
    for path in server.data_dir.rglob("*"):
        if path.is_file():
            assert good.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("megabytes", [1, 9])
def test_a_refused_client_with_a_large_body_gets_its_answer(
    guarded: ServerProcess, megabytes: int
) -> None:
    body = b"m f=1i\n" * (megabytes * 150_000)
    for path, expected in (("/write?db=db", 401), ("/nowhere", 401)):
        assert guarded.request("POST", path, body).status == expected
    headers = {"Authorization": f"Bearer {guarded.environment['HEADRACE_AUTH_TOKEN']}"}
    for path, expected in (("/write", 400), ("/nowhere", 404)):
        assert guarded.request("POST", path, body, headers=headers).status == expected


def test_a_refused_client_that_never_sends_its_body_is_answered_soon(
    guarded: ServerProcess,
) -> None:
    head = b"POST /write?db=db HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nm f"
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as connection:
        connection.sendall(head)
        assert b" 401 " in connection.recv(1000)
    assert time.monotonic() - started < 15


def test_an_expired_token_opens_nothing_any_more(guarded: ServerProcess) -> None:
    create(guarded, "--database", "*:read,write", "--name", "later", "--expiry", "1h")
    secret = create(guarded, "--database", "*:read,write", "--name", "brief", "--expiry", "1s")
    wait_for(lambda: status(guarded, f"Bearer {secret}") == 401, "it has expired", timeout_s=60)
    headers = {"Authorization": f"Bearer {secret}"}
    refused = guarded.request("GET", "/api/v3/configure/database", headers=headers)
    assert refused.status == 401
    # As one that never was, so that nobody learns that it was right once.
    assert refused.json()["hint"] == "the token is unknown or has expired"
    for name in ("later", "brief"):
        assert guarded.cli("delete", "token", "--token-name", name, "--yes").returncode == 0


def test_tokens_are_not_echoed(guarded: ServerProcess) -> None:
    secret = "apiv3_thisisnotatoken"
    for headers, path in (
        ({"Authorization": f"Bearer {secret}"}, "/api/v3/configure/token"),
        ({"Authorization": f"Digest {secret}"}, "/api/v3/configure/token"),
        ({}, f"/write?db=db&p={secret}"),
        ({}, f"/nowhere?p={secret}"),
    ):
        answer = guarded.request("POST", path, b"m f=1i", headers=headers)
        assert answer.status in (400, 401)
        assert secret.encode() not in answer.body
        assert secret not in str(answer.headers)


def test_plugins_keep_their_rights_and_see_no_token(make_server: MakeServer) -> None:
    server = make_server().start()
    source = (
        "def process_request(api, query, headers, body, args):\n"
        "    line = LineBuilder('written')\n"
        "    line.int64_field('f', 1)\n"
        "    api.write(line)\n"
        "    return {'rows': len(api.query('SELECT * FROM m')), 'headers': dict(headers)}\n"
    )
    server.plugin("p.py", source)
    server.write("db", "m f=1i 1")
    assert server.create_trigger("db", "t", "request:p", "p.py").status == 200
    server.environment["HEADRACE_AUTH_TOKEN"] = create(server, "--admin")
    reader = create(server, "--database", "db:read", "--name", "reader")
    answer = server.request(
        "GET", "/api/v3/engine/p", headers={"Authorization": f"Bearer {reader}"}
    )
    assert answer.status == 200, answer.body
    assert answer.json()["rows"] == 1
    assert reader not in answer.body.decode()
    written = server.cli("query", "-d", "db", "--format", "json", "SELECT f FROM written")
    assert json.loads(written.stdout) == [{"f": 1}]


def test_a_data_directory_from_before_tokens_starts(make_server: MakeServer) -> None:
    server = make_server()
    directory = server.data_dir / "node0" / "wal"
    directory.mkdir(parents=True)
    (directory / "00000000000000000001.wal").write_bytes(GOLDEN.read_bytes())
    server.plugin("p.py", "def process_request(api, q, h, b, args):\n    return 'x'\n")
    server.start()
    assert server.query("db", "SELECT t, f FROM m ORDER BY f") == [
        {"f": 1, "t": "a"},
        {"f": 2, "t": "b"},
    ]
    secret = create(server, "--admin")
    assert status(server, None) == 401
    assert server.stop() == 0
    server.start()
    assert status(server, f"Bearer {secret}") == 204
    headers = {"Authorization": f"Bearer {secret}"}
    triggers = server.request(
        "GET", "/api/v3/configure/processing_engine_trigger", headers=headers
    ).json()
    assert [(row["trigger_name"], row["disabled"]) for row in triggers] == [("tr", True)]


def test_an_offline_file_presets_the_admin_token(make_server: MakeServer, tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    server = make_server("--admin-token-file", str(path))
    made = server.cli("create", "token", "--admin", "--offline", "--output-file", str(path))
    assert made.returncode == 0, made.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = json.loads(path.read_text())["token"]
    assert secret not in made.stdout
    again = server.cli("create", "token", "--admin", "--offline", "--output-file", str(path))
    assert again.returncode == 1
    server.start()
    assert status(server, None) == 401
    assert status(server, f"Bearer {secret}") == 204
    assert "no admin token exists" not in server.log_text
    assert server.stop() == 0
    # Another file is how a lost token is replaced.
    other = "apiv3_" + "x" * 86
    path.write_text(json.dumps({"token": other, "name": "_admin"}))
    server.start()
    assert status(server, f"Bearer {secret}") == 401
    assert status(server, f"Bearer {other}") == 204
    assert "admin token replaced" in server.log_text
    for text in (secret, other):
        assert text not in server.log_text


def test_a_preset_in_the_environment_does_not_reach_plugins(make_server: MakeServer) -> None:
    secret = "apiv3_" + "e" * 86
    server = make_server()
    server.environment["HEADRACE_ADMIN_TOKEN"] = secret
    server.plugin(
        "env.py",
        "import os\ndef process_request(api, q, h, b, args):\n    return dict(os.environ)\n",
    )
    server.start()
    server.environment["HEADRACE_AUTH_TOKEN"] = secret
    assert server.cli("create", "database", "db").returncode == 0
    created = server.cli(
        *("create", "trigger", "-d", "db", "--trigger-spec", "request:env", "--path", "env.py", "t")
    )
    assert created.returncode == 0, created.stderr
    answer = server.request(
        "GET", "/api/v3/engine/env", headers={"Authorization": f"Bearer {secret}"}
    )
    assert "PATH" in answer.json()
    assert secret not in answer.body.decode()


@pytest.mark.parametrize(
    "content",
    [
        '{"token": "short"}',
        "apiv3_x",
        '{"token": "a b c d"}',
        '{"token": "%s", "expiry_millis": 9000000000001}' % ("x" * 92),
    ],
)
def test_a_weak_or_wrong_preset_is_refused(
    make_server: MakeServer, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "token.json"
    path.write_text(content)
    server = make_server("--admin-token-file", str(path)).start(wait=False)
    assert server.process is not None
    assert server.process.wait(20) == 2
    assert "--admin-token-file" in server.log_text
    assert content not in server.log_text


def test_other_addresses_are_open_with_a_token_only(tmp_path: Path) -> None:
    token = tmp_path / "token.json"
    token.write_text(json.dumps({"token": "apiv3_" + "y" * 86}))
    token.chmod(0o600)

    def serve(*flags: str) -> subprocess.Popen[bytes]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "engine", "serve", "--http-bind", f"127.0.0.2:{port}"]
        return subprocess.Popen(
            [*command, "--data-dir", str(tmp_path / "data"), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )

    with serve() as refused:
        output = refused.communicate(timeout=30)[0].decode()
        assert refused.returncode == 1
        assert "no admin token" in output
        assert "--without-auth" in output
    for flags in (("--admin-token-file", str(token)), (), ("--without-auth",)):
        with serve(*flags) as accepted:
            assert accepted.stdout is not None
            try:
                assert any(b" listening " in line for line in accepted.stdout)
            finally:
                accepted.kill()


def test_token_routes_are_off_without_auth(make_server: MakeServer) -> None:
    server = make_server("--without-auth").start()
    answer = server.request("POST", "/api/v3/configure/token/admin")
    assert (answer.status, answer.json()["error"]) == (
        405,
        "endpoint disabled, started without auth",
    )
    assert status(server, "Bearer None") == 204
