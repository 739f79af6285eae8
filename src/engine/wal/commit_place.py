# Owns the decision which thread commits a group: the log's own, or the event loop itself where that
# takes less time than to wake up another thread and be woken up by it. Knows numbers only.
"""Where a group is committed."""

# A disk this quick may be waited for on the event loop: other requests hardly feel it.
QUICK_S = 0.00025
# What they would feel: after a commit that took so long on the loop, the thread goes on.
SLOW_S = 0.001
# The thread does so many commits before the loop gets its next chance. The quickest of them shows
# the disk; others also waited for the interpreter, which the loop's do not.
THREAD_COMMITS_MIN = 16
# Groups with more bytes than this take their time for the transfer.
LOOP_BYTES_MAX = 64 * 1024


class CommitPlace:
    """Tells whether the event loop may commit by itself."""

    def __init__(self) -> None:
        """Nothing is known of the disk yet: the thread begins."""
        self.is_loop = False
        self._thread_commits = 0
        self._quickest_s = float("inf")

    def committed(self, seconds: float) -> None:
        """Take note of how long a commit took where `is_loop` said."""
        if self.is_loop:
            self.is_loop = seconds <= SLOW_S
            return
        self._thread_commits += 1
        self._quickest_s = min(self._quickest_s, seconds)
        if self._thread_commits >= THREAD_COMMITS_MIN:
            self.is_loop = self._quickest_s <= QUICK_S
            self._thread_commits = 0
            self._quickest_s = float("inf")
