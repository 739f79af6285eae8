# Owns the one way in which tests wait: poll with a deadline.
"""Polling."""

import time
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


def wait_for(
    probe: Callable[[], _Result], what: str, *, timeout_s: float = 20.0, interval_s: float = 0.02
) -> _Result:
    """The first truthy result of `probe`.

    Raises:
        AssertionError: There was none within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        result = probe()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what} (last: {result!r})"
        time.sleep(interval_s)
