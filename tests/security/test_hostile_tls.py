"""What can be done to the server below TLS: garbage, cut and old handshakes, hellos of any size, drips.

Whatever comes, memory stays bounded, others are served, and no connection is left.
"""

import random
import socket
import ssl
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.certificates import certificate
from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e


class Target:
    """A server that speaks TLS, and loses its patience soon."""

    def __init__(self, directory: Path) -> None:
        self.cert, key = certificate(directory)
        flags = ("--tls-cert", str(self.cert), "--tls-key", str(key), "--http-idle-timeout", "1s")
        self.server = ServerProcess(directory, *flags)

    def get(self, path: str) -> bytes:
        """The answer to a request of somebody else."""
        context = ssl.create_default_context(cafile=str(self.cert))
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=30)
        with context.wrap_socket(plain, server_hostname="localhost") as one:
            one.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            return rest(one)

    def send(self, *pieces: bytes) -> bytes:
        """What a client hears that says `pieces` below TLS, and no more."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as one:
            try:
                for piece in pieces:
                    one.sendall(piece)
                one.shutdown(socket.SHUT_WR)
            except OSError:
                return b""  # it had enough
            return rest(one)

    def connections(self) -> int:
        text = self.get("/metrics").decode()
        (line,) = (one for one in text.splitlines() if one.startswith("headrace_http_connections "))
        return round(float(line.split()[1]))


def rest(one: socket.socket) -> bytes:
    answer = b""
    try:
        while received := one.recv(65536):
            answer += received
    except OSError:
        pass
    return answer


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("tls"))
    try:
        made.server.start(wait=False)
        wait_for(lambda: "listening" in made.server.log_text and is_up(made), "it answers")
        yield made
        assert "Traceback" not in made.server.log_text
        assert made.server.stop() == 0
    finally:
        made.server.kill()


def is_up(target: Target) -> bool:
    try:
        return b" 200 " in target.get("/health")[:20]
    except OSError:
        return False


def hello(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first words of a real client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(inward, outward, server_hostname="localhost").do_handshake()
    return outward.read()


def record(content: bytes, kind: int = 22) -> bytes:
    return bytes([kind, 3, 1]) + len(content).to_bytes(2, "big") + content


GARBAGE = {
    "plain HTTP": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "SSL 2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\1\0\x80" * 7 + b"x" * 16,
    "SSL 3": b"\x16\x03\x00\x00\x2f\x01\x00\x00\x2b\x03\x00"
    + b"x" * 32
    + b"\0\0\4\0\x0a\0\x05\1\0",
    "an alert": record(b"\2\x28", 21),
    "data before a handshake": record(b"x" * 100, 23),
    "a record without content": record(b"") * 1000,
    "a hello of 16 MB that never comes": record(b"\1\xff\xff\xff" + b"x" * 16000) * 300,
    "many pieces of a hello": b"".join(
        record(bytes([byte])) for byte in b"\1\0\xff\xff" + b"x" * 9000
    ),
    "a record longer than allowed": b"\x16\x03\x01\xff\xff" + b"x" * 65535,
    "noise": random.Random(3).randbytes(200_000),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_ends_its_connection_only(target: Target, name: str) -> None:
    assert b"HTTP/1.1 2" not in target.send(GARBAGE[name])
    assert is_up(target)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_versions_of_the_past_are_refused(target: Target, version: ssl.TLSVersion) -> None:
    # An alert, of the kind of a fatal error.
    assert target.send(hello(version))[:1] in (b"", b"\x15")
    assert is_up(target)


def test_hellos_cut_and_turned_never_break_the_server(target: Target) -> None:
    assert target.server.process is not None
    process = psutil.Process(target.server.process.pid)
    before = process.memory_info().rss
    rng, whole = random.Random(5), hello()
    for _ in range(100):
        data = bytearray(whole[: rng.randint(1, len(whole))])
        for _ in range(rng.randint(0, 4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        target.send(bytes(data), rng.randbytes(rng.randint(0, 50)))
    assert is_up(target)
    assert process.memory_info().rss - before < 64 << 20


def test_handshakes_that_begin_and_never_end_are_bounded(target: Target) -> None:
    assert target.server.process is not None
    process = psutil.Process(target.server.process.pid)
    before = process.memory_info().rss
    begun = [socket.create_connection(("127.0.0.1", target.server.port)) for _ in range(200)]
    for one in begun:
        # A megabyte of a message that says it will have sixteen, as far as it is taken.
        one.settimeout(0.2)
        try:
            one.sendall(record(b"\1\xff\xff\xff" + b"x" * 16000) * 64)
        except OSError:
            continue
    assert is_up(target)
    assert process.memory_info().rss - before < 64 << 20
    for one in begun:
        one.close()
    wait_for(lambda: target.connections() <= 1, "no connection is left", timeout_s=60)


def test_a_handshake_that_drips_is_shown_out(target: Target) -> None:
    with socket.create_connection(("127.0.0.1", target.server.port)) as one:
        # Of a message that says it has 60,000 bytes, in records of one byte each.
        one.sendall(record(b"\1\0\xea\x60" + b"x" * 100))
        one.settimeout(0.05)
        deadline = time.monotonic() + 60
        is_ended = False
        while not is_ended and time.monotonic() < deadline:
            try:
                one.sendall(record(b"x"))
                is_ended = one.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                is_ended = True
        assert is_ended
