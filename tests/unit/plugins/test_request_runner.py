# What a client hears when its request's writes find no room, and that others are not kept waiting.
import asyncio
import json
from types import SimpleNamespace

import pytest

from engine.catalog.model import ErrorBehavior
from engine.plugins.request_runner import RequestCall, RequestRunner
from engine.plugins.retry import RetryPolicy
from engine.plugins.runs import Failure


class FullRuns:
    """Runs that end well, and whose writes find no room."""

    def __init__(self, behavior):
        self.trigger = SimpleNamespace(
            id=1, name="t", run_async=False, error_behavior=behavior, database="db"
        )
        self.calls = 0

    async def run(self, job, *, waits_for_room, **settings):
        assert not waits_for_room
        self.calls += 1
        return None, Failure("error writing back lines to db: no room", kind="no_room")


@pytest.mark.parametrize("behavior", list(ErrorBehavior))
def test_no_room_is_said_at_once_and_is_not_the_plugins_fault(behavior):
    async def scenario():
        runs = FullRuns(behavior)
        clock = SimpleNamespace(now_ns=lambda: 1)
        runner = RequestRunner(runs, clock, RetryPolicy(), async_runs_max=1)
        answer = await runner.call(RequestCall("p", {}, {}, b""))
        assert answer.status == 503
        assert dict(answer.headers)["retry-after"] == "10"
        assert json.loads(answer.body)["code"] == "no_room"
        assert runs.calls == 1

    asyncio.run(scenario())
