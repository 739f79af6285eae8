# Owns the knowledge of which answers are being sent, to whom, and when a client last took something
# of one. listener.py cuts off who takes nothing for too long.
"""Answers on their way."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Streams:
    """The answers that are being sent; any thread may ask."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """`now_s` is a clock that never goes back, in seconds."""
        self._now_s = now_s
        self._lock = threading.Lock()
        # When the last piece was asked for, and by which peer.
        self._last_s: dict[object, tuple[float, str]] = {}

    def followed(self, peer: str, pieces: Iterable[Any]) -> Iterator[Any]:
        """The same pieces; gRPC asks for one when the client has made room for it."""
        stream = object()
        try:
            for piece in pieces:
                self._note(stream, peer)
                yield piece
        finally:
            with self._lock:
                self._last_s.pop(stream, None)

    def stalled(self, limit_s: float) -> set[str]:
        """The peers that have taken nothing of an answer for `limit_s`."""
        oldest = self._now_s() - limit_s
        with self._lock:
            return {peer for last_s, peer in self._last_s.values() if last_s <= oldest}

    def _note(self, stream: object, peer: str) -> None:
        with self._lock:
            self._last_s[stream] = (self._now_s(), peer)
