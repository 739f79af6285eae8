# Owns the decision how long the log thread waits for company before it commits. Knows numbers and
# times only; the log asks and does the waiting.
"""When a group commit is worth waiting for."""

# Of the time of the last commit, what may be spent on a wait.
PATIENCE_OF_COMMIT = 0.25
PATIENCE_S_MAX = 0.002
# Below this the wake-up of a thread takes as long as the wait.
PATIENCE_S_MIN = 0.0001
# Groups with more bytes than this take their time for the transfer, which waiting does not share.
GATHER_BYTES_MAX = 128 * 1024
# After a wait that brought nothing, so many groups go without one.
GROUPS_WITHOUT_WAIT = 4


class Gathering:
    """Tells how many writers to wait for and how long.

    A writer that is acknowledged sends its next frame at once. Without a wait the log thread takes
    what has come during the last sync, and the writers acknowledged by it miss the boat: they fall
    into two halves, each of which waits for the other's sync, too. Waiting a moment brings them
    together: one sync for all, half the time for each.
    """

    def __init__(self) -> None:
        """Start without a wait."""
        self._writers = 0
        self._seconds = 0.0
        self._groups_to_skip = 0

    def committed(self, writers: int, waiting_writers: int, seconds: float) -> None:
        """Take note of a commit, before anybody hears that its frames are durable.

        Args:
            writers: How many it lets go on.
            waiting_writers: How many came while it ran.
            seconds: How long it took.
        """
        self._writers = writers + waiting_writers
        self._seconds = seconds

    def patience(self, waiting_bytes: int) -> tuple[int, float]:
        """How many writers to wait for and for how many seconds; 0 seconds means not at all."""
        seconds = min(self._seconds * PATIENCE_OF_COMMIT, PATIENCE_S_MAX)
        if seconds < PATIENCE_S_MIN or waiting_bytes > GATHER_BYTES_MAX:
            return 0, 0.0
        if self._groups_to_skip > 0:
            self._groups_to_skip -= 1
            return 0, 0.0
        return self._writers, seconds

    def waited(self, gained_writers: int) -> None:
        """Take note of how many writers came during a wait."""
        self._groups_to_skip = 0 if gained_writers else GROUPS_WITHOUT_WAIT
