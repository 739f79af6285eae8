# Owns expiring key-value storage: a trigger's own cache lives in its worker and keeps live objects
# by reference; the server keeps one more, of pickled bytes, that triggers of equal rights share.
"""Caches of plugins."""

import math
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from engine.errors import PluginError

Value = TypeVar("Value")

SWEEP_INTERVAL_S = 10.0
TTL_S_MAX = 1e9  # some thirty years; more is surely not a number of seconds
# The global cache lives in the server, where a plugin must not take all memory.
GLOBAL_BYTES_MAX = 256 * 1024 * 1024
# What an entry takes besides its key and value, about.
_ENTRY_BYTES = 200


class CacheFullError(PluginError):
    """The global cache has no room for a value."""

    code = "cache_full"


class ExpiringStore(Generic[Value]):
    """Keyed values with an optional time to live; every operation is atomic."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        size_of: Callable[[Value], int] | None = None,
        size_max: int = 0,
    ) -> None:
        """An empty store; with `size_of` its entries take at most `size_max` bytes."""
        self._clock = clock
        self._size_of = size_of
        self._size_max = size_max
        self._size = 0
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[Value, float]] = {}  # value, expiry on the clock
        self._next_sweep = clock() + SWEEP_INTERVAL_S

    def __len__(self) -> int:
        with self._lock:
            self._sweep(self._clock())
            return len(self._entries)

    def put(self, key: str, value: Value, ttl_s: float | None) -> None:
        """Stores a value, replacing an older one together with its time to live.

        Raises:
            CacheFullError: There is no room for it; the older one stays.
        """
        now = self._clock()
        expiry = math.inf if ttl_s is None else now + ttl_s
        with self._lock:
            self._sweep(now)
            growth = self._entry_size(key, value) - self._held_size(key)
            if self._size + growth > self._size_max and self._size_of is not None:
                raise CacheFullError(
                    f"the global cache is full: it holds {self._size} bytes of at most "
                    f"{self._size_max}",
                    hint="store less, or with a time to live, or without use_global",
                )
            self._size += growth
            self._entries[key] = (value, expiry)

    def get(self, key: str) -> tuple[bool, Value | None]:
        """Whether a live value is there, and the value."""
        now = self._clock()
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return False, None
            if now >= entry[1]:
                self._remove(key)
                return False, None
            return True, entry[0]

    def delete(self, key: str) -> bool:
        """Removes a value and tells whether a live one was there."""
        now = self._clock()
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._remove(key)
            return entry is not None and now < entry[1]

    def _entry_size(self, key: str, value: Value) -> int:
        return 0 if self._size_of is None else _ENTRY_BYTES + len(key) + self._size_of(value)

    def _held_size(self, key: str) -> int:
        entry = self._entries.get(key)
        return 0 if entry is None else self._entry_size(key, entry[0])

    def _remove(self, key: str) -> None:
        self._size -= self._held_size(key)
        del self._entries[key]

    def _sweep(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_INTERVAL_S
        for key in [key for key, entry in self._entries.items() if now >= entry[1]]:
            self._remove(key)


class GlobalStore(Protocol):
    """The shared cache as a worker sees it: pickled values behind the channel."""

    def cache_get(self, key: str) -> tuple[bool, bytes | None]:
        """Whether a live value is there, and its bytes."""

    def cache_put(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Stores bytes."""

    def cache_delete(self, key: str) -> bool:
        """Removes a value and tells whether a live one was there."""


class LocalStore(Protocol):
    """A trigger's own cache."""

    def put(self, key: str, value: Any, ttl_s: float | None) -> None:
        """Stores a value."""

    def get(self, key: str) -> tuple[bool, Any | None]:
        """Whether a live value is there, and the value."""

    def delete(self, key: str) -> bool:
        """Removes a value and tells whether a live one was there."""

    def __len__(self) -> int:
        """How many values are held in this process."""


class PrefixedStore:
    """A part of a shared cache: its keys start with a word of its own."""

    def __init__(self, shared: GlobalStore, prefix: str) -> None:
        self._shared = shared
        self._prefix = prefix

    def cache_get(self, key: str) -> tuple[bool, bytes | None]:
        """Whether a live value is there, and its bytes."""
        return self._shared.cache_get(self._prefix + key)

    def cache_put(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Stores bytes."""
        self._shared.cache_put(self._prefix + key, value, ttl_s)

    def cache_delete(self, key: str) -> bool:
        """Removes a value and tells whether a live one was there."""
        return self._shared.cache_delete(self._prefix + key)


class CarriedStore:
    """The own cache of a dry run, whose worker ends with it.

    Objects are kept by reference, as ever; those that can be pickled are also handed to the server
    when the dry run ends, where the next one of that cache name finds them.
    """

    def __init__(self, shared: GlobalStore) -> None:
        self._shared = shared
        self._live: ExpiringStore[Any] = ExpiringStore()
        self._changed: dict[str, float | None] = {}  # key -> time to live

    def __len__(self) -> int:
        return len(self._live)

    def put(self, key: str, value: Any, ttl_s: float | None) -> None:
        """Stores a value."""
        self._live.put(key, value, ttl_s)
        self._changed[key] = ttl_s

    def get(self, key: str) -> tuple[bool, Any | None]:
        """Whether a live value is there, and the value."""
        if key in self._changed:
            return self._live.get(key)
        found, pickled = self._shared.cache_get(key)
        if not found or pickled is None:
            return False, None
        value = _unpickled(key, pickled)
        self.put(key, value, None)
        return True, value

    def delete(self, key: str) -> bool:
        """Removes a value and tells whether a live one was there."""
        was_live = self._live.delete(key) if key in self._changed else False
        self._changed.setdefault(key, None)
        return self._shared.cache_delete(key) or was_live

    def hand_over(self) -> None:
        """Gives the server a copy of every value that can be copied."""
        for key, ttl_s in self._changed.items():
            found, value = self._live.get(key)
            if found:
                try:
                    pickled = _pickled(key, value)
                except TypeError:
                    continue  # a lock or a connection lives in its process only
                self._shared.cache_put(key, pickled, ttl_s)


class PluginCache:
    """``influxdb3_local.cache``: the trigger's own objects, or shared copies if ``use_global``."""

    __slots__ = ("_global", "_local")

    def __init__(self, local: LocalStore, shared: GlobalStore) -> None:
        self._local = local
        self._global = shared

    def put(
        self, key: str, value: Any, ttl: float | None = None, use_global: bool | None = None
    ) -> None:
        """Stores a value, for ``ttl`` seconds or until the trigger or the server stops.

        The trigger's own cache keeps the object itself. The global cache keeps a copy, so the
        value must be picklable and changes made later are not seen elsewhere.
        """
        _check_key(key)
        ttl_s = _checked_ttl(ttl)
        if use_global:
            self._global.cache_put(key, _pickled(key, value), ttl_s)
        else:
            self._local.put(key, value, ttl_s)

    def get(self, key: str, default: Any = None, use_global: bool | None = None) -> Any:
        """Returns the value, or the default when there is none or it has expired."""
        _check_key(key)
        if use_global:
            found, pickled = self._global.cache_get(key)
            return _unpickled(key, pickled) if found and pickled is not None else default
        found, value = self._local.get(key)
        return value if found else default

    def delete(self, key: str, use_global: bool | None = None) -> bool:
        """Removes the value and tells whether there was one."""
        _check_key(key)
        return self._global.cache_delete(key) if use_global else self._local.delete(key)


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"cache key must be a str, not {type(key).__name__}")


def _checked_ttl(ttl: object) -> float | None:
    if ttl is None:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, int | float):
        raise TypeError(f"cache ttl must be a number of seconds, not {type(ttl).__name__}")
    if not 0 <= ttl <= TTL_S_MAX:
        raise ValueError(f"cache ttl must be between 0 and {TTL_S_MAX:.0f} seconds, not {ttl}")
    return float(ttl)


def _pickled(key: str, value: object) -> bytes:
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise TypeError(
            f"the value for cache key '{key}' cannot go to the global cache, which shares copies "
            f"between processes: {error}. Leave out use_global, or store plain data"
        ) from error


def _unpickled(key: str, pickled: bytes) -> Any:
    try:
        # The bytes were pickled by another plugin of this server, which has our rights.
        return pickle.loads(pickled)  # noqa: S301
    except Exception as error:
        raise TypeError(
            f"the global cache's value for key '{key}' cannot be rebuilt in this trigger: {error}. "
            "Classes defined in a plugin file are known to that plugin only; store plain data"
        ) from error
