"""Answers that are sent piece by piece: whoever leaves or stalls, the plugin learns it."""

import asyncio

import pytest

from engine.http.streaming import StreamedResponse
from engine.plugins.request_runner import RequestAnswer, pieces_of
from engine.plugins.response_stream import ResponseStream, StreamAbandonedError


async def never():
    await asyncio.Event().wait()


async def begun():
    """A stream with one piece, whose run has not ended."""
    stream = ResponseStream()
    await stream.put(200, [], b"first")
    call = asyncio.create_task(never())
    return stream, call, pieces_of(stream, call)


def answered(pieces, **settings):
    return StreamedResponse(200, pieces=pieces, receive=never, **settings)


def test_pieces_that_nobody_began_to_read_are_closed_too():
    async def body():
        stream, call, pieces = await begun()
        await pieces.aclose()
        with pytest.raises(StreamAbandonedError):
            await stream.put(200, [], b"next")
        call.cancel()

    asyncio.run(body())


def test_a_connection_that_is_gone_before_the_first_byte_closes_the_pieces():
    async def gone(message):
        raise ConnectionResetError

    async def body():
        stream, call, pieces = await begun()
        with pytest.raises(ConnectionResetError):
            await answered(pieces).send(gone)
        with pytest.raises(StreamAbandonedError):
            await stream.put(200, [], b"next")
        call.cancel()

    asyncio.run(body())


def test_a_client_that_takes_nothing_is_given_up():
    async def stalled(message):
        if message["type"] == "http.response.body":
            await never()

    async def body():
        stream, call, pieces = await begun()
        with pytest.raises(TimeoutError):
            await answered(pieces, stall_s=0.05).send(stalled)
        with pytest.raises(StreamAbandonedError, match="did not read on"):
            await stream.put(200, [], b"next")
        call.cancel()

    asyncio.run(asyncio.wait_for(body(), 10))


def test_pieces_end_with_the_run():
    async def body():
        stream = ResponseStream()
        await stream.put(200, [], b"a")
        await stream.put(200, [], b"b")

        async def run():
            await stream.end()
            return RequestAnswer(200, [], b"")

        got = [piece async for piece in pieces_of(stream, asyncio.create_task(run()))]
        assert got == [b"a", b"b"]

    asyncio.run(body())
