# Owns the shape of `system.parquet_files`: which files the tables of a database have.
"""The system table of Parquet files."""

from collections.abc import Iterable
from typing import Any

import pyarrow

from engine.store.manifest import FileEntry

_FILES = pyarrow.schema(
    [
        ("table_name", pyarrow.utf8()),
        ("path", pyarrow.utf8()),
        ("size_bytes", pyarrow.uint64()),
        ("row_count", pyarrow.uint64()),
        ("min_time", pyarrow.int64()),
        ("max_time", pyarrow.int64()),
        # What the reference system does not show.
        ("window_ns", pyarrow.int64()),
        ("may_overlap", pyarrow.bool_()),
    ]
)


def files_table(files: Iterable[tuple[str, FileEntry]]) -> Any:
    """``system.parquet_files`` from names of tables and their files."""
    rows = [
        {
            "table_name": table,
            "path": entry.path,
            "size_bytes": entry.size_bytes,
            "row_count": entry.rows,
            "min_time": entry.min_time_ns,
            "max_time": entry.max_time_ns,
            "window_ns": entry.window_ns,
            "may_overlap": bool(entry.overlaps),
        }
        for table, entry in files
    ]
    return pyarrow.Table.from_pylist(rows, _FILES)
