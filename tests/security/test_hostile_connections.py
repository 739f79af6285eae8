"""What can be done to the server below HTTP: silence, drips, garbage, bombs, thousands of idle clients.

All that it may answer is a refusal or the end of the connection; memory stays bounded, others are served, and nothing is left open.
"""

import contextlib
import gzip
import os
import random
import resource
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e

# HEADRACE_IDLE_CONNECTIONS=11000 is more than there are places for.
IDLE_CONNECTIONS = int(os.environ.get("HEADRACE_IDLE_CONNECTIONS", "10000"))
GARBAGE_ROUNDS = int(os.environ.get("HEADRACE_GARBAGE_ROUNDS", "150"))

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
WRITE = b"POST /api/v3/write_lp?db=hostile HTTP/1.1\r\nHost: localhost\r\n"
LINE = b"m f=1i 1\n"
WHOLE = WRITE + b"Content-Length: %d\r\n\r\n%s" % (len(LINE), LINE)
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
END = b"\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that loses its patience soon; nothing that is done to it is an error of its own."""
    flags = ("--http-idle-timeout", "1s", "--http-receive-timeout", "1s")
    server = ServerProcess(tmp_path_factory.mktemp("hostile"), *flags)
    try:
        yield server.start()
        assert "Traceback" not in server.log_text
        assert server.stop() == 0
    finally:
        server.kill()


def connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    answer = b""
    try:
        while received := connection.recv(65536):
            answer += received
    except ConnectionResetError:
        pass
    return answer


def send(connection: socket.socket, data: bytes) -> None:
    # It may have had enough.
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(data)


def exchange(server: ServerProcess, data: bytes) -> bytes:
    with connect(server) as connection:
        send(connection, data)
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            return b""
        return rest(connection)


def statuses(answer: bytes) -> list[int]:
    """Statuses of the answers in HTTP/1.1, one behind the other."""
    starts = answer.split(b"HTTP/1.1 ")[1:]
    return [int(start[:3]) for start in starts]


def open_connections(server: ServerProcess) -> int:
    text = server.request("GET", "/metrics").body.decode()
    (line,) = [line for line in text.splitlines() if line.startswith("headrace_http_connections ")]
    return round(float(line.split()[1]))


SILENT = {
    "nothing at all": b"",
    "one byte": b"P",
    "half of a preface": PREFACE[:16],
    "a preface, then nothing": PREFACE,
    "a preface and settings": PREFACE + SETTINGS,
    "half a request line": b"GET /hea",
    "half of the headers": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ",
    "half a body": WRITE + b"Content-Length: 100\r\n\r\nm f=1i",
    "half of the chunks": WRITE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nm f=1\r\n",
    "half of a size of a chunk": WRITE + b"Transfer-Encoding: chunked\r\n\r\n5",
    "a request, then nothing": GET,
    "a refused body, then nothing": b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


def test_a_request_in_work_is_no_idleness(target: ServerProcess) -> None:
    done = target.plugin_dir / "done"
    source = """
import os, time
def process_request(influxdb3_local, query, headers, body, args=None):
    while not os.path.exists(args["done"]):
        time.sleep(0.01)
    return "answer"
"""
    target.plugin("patient.py", source)
    assert target.write("hostile", "m f=1i 1\n").status == 204
    arguments = {"done": str(done)}
    made = target.create_trigger(
        "hostile", "patient", "request:patient", "patient.py", arguments=arguments
    )
    assert made.status == 200, made.body
    with connect(target) as busy:
        busy.sendall(GET.replace(b"/health", b"/api/v3/engine/patient").replace(b"\r\n\r\n", END))
        # When the second is shown out the server has looked at least once at the first, too, that
        # was silent for longer.
        for _ in range(2):
            with connect(target) as idle:
                assert rest(idle) == b""
        done.touch()
        assert rest(busy).endswith(b"answer")


def test_silent_clients_are_shown_out_and_others_are_served(target: ServerProcess) -> None:
    connections = {}
    for name, sent in SILENT.items():
        connections[name] = connect(target)
        connections[name].sendall(sent)
    assert target.write("hostile", "m f=1i 1\n").status == 204
    # Ends of the stream, or the 60 s of the sockets are over.
    for name, connection in connections.items():
        with connection:
            answer = rest(connection)
        if "request, then" in name:
            assert statuses(answer) == [200]
        elif "preface" not in name:
            assert all(400 <= status < 500 for status in statuses(answer)), (name, answer)
    wait_for(lambda: open_connections(target) <= 1, "no connection is left", timeout_s=60)


@pytest.mark.parametrize(
    "begin", [GET[:-2] + b"X-Drip: ", WRITE + b"Transfer-Encoding: chunked\r\n\r\n1;ext="]
)
def test_a_client_that_drips_is_shown_out(target: ServerProcess, begin: bytes) -> None:
    """A byte now and then keeps a connection busy, but not a request."""
    ended_after_drips(target, begin, lambda: b"x")


def ended_after_drips(server: ServerProcess, begin: bytes, drip: Callable[[], bytes]) -> None:
    with connect(server) as connection:
        connection.sendall(begin)
        connection.settimeout(0.05)
        deadline = time.monotonic() + 60
        ended = False
        while not ended and time.monotonic() < deadline:
            try:
                connection.sendall(drip())
                ended = connection.recv(65536) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended


def test_heads_of_http2_that_drip_are_shown_out(target: ServerProcess) -> None:
    # A frame of 16,000 bytes; of continuations by the dozen the server has enough by itself.
    announced = frame(1, 4, 1, b"\x82" * 16_000)[:10]
    ended_after_drips(target, PREFACE + SETTINGS + announced, lambda: b"\x82")


def test_half_closed_connections_end_and_half_bodies_are_refused(target: ServerProcess) -> None:
    # Who closes its end before the answer may get none: HTTP takes that for a client that has gone.
    assert statuses(exchange(target, WHOLE)) in ([204], [])
    assert statuses(exchange(target, WHOLE[:-3])) in ([400], [])


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "no version": b"GET /health\r\nHost: localhost\r\n\r\n",
    "a version of the future": b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a zero in a name": b"GET /health HTTP/1.1\r\nHo\0st: localhost\r\n\r\n",
    "a zero in a value": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    "a space before the colon": WRITE + b"Content-Length : 9\r\n\r\n" + LINE,
    "two lengths": WRITE + b"Content-Length: 9\r\nContent-Length: 8\r\n\r\n" + LINE,
    "a negative length": WRITE + b"Content-Length: -1\r\n\r\n" + LINE,
    "a length with a sign": WRITE + b"Content-Length: +9\r\n\r\n" + LINE,
    "a length beyond 64 bits": WRITE + b"Content-Length: 99999999999999999999999\r\n\r\n" + LINE,
    "chunks that are not the last coding": WRITE
    + b"Transfer-Encoding: chunked, gzip\r\n\r\n9\r\n%s\r\n0\r\n\r\n" % LINE,
    "a size that is no number": WRITE + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nm f=1i\r\n",
    "a negative size": WRITE + b"Transfer-Encoding: chunked\r\n\r\n-9\r\n%s\r\n0\r\n\r\n" % LINE,
    "a size beyond 64 bits": WRITE + b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 20 + b"\r\nx",
    "a chunk longer than its size": WRITE + b"Transfer-Encoding: chunked\r\n\r\n2\r\n%s\r\n" % LINE,
    "an endless extension of a chunk": WRITE
    + b"Transfer-Encoding: chunked\r\n\r\n1;"
    + b"x" * 300_000,
    "endless trailers": WRITE
    + b"Transfer-Encoding: chunked\r\n\r\n9\r\n%s\r\n0\r\n" % LINE
    + b"X: y\r\n" * 50_000
    + b"\r\n",
    "a URL of 1 MB": b"GET /health?" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a header of 1 MB": GET[:-2] + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "10,000 headers": GET[:-2] + b"X: y\r\n" * 10_000 + b"\r\n",
    "headers without end": GET[:-2] + b"X-" + b"x" * 8_000_000,
    "a folded header": GET[:-2] + b"X: a\r\n b\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused(target: ServerProcess, name: str) -> None:
    answer = exchange(target, MALFORMED[name])
    assert all(400 <= status < 500 for status in statuses(answer)), answer[:300]
    assert target.is_up()


def test_a_body_with_length_and_chunks_is_read_in_one_way_only(target: ServerProcess) -> None:
    """What a proxy in front would take for a second request must not be one here, or both are refused."""
    smuggled = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    both = WRITE + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(smuggled)
    answer = exchange(target, both + smuggled)
    # Either length is nothing that may be guessed about: the connection ends behind the first answer.
    assert len(statuses(answer)) <= 1, answer


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


HTTP2 = {
    "garbage": b"\xff" * 200,
    "a frame of 16 MB": b"\xff\xff\xff\0\0\0\0\0\1",
    "data for no stream": frame(0, 1, 1, b"x" * 100),
    "headers that are no HPACK": frame(1, 5, 1, b"\xff" * 50),
    "headers for stream 0": frame(1, 5, 0, b"\x82"),
    "a window of 0": frame(8, 0, 0, b"\0\0\0\0"),
    "a window that overflows": frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "10,000 pings": frame(6, 0, 0, b"12345678") * 10_000,
    "10,000 settings": SETTINGS * 10_000,
    "continuations without end": frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"\0\1a\1b") * 50_000,
    "10,000 streams reset at once": b"".join(
        frame(1, 5, 2 * n + 1, b"\x82\x87\x84\x01\x09localhost")
        + frame(3, 0, 2 * n + 1, b"\0\0\0\x08")
        for n in range(10_000)
    ),
}


@pytest.mark.parametrize("name", HTTP2)
def test_hostile_frames_end_their_connection_only(target: ServerProcess, name: str) -> None:
    exchange(target, PREFACE + SETTINGS + HTTP2[name])
    assert target.is_up()


def hostile(rng: random.Random) -> bytes:
    """Pieces of requests, whole ones between them, cut, doubled, and with bits turned."""
    pieces = [GET, WHOLE, PREFACE, SETTINGS, *SILENT.values(), *map(gzip.compress, (GET, WHOLE))]
    data = bytearray(b"".join(rng.choice(pieces) for _ in range(rng.randint(1, 6))))
    for _ in range(rng.randint(0, 8)):
        if not data:
            break
        place = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                del data[place : place + rng.randint(1, 20)]
            case 2:
                data[place:place] = rng.randbytes(rng.randint(1, 30))
            case _:
                data[place:place] = data[place : place + 40]
    return bytes(data)


def test_pipelined_garbage_never_breaks_the_server(target: ServerProcess) -> None:
    rng = random.Random(20)
    for _ in range(GARBAGE_ROUNDS):
        data = hostile(rng)
        answer = exchange(target, data)
        assert all(status < 500 for status in statuses(answer)), (data, answer)
    assert target.is_up()


def bomb(nbytes: int) -> bytes:
    """`nbytes` of zeros, about a thousandth of it packed."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(nbytes >> 20)) + packer.flush()


def test_gzip_bombs_do_not_unfold(target: ServerProcess) -> None:
    assert target.process is not None
    # Either is over 10 MB unpacked: at once, and in members.
    bombs = [bomb(128 << 20), bomb(8 << 20) * 100]
    before = psutil.Process(target.process.pid).memory_info().rss
    headers = {"Content-Encoding": "gzip"}
    for body in bombs:
        for path in ("/api/v3/write_lp", "/api/v2/write", "/write"):
            query = {"db": "hostile", "bucket": "hostile"}
            answer = target.request("POST", path, body, headers=headers, parameters=query)
            assert answer.status == 413, answer.body
    grown = psutil.Process(target.process.pid).memory_info().rss - before
    assert grown < 200 << 20


def test_idle_clients_by_the_thousand_leave_room_for_others(
    make_server: Callable[..., ServerProcess],
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = IDLE_CONNECTIONS + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"{needed} open files are needed, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    server = make_server("--http-idle-timeout", "2s").start()
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    connections = []
    try:
        for number in range(IDLE_CONNECTIONS):
            connections.append(connect(server))
            # Every other one never says anything.
            if number % 2:
                send(connections[-1], GET[:-2])
        peak = process.memory_info().rss
        assert server.write("db", "m f=1i 1\n").status == 204
        assert server.query("db", "SELECT f FROM m") == [{"f": 1}]
        for connection in connections:
            assert rest(connection)[:12] in (b"", b"HTTP/1.1 408", b"HTTP/1.1 400")
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert peak - before < 50_000 * IDLE_CONNECTIONS + (64 << 20)
    wait_for(lambda: open_connections(server) <= 1, "all are cleared up", timeout_s=60)
    wait_for(lambda: process.num_fds() < 200, "no descriptor is left", timeout_s=60)
    assert server.stop() == 0
