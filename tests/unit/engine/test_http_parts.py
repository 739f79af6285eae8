"""Parts of the HTTP layer that need no server."""

import asyncio
import gzip
import random
import time
from typing import Any

import pytest

from engine.errors import (
    BackPressureError,
    BodyTooLargeError,
    EngineError,
    RequestError,
)
from engine.http import openapi
from engine.http.access import Right
from engine.http.app import routes
from engine.http.asgi import Request
from engine.http.bodies import (
    BodyGate,
    BodyLimit,
    ClientGoneError,
    ReceiveTimeoutError,
    ShuttingDownError,
    gunzip,
)
from engine.http.error_responses import error_response, status_of
from engine.http.http_config import HttpConfig
from engine.http.routes.query import pick_format
from engine.http.routing import Route, Router
from tests.support.any_service import AnyService


def limit(bytes_max: int) -> BodyLimit:
    return BodyLimit(bytes_max, "--some-size")


def test_gunzip_reads_several_members_and_refuses_what_is_cut_or_too_large() -> None:
    body = gzip.compress(b"a" * 100) + gzip.compress(b"") + gzip.compress(b"b")
    assert gunzip(body, limit(101)) == b"a" * 100 + b"b"
    with pytest.raises(BodyTooLargeError):
        gunzip(body, limit(100))
    for bad in (body[:-3], b"not gzip", body + b"x"):
        with pytest.raises(RequestError, match="gzip"):
            gunzip(bad, limit(1000))


def test_gunzip_of_many_members_takes_time_in_proportion() -> None:
    empty = gzip.compress(b"")
    few, many = (gzip.compress(b"a") + empty * count for count in (20_000, 200_000))
    started = time.process_time()
    assert gunzip(few, limit(10)) == b"a"
    few_seconds = time.process_time() - started
    assert gunzip(many, limit(10)) == b"a"
    many_seconds = time.process_time() - started - few_seconds
    assert many_seconds < 40 * few_seconds, "ten times the members"


def test_gunzip_puts_pieces_of_one_member_together() -> None:
    body = random.Random(0).randbytes(100_000)
    assert gunzip(gzip.compress(body) + gzip.compress(body), limit(200_000)) == body + body


def receiver(*messages: dict[str, Any]) -> Any:
    """Gives one message at a time, and then none for ever."""
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        if not queue:
            await asyncio.Event().wait()
        return queue.pop(0)

    return receive


def chunk(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def read(gate: BodyGate, receive: Any, declared: int | None = None, **settings: Any) -> bytes:
    """Read in the task that runs this."""
    return await gate.read(receive, declared, gate.admit, current(), **settings)


def test_bodies_are_put_together_and_bounded() -> None:
    gate = BodyGate(HttpConfig(body_bytes_max=5, receive_idle_s=0.05, discard_s=0.05))

    async def scenario() -> None:
        whole = receiver(chunk(b"ab", more=True), chunk(b"cde", more=False))
        assert await read(gate, whole, 5) == b"abcde"
        with pytest.raises(BodyTooLargeError):
            await read(gate, receiver(), 6)
        with pytest.raises(BodyTooLargeError):
            await read(gate, receiver(chunk(b"abcdef", more=True)))
        with pytest.raises(BodyTooLargeError) as refused:
            await read(gate, receiver(chunk(b"abc", more=False)), limit=limit(2))
        assert "--some-size" in refused.value.hint
        with pytest.raises(ClientGoneError):
            await read(gate, receiver({"type": "http.disconnect"}))

    asyncio.run(scenario())


def test_a_body_of_declared_length_is_whole_without_a_message_that_says_so() -> None:
    gate = BodyGate(HttpConfig(receive_idle_s=0.05))

    async def scenario() -> None:
        def parts() -> Any:
            return receiver(chunk(b"ab", more=True), chunk(b"cde", more=True))

        assert await read(gate, parts(), 5, waits_for_end=False) == b"abcde"
        for declared, settings in ((5, {}), (6, {"waits_for_end": False}), (None, {})):
            with pytest.raises(ReceiveTimeoutError):
                await read(gate, parts(), declared, **settings)

    asyncio.run(scenario())


@pytest.mark.parametrize("chunks", [(), (chunk(b"a", more=True),)])
def test_a_silent_client_is_given_up_and_its_task_goes_on(chunks: Any) -> None:
    gate = BodyGate(HttpConfig(receive_idle_s=0.05))

    async def scenario() -> None:
        for _ in range(2):
            with pytest.raises(ReceiveTimeoutError):
                await read(gate, receiver(*chunks), 5)
            assert not current().cancelling()
        # Nothing of it is left that could meet the next body of the same task.
        assert await read(gate, receiver(chunk(b"b", more=False))) == b"b"

    asyncio.run(scenario())


def trickle(pause_s: float, count: int) -> Any:
    """A byte after each pause, `count` of them."""
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        byte = asyncio.Event()
        asyncio.get_running_loop().call_later(pause_s, byte.set)
        await byte.wait()
        sent += 1
        return chunk(b"x", more=sent < count)

    return receive


def test_a_slow_body_is_taken_as_long_as_something_comes() -> None:
    gate = BodyGate(HttpConfig(receive_idle_s=0.5))

    async def scenario() -> None:
        body = read(gate, trickle(0.05, 20))
        assert await body == b"x" * 20

    asyncio.run(scenario())


def test_a_slow_body_ends_when_its_time_is_over() -> None:
    gate = BodyGate(HttpConfig(receive_idle_s=0.2, receive_total_s=0.4))

    async def scenario() -> None:
        with pytest.raises(ReceiveTimeoutError):
            await read(gate, trickle(0.01, 1_000_000))

    asyncio.run(scenario())


def test_one_overdue_body_does_not_end_another() -> None:
    gate = BodyGate(HttpConfig(receive_idle_s=0.1))

    async def scenario() -> None:
        good = asyncio.create_task(read(gate, trickle(0.01, 100)))
        with pytest.raises(ReceiveTimeoutError):
            await read(gate, receiver())
        assert await good == b"x" * 100

    asyncio.run(scenario())


def test_a_task_cancelled_from_outside_stays_cancelled() -> None:
    gate = BodyGate(HttpConfig())

    async def scenario() -> None:
        task = asyncio.create_task(read(gate, receiver()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_bodies_count_while_they_come_in() -> None:
    gate = BodyGate(HttpConfig(bodies_bytes_max=10))

    async def scenario() -> None:
        waiting = asyncio.create_task(read(gate, receiver(chunk(b"123456", more=True))))
        while not gate.bytes_in_flight:  # noqa: ASYNC110 - one turn of the loop
            await asyncio.sleep(0)
        with pytest.raises(BackPressureError):
            await read(gate, receiver(chunk(b"7890", more=True), chunk(b"", more=False)))
        assert gate.bytes_in_flight == 10
        assert gate.is_full
        waiting.cancel()

    asyncio.run(scenario())


def test_closing_the_gate_interrupts_bodies() -> None:
    gate = BodyGate(HttpConfig())

    async def scenario() -> None:
        reading = asyncio.create_task(read(gate, receiver(chunk(b"a", more=True))))
        while not gate.bytes_in_flight:  # noqa: ASYNC110 - one turn of the loop
            await asyncio.sleep(0)
        gate.close()
        with pytest.raises(ShuttingDownError):
            await reading
        with pytest.raises(ShuttingDownError):
            await read(gate, receiver())

    asyncio.run(scenario())


async def request(headers: list[tuple[bytes, bytes]], receive: Any, **scope: Any) -> Request:
    """A request as granian hands it over."""
    config = HttpConfig()
    scope = {
        "method": "POST",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"x=1&x=2&y=%20",
        "http_version": "1.1",
        "headers": headers,
        **scope,
    }
    return Request(scope, receive, BodyGate(config), current())


@pytest.mark.parametrize(
    ("version", "headers", "waits"),
    [
        ("1.1", [(b"content-length", b"2")], False),
        ("1", [(b"content-length", b"2")], False),
        ("2", [(b"content-length", b"2")], True),
        ("1.1", [], True),
        ("1.1", [(b"content-length", b"2"), (b"transfer-encoding", b"chunked")], True),
        ("1.1", [(b"content-length", b"+2")], True),
        ("1.1", [(b"content-length", "\u00b2".encode("latin-1"))], True),
    ],
)
def test_only_a_trustworthy_length_ends_a_body(version: str, headers: Any, waits: bool) -> None:
    messages = [chunk(b"ab", more=True), chunk(b"c", more=False)]

    async def scenario() -> bytes:
        made = await request(headers, receiver(*messages), http_version=version)
        return await made.body()

    assert asyncio.run(scenario()) == (b"abc" if waits else b"ab")


def test_headers_and_paths_are_those_that_were_sent() -> None:
    async def scenario() -> None:
        made = await request([(b"a", b"1"), (b"b", "\u00fc".encode()), (b"a", b"\xff")], None)
        assert made.headers == {"a": "\ufffd", "b": "\u00fc"}
        assert (made.path, made.raw_path) == ("/a b", "/a%20b")
        assert made.query_parameters() == {"x": "2", "y": " "}

    asyncio.run(scenario())


def test_a_message_that_was_asked_for_early_is_the_first() -> None:
    asked = 0

    def receive() -> Any:
        nonlocal asked
        asked += 1
        return messages()

    messages = receiver(chunk(b"ab", more=True), {"type": "http.disconnect"})

    async def scenario() -> None:
        # Who asks for permission to send a body is not given it by that.
        await request([(b"content-length", b"2"), (b"expect", b"100-continue")], receive)
        assert asked == 0
        made = await request([(b"content-length", b"2")], receive)
        assert asked == 1
        assert await made.body() == b"ab"
        assert asked == 1
        assert (await made.receive())["type"] == "http.disconnect"

    asyncio.run(scenario())


def test_bodies_that_nobody_wants_are_taken_in_within_bounds() -> None:
    gate = BodyGate(HttpConfig(body_bytes_max=5, discard_s=0.05))
    taken: list[bytes] = []

    async def endless() -> dict[str, Any]:
        taken.append(b"abc")
        return chunk(b"abc", more=True)

    async def scenario() -> None:
        await gate.discard_unread(endless)
        assert len(taken) == 2, "no more than a body that is wanted may have"
        await gate.discard_unread(receiver(chunk(b"a", more=True)))
        await gate.discard_unread(receiver({"type": "http.disconnect"}))
        assert gate.bytes_in_flight == 0
        gate.close()
        await gate.discard_unread(endless)
        assert len(taken) == 2, "a stopping server does not wait"

    asyncio.run(scenario())


def test_every_error_has_a_status_and_a_json_body() -> None:
    def kinds(base: type[EngineError]) -> set[type[EngineError]]:
        return {base, *(kind for sub in base.__subclasses__() for kind in kinds(sub))}

    codes = [kind.code for kind in kinds(EngineError)]
    assert len(set(codes)) == len(codes)
    response = error_response(BackPressureError("full", retry_after_s=3, hint="wait"))
    assert response.status == 503
    assert ("retry-after", "3") in response.headers
    assert response.body == b'{"error":"full","code":"back_pressure","hint":"wait"}'
    assert status_of(RequestError("x")) == 400


def test_no_body_may_be_larger_than_those_of_rows() -> None:
    gate = BodyGate(HttpConfig(body_bytes_max=5, json_bytes_max=9))
    assert gate.small == gate.large == (5, "--max-http-request-size")
    assert BodyGate(HttpConfig(json_bytes_max=9)).small == (9, "--http-json-size-max")


def test_rows_and_plugins_alone_may_be_large() -> None:
    large = {one.path for one in routes(AnyService()) if one.has_large_body}
    assert large == {
        *("/api/v3/write_lp", "/api/v2/write", "/write", "/api/v3/engine/*"),
        *("/api/v3/plugins/files", "/api/v3/plugins/directory"),
        *(f"/api/v3/plugin_test/{kind}" for kind in ("wal", "schedule", "request")),
    }
    described = openapi.description(routes(AnyService()))["paths"]
    for path, setting in (
        ("/write", "--max-http-request-size"),
        ("/api/v3/query_sql", "--http-json-size-max"),
    ):
        assert setting in described[path]["post"]["responses"]["413"]["description"]


def test_routes_are_exact_but_for_prefixes() -> None:
    async def handler(request: Any) -> Any:
        return request

    exact = Route(("GET",), "/a", handler, "", Right.NONE)
    below = Route(("GET",), "/b/*", handler, "", Right.NONE)
    router = Router([exact, below])
    assert router.find("GET", "/a") is exact
    assert router.find("GET", "/b/c/d") is below
    for method, path in (("POST", "/a"), ("GET", "/a/"), ("GET", "/b")):
        assert router.find(method, path) is None


@pytest.mark.parametrize(
    ("name", "accept", "expected"),
    [
        (None, "", "json"),
        (None, "*/*", "json"),
        (None, "text/csv", "csv"),
        (None, "text/html,application/xhtml+xml", "json"),
        ("pretty", "text/csv", "pretty"),
        ("json_lines", "", "jsonl"),
    ],
)
def test_the_format_comes_from_parameter_or_accept_header(
    name: str | None, accept: str, expected: str
) -> None:
    assert pick_format(name, accept) == expected


def test_unknown_formats_are_refused() -> None:
    for name, accept in (("xml", ""), (None, "image/png")):
        with pytest.raises(RequestError):
            pick_format(name, accept)
