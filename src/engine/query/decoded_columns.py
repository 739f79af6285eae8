# Owns the columns of Parquet files that queries for single series have read, decoded and packed, as
# far as its budget goes. Files never change, so what is here stays true until a file is removed.
"""Decoded columns of files, kept in memory."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow.parquet

from engine.query.kept import Kept
from engine.query.packed_column import Dictionaries, PackedColumn, packed
from engine.store.manifest import FileEntry

# A footer in memory, beside its size in the file.
_FOOTER_FACTOR = 4


class Footer:
    """What a file says of itself.

    Attributes:
        metadata: Its footer, a ``pyarrow.parquet.FileMetaData``.
        places: Those of its columns, by name.
        group_rows: Rows of each row group.
    """

    def __init__(self, metadata: Any) -> None:
        """Tell what `metadata` holds."""
        self.metadata = metadata
        self.places: dict[str, int] = {
            metadata.schema.column(place).name: place for place in range(metadata.num_columns)
        }
        self.group_rows = [
            metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)
        ]
        self._ranges: dict[str, list[tuple[Any, Any] | None]] = {}

    def ranges(self, name: str) -> list[tuple[Any, Any] | None]:
        """Of each row group, least and greatest value of a column; None where none are known."""
        found = self._ranges.get(name)
        if found is None:
            groups = range(self.metadata.num_row_groups)
            found = self._ranges[name] = [self._range(group, name) for group in groups]
        return found

    def _range(self, group: int, name: str) -> tuple[Any, Any] | None:
        statistics = self.metadata.row_group(group).column(self.places[name]).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        if name == "time":
            # As the file has it, for Python's times have no nanoseconds.
            return statistics.min_raw, statistics.max_raw
        return statistics.min, statistics.max


class DecodedColumns:
    """A cache of columns by file and row group; any thread may use it."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        """Read files in `directory`; keep up to `bytes_max` of what was read."""
        self._directory = directory
        # By row group and name; footers have none of these.
        self.kept = Kept(directory, bytes_max)
        self._dictionaries = Dictionaries()

    def footer(self, entry: FileEntry) -> Footer:
        """The footer of a file.

        Raises:
            OSError, pyarrow.ArrowException: It cannot be read.
        """
        key = (entry.path, None)
        found = self.kept.get(key)
        if found is None:
            metadata = pyarrow.parquet.read_metadata(self._directory / entry.path)
            found = Footer(metadata)
            self.kept.put(key, found, metadata.serialized_size * _FOOTER_FACTOR)
        return found

    def has(self, entry: FileEntry, groups: Sequence[int], names: Sequence[str]) -> bool:
        """Whether these columns of these row groups are at hand."""
        kept = self.kept
        return all((entry.path, (group, name)) in kept for group in groups for name in names)

    def columns(
        self, entry: FileEntry, groups: Sequence[int], names: Sequence[str]
    ) -> Iterator[dict[str, PackedColumn]]:
        """The columns of these names, which the file has, of one row group after the other.

        Raises:
            OSError, pyarrow.ArrowException: It cannot be read, or a checksum does not fit.
        """
        with ExitStack() as stack:
            file: Any = None
            for group in groups:
                known: dict[str, Any] = {
                    name: self.kept.get((entry.path, (group, name))) for name in names
                }
                lacking = [name for name, column in known.items() if column is None]
                if lacking:
                    file = file or stack.enter_context(self._opened(entry))
                    rows = file.read_row_group(group, lacking, use_threads=False)
                    for name in lacking:
                        known[name] = column = packed(rows.column(name), self._dictionaries)
                        self.kept.put((entry.path, (group, name)), column, column.size_bytes)
                yield known

    def _opened(self, entry: FileEntry) -> Any:
        return pyarrow.parquet.ParquetFile(
            self._directory / entry.path,
            metadata=self.footer(entry).metadata,
            page_checksum_verification=True,
        )
