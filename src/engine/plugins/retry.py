# Owns the decision after a failed run of a trigger with error behaviour `retry`. Pure: the caller
# waits.
"""Retry policy."""

import msgspec


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
        if retry > self.retries_max:
            return None
        if retry == 1:
            return 0.0
        wait = min(self.first_wait_s * 2.0 ** (retry - 2), self.wait_s_max)
        return wait * (1 - self.jitter * random)
