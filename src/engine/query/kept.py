# Owns the bookkeeping of what is kept in memory of Parquet files: a budget, what was used when, and
# which file each entry is of. Knows nothing of what the entries are.
"""What is kept of files."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

# What was not used for so long makes room for others. What is used by turns and does not fit would
# else be made again and again.
IDLE_S = 600.0

# Path of the file, and what tells its entries apart.
Key = tuple[str, Hashable]


class Kept:
    """Entries up to a number of bytes; any thread may use it."""

    def __init__(
        self, directory: Path, bytes_max: int, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep entries of files in `directory`."""
        self._directory = directory
        self._bytes_max = bytes_max
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        # Value, size, and when it was used last. Oldest use first.
        self._entries: OrderedDict[Key, tuple[Any, int, float]] = OrderedDict()
        self.size_bytes = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Any | None:
        """The value, which is used by that; None where nothing is kept."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries[key] = (found[0], found[1], self._monotonic_s())
            self._entries.move_to_end(key)
            return found[0]

    def has_room(self, size_bytes: int) -> bool:
        """Whether so much fits; what was not used for long goes for it."""
        oldest_s = self._monotonic_s() - IDLE_S
        with self._lock:
            while self._entries and self.size_bytes + size_bytes > self._bytes_max:
                key, (_, freed, used_s) = next(iter(self._entries.items()))
                if used_s > oldest_s:
                    return False
                del self._entries[key]
                self.size_bytes -= freed
            return self.size_bytes + size_bytes <= self._bytes_max

    def put(self, key: Key, value: Any, size_bytes: int) -> None:
        """Keep a value, if it is not kept yet; what was not used for longest goes if it must."""
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = (value, size_bytes, self._monotonic_s())
            self.size_bytes += size_bytes
            while self.size_bytes > self._bytes_max:
                _, (_, freed, _) = self._entries.popitem(last=False)
                self.size_bytes -= freed

    def forget(self, key: Key) -> None:
        """Forget one entry, if there is such."""
        with self._lock:
            _, size_bytes, _ = self._entries.pop(key, (None, 0, 0.0))
            self.size_bytes -= size_bytes

    def forget_removed(self) -> None:
        """Forget the entries of files that are not there any more."""
        with self._lock:
            paths = {path for path, _ in self._entries}
        gone = {path for path in paths if not (self._directory / path).exists()}
        with self._lock:
            for key in [key for key in self._entries if key[0] in gone]:
                self.size_bytes -= self._entries.pop(key)[1]
