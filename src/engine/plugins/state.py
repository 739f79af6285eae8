# Owns `influxdb3_local.state` as one run sees it: what it read, and what it wants changed when it
# succeeds. The server keeps the durable values and checks at the end that nobody changed what the
# run read.
"""Durable state of a trigger, in the worker."""

import threading
from typing import Any, Protocol

import msgspec

# Encoded, of one value.
VALUE_BYTES_MAX = 1024 * 1024
KEY_BYTES_MAX = 512
# Keys and encoded values of one trigger.
STATE_BYTES_MAX = 16 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

_PLAIN = (str, bool, int, float, bytes, bytearray)
_HINT = "store None, bool, int, float, str, bytes, and lists and dicts of these"


class StateStore(Protocol):
    """The committed state, behind the channel."""

    def state_get(self, key: str) -> tuple[bytes | None, int]:
        """Value and position of its last change; (None, 0) for an absent key."""

    def state_items(self, prefix: str) -> tuple[list[tuple[str, bytes]], int]:
        """Keys with that prefix and their values, and the position of the last change of any."""


class StateUse(msgspec.Struct, frozen=True):
    """What a run did with the state: see StateReads and StateChange of the server."""

    changes: list[tuple[str, bytes | None]]
    reads: list[tuple[str, int]]
    scan: int | None


class PluginState:
    """Values that survive restarts; changes count when the run succeeds, and only then."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._changes: dict[str, bytes | None] = {}
        self._change_bytes = 0
        self._reads: dict[str, tuple[bytes | None, int]] = {}
        self._scan: int | None = None
        self._is_open = True

    def get(self, key: str, default: Any = None) -> Any:
        """A fresh copy of the value, or `default` when there is none."""
        with self._lock:
            value = self._current(_checked_key(key))
        return default if value is None else _decode(value)

    def put(self, key: str, value: Any) -> None:
        """Stores a copy of the value.

        Raises:
            TypeError: The value, or something in it, cannot be stored.
            ValueError: It is too large.
        """
        encoded = encoded_value(_checked_key(key), value)
        with self._lock:
            self._change(key, encoded)

    def delete(self, key: str) -> bool:
        """Removes a value and tells whether there was one."""
        with self._lock:
            was_there = self._current(_checked_key(key)) is not None
            if was_there:
                self._change(key, None)
            return was_there

    def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        """Keys that begin with `prefix` and their values, sorted by key."""
        if not isinstance(prefix, str):
            raise TypeError(f"a state prefix must be a str, not {type(prefix).__name__}")
        with self._lock:
            self._check_open()
            stored, position = self._store.state_items(prefix)
            if self._scan is None:
                self._scan = position
            merged: dict[str, bytes | None] = dict(stored)
            merged.update(
                (key, value) for key, value in self._changes.items() if key.startswith(prefix)
            )
        return [(key, _decode(value)) for key, value in sorted(merged.items()) if value is not None]

    def close(self) -> StateUse:
        """What the run read and changes; it can do neither any more."""
        with self._lock:
            self._is_open = False
            return StateUse(
                list(self._changes.items()),
                [(key, position) for key, (_, position) in self._reads.items()],
                self._scan,
            )

    def _current(self, key: str) -> bytes | None:
        self._check_open()
        if key in self._changes:
            return self._changes[key]
        if key not in self._reads:
            self._reads[key] = self._store.state_get(key)
        return self._reads[key][0]

    def _change(self, key: str, value: bytes | None) -> None:
        self._check_open()
        growth = len(value or b"") - len(self._changes.get(key) or b"")
        if self._change_bytes + growth > STATE_BYTES_MAX:
            raise ValueError(
                f"this call changes more than {STATE_BYTES_MAX} bytes of state, the limit of a "
                "trigger; keep large data in a table"
            )
        self._change_bytes += growth
        self._changes[key] = value

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("this call of the plugin has ended, and its state is committed")


def encoded_value(key: str, value: Any) -> bytes:
    """The bytes that stand for `value` under `key`.

    Raises:
        TypeError, ValueError: As PluginState.put.
    """
    try:
        encoded = _encode(_plain(key, value))
    except RecursionError:
        raise ValueError(f"the state value of '{key}' is nested too deeply") from None
    except (OverflowError, UnicodeError, msgspec.MsgspecError) as error:
        raise ValueError(f"the state value of '{key}' cannot be stored: {error}") from None
    if len(encoded) > VALUE_BYTES_MAX:
        raise ValueError(
            f"the state value of '{key}' takes {len(encoded)} bytes, the limit is "
            f"{VALUE_BYTES_MAX}; split it over several keys, or keep it in a table"
        )
    return encoded


def _plain(key: str, value: Any) -> Any:
    if value is None or type(value) in _PLAIN:
        return value
    if callable(getattr(value, "item", None)) and getattr(value, "shape", None) == ():
        value = value.item()  # a numpy scalar
    match value:
        case bool() | float() | bytes() | bytearray():
            return value
        case str():
            return str.__str__(value)  # a subclass, such as an enum, becomes what it stands for
        case int():
            return int(value)
        case list() | tuple():
            return [_plain(key, item) for item in value]
        case dict():
            return {_plain_key(key, name): _plain(key, item) for name, item in value.items()}
        case _:
            raise TypeError(
                f"the state value of '{key}' holds a {type(value).__name__}, which cannot be "
                f"stored; {_HINT}"
            )


def _plain_key(key: str, name: Any) -> str | int:
    if isinstance(name, str):
        return str.__str__(name)
    if isinstance(name, int) and not isinstance(name, bool):
        return int(name)
    raise TypeError(
        f"the state value of '{key}' holds a dict with a {type(name).__name__} as a key; "
        "dict keys must be str or int"
    )


def _checked_key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a state key must be a str, not {type(key).__name__}")
    size = len(key.encode())
    if size > KEY_BYTES_MAX:
        raise ValueError(f"a state key may take {KEY_BYTES_MAX} bytes, this one takes {size}")
    return str.__str__(key)
