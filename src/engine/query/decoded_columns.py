# Owns the columns of Parquet files that queries for single series have read, decoded and packed, as
# far as its budget goes: what was not used for longest goes first. Files never change, so what is
# here stays true until a file is removed.
"""Decoded columns of files, kept in memory."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow.parquet

from engine.query.packed_column import Dictionaries, PackedColumn, packed
from engine.store.manifest import FileEntry

# A footer in memory, beside its size in the file.
_FOOTER_FACTOR = 4
# Path of the file, row group, name of the column.
_Key = tuple[str, int, str]


class Footer:
    """What a file says of itself; ``places`` are those of its columns, by name."""

    def __init__(self, metadata: Any) -> None:
        """Tell what `metadata`, a ``pyarrow.parquet.FileMetaData``, holds."""
        self.metadata = metadata
        self.places: dict[str, int] = {
            metadata.schema.column(place).name: place for place in range(metadata.num_columns)
        }
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
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        # By path of the file, row group and name; footers have none of these. Oldest use first.
        self._known: OrderedDict[_Key, tuple[Any, int]] = OrderedDict()
        self.size_bytes = 0
        self._dictionaries = Dictionaries()

    @property
    def free_bytes(self) -> int:
        """What it may take before something has to go."""
        return self._bytes_max - self.size_bytes

    def footer(self, entry: FileEntry) -> Footer:
        """The footer of a file.

        Raises:
            OSError, pyarrow.ArrowException: It cannot be read.
        """
        key = (entry.path, -1, "")
        found = self._get(key)
        if found is None:
            metadata = pyarrow.parquet.read_metadata(self._directory / entry.path)
            found = Footer(metadata)
            self._put(key, found, metadata.serialized_size * _FOOTER_FACTOR)
        return found

    def has(self, entry: FileEntry, groups: Sequence[int], names: Sequence[str]) -> bool:
        """Whether these columns of these row groups are at hand."""
        known = self._known
        return all((entry.path, group, name) in known for group in groups for name in names)

    def forget_removed(self) -> None:
        """Forget what is known of files that are not there any more."""
        with self._lock:
            paths = {path for path, _, _ in self._known}
        gone = {path for path in paths if not (self._directory / path).exists()}
        with self._lock:
            for key in [key for key in self._known if key[0] in gone]:
                self.size_bytes -= self._known.pop(key)[1]

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
                    name: self._get((entry.path, group, name)) for name in names
                }
                lacking = [name for name, column in known.items() if column is None]
                if lacking:
                    file = file or stack.enter_context(self._opened(entry))
                    rows = file.read_row_group(group, lacking, use_threads=False)
                    for name in lacking:
                        known[name] = column = packed(rows.column(name), self._dictionaries)
                        self._put((entry.path, group, name), column, column.size_bytes)
                yield known

    def _opened(self, entry: FileEntry) -> Any:
        return pyarrow.parquet.ParquetFile(
            self._directory / entry.path,
            metadata=self.footer(entry).metadata,
            page_checksum_verification=True,
        )

    def _get(self, key: _Key) -> Any | None:
        with self._lock:
            found = self._known.get(key)
            if found is None:
                return None
            self._known.move_to_end(key)
            return found[0]

    def _put(self, key: _Key, value: Any, size_bytes: int) -> None:
        with self._lock:
            if key in self._known:
                return
            self._known[key] = value, size_bytes
            self.size_bytes += size_bytes
            while self.size_bytes > self._bytes_max:
                _, (_, freed) = self._known.popitem(last=False)
                self.size_bytes -= freed
