# Owns the knowledge of who may still read files that the tables have lost. Any thread may use it.
"""Readers of Parquet files."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Readers:
    """Counts readers by the epoch in which they began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch = 0
        self._counts: dict[int, int] = {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold all files that tables have at any time from now on, until the end of the block."""
        with self._lock:
            epoch = self._epoch
            self._counts[epoch] = self._counts.get(epoch, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[epoch] -= 1
                if not self._counts[epoch]:
                    del self._counts[epoch]

    def begin_epoch(self) -> int:
        """Begin an epoch; return the one before, in which readers may hold what is lost now."""
        with self._lock:
            self._epoch += 1
            return self._epoch - 1

    def is_over(self, epoch: int) -> bool:
        """Whether all readers of that epoch, and of those before, are done."""
        with self._lock:
            return all(begun > epoch for begun in self._counts)
