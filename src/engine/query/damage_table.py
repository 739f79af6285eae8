# Owns the shape of `system.damage`: what was found damaged, and where it is kept.
"""The system table of damaged files."""

from collections.abc import Iterable
from typing import Any

import pyarrow

from engine.damage import Damage

_TEXT = pyarrow.utf8()
_DAMAGE = pyarrow.schema(
    [
        ("kind", _TEXT),
        ("file", _TEXT),
        ("reason", _TEXT),
        ("found", pyarrow.timestamp("ns")),
        ("offset_bytes", pyarrow.int64()),
        ("size_bytes", pyarrow.int64()),
        ("after_position", pyarrow.int64()),
        ("before_position", pyarrow.int64()),
        ("content", _TEXT),
        ("kept", _TEXT),
        ("table_name", _TEXT),
        ("row_count", pyarrow.int64()),
        ("min_time", pyarrow.int64()),
        ("max_time", pyarrow.int64()),
    ]
)


def damage_table(damages: Iterable[Damage]) -> Any:
    """``system.damage``, of damage to the log and to files of one database."""
    rows = [
        {
            "kind": damage.kind,
            "file": damage.file,
            "reason": damage.reason,
            "found": damage.found_ns,
            "offset_bytes": damage.offset_bytes,
            "size_bytes": damage.size_bytes,
            "after_position": damage.after_position,
            "before_position": damage.before_position,
            "content": ", ".join(damage.content),
            "kept": damage.kept,
            "table_name": damage.table or None,
            "row_count": damage.rows,
            "min_time": damage.min_time_ns,
            "max_time": damage.max_time_ns,
        }
        for damage in damages
    ]
    return pyarrow.Table.from_pylist(rows, _DAMAGE)
