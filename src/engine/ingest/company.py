# Owns the decision whether small requests that wait for the log wait for others, too. Knows numbers
# only; the merger asks and does the waiting.
"""When a group is worth waiting for."""

# After waits in vain so many groups, and twice as many each time, go without one.
GROUPS_WITHOUT_WAIT_MAX = 64
# A hundred writers take the loop longer than one wait. It goes on while the rest, at the pace of
# those who have come, will be there after so many more.
WAITS_TO_COME_MAX = 3
# Once in so many groups it is tried whether there are writers that nobody expects; twice as many
# after each time that there were none.
GROUPS_PER_PROBE_MIN = 32
GROUPS_PER_PROBE_MAX = 1024
# More writers than there may be.
NEVER = 1 << 30


class Company:
    """Tells whether a group should wait for more writers.

    A writer that is answered sends its next request at once. Without a wait those who came during
    one commit make up the next, and those answered by it miss the boat: two halves, each of which
    waits for the other's commit as well, and twice the work of a commit.

    Who comes during a commit is seen only where another thread commits. While the event loop does,
    halves would not know of each other: so a group waits now and then though it seems complete.
    """

    def __init__(self) -> None:
        """Begin without a wait."""
        self._expected = 0
        self._appended = 0
        self._has_appended = False
        self._is_waiting = False
        self._groups_to_skip = 0
        self._in_vain = 0
        self._is_probing = False
        self._groups_per_probe = GROUPS_PER_PROBE_MIN
        self._groups_to_probe = GROUPS_PER_PROBE_MIN

    @property
    def expects_writers(self) -> bool:
        """Whether some who were answered should be back."""
        return self._expected > 0

    def missing(self, waiting: int) -> int:
        """After how many more than those who are `waiting` there is something to decide."""
        return NEVER if self._is_probing else max(1, self._expected - waiting)

    def appended(self, writers: int) -> None:
        """A group waits for the commit that comes; so many of it should be back afterwards."""
        self._appended += writers
        self._has_appended = True

    def commit_ended(self, waiting: int) -> None:
        """Those of the commit are answered now; others came during it and are `waiting`."""
        if not self._has_appended:
            # A commit of something else, a plugin's run say: those expected are still to come.
            self._expected = max(self._expected, waiting)
            return
        self._has_appended = False
        if self._is_probing:
            self._end_probe(self._appended > self._expected)
        self._expected = self._appended + waiting
        self._appended = 0
        self._is_waiting = False
        self._groups_to_skip = max(0, self._groups_to_skip - 1)
        self._groups_to_probe -= 1
        self._is_probing = self._groups_to_probe <= 0

    def is_complete(self, waiting: int) -> bool:
        """Whether all who should come, and no more, are `waiting`."""
        if self._is_probing or waiting != self._expected:
            return False
        self._wait_succeeded()
        return True

    def is_worth_waiting(self, waiting: int) -> bool:
        """Whether more than those who are `waiting` should come soon."""
        if self._is_probing:
            return True
        if waiting >= self._expected:
            self._wait_succeeded()
            return False
        self._is_waiting = self._groups_to_skip == 0
        return self._is_waiting

    def is_short(self, waiting: int) -> bool:
        """Whether some are missing who were expected."""
        return waiting < self._expected

    def keeps_coming(self, gained: int, waiting: int) -> bool:
        """Whether to wait on, where `gained` came during the last wait and `waiting` are here."""
        missing = self._expected - waiting
        # With none missing, it was a probe that found nobody.
        return missing != 0 and gained * WAITS_TO_COME_MAX >= max(1, missing)

    def waited_in_vain(self, waiting: int) -> None:
        """Those expected did not come in time; `waiting` are here."""
        self._is_waiting = False
        if waiting >= self._expected:
            # They did: it was a probe.
            return
        self._groups_to_skip = min(2**self._in_vain, GROUPS_WITHOUT_WAIT_MAX)
        self._in_vain += 1

    def _wait_succeeded(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._in_vain = 0

    def _end_probe(self, has_found: bool) -> None:
        self._groups_per_probe = (
            GROUPS_PER_PROBE_MIN
            if has_found
            else min(2 * self._groups_per_probe, GROUPS_PER_PROBE_MAX)
        )
        self._groups_to_probe = self._groups_per_probe
