# Owns one enabled request trigger: hands HTTP requests to the plugin and stores what it wrote
# before the answer goes out, so that the client can query it at once.
"""Runner of request triggers."""

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec

from engine.catalog.model import ErrorBehavior
from engine.clock import Clock
from engine.errors import PluginError
from engine.plugins.attempts import Attempts
from engine.plugins.channel import RequestRun
from engine.plugins.host import RunOutcome
from engine.plugins.response_stream import ResponseStream
from engine.plugins.retry import RetryPolicy
from engine.plugins.runs import Failure, TriggerRuns
from engine.store.run_records import RunRecord


class RequestCall(msgspec.Struct, frozen=True):
    """One HTTP request for a plugin."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class RequestAnswer(msgspec.Struct, frozen=True):
    """What goes back to the client.

    A streamed answer has ``pieces`` instead of a body. They end when the run has ended well and
    what it wrote is stored, else with a StreamBrokenError. Who does not read to the end closes
    them.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    pieces: "Pieces | None" = None
    is_failure: bool = False


class StreamBrokenError(PluginError):
    """A plugin failed after its streamed answer had begun."""

    code = "stream_broken"


class RequestRunner:
    """Runs one request trigger."""

    def __init__(
        self, runs: TriggerRuns, clock: Clock, retry: RetryPolicy, *, async_runs_max: int
    ) -> None:
        self.trigger = runs.trigger
        self.runs = runs
        self._attempts = Attempts(runs, retry)
        self._clock = clock
        self._slots = asyncio.Semaphore(async_runs_max if self.trigger.run_async else 1)
        # Calls outlive the coroutine that asked for them when their answer is streamed.
        self._calls: set[asyncio.Task[RequestAnswer]] = set()
        self._is_stopped = False

    async def stop(self) -> None:
        """Begin no more runs; calls under way end with their worker."""
        self._is_stopped = True

    async def call(self, request: RequestCall) -> RequestAnswer:
        """Run the plugin; a failure becomes a 500 answer with its message."""
        stream = ResponseStream()
        call = asyncio.create_task(self._run(request, stream))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        call.add_done_callback(lambda _: stream.decide())
        try:
            await stream.decided
        except asyncio.CancelledError:
            stream.abandon()
            call.cancel()
            raise
        if stream.has_started:
            return RequestAnswer(stream.status, stream.headers, b"", pieces_of(stream, call))
        return await call

    async def _run(self, request: RequestCall, stream: ResponseStream) -> RequestAnswer:
        async with self._slots:
            job = RequestRun(
                batch_id=f"{self.trigger.id}-{self._clock.now_ns()}",
                query=request.query,
                headers=request.headers,
                body=request.body,
            )
            try:
                outcome, failure = await self._run_to_end(job, stream)
            except BaseException:
                stream.abandon()
                raise
        await stream.end()
        if failure is not None:
            message = failure.message
            if outcome is not None and outcome.failure == "exception":
                # Clients of the reference system know an exception by this text.
                message = f"Python function call failed: {message}"
            return _failed(message, failure.kind)
        assert outcome is not None
        assert outcome.response is not None
        response = outcome.response
        return RequestAnswer(response.status, list(response.headers), response.body)

    async def _run_to_end(
        self, job: RequestRun, stream: ResponseStream
    ) -> tuple[RunOutcome | None, Failure | None]:
        """Run `job` as often as the error behaviour asks for, while the client has seen nothing."""
        behavior = self.trigger.error_behavior
        tries = 0
        while True:
            if self._is_stopped:
                # It waited for its turn, or for a retry, when the trigger came to its end.
                text = f"trigger {self.trigger.name} was stopped before the call"
                return None, Failure(text, kind="stopped")
            outcome, failure = await self.runs.run(
                job,
                first_line="starting execution of request plugin.",
                hops=0,
                record=RunRecord(trigger_id=self.trigger.id),
                stream=stream,
                # The client can come again; waiting here it would keep others from the plugin.
                waits_for_room=False,
            )
            tries += 1
            if failure is None or stream.is_abandoned or not failure.is_plugins_own:
                return outcome, failure
            if behavior is ErrorBehavior.DISABLE:
                await self._attempts.disable(failure.message)
            if behavior is not ErrorBehavior.RETRY or stream.has_started:
                return outcome, failure
            if not await self._attempts.wait_for_retry(tries):
                return outcome, failure


# Not the plugin's doing, and over soon: where the trigger is enabled again, or the disk has room.
_PASSING = {"stopped": ("trigger_stopped", 1), "no_room": ("no_room", 10)}


def _failed(message: str, kind: str) -> RequestAnswer:
    headers = [("content-type", "application/json")]
    if kind not in _PASSING:
        content = {
            "error": message,
            "code": "plugin_error",
            "hint": "system.processing_engine_logs has the traceback",
        }
        return RequestAnswer(500, headers, json.dumps(content).encode(), is_failure=True)
    code, seconds = _PASSING[kind]
    body = json.dumps({"error": message, "code": code, "hint": ""}).encode()
    return RequestAnswer(503, [*headers, ("retry-after", str(seconds))], body, is_failure=True)


class Pieces:
    """The body of a streamed answer; closing it, at any time, tells the plugin to end."""

    def __init__(self, stream: ResponseStream, pieces: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        """Nobody reads on."""
        # Not left to the generator: one that was never begun closes without running its code.
        self._stream.abandon()


def pieces_of(stream: ResponseStream, call: asyncio.Task[RequestAnswer]) -> Pieces:
    """What comes through `stream` until `call`, which fills it, has ended well."""

    async def pieces() -> AsyncIterator[bytes]:
        while (piece := await stream.next()) is not None:
            yield piece
        answer = await call
        if answer.is_failure:
            raise StreamBrokenError(answer.body.decode())

    return Pieces(stream, pieces())
