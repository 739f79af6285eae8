# Owns the order in which triggers begin what a flush has given all of them at once: one in each
# turn of the event loop, so that requests are served in between. Knows nothing of triggers.
"""One thing in each turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Makes calls, the first one at once, each further one a turn of the loop later."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_calling = False

    def add(self, call: Callable[[], None]) -> None:
        """Make `call` when those before it are made."""
        self._waiting.append(call)
        if not self._is_calling:
            self._is_calling = True
            self._next()

    def _next(self) -> None:
        if not self._waiting:
            self._is_calling = False
            return
        asyncio.get_running_loop().call_soon(self._next)
        self._waiting.popleft()()
