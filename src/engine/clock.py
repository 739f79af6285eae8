# Owns the server's view of time, so that tests can hand in a manual clock, and times as numbers.
"""Wall-clock and monotonic time."""

import re
import time
from typing import Protocol

_NUMBER = re.compile(r"-?[0-9]{1,19}")


class Clock(Protocol):
    """What the server needs to know about time."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""


class SystemClock:
    """The clock of the machine."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def time_of_number(text: str) -> int | None:
    """Nanoseconds since the Unix epoch that `text` is as a 64-bit number; None if it is none."""
    time_ns = int(text) if _NUMBER.fullmatch(text) else None
    return time_ns if time_ns is not None and -(2**63) <= time_ns < 2**63 else None
