# Owns the memory of who came back: which connections send their next request as soon as the last is
# answered. Knows connections and times only; pure state.
"""Writers who come again and again."""

# Who sends the next request this soon after an answer does so again. Longer than a thousand writers
# take to be served once; shorter than what most programs with a timer leave between two.
BACK_AFTER_S_MAX = 0.04
CONNECTIONS_MAX = 4096

Connection = tuple[str, int]


class Regulars:
    """Tells which requests come from a writer who will be back."""

    def __init__(self) -> None:
        # When each was last answered.
        self._answered: dict[Connection, float] = {}

    def answered(self, connection: Connection | None, now_s: float) -> None:
        """A request that came over `connection` has its answer."""
        if connection is not None:
            self._answered[connection] = now_s
            if len(self._answered) > CONNECTIONS_MAX:
                self._forget(now_s)

    def has(self, connection: Connection | None, now_s: float) -> bool:
        """Whether who sends a request now came straight from the last answer.

        Where nothing is known of the connection, it counts as one that did.
        """
        if connection is None:
            return True
        answered_s = self._answered.get(connection)
        return answered_s is not None and now_s - answered_s <= BACK_AFTER_S_MAX

    def _forget(self, now_s: float) -> None:
        """Forget those who did not come back, or all where there are too many who do."""
        oldest_s = now_s - BACK_AFTER_S_MAX
        recent = {
            connection: answered_s
            for connection, answered_s in self._answered.items()
            if answered_s >= oldest_s
        }
        self._answered = recent if len(recent) <= CONNECTIONS_MAX // 2 else {}
