"""Parts of the HTTP layer that need no server."""

import asyncio
import gzip
import random
import time
from typing import Any

import pytest

from engine.errors import BackPressureError, BodyTooLargeError, EngineError, RequestError
from engine.http.access import Right
from engine.http.asgi import (
    BodyGate,
    ClientGoneError,
    HttpConfig,
    ReceiveTimeoutError,
    ShuttingDownError,
    gunzip,
)
from engine.http.error_responses import error_response, status_of
from engine.http.routes.query import pick_format
from engine.http.routing import Route, Router


def test_gunzip_reads_several_members_and_refuses_what_is_cut_or_too_large() -> None:
    body = gzip.compress(b"a" * 100) + gzip.compress(b"") + gzip.compress(b"b")
    assert gunzip(body, 101) == b"a" * 100 + b"b"
    with pytest.raises(BodyTooLargeError):
        gunzip(body, 100)
    for bad in (body[:-3], b"not gzip", body + b"x"):
        with pytest.raises(RequestError, match="gzip"):
            gunzip(bad, 1000)


def test_gunzip_of_many_members_takes_time_in_proportion() -> None:
    empty = gzip.compress(b"")
    few, many = (gzip.compress(b"a") + empty * count for count in (20_000, 200_000))
    started = time.process_time()
    assert gunzip(few, 10) == b"a"
    few_seconds = time.process_time() - started
    assert gunzip(many, 10) == b"a"
    many_seconds = time.process_time() - started - few_seconds
    assert many_seconds < 40 * few_seconds, "ten times the members"


def test_gunzip_puts_pieces_of_one_member_together() -> None:
    body = random.Random(0).randbytes(100_000)
    assert gunzip(gzip.compress(body) + gzip.compress(body), 200_000) == body + body


def receiver(*messages: dict[str, Any]) -> Any:
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        if not queue:
            await asyncio.Event().wait()
        return queue.pop(0)

    return receive


def chunk(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_bodies_are_put_together_and_bounded() -> None:
    gate = BodyGate(HttpConfig(body_bytes_max=5, receive_idle_s=0.05, discard_s=0.05))

    async def scenario() -> None:
        whole = receiver(chunk(b"ab", more=True), chunk(b"cde", more=False))
        assert await gate.read(whole, 5, gate.admit) == b"abcde"
        with pytest.raises(BodyTooLargeError):
            await gate.read(receiver(), 6, gate.admit)
        with pytest.raises(BodyTooLargeError):
            await gate.read(receiver(chunk(b"abcdef", more=True)), None, gate.admit)
        with pytest.raises(ReceiveTimeoutError):
            await gate.read(receiver(chunk(b"a", more=True)), None, gate.admit)
        with pytest.raises(ClientGoneError):
            await gate.read(receiver({"type": "http.disconnect"}), None, gate.admit)

    asyncio.run(scenario())


def test_bodies_count_while_they_come_in() -> None:
    gate = BodyGate(HttpConfig(bodies_bytes_max=10))

    async def scenario() -> None:
        waiting = asyncio.create_task(
            gate.read(receiver(chunk(b"123456", more=True)), None, gate.admit)
        )
        while not gate.bytes_in_flight:  # noqa: ASYNC110 - one turn of the loop
            await asyncio.sleep(0)
        with pytest.raises(BackPressureError):
            await gate.read(
                receiver(chunk(b"7890", more=True), chunk(b"", more=False)), None, gate.admit
            )
        assert gate.bytes_in_flight == 10
        assert gate.is_full
        waiting.cancel()

    asyncio.run(scenario())


def test_closing_the_gate_interrupts_bodies() -> None:
    gate = BodyGate(HttpConfig())

    async def scenario() -> None:
        reading = asyncio.create_task(gate.read(receiver(chunk(b"a", more=True)), None, gate.admit))
        while not gate._reading:  # noqa: ASYNC110 - one turn of the loop
            await asyncio.sleep(0)
        gate.close()
        with pytest.raises(ShuttingDownError):
            await reading
        with pytest.raises(ShuttingDownError):
            await gate.read(receiver(), None, gate.admit)

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
