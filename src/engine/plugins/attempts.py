# Owns what follows a failed run: repeat it, give up, or disable the trigger, by the trigger's error
# behaviour. What giving up means for the rows is the runner's affair.
"""Runs, as often as it takes."""

import asyncio
import random
from enum import Enum

import msgspec

from engine.catalog.model import ErrorBehavior
from engine.errors import EngineError
from engine.plugins.channel import Job
from engine.plugins.retry import RetryPolicy
from engine.plugins.runs import Failure, TriggerRuns, once_there_is_room
from engine.store.run_records import RunRecord


class End(Enum):
    """How the work on one event ended."""

    DONE = "done"
    GIVEN_UP = "given up"
    DISABLED = "disabled"


class Ending(msgspec.Struct, frozen=True):
    """How the work on one event ended, after how many runs, and the last failure."""

    end: End
    tries: int
    failure: Failure | None = None


class Attempts:
    """Runs the jobs of one trigger to an end."""

    def __init__(self, runs: TriggerRuns, policy: RetryPolicy) -> None:
        self.runs = runs
        self._policy = policy

    async def run_to_end(
        self, job: Job, *, first_line: str, hops: int, record: RunRecord, has_rows: bool = False
    ) -> Ending:
        """Run `job` as often as the trigger's error behaviour asks for.

        A job that `has_rows` which would be skipped is not given up for what others did to its
        worker. Where they would be parked, or wait for a trigger that is disabled, it is: it may be
        this plugin that does it, time and again.
        """
        behavior = self.runs.trigger.error_behavior
        is_endless = has_rows and behavior is ErrorBehavior.LOG
        tries = 0
        while True:
            failure = await self.run_once(
                job, first_line=first_line, hops=hops, record=record, is_endless=is_endless
            )
            tries += 1
            if failure is None:
                return Ending(End.DONE, tries)
            if behavior is ErrorBehavior.DISABLE:
                await self.disable(failure.message)
                return Ending(End.DISABLED, tries, failure)
            if behavior is not ErrorBehavior.RETRY or not await self.wait_for_retry(tries):
                return Ending(End.GIVEN_UP, tries, failure)

    async def wait_for_retry(self, tries: int) -> bool:
        """Wait until it is time for another run after so many; False when they were enough."""
        wait_s = self._wait_s(tries)
        if wait_s is None:
            if tries > 1:
                self.runs.log("ERROR", f"giving up after {tries} runs")
            return False
        self.runs.metrics.retries.add(1, *self.runs.labels)
        await asyncio.sleep(wait_s)
        return True

    async def run_once(
        self, job: Job, *, first_line: str, hops: int, record: RunRecord, is_endless: bool = False
    ) -> Failure | None:
        """Run `job`, again when its worker went for another reason, whatever the behaviour.

        Neither the rows nor the trigger shall pay for what another plugin did to the process of
        them all. With `is_endless` it is never the trigger's fault, however often.
        """
        lost = 0
        while True:
            outcome, failure = await self.runs.run(
                job, first_line=first_line, hops=hops, record=record
            )
            if failure is None or outcome is None or outcome.failure not in ("lost", "stopped"):
                return failure
            lost += 1
            wait_s = self._endless_wait_s(lost) if is_endless else self._wait_s(lost)
            if wait_s is None:
                return failure
            self.runs.log("WARN", "the run is repeated: its worker was lost, not its own doing")
            self.runs.metrics.retries.add(1, *self.runs.labels)
            await asyncio.sleep(wait_s)

    async def disable(self, reason: str) -> None:
        """Disable the trigger, durably; stops the runner that calls."""
        runs = self.runs
        runs.log("ERROR", f"disabling trigger {runs.trigger.name} due to error")
        try:
            await once_there_is_room(lambda: runs.ports.switch.disable(runs.trigger, reason))
        except EngineError as error:
            runs.log("ERROR", f"the trigger could not be disabled: {error.message}")

    def _wait_s(self, retry: int) -> float | None:
        return self._policy.wait_s(retry, random.random())  # noqa: S311 - jitter only

    def _endless_wait_s(self, retry: int) -> float:
        return self._policy.endless_wait_s(retry, random.random())  # noqa: S311 - jitter only
