# Owns the decision after a failed run of a trigger with error behaviour `retry`. Pure: the caller
# waits.
"""Retry policy."""

import msgspec

# More of them than any wait has; numbers have an end.
_DOUBLINGS_MAX = 64


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First retry at once, then waits that double up to a limit."""

    retries_max: int = 5
    first_wait_s: float = 0.5
    wait_s_max: float = 30.0
    # Part of each wait that is random, so that triggers which failed together do not retry
    # together.
    jitter: float = 0.5

    def wait_s(self, retry: int, random: float) -> float | None:
        """Seconds to wait before retry number `retry` (1 is the first); None: give up.

        `random` is a number in [0, 1).
        """
        return None if retry > self.retries_max else self.endless_wait_s(retry, random)

    def endless_wait_s(self, retry: int, random: float) -> float:
        """As `wait_s`, for those who never give up."""
        if retry == 1:
            return 0.0
        doublings = min(retry - 2, _DOUBLINGS_MAX)
        wait = min(self.first_wait_s * 2.0**doublings, self.wait_s_max)
        return wait * (1 - self.jitter * random)
