# Owns the one way in which tests wait: poll with a deadline.
"""Polling."""

import time
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


def wait_for(
    probe: Callable[[], _Result], what: str, *, timeout_s: float = 60.0, interval_s: float = 0.02
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


def wait_for_value(
    probe: Callable[[], object], expected: object, what: str, *, timeout_s: float = 60.0
) -> None:
    """Wait until `probe` gives `expected`; what it gave instead is part of the failure.

    Raises:
        AssertionError: It did not within `timeout_s`.
    """
    seen: list[object] = [None]

    def is_there() -> bool:
        seen[0] = probe()
        return seen[0] == expected

    try:
        wait_for(is_there, what, timeout_s=timeout_s)
    except AssertionError as error:
        message = f"{what}: expected {expected!r}, last seen {seen[0]!r}"
        raise AssertionError(message) from error
