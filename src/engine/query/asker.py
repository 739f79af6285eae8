# Owns the tie between a query and the one who waits for its answer: who leaves stops the query.
"""Who waits for a query."""

import threading
from collections.abc import Callable
from contextvars import ContextVar


class Asker:
    """One who waits for the answers of one or more queries, one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._is_gone = False

    def begun(self, stop: Callable[[], None]) -> None:
        """A query has begun that `stop` ends; called in its thread."""
        with self._lock:
            self._stop = stop
            is_gone = self._is_gone
        if is_gone:
            stop()

    def leave(self) -> None:
        """Stop the query under way, and those that would come."""
        with self._lock:
            self._is_gone = True
            stop = self._stop
        if stop is not None:
            stop()


# Set in the context that a query's thread runs in.
ASKER: ContextVar[Asker | None] = ContextVar("asker", default=None)
