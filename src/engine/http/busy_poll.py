# Owns the decision whether the event loop, once it has answered, sleeps or stays awake for the next
# request: to wake up a thread on an idle core takes longer than many a client takes to send.
"""Waiting for the next request without sleeping."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine._kernel import poll_busily

# After a wait in vain so many answers, and twice as many each time, go without one.
_WAITS_IN_VAIN_MAX = 10
ANSWERS_WITHOUT_WAIT_MAX = 2**_WAITS_IN_VAIN_MAX
# Where a container's share of the cores stands: microseconds of so many, or "max".
_SHARE = Path("/sys/fs/cgroup/cpu.max")


class BusyPoll:
    """Keeps the event loop awake for clients that send the next request upon an answer.

    Its cost is a core for a moment after an answer; so it is left alone where it was in vain, where
    there is one core only, and where other work waits for the loop. Other threads may run: it does
    not hold the interpreter's lock.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, us_max: int, is_wanted: Callable[[], bool]
    ) -> None:
        """Wait for up to `us_max` microseconds, if `is_wanted` when it comes to that.

        Of loops other than uvloop's nothing is known, so they sleep.
        """
        self._loop = loop
        self._ns_max = us_max * 1000
        self._is_wanted = is_wanted
        backend: Callable[[], Any] | None = getattr(loop, "_get_backend_id", None)
        is_possible = us_max > 0 and backend is not None and _cores() >= 2
        # Where the loop's own events show; None: never wait.
        self._events: int | None = backend() if backend is not None and is_possible else None
        self._is_due = False
        self._answers_to_skip = 0
        self._in_vain = 0

    def answered(self) -> None:
        """A client has its answer and may come back: wait for it at the end of the turn."""
        if self._events is None or self._is_due:
            return
        if self._answers_to_skip:
            self._answers_to_skip -= 1
            return
        self._is_due = True
        self._loop.call_soon(self._wait)

    def _wait(self) -> None:
        self._is_due = False
        if self._events is None or not self._is_wanted():
            return
        if poll_busily(self._events, self._ns_max):
            self._in_vain = 0
            return
        self._answers_to_skip = 2**self._in_vain
        self._in_vain = min(self._in_vain + 1, _WAITS_IN_VAIN_MAX)


def _cores() -> float:
    """How many this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    try:
        used_us, of_us = _SHARE.read_text().split()
        return cores if used_us == "max" else min(cores, int(used_us) / int(of_us))
    except (OSError, ValueError):
        # Not in a group with a share.
        return cores
