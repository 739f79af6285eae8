# Owns the shape in which a table's rows are handed to readers: immutable lists of files and
# batches. The store makes snapshots, the query side reads them; neither ever changes one.
"""What a reader sees of one table at one moment."""

import msgspec

from engine.ids import Position
from engine.store.manifest import FileEntry
from engine.store.row_deletes import RowDelete
from lp_core.enums import ColumnType


class TableSnapshot(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The rows of one table at one moment.

    Attributes:
        name: Table name.
        columns: Name and type of every column except ``time``.
        batches: ``lp_core.TableBatch`` objects (anything with ``num_rows``, ``schema``,
            ``min_time_ns``, ``max_time_ns`` and ``__arrow_c_array__``) in log order: where two rows
            have the same identity, the later one wins field by field.
        overlap_ranges: Sorted, disjoint, inclusive ranges of time in nanoseconds. A row of a batch
            that overwrites an earlier one, of a batch or of a file, lies inside one of them.
        files: Parquet files with the rows before those of the batches, oldest rows first.
        deletes: Rows that are gone, but still in batches or files, in the order of the log.
        positions: Of each batch; only where there are deletes.
        least_time_ns: Rows before this time are past their retention; None when there is none.
    """

    name: str
    columns: tuple[tuple[str, ColumnType], ...]
    batches: tuple[object, ...]
    overlap_ranges: tuple[tuple[int, int], ...] = ()
    files: tuple[FileEntry, ...] = ()
    deletes: tuple[RowDelete, ...] = ()
    positions: tuple[Position, ...] = ()
    least_time_ns: int | None = None
