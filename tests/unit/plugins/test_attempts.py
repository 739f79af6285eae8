# How often a run is repeated whose worker went for another reason.

import asyncio
from types import SimpleNamespace

import pytest

from engine.catalog.model import ErrorBehavior
from engine.plugins.attempts import Attempts, End
from engine.plugins.channel import WritesRun
from engine.plugins.retry import RetryPolicy
from engine.plugins.runs import Failure
from engine.store.run_records import RunRecord

RETRIES_MAX = 3
LOSSES = 50


class Runs:
    """Loses the worker of the first runs."""

    def __init__(self, behavior, losses):
        self.trigger = SimpleNamespace(name="t", error_behavior=behavior)
        self.labels = ("db", "t")
        self.metrics = SimpleNamespace(retries=SimpleNamespace(add=lambda *values: None))
        self.losses = losses
        self.runs = 0

    def log(self, level, text):
        pass

    async def run(self, job, **settings):
        self.runs += 1
        if self.runs <= self.losses:
            return SimpleNamespace(failure="lost"), Failure("lost", kind="lost")
        return SimpleNamespace(failure=""), None


def ending_of(runs, *, has_rows):
    policy = RetryPolicy(retries_max=RETRIES_MAX, first_wait_s=0.0)
    return asyncio.run(
        Attempts(runs, policy).run_to_end(
            WritesRun(database="db"),
            first_line="",
            hops=0,
            record=RunRecord(trigger_id=1),
            has_rows=has_rows,
        )
    )


def test_rows_are_not_skipped_for_what_others_did_to_the_worker():
    runs = Runs(ErrorBehavior.LOG, LOSSES)
    ending = ending_of(runs, has_rows=True)
    assert (ending.end, ending.tries, runs.runs) == (End.DONE, 1, LOSSES + 1)


@pytest.mark.parametrize(
    ("behavior", "has_rows"), [(ErrorBehavior.LOG, False), (ErrorBehavior.RETRY, True)]
)
def test_what_would_not_be_lost_is_given_up_in_the_end(behavior, has_rows):
    runs = Runs(behavior, LOSSES)
    assert ending_of(runs, has_rows=has_rows).end is End.GIVEN_UP
    assert runs.runs < LOSSES


def test_waits_without_end_stay_within_the_limit():
    policy = RetryPolicy(retries_max=1, first_wait_s=0.5, wait_s_max=30.0)
    waits = [policy.endless_wait_s(retry, 0.0) for retry in (1, 2, 3, 9, 10**6)]
    assert waits == [0.0, 0.5, 1.0, 30.0, 30.0]
