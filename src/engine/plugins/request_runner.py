# Owns one enabled request trigger: hands HTTP requests to the plugin and stores what it wrote
# before the answer goes out, so that the client can query it at once.
"""Runner of request triggers."""

import asyncio
import json

import msgspec

from engine.clock import Clock
from engine.plugins.channel import RequestRun
from engine.plugins.runs import TriggerRuns
from engine.store.run_records import RunRecord


class RequestCall(msgspec.Struct, frozen=True):
    """One HTTP request for a plugin."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class RequestAnswer(msgspec.Struct, frozen=True):
    """What goes back to the client."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class RequestRunner:
    """Runs one request trigger."""

    def __init__(self, runs: TriggerRuns, clock: Clock, *, async_runs_max: int) -> None:
        self.trigger = runs.trigger
        self.runs = runs
        self._clock = clock
        self._slots = asyncio.Semaphore(async_runs_max if self.trigger.run_async else 1)

    async def stop(self) -> None:
        """Nothing runs on its own here; calls under way end with their worker."""

    async def call(self, request: RequestCall) -> RequestAnswer:
        """Run the plugin; a failure becomes a 500 answer with its message."""
        async with self._slots:
            job = RequestRun(
                batch_id=f"{self.trigger.id}-{self._clock.now_ns()}",
                query=request.query,
                headers=request.headers,
                body=request.body,
            )
            outcome, failure = await self.runs.run(
                job,
                first_line="starting execution of request plugin.",
                hops=0,
                record=RunRecord(trigger_id=self.trigger.id),
            )
        if failure is not None:
            message = failure.message
            if outcome is not None and outcome.failure == "exception":
                # Clients of the reference system know an exception by this text.
                message = f"Python function call failed: {message}"
            body = json.dumps({"error": message, "code": "plugin_error"}).encode()
            return RequestAnswer(500, [("content-type", "application/json")], body)
        assert outcome is not None
        assert outcome.response is not None
        response = outcome.response
        return RequestAnswer(response.status, list(response.headers), response.body)
