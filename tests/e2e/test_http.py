"""What HTTP itself can do to a request: bodies that break off, hosts, paths, versions."""

import socket
from collections.abc import Callable

import pytest

from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e

CHUNKED = (
    "POST /api/v3/write_lp?db={db}&precision=ns HTTP/1.1\r\nHost: localhost\r\n"
    "Transfer-Encoding: chunked\r\n\r\n8\r\nm f=1i 1\r\n"
)
LENGTH = (
    "POST /api/v3/write_lp?db={db}&precision=ns HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Length: 20\r\n\r\nm f=1i 1\nm "
)


def exchange(server: ServerProcess, text: str, *, breaks_off: bool = False) -> bytes:
    """Send `text` and return all that the server answers."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        head, separator, body = text.partition("\r\n\r\n")
        connection.sendall(f"{head}\r\nConnection: close{separator}{body}".encode())
        if breaks_off:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


@pytest.mark.parametrize(
    ("db", "text"),
    [
        ("cut1", CHUNKED),
        ("cut2", CHUNKED + "5\r\nm f"),
        ("cut3", CHUNKED + "no number\r\n"),
        ("cut4", LENGTH),
    ],
)
def test_half_a_body_is_never_stored(shared_server: ServerProcess, db: str, text: str) -> None:
    answer = exchange(shared_server, text.format(db=db), breaks_off=True)
    assert not answer.startswith(b"HTTP/1.1 2")
    shared_server.write(db, "other f=1i 1\n")
    tables = {row["table_name"] for row in shared_server.query(db, "SHOW TABLES")}
    assert "other" in tables
    assert "m" not in tables


def test_a_whole_body_in_chunks_is_stored(shared_server: ServerProcess) -> None:
    text = CHUNKED.format(db="chunks") + "9\r\n\nm f=2i 2\r\n0\r\n\r\n"
    assert exchange(shared_server, text).startswith(b"HTTP/1.1 204")
    assert shared_server.query("chunks", "SELECT sum(f) AS s FROM m") == [{"s": 3}]


def test_a_chunked_body_with_trailers_is_whole(shared_server: ServerProcess) -> None:
    answer = exchange(shared_server, CHUNKED.format(db="trailers") + "0\r\nx-a: b\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 204")
    assert shared_server.query("trailers", "SELECT f FROM m") == [{"f": 1}]


def test_requests_behind_each_other_on_one_connection_keep_their_bodies(
    shared_server: ServerProcess,
) -> None:
    """Nothing waits for the end of a body of known length: the next request begins behind it."""
    shared_server.write("pipe", "m f=0i 1\n")
    requests = "".join(
        "POST /api/v3/write_lp?db=pipe&precision=ns HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(line)}\r\n\r\n{line}"
        for line in (f"m f={number}i {number}" for number in range(2, 40))
    )
    last = "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=20) as connection:
        connection.sendall((requests + last).encode())
        answer = b""
        while b"HTTP/1.1 200" not in answer:
            received = connection.recv(65536)
            assert received, answer
            answer += received
    assert answer.count(b"HTTP/1.1 204") == 38
    assert shared_server.query("pipe", "SELECT count(f) AS n, sum(f) AS s FROM m") == [
        {"n": 39, "s": sum(range(2, 40))}
    ]


def test_a_body_that_comes_byte_by_byte_is_whole(shared_server: ServerProcess) -> None:
    line = b"m f=1i 1\nm f=2i 2\n"
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            "POST /api/v3/write_lp?db=bytes&precision=ns HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(line)}\r\n\r\n"
        )
        connection.sendall(head.encode())
        for byte in line:
            connection.sendall(bytes([byte]))
        assert connection.recv(65536).startswith(b"HTTP/1.1 204")
    assert shared_server.query("bytes", "SELECT sum(f) AS s FROM m") == [{"s": 3}]


def lines_sent(connection: socket.socket, db: str, *parts: bytes) -> bytes:
    """Send a write in parts, in a packet each, that looks like every other from here."""
    head = (
        f"POST /api/v3/write_lp?db={db}&precision=ns HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {sum(map(len, parts))}\r\n\r\n"
    )
    connection.sendall(head.encode() + parts[0])
    for part in parts[1:]:
        connection.sendall(part)
    return connection.recv(65536)


def test_writes_that_look_like_others_are_told_apart(shared_server: ServerProcess) -> None:
    """What is known of a client's requests spares work, not checks."""
    address = ("127.0.0.1", shared_server.port)
    with socket.create_connection(address, timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = [
            lines_sent(connection, "alike", f"m f={number}i {number}".encode())
            for number in range(10)
        ]
        heads = [dict(line.split(b": ", 1) for line in one.split(b"\r\n")[1:-2]) for one in answers]
        assert all(one.startswith(b"HTTP/1.1 204") for one in answers)
        assert {frozenset(head) for head in heads} == {frozenset(heads[0])}
        assert len({head[b"request-id"] for head in heads}) == 10
        assert lines_sent(connection, "alike", b"m f=oops 11").startswith(b"HTTP/1.1 400")
        assert lines_sent(connection, "alike", b"m f=1.5 12").startswith(b"HTTP/1.1 400")
        assert lines_sent(connection, "alike", b'm,h=a f=13i,s="x y" 13').startswith(b"HTTP/1.1 2")
        assert lines_sent(connection, "alike", b"m f=", b"14i ", b"14").startswith(b"HTTP/1.1 204")
    with socket.create_connection(address, timeout=20) as broken:
        text = LENGTH.format(db="alike").replace("m f=1i 1", "n f=1i 1")
        broken.sendall(text.encode())
    found = shared_server.query("alike", "SELECT count(*) AS n, sum(f) AS s FROM m")
    assert found == [{"n": 12, "s": sum(range(10)) + 13 + 14}]
    tables = {row["table_name"] for row in shared_server.query("alike", "SHOW TABLES")}
    assert "n" not in tables


def test_a_silent_body_gets_408_and_others_go_on(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server("--http-receive-timeout", "1s").start()
    answers = []
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for number in range(4):
            lines_sent(connection, "silent", b"other f=%di %d" % (number, number))
    head = LENGTH.format(db="silent").partition("m f=")[0]
    for text in (LENGTH.format(db="silent"), CHUNKED.format(db="silent"), head):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(text.encode())
            assert server.write("silent", "other f=1i 1\n").status == 204
            answers.append(connection.recv(65536))
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 408"] * 3
    tables = {row["table_name"] for row in server.query("silent", "SHOW TABLES")}
    assert "m" not in tables


@pytest.mark.parametrize(
    "text",
    [
        "GET /ping HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /ping HTTP/1.1\r\nHost: h\u00f6st\r\n\r\n",
        "GET /ping HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
        "GET /ping HTTP/1.1\r\nHost: localhost\r\nOrigin: http://\u00e9vil\r\n\r\n",
        "GET /ping HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n",
        "GET /ping HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n",
    ],
)
def test_other_hosts_and_origins_are_refused(shared_server: ServerProcess, text: str) -> None:
    assert exchange(shared_server, text).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:3000"},
    ],
)
def test_pages_of_this_machine_are_served(
    shared_server: ServerProcess, headers: dict[str, str]
) -> None:
    for _ in range(2):
        assert shared_server.request("GET", "/ping", headers=headers).status == 200


def test_text_that_is_not_escaped_in_the_url_is_utf_8(shared_server: ServerProcess) -> None:
    shared_server.write("bare", "m f=1i 1\n")
    question = "/api/v3/query_sql?db=bare&q=SELECT%20'\u00e9'%20AS%20x"
    answer = exchange(shared_server, f"GET {question} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.endswith('[{"x":"\u00e9"}]'.encode())


def test_it_listens_on_the_address_of_a_name(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server()
    server.flags = ["--http-bind", f"localhost:{server.port}"]
    server.start()
    assert f"listening url=http://localhost:{server.port}" in server.log_text
    assert server.stop() == 0


def test_a_name_without_an_address_is_refused(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server("--http-bind", "no.such.host.invalid:8181", "--without-auth")
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(60) == 1
    assert "--http-bind: no.such.host.invalid: " in server.log_text
    assert "listening" not in server.log_text


def test_old_and_odd_requests_are_answered(shared_server: ServerProcess) -> None:
    answer = exchange(shared_server, "GET /ping HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200")
    head = shared_server.request("HEAD", "/ping")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    options = shared_server.request("OPTIONS", "/api/v3/write_lp")
    assert options.status == 204
    assert options.headers["access-control-allow-methods"] == "*"


def test_a_request_trigger_answers_at_its_path_as_sent(shared_server: ServerProcess) -> None:
    source = 'def process_request(a, q, h, body, args):\n    return {"by": args["by"]}\n'
    shared_server.plugin("echo.py", source)
    shared_server.write("paths", "m f=1i 1\n")
    for name, path in (("spelled", "a%2Fb"), ("plain", "a/b"), ("other", "x%20y")):
        answer = shared_server.create_trigger(
            "paths", name, f"request:{path}", "echo.py", arguments={"by": name}
        )
        assert answer.status == 200
    for path, name in (("a/b", "plain"), ("x%20y", "other")):
        answer = shared_server.request("GET", f"/api/v3/engine/{path}")
        assert answer.json() == {"by": name}
    assert shared_server.request("GET", "/api/v3/engine/x").status == 404
