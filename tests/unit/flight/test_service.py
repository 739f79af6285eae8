"""What the Flight service does beside answering: places, addresses, waiting, errors."""

import asyncio
import contextlib
import socket
import sys
from typing import Any

import numpy
import pyarrow
import pytest
from pyarrow import flight

from engine import errors
from engine.flight.failures import Failed, InvalidArgument, failure_of
from engine.flight.listener import FlightConfig, FlightListener
from engine.flight.peers import address_of
from engine.flight.service import CALLS_MAX, Calls
from engine.flight.strangers import Strangers
from engine.flight.streams import Streams
from engine.metrics import MetricsRegistry
from tests.support.server import free_port
from tests.support.waiting import wait_for


class Info:
    method = flight.FlightMethod.DO_GET


def test_places_are_taken_by_known_clients_alone() -> None:
    ended: list[tuple[str, bool]] = []
    calls = Calls(lambda method, is_well: ended.append((method, is_well)))
    strangers = [calls.start_call(Info(), {}) for _ in range(CALLS_MAX + 1)]
    known = [calls.start_call(Info(), {}) for _ in range(CALLS_MAX)]
    for call in known:
        call.admitted()
        call.admitted()  # once is enough
    one_more = calls.start_call(Info(), {})
    with pytest.raises(errors.BackPressureError, match="64 Flight calls"):
        one_more.admitted()
    for call in (*strangers, one_more):
        call.call_completed(ValueError())
    with pytest.raises(errors.BackPressureError):
        calls.start_call(Info(), {}).admitted()
    known[0].call_completed(None)
    calls.start_call(Info(), {}).admitted()
    known[0].admitted()  # too late: it is over, and takes no place
    known[1].call_completed(None)
    calls.start_call(Info(), {}).admitted()
    assert ended[-1] == ("do_get", True)
    assert ended[0] == ("do_get", False)


def test_closed_calls_refuse() -> None:
    calls = Calls(lambda method, is_well: None)
    calls.close()
    with pytest.raises(flight.FlightUnavailableError, match="shutting down"):
        calls.start_call(Info(), {})


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:50000", ("127.0.0.1", 50000)),
        ("ipv6:%5B::1%5D:50000", ("::1", 50000)),
        ("ipv6:[fe80::1]:50001", ("fe80::1", 50001)),
        ("unix:", ("unix:", 0)),
    ],
)
def test_addresses_of_peers(peer: str, address: tuple[str, int]) -> None:
    assert address_of(peer) == address


def test_every_error_has_a_status() -> None:
    def classes(base: type[Any]) -> list[type[Any]]:
        return [base, *(found for sub in base.__subclasses__() for found in classes(sub))]

    for kind in classes(errors.EngineError):
        error = kind.__new__(kind)
        errors.EngineError.__init__(error, "text", hint="next")
        failure = failure_of(error)
        assert str(failure) == "text (next)"
        # That a query is wrong is never taken for a failure of the server.
        if kind is not errors.QueryResourceError and issubclass(kind, errors.QueryError):
            assert not isinstance(failure, Failed)
    assert isinstance(failure_of(errors.QueryError("text")), InvalidArgument)
    with pytest.raises(AttributeError):
        _ = failure_of(errors.QueryError("text")).__cause__


def test_answers_stall_when_nothing_is_taken() -> None:
    now_s = [0.0]
    streams = Streams(lambda: now_s[0])
    answer = streams.followed("a", range(3))
    other = streams.followed("b", range(3))
    assert streams.stalled(0) == set()  # nothing was asked for yet
    assert (next(answer), next(other)) == (0, 0)
    now_s[0] = 5
    assert next(other) == 1
    now_s[0] = 10
    assert streams.stalled(10) == {"a"}
    assert streams.stalled(5) == {"a", "b"}
    answer.close()  # as when its call ends
    assert list(other) == [2]
    assert streams.stalled(0) == set()


def test_who_sends_much_without_a_token_is_cut_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as ends:

        def connect(nbytes: int) -> tuple[socket.socket, socket.socket]:
            client = ends.enter_context(socket.create_connection(listening.getsockname()))
            server = ends.enter_context(listening.accept()[0])
            client.sendall(b"x" * nbytes)
            # The kernel counts what it has taken in.
            assert len(server.recv(nbytes, socket.MSG_WAITALL)) == nbytes
            return client, server

        (few, _), (known, taken), (stranger, _) = connect(1000), connect(1001), connect(1001)
        strangers = Strangers(listening.getsockname()[1], bytes_max=1000)
        strangers.admitted(known.getsockname())
        assert strangers.look() == 1
        assert stranger.recv(1) == b""
        few.sendall(b"x")
        known.sendall(b"x")
        # Known is a connection, not an address for ever.
        for end in (known, taken):
            end.close()
        strangers.look()
        assert not strangers._known


READ_ONE = """
import sys, pyarrow.flight as flight
reader = flight.connect(sys.argv[1]).do_get(flight.Ticket(b"x"))
print(reader.read_chunk().data.num_rows, flush=True)
sys.stdin.read()
try:
    reader.read_all()
except Exception as error:
    print(type(error).__name__, flush=True)
"""


async def cut_off_one_that_does_not_read() -> bytes:
    """What a client says that read one piece, and went on only after it was cut off."""

    class Desk:
        async def rows(self, caller: Any, ticket: bytes) -> Any:
            # A hundred megabytes: more than sockets and gRPC keep.
            return pyarrow.table({"x": numpy.arange(13_000_000)})

    config = FlightConfig(host="127.0.0.1", port=free_port(), stalled_s=0.2)
    metrics = MetricsRegistry()
    listener = FlightListener(config, Desk(), metrics)  # type: ignore[arg-type]
    listener.start()
    pipe = asyncio.subprocess.PIPE
    url = f"grpc://127.0.0.1:{config.port}"
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READ_ONE, url, stdin=pipe, stdout=pipe
    )
    assert client.stdout is not None
    assert int(await client.stdout.readline()) > 0
    # Its call ends, which it would not otherwise.
    await asyncio.to_thread(
        wait_for, lambda: 'method="do_get"' in metrics.render(), "the call ends", timeout_s=60
    )
    said, _ = await client.communicate(b"")
    await listener.stop(30)
    return said


async def what_a_client_hears_at_shutdown() -> tuple[bytes, bool]:
    """What a client says whose query runs when the server stops, and whether the query was stopped."""
    asked, is_stopped = asyncio.Event(), False

    class Desk:
        async def rows(self, caller: Any, ticket: bytes) -> Any:
            nonlocal is_stopped
            asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                is_stopped = True
                raise

    config = FlightConfig(host="127.0.0.1", port=free_port())
    listener = FlightListener(config, Desk(), MetricsRegistry())  # type: ignore[arg-type]
    listener.start()
    pipe = asyncio.subprocess.PIPE
    url = f"grpc://127.0.0.1:{config.port}"
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READ_ONE, url, stdin=pipe, stderr=pipe
    )
    await asked.wait()
    await listener.stop(0)
    _, said = await client.communicate(b"")
    return said, is_stopped


def test_a_query_under_way_is_stopped_at_shutdown() -> None:
    said, is_stopped = asyncio.run(asyncio.wait_for(what_a_client_hears_at_shutdown(), 100))
    assert is_stopped
    assert b"Flight" in said


def test_a_client_that_does_not_read_is_cut_off() -> None:
    said = asyncio.run(asyncio.wait_for(cut_off_one_that_does_not_read(), 100))
    assert said.strip() in (b"FlightUnavailableError", b"FlightInternalError")
