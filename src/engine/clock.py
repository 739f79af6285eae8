# Owns the server's view of time, so that tests can hand in a manual clock.
"""Wall-clock and monotonic time."""

import time
from typing import Protocol


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
