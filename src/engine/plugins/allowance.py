# Owns how much of something a plugin may cause at once and by the second: what it prints, what it
# logs. A token bucket; whoever asks decides what happens to the rest.
"""Limits over time."""

import time
from collections.abc import Callable


class Allowance:
    """`burst` at once, and `per_second` more as time goes by, up to `burst` again."""

    def __init__(
        self, burst: float, per_second: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = self._left = burst
        self._per_second = per_second
        self._clock_s = clock_s
        self._at_s = clock_s()

    def take(self, cost: float) -> bool:
        """Use `cost`, all of it or nothing; return whether it was there."""
        self._earn()
        if cost > self._left:
            return False
        self._left -= cost
        return True

    def owe(self, cost: float) -> float:
        """Use `cost` though it may not be there; return the seconds until it would have been."""
        self._earn()
        self._left -= cost
        return max(0.0, -self._left / self._per_second)

    def _earn(self) -> None:
        now_s = self._clock_s()
        earned = (now_s - self._at_s) * self._per_second
        self._left = min(self._left + earned, self._burst)
        self._at_s = now_s
