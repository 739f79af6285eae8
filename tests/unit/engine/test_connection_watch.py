"""Which connections the watch ends: on plain sockets, whose server never reads."""

import asyncio
import contextlib
import re
import resource
import socket
from collections.abc import Iterator, Mapping

import pytest

from engine.http.connection_watch import ConnectionWatch, Peer, _Seen, beyond, places
from engine.http.http_config import HttpConfig
from engine.metrics import MetricsRegistry
from tests.support.waiting import wait_for

BEGUN = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


class Door:
    """A listening socket and the connections to it, both ends."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.ends: list[socket.socket] = []
        self.metrics = MetricsRegistry()

    def connect(self, sent: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        server, _ = self.listening.accept()
        self.ends += [client, server]
        client.sendall(sent)
        # The kernel counts what it has taken in.
        assert not sent or server.recv(len(sent), socket.MSG_PEEK | socket.MSG_WAITALL) == sent
        return client

    def watch(
        self, *, idle_s: float = 0.0, connections_max: int = 100, per_address: int = 0
    ) -> ConnectionWatch:
        config = HttpConfig(
            port=self.port,
            idle_s=idle_s,
            connections_max=connections_max,
            connections_per_address=per_address,
        )
        return ConnectionWatch(config, set, self.metrics, lambda: self.now)

    now = 0.0


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    for one in (made.listening, *made.ends):
        one.close()


def is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_silent_connections_are_closed_and_counted(door: Door) -> None:
    silent, begun = door.connect(), door.connect(BEGUN)
    watch = door.watch()
    watch.look(set())
    assert watch.count == 2
    wait_for(lambda: is_closed(silent) and is_closed(begun), "both are closed")
    text = door.metrics.render()
    assert "headrace_http_connections 2" in text
    assert 'headrace_http_connections_closed_total{reason="idle"} 2' in text


def test_a_connection_with_a_request_in_work_is_left_alone(door: Door) -> None:
    busy, other = door.connect(BEGUN), door.connect(BEGUN)
    watch = door.watch()
    watch.look({busy.getsockname()[1]})
    wait_for(lambda: is_closed(other), "the other one is closed")
    assert not is_closed(busy)


def test_what_came_after_the_question_who_is_busy_is_given_the_benefit(door: Door) -> None:
    client = door.connect(BEGUN)
    door.now = 1000.0
    watch = door.watch()
    # The thread that looks got its turn late: what came meanwhile is in none of its lists.
    watch.look(set(), 0.0)
    assert not is_closed(client)
    watch.look(set(), 1000.0)
    wait_for(lambda: is_closed(client), "it is closed when that is certain")


def test_a_connection_that_was_used_lately_is_left_alone(door: Door) -> None:
    client = door.connect(BEGUN)
    watch = door.watch(idle_s=3600)
    watch.look(set())
    assert watch.count == 1
    assert not is_closed(client)


def test_an_answer_that_the_client_has_not_read_is_no_idleness(door: Door) -> None:
    client = door.connect(BEGUN)
    answering = door.ends[-1]
    answering.setblocking(False)
    while _sends(answering, 65536):
        pass
    watch = door.watch(idle_s=0.000001)
    watch.look(set())
    assert client.recv(1) == b"x"
    # It goes on: the connection has not been shut down.
    wait_for(lambda: client.recv(1 << 20) and _sends(answering), "there is room again")


def _sends(one: socket.socket, nbytes: int = 1) -> bool:
    try:
        return one.send(b"x" * nbytes) > 0
    except BlockingIOError:
        return False


def test_who_drips_the_first_words_has_no_longer_than_others(door: Door) -> None:
    client = door.connect(b"P")
    watch = door.watch(idle_s=3600)
    watch.look(set())
    client.sendall(b"R")
    door.now = 3599.0
    watch.look(set())
    assert not is_closed(client)
    client.setblocking(True)
    client.sendall(b"I")
    door.now = 3600.0
    watch.look(set())
    wait_for(lambda: is_closed(client), "it is closed in spite of its bytes")


def test_who_never_asks_has_twice_the_time(door: Door) -> None:
    """As one who drips heads of HTTP/2: bytes come, requests do not."""
    dripping, asking = door.connect(BEGUN), door.connect(BEGUN)
    watch = door.watch(idle_s=3600)
    watch.look(set())
    door.now = 7199.0
    watch.look({asking.getsockname()[1]})
    assert not is_closed(dripping)
    door.now = 7200.0
    watch.look(set())
    wait_for(lambda: is_closed(dripping), "it is closed in spite of its bytes")
    assert not is_closed(asking)


def test_the_newest_connections_beyond_the_limit_of_an_address_are_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def other_machine(seen: Mapping[Peer, _Seen], limit: int) -> dict[str, set[Peer]]:
        moved = {("192.0.2.7", port): times for (_, port), times in seen.items()}
        found = beyond(moved, limit)
        return {name: {("127.0.0.1", p) for _, p in peers} for name, peers in found.items()}

    monkeypatch.setattr("engine.http.connection_watch.beyond", other_machine)
    old = [door.connect(BEGUN) for _ in range(2)]
    watch = door.watch(idle_s=3600, per_address=2)
    watch.look(set())
    door.now = 1.0
    new = [door.connect(BEGUN) for _ in range(3)]
    watch.look({client.getsockname()[1] for client in new})
    wait_for(lambda: all(map(is_closed, new)), "the new ones are closed, whatever they do")
    assert not any(map(is_closed, old))
    assert 'connections_closed_total{reason="address"} 3' in door.metrics.render()
    assert "too many of one address" in caplog.text


def test_whose_connections_are_counted_together() -> None:
    def counted(*hosts: str, limit: int = 1) -> set[str]:
        return set(beyond({(host, at): _Seen(at, at) for at, host in enumerate(hosts)}, limit))

    assert counted("192.0.2.1", "192.0.2.1") == {"192.0.2.1"}
    assert counted("192.0.2.1", "::ffff:192.0.2.1") == {"192.0.2.1"}
    assert counted("192.0.2.1", "192.0.2.2") == set()
    assert counted("127.0.0.1", "127.0.0.1", "::1", "::1", "::ffff:127.0.0.1") == set()
    assert counted("2001:db8::1", "2001:db8::2") == {"2001:db8::/64"}
    assert counted("2001:db8::1", "2001:db8:0:1::1", "fe80::1%eth0") == set()
    assert counted("192.0.2.1", "192.0.2.1", limit=0) == set()


def test_idle_connections_make_place_when_it_gets_scarce(door: Door) -> None:
    clients = [door.connect(BEGUN) for _ in range(8)]
    watch = door.watch(idle_s=3600, connections_max=10)

    def all_closed() -> bool:
        watch.look(set())
        return all(is_closed(client) for client in clients)

    watch.look(set())
    assert not any(is_closed(client) for client in clients)
    wait_for(all_closed, "they are closed after a moment")
    # Nobody else closes their ends here: on a busy machine one may be found, and closed, twice.
    found = re.search(r'connections_closed_total\{reason="crowded"\} (\d+)', door.metrics.render())
    assert found is not None
    assert int(found[1]) >= 8


def test_connections_inherit_that_dead_ends_are_noticed(door: Door) -> None:
    door.watch().look(set())
    door.connect()
    accepted = door.ends[-1]
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 300_000


def test_other_sockets_and_files_are_not_touched(door: Door) -> None:
    other = Door()
    client = other.connect()
    one, two = socket.socketpair()
    door.watch().look(set())
    one.sendall(b"x")
    assert two.recv(1) == b"x"
    assert not is_closed(client)
    for end in (one, two, other.listening, *other.ends):
        end.close()


def test_a_look_that_fails_is_not_the_last(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = door.watch()
    looks: list[int] = []

    def fail(busy: set[int], asked: float) -> None:
        looks.append(len(busy))
        assert asked == door.now
        if len(looks) == 2:
            loop.call_soon_threadsafe(task.cancel)
        raise OSError("no descriptors left")

    async def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await task

    monkeypatch.setattr(watch, "look", fail)
    monkeypatch.setattr("engine.http.connection_watch._LOOK_INTERVAL_S", 0.0)
    loop = asyncio.new_event_loop()
    task = loop.create_task(watch.run())
    loop.run_until_complete(run())
    loop.close()
    assert len(looks) == 2
    assert "the look at connections failed" in caplog.text


def test_places_leave_files_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(256, 1024)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    assert places(10_000) == 512
    assert limits[-1] == (1024, 1024)
    limits.append((1024, resource.RLIM_INFINITY))
    assert places(10_000) == 10_000
    assert limits[-1] == (32_768, resource.RLIM_INFINITY)
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert places(10_000) == 10_000
