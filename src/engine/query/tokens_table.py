# Owns the shape of `system.tokens`, which only the internal database has.
"""The system table of tokens."""

from collections.abc import Iterable
from typing import Any

import pyarrow

from engine.catalog.model import Token

_TEXT = pyarrow.utf8()
_TIME = pyarrow.timestamp("ms")
_SCHEMA = pyarrow.schema(
    [
        ("token_id", pyarrow.uint64()),
        ("name", _TEXT),
        ("hash", _TEXT),
        ("created_at", _TIME),
        ("description", _TEXT),
        ("created_by_token_id", pyarrow.uint64()),
        ("updated_at", _TIME),
        ("updated_by_token_id", pyarrow.uint64()),
        ("expiry", _TIME),
        ("permissions", _TEXT),
    ]
)


def tokens_table(tokens: Iterable[Token]) -> Any:
    """The table of `tokens`."""
    return pyarrow.Table.from_pylist(
        [
            {
                "token_id": token.id,
                "name": token.name,
                "hash": token.hash.hex(),
                "created_at": token.created_ns // 1_000_000,
                "updated_at": _milliseconds(token.updated_ns),
                "expiry": _milliseconds(token.expiry_ns),
                "permissions": ", ".join(token.permissions),
            }
            for token in tokens
        ],
        _SCHEMA,
    )


def _milliseconds(time_ns: int | None) -> int | None:
    return None if time_ns is None else time_ns // 1_000_000
