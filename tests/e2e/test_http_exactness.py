"""What clients of all versions look at besides rows: headers, error bodies, encodings, the old parameters."""

import gzip
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import engine
from tests.support.certificates import certificate
from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

MakeServer = Callable[..., ServerProcess]
REQUESTS = [
    ("GET", "/health", None, 200),
    ("GET", "/ping", None, 200),
    ("HEAD", "/ping", None, 200),
    ("POST", "/write?db=headers", b"m f=1i", 204),
    ("POST", "/api/v2/write?bucket=headers", b"m f=1i", 204),
    ("POST", "/api/v3/write_lp?db=headers", b"m f=oops", 400),
    ("POST", "/api/v2/write", b"m f=1i", 400),
    ("GET", "/nowhere", None, 404),
    ("OPTIONS", "/api/v3/query_sql", None, 204),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), REQUESTS)
def test_every_answer_says_who_answered_and_which_request(
    shared_server: ServerProcess, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = shared_server.request(method, path, body)
    assert answer.status == status
    headers = answer.headers
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers["cluster-uuid"])
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        headers["request-id"],
    )
    assert headers["x-request-id"] == headers["request-id"]
    assert headers["x-influxdb-version"] == engine.__version__
    assert headers["x-influxdb-build"] == "Core"
    assert headers["access-control-allow-origin"] == "*"


def test_a_clients_request_id_comes_back_if_it_is_one(shared_server: ServerProcess) -> None:
    def ids(given: str) -> tuple[str, str]:
        answer = shared_server.request("GET", "/ping", headers={"X-Request-Id": given})
        return answer.headers["request-id"], answer.headers["x-request-id"]

    assert ids("abc-1.2_3") == ("abc-1.2_3", "abc-1.2_3")
    for bad in ("a b", "x" * 65, "ä", "a;b"):
        assert bad not in ids(bad)


def test_the_cluster_uuid_outlives_the_process(make_server: MakeServer) -> None:
    server = make_server().start()
    first = server.request("GET", "/ping").headers["cluster-uuid"]
    server.kill()
    server.start()
    assert server.request("GET", "/health").headers["cluster-uuid"] == first


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v3/write_lp", b"m f=1i", 400),
        ("POST", "/api/v3/write_lp?db=e", b"m f=1i\nm f=", 400),
        ("POST", "/api/v3/write_lp?db=e", b"", 400),
        ("POST", "/write?db=e&precision=x", b"m f=1i", 400),
        ("POST", "/write", b"m f=1i", 400),
        ("GET", "/api/v3/query_sql", None, 400),
        ("GET", "/api/v3/query_sql?db=none&q=SELECT+1", None, 404),
        ("GET", "/api/v3/query_sql?db=e&q=DROP+TABLE+m", None, 405),
        ("GET", "/api/v3/query_sql?db=e&q=SELEC", None, 400),
        ("GET", "/api/v3/engine/none", None, 404),
        ("POST", "/api/v3/configure/database", b"{}", 415),
        ("DELETE", "/api/v3/configure/database?db=none", None, 404),
        ("GET", "/api/v3/configure/token?format=xml", None, 400),
        ("PUT", "/ping", None, 404),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_errors_have_one_form(
    shared_server: ServerProcess, method: str, path: str, body: bytes | None, status: int
) -> None:
    shared_server.write("e", "m f=1i 1")
    answer = shared_server.request(method, path, body)
    assert answer.status == status, answer.body
    content = answer.json()
    assert set(content) - {"data"} == {"error", "code", "hint"}
    assert answer.headers["content-type"] == "application/json"


def test_errors_of_version_2_have_its_words_too(shared_server: ServerProcess) -> None:
    answer = shared_server.request("POST", "/api/v2/write?bucket=v2", b"m f=1i 1\nm f=\n")
    assert answer.status == 400
    content = answer.json()
    assert content["code"] == "invalid"
    assert content["line"] == 2
    assert content["message"].startswith("write buffer error: line protocol parse failed: ")
    assert content["error"] == content["message"]
    assert answer.headers["x-influxdb-error"] == content["message"]


def test_the_error_header_cannot_be_broken_out_of(shared_server: ServerProcess) -> None:
    answer = shared_server.request("POST", "/write?db=h&precision=a%0d%0aevil:%20%C3%BC", b"m f=1i")
    assert answer.status == 400
    assert "evil" not in answer.headers
    assert "a??evil: ?" in answer.headers["x-influxdb-error"]


@pytest.mark.parametrize(
    ("precision", "unit_ns"),
    [
        ("ns", 1),
        ("n", 1),
        ("us", 1_000),
        ("u", 1_000),
        ("ms", 10**6),
        ("s", 10**9),
        ("m", 60 * 10**9),
        ("h", 3_600 * 10**9),
        ("", 1),
    ],
)
@pytest.mark.parametrize("path", ["/write?db={}", "/api/v2/write?bucket={}"])
def test_precisions_of_the_older_versions(
    shared_server: ServerProcess, path: str, precision: str, unit_ns: int
) -> None:
    database = f"p{len(path)}{precision or 'none'}"
    target = path.format(database) + f"&precision={precision}"
    assert shared_server.request("POST", target, b"m f=1i 7").status == 204
    ((row,),) = [shared_server.query(database, "SELECT CAST(time AS BIGINT) AS t FROM m")]
    assert row == {"t": 7 * unit_ns}


def test_lines_without_a_time_get_the_beginning_of_their_hour(shared_server: ServerProcess) -> None:
    assert shared_server.request("POST", "/write?db=hour&precision=h", b"m f=1i").status == 204
    ((row,),) = [shared_server.query("hour", "SELECT CAST(time AS BIGINT) AS t FROM m")]
    assert row["t"] % (3_600 * 10**9) == 0
    late = shared_server.request("POST", "/write?db=hour&precision=h", b"m f=1i 9999999999")
    assert late.status == 400
    assert "precision: Hour" in late.json()["error"] + str(late.json().get("data"))


@pytest.mark.parametrize(
    ("policy", "database"),
    [("", "rp"), ("autogen", "rp"), ("DEFAULT", "rp"), ("Weekly", "rp/weekly")],
)
def test_retention_policies_name_databases(
    shared_server: ServerProcess, policy: str, database: str
) -> None:
    answer = shared_server.request("POST", f"/write?db=rp&rp={policy}&u=a", b"t%s f=1i" % b"x")
    assert answer.status == 204
    assert shared_server.query(database, "SELECT count(*) AS n FROM tx")[0]["n"] >= 1


def test_answers_are_compressed_for_who_can_read_it(shared_server: ServerProcess) -> None:
    shared_server.write("zip", "".join(f"m,t=tag f={n}i {n}\n" for n in range(20_000)))
    for count in (5, 500, 20_000):
        query = f"/api/v3/query_sql?db=zip&q=SELECT+f,t+FROM+m+ORDER+BY+f+LIMIT+{count}"
        plain = shared_server.request("GET", query)
        assert "content-encoding" not in plain.headers
        packed = shared_server.request("GET", query, headers={"Accept-Encoding": "br, gzip;q=0.8"})
        refused = shared_server.request("GET", query, headers={"Accept-Encoding": "gzip;q=0"})
        assert refused.body == plain.body
        if count == 5:
            assert packed.body == plain.body
            continue
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "accept-encoding"
        assert packed.headers["content-length"] == str(len(packed.body))
        assert len(packed.body) < len(plain.body) / 3
        assert gzip.decompress(packed.body) == plain.body


def raw(server: ServerProcess, request: bytes, until: bytes) -> bytes:
    """What the server sends on one connection until `until` has come."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request)
        received = b""
        while until not in received:
            piece = connection.recv(65536)
            assert piece, received
            received += piece
        return received


def test_a_client_may_ask_before_it_sends_its_body(shared_server: ServerProcess) -> None:
    head = (
        b"POST /write?db=expect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=60) as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"m f=1i")
        assert b"HTTP/1.1 204 " in connection.recv(4000)


def test_a_refused_client_does_not_send_its_body_in_vain(make_server: MakeServer) -> None:
    server = make_server().start()
    assert server.cli("create", "token", "--admin").returncode == 0
    head = (
        b"POST /write?db=expect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    assert raw(server, head, b"\r\n\r\n").startswith(b"HTTP/1.1 401 ")


def test_head_answers_have_no_body(shared_server: ServerProcess) -> None:
    both = (
        b"HEAD /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
        b"HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    received = raw(shared_server, both, b"text/plain")
    assert received.count(b"HTTP/1.1 200 ") == 2
    assert b"process_id" not in received


def test_health_and_ping_speak_to_each_version_its_way(shared_server: ServerProcess) -> None:
    def ask(path: str, accept: str) -> tuple[int, bytes]:
        answer = shared_server.request("GET", path, headers={"Accept": accept} if accept else {})
        return answer.status, answer.body

    assert ask("/health", "") == ask("/health", "*/*") == (200, b"OK")
    assert json.loads(ask("/health", "application/json")[1])["status"] == "pass"
    for accept in ("", "*/*", "application/json"):
        assert json.loads(ask("/ping", accept)[1])["version"] == engine.__version__
    assert ask("/ping", "application/x-msgpack") == (204, b"")


@pytest.mark.parametrize(
    ("path", "agent", "status", "content"),
    [
        ("/ping?wait_for_leader=5s", "", 204, b""),
        ("/ping", "InfluxDBClient", 204, b""),
        ("/health", "influxdb-client-go/2.14.0 (linux; amd64)", 200, b'"status":"pass"'),
    ],
)
def test_go_clients_that_say_nothing_of_what_they_accept_are_understood(
    shared_server: ServerProcess, path: str, agent: str, status: int, content: bytes
) -> None:
    answer = shared_server.request("GET", path, headers={"User-Agent": agent} if agent else {})
    assert answer.status == status
    assert content in answer.body


def test_http_2_with_prior_knowledge(shared_server: ServerProcess) -> None:
    # Preface and an empty SETTINGS frame: the answer begins with the server's SETTINGS frame.
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=60) as connection:
        connection.sendall(preface)
        head = connection.recv(9)
    assert head[3] == 4


@pytest.mark.parametrize("path", ["/ping", "/health", "/nowhere"])
def test_head_answers_of_http_2_have_no_body(shared_server: ServerProcess, path: str) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    # :method, :scheme, :path and :authority, by their numbers in the static table of HPACK.
    names = b"\x02\x04HEAD\x86\x04%c%s\x01\x09localhost" % (len(path), path.encode())
    head = len(names).to_bytes(3, "big") + b"\x01\x05\x00\x00\x00\x01" + names
    answered = False
    with (
        socket.create_connection(("127.0.0.1", shared_server.port), timeout=60) as connection,
        connection.makefile("rb") as stream,
    ):
        connection.sendall(preface + head)
        while not answered:
            frame = stream.read(9)
            content = stream.read(int.from_bytes(frame[:3], "big"))
            kind, flags, number = frame[3], frame[4], int.from_bytes(frame[5:], "big")
            assert not (kind == 0 and content), "a body"
            assert kind not in (3, 7), "the stream or the connection breaks off"
            answered = number == 1 and bool(flags & 1)


def test_preflights_permit_the_token_header(make_server: MakeServer) -> None:
    server = make_server().start()
    assert server.cli("create", "token", "--admin").returncode == 0
    headers = {
        "Origin": "http://dashboard.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = server.request("OPTIONS", "/api/v3/query_sql", headers=headers)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "86400"
    refused = server.request("POST", "/api/v3/query_sql", headers=headers)
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == "*"


def test_preflights_of_other_sites_are_refused_while_there_are_no_tokens(
    shared_server: ServerProcess,
) -> None:
    answer = shared_server.request("OPTIONS", "/write", headers={"Origin": "http://evil.example"})
    assert answer.status == 403


def test_tls(make_server: MakeServer, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    server = make_server("--tls-cert", str(cert), "--tls-key", str(key)).start(wait=False)
    wait_for(lambda: " listening url=https://" in server.log_text, "it listens", timeout_s=30)
    url = f"https://127.0.0.1:{server.port}"

    def write(*flags: str) -> subprocess.CompletedProcess[str]:
        return server.cli("write", "-d", "db", "m f=1i 1", "--host", url, *flags)

    wait_for(lambda: write("--tls-ca", str(cert)).returncode == 0, "it writes over TLS")
    assert "certificate" in write().stderr
    assert write("--tls-no-verify").returncode == 0
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(plain)
    assert server.stop() == 0


def test_the_oldest_version_of_tls_can_be_set(make_server: MakeServer, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    flags = ("--tls-cert", str(cert), "--tls-key", str(key), "--tls-minimum-version", "tls-1.3")
    server = make_server(*flags).start(wait=False)
    client = ssl.create_default_context(cafile=str(cert))

    def version() -> str | None:
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1") as spoken,
        ):
            return spoken.version()

    def answers() -> bool:
        try:
            return version() == "TLSv1.3"
        except ConnectionRefusedError:
            return False

    wait_for(answers, "it speaks TLS 1.3")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        version()
    assert server.stop() == 0


def test_the_description_names_every_route(shared_server: ServerProcess) -> None:
    answer = shared_server.request("GET", "/openapi.json")
    assert answer.status == 200
    document = json.loads(answer.body)
    assert document["openapi"].startswith("3.1")
    write = document["paths"]["/api/v3/write_lp"]["post"]
    assert {parameter["name"] for parameter in write["parameters"]} == {
        *("db", "precision", "accept_partial", "no_sync")
    }
    assert write["x-right"] == "database write"
    assert document["paths"]["/ping"]["head"]["security"] == []
    assert document["paths"]["/api/v3/engine/{path}"]["get"]["parameters"][0]["in"] == "path"
    references = set(re.findall(r'"#/components/schemas/(\w+)"', answer.body.decode()))
    assert references <= set(document["components"]["schemas"])
