# Owns the rows that are visible to queries: per database its SchemaIndex, per table the batches of
# the log's frames in log order, and the time ranges in which rows may have been overwritten. Frames
# are added on the event loop (or by recovery before it runs); snapshots are immutable and may be
# read from any thread.
"""Live tables over the mapped log."""

from collections.abc import Iterable

from engine.store.snapshot import TableSnapshot
from lp_core import ColumnType, SchemaIndex, TableBatch, WriteBatch

# More disjoint ranges than this are joined with their nearest neighbour: deduplicating a few rows
# too many is cheaper than a long list of ranges in every query.
OVERLAP_RANGES_MAX = 64

TimeRange = tuple[int, int]


def add_range(
    ranges: tuple[TimeRange, ...], new: TimeRange, *, ranges_max: int = OVERLAP_RANGES_MAX
) -> tuple[TimeRange, ...]:
    """`ranges` (sorted, disjoint, inclusive) with `new` merged in, at most `ranges_max` long."""
    low, high = new
    before: list[TimeRange] = []
    after: list[TimeRange] = []
    for start, end in ranges:
        if end < low:
            before.append((start, end))
        elif start > high:
            after.append((start, end))
        else:
            low, high = min(low, start), max(high, end)
    merged = [*before, (low, high), *after]
    while len(merged) > ranges_max:
        gaps = [merged[index + 1][0] - merged[index][1] for index in range(len(merged) - 1)]
        nearest = gaps.index(min(gaps))
        joined = (merged[nearest][0], merged[nearest + 1][1])
        merged[nearest : nearest + 2] = [joined]
    return tuple(merged)


class LiveTable:
    """Batches of one table in log order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.batches: list[TableBatch] = []
        self.overlap_ranges: tuple[TimeRange, ...] = ()
        self.num_rows = 0

    def add(self, batch: TableBatch, overlap: TimeRange | None) -> None:
        """Append `batch`; `overlap` is the time range of its rows that may overwrite others."""
        self.batches.append(batch)
        self.num_rows += batch.num_rows
        if overlap is not None:
            self.overlap_ranges = add_range(self.overlap_ranges, overlap)


class LiveDatabase:
    """Tables of one database and their schema."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.schema = SchemaIndex()
        self._tables: dict[str, LiveTable] = {}

    def add(self, batch: WriteBatch) -> None:
        """Make the rows of a durable `batch` visible. Its columns must fit the schema."""
        self.schema.apply(batch)
        overlaps = self.schema.observe(batch)
        for name, table_batch in batch.items():
            table = self._tables.get(name)
            if table is None:
                table = self._tables[name] = LiveTable(name)
            table.add(table_batch, overlaps.get(name))

    def table_names(self) -> list[str]:
        """Names of the tables that have rows, sorted."""
        return sorted(self._tables)

    def columns(self, table: str) -> tuple[tuple[str, ColumnType], ...]:
        """Columns of `table` in order of first appearance, without ``time``."""
        return tuple(self.schema.columns(table))

    def snapshot(self, table: str) -> TableSnapshot | None:
        """What `table` holds now, or None when it has no rows."""
        found = self._tables.get(table)
        if found is None:
            return None
        return TableSnapshot(
            name=table,
            columns=self.columns(table),
            batches=tuple(found.batches),
            overlap_ranges=found.overlap_ranges,
        )

    @property
    def num_rows(self) -> int:
        """Rows of all tables, overwritten ones included."""
        return sum(table.num_rows for table in self._tables.values())


class LiveStore:
    """All live databases."""

    def __init__(self) -> None:
        self._databases: dict[str, LiveDatabase] = {}

    def create(self, name: str) -> None:
        """Begin an empty database."""
        self._databases[name] = LiveDatabase(name)

    def drop(self, name: str) -> None:
        """Forget a database with its rows."""
        self._databases.pop(name, None)

    def database(self, name: str) -> LiveDatabase | None:
        """The database of that name, or None."""
        return self._databases.get(name)

    def columns(self, database: str, table: str) -> tuple[tuple[str, ColumnType], ...]:
        """Columns of a table as LiveDatabase.columns; none where there is no such database."""
        found = self._databases.get(database)
        return () if found is None else found.columns(table)

    def databases(self) -> Iterable[LiveDatabase]:
        """All databases."""
        return self._databases.values()
