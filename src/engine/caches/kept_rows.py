# Owns the last rows of one table for one purpose: built from its files and live batches, then kept
# up with new batches. It reads files back in time, and no further than it must. Any thread may ask;
# whoever does holds the table's files (store/readers.py).
"""Last rows of one table, kept up."""

import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow

from engine.caches.last_rows import (
    Wanted,
    candidates,
    joined,
    latest_groups,
    settled,
    since,
    times_of,
)
from engine.errors import FileDamagedError
from engine.ids import Position
from engine.store.file_faults import FileFaults
from engine.store.live import LiveDatabase
from engine.store.live_table import TableTail
from engine.store.manifest import FileEntry
from engine.store.parquet_file import ARROW_TYPES
from engine.store.row_deletes import RowDelete, without
from lp_core.enums import ColumnType

# Batches are looked at together up to so many rows.
_GATHERED_ROWS = 262_144
# Reading back goes on for so many rows until it is looked whether it is enough.
_ROWS_PER_LOOK = 500_000
TIME_NS_MIN = -(2**63)


class KeptRows:
    """The last rows of a table.

    Args:
        table: Its name.
        keys: Columns that make groups; None for all tags, those of later included.
        values: Columns that are kept beside keys, tags and time; None for all.
        count: Rows of a group.
        has_last_fields: As `Wanted` has it.
        groups_max: So many groups are kept, those with the latest rows; only with one row of each.
    """

    def __init__(
        self,
        table: str,
        *,
        keys: tuple[str, ...] | None,
        values: tuple[str, ...] | None,
        count: int = 1,
        has_last_fields: bool = False,
        groups_max: int | None = None,
    ) -> None:
        self._name = table
        self._keys = keys
        self._values = values
        self._count = count
        self._has_last_fields = has_last_fields
        self._groups_max = groups_max
        self._lock = threading.Lock()
        # What the rows are of; all of them are void once one of these is another.
        self._made_of: tuple[object, ...] = ()
        self._rows: Any = None
        self._least_time_ns = TIME_NS_MIN
        self._through = Position(0)
        # Path of the file that could not be read when the rows were made last.
        self._damaged = ""

    def rows(
        self, database: LiveDatabase, faults: FileFaults, span: tuple[int, int | None]
    ) -> Any | None:
        """The last rows as of now, sorted by keys, latest first; None when there is no such table.

        Args:
            database: The table's.
            faults: Reads its files.
            span: Rows before this time do not count; the other is how long rows are kept, which
                when it changes may bring back rows.

        Raises:
            FileDamagedError, OSError: A file cannot be read.
        """
        with self._lock:
            return self._current(database, faults, span)

    def rows_unless_busy(
        self, database: LiveDatabase, faults: FileFaults, span: tuple[int, int | None]
    ) -> Any | None:
        """As `rows`; None also while another thread is at it."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._current(database, faults, span)
        finally:
            self._lock.release()

    def rows_to_read(self, database: LiveDatabase) -> int:
        """How many rows `rows` has to look at, at most."""
        table = database.table(self._name)
        if table is None:
            return 0
        tail = table.tail(self._through)
        is_known = self._made_of[:2] == (table, tail.deleted_through)
        if not is_known:
            tail = table.tail(Position(0))
        new = sum(batch.num_rows for _, batch in tail.batches)
        if is_known and tail.left_through <= self._through:
            return new
        return new + sum(entry.rows for entry in tail.files)

    def _current(
        self, database: LiveDatabase, faults: FileFaults, span: tuple[int, int | None]
    ) -> Any | None:
        table = database.table(self._name)
        if table is None:
            return None
        since_ns, kept_ns = span
        tail = table.tail(self._through)
        # Asked for after the rows, so that they have no columns that it does not know.
        columns = _Columns(database.columns_of(table), self._keys, self._values)
        if not columns.are_known:
            # Of the table that these rows are of, this one has but the name.
            return None
        is_new = (
            self._made_of != (table, tail.deleted_through, kept_ns)
            or tail.left_through > self._through
            # The row that overwrites another one may take it to another group.
            or (columns.are_keys_fields and tail.has_overlaps)
        )
        if is_new:
            tail = table.tail(Position(0))
            columns = _Columns(database.columns_of(table), self._keys, self._values)
            self._keep(self._built(database, tail, columns, faults, since_ns))
            self._made_of = (table, tail.deleted_through, kept_ns)
        elif tail.batches:
            # Behind all deletes, for these make all of it anew.
            parts = [self._rows, *self._parts(tail.batches, (), columns, is_doubtful=False)]
            self._keep(self._settled(parts, columns, since_ns))
        self._through = tail.through
        if list(columns.types) != self._rows.column_names:
            # The table has another column, of which these rows have no value.
            self._keep(joined([self._rows], columns.types))
        return self._rows if since_ns <= self._least_time_ns else since(self._rows, since_ns)

    def _keep(self, rows: Any) -> None:
        if self._groups_max is not None:
            # One that is left out now is older than all others: it grows too old before they do.
            rows = latest_groups(rows, self._groups_max)
        self._rows = rows
        self._least_time_ns = int(times_of(rows).min()) if rows.num_rows else TIME_NS_MIN

    def _built(
        self,
        database: LiveDatabase,
        tail: TableTail,
        columns: "_Columns",
        faults: FileFaults,
        since_ns: int,
    ) -> Any:
        is_doubtful = columns.are_keys_fields and (
            tail.has_overlaps or any(entry.overlaps for entry in tail.files)
        )
        wanted = _wanted_files(tail, since_ns)
        # Not after the others were read once more.
        files = [tail.files[number] for number in wanted]
        faults.refuse(entry for entry in files if entry.path == self._damaged)
        live = list(self._parts(tail.batches, tail.deletes, columns, is_doubtful=is_doubtful))
        of_files: dict[int, list[Any]] = {}
        read = 0
        for number in wanted:
            entry = tail.files[number]
            if read >= _ROWS_PER_LOOK:
                read = 0
                found = self._settled(_in_order(of_files, live), columns, since_ns)
                if self._is_enough(found, database, columns, entry):
                    return found
            parts = self._of_file(database, entry, tail.deletes, columns, faults, since_ns)
            of_files[number] = [
                part if is_doubtful else self._candidates(part, columns) for part in parts
            ]
            read += entry.rows
        return self._settled(_in_order(of_files, live), columns, since_ns)

    def _is_enough(
        self, found: Any, database: LiveDatabase, columns: "_Columns", following: FileEntry
    ) -> bool:
        """Whether no row of the `following` file, or of those before it, can be a last one."""
        schema = database.schema
        return (
            self._has_last_fields
            and found.num_rows > 0
            and schema.knows_all_series(self._name)
            and found.num_rows == schema.series_count(self._name)
            and not any(found.column(name).null_count for name in columns.fields)
            and int(times_of(found).min()) > following.max_time_ns
        )

    def _of_file(
        self,
        database: LiveDatabase,
        entry: FileEntry,
        deletes: Sequence[RowDelete],
        columns: "_Columns",
        faults: FileFaults,
        since_ns: int,
    ) -> Iterator[Any]:
        """The rows of a file that are not deleted, in pieces."""
        pending = [delete for delete in deletes if delete.concerns(entry)]
        names = list(columns.types)
        try:
            times = (since_ns, entry.max_time_ns)
            for part in faults.read_within(database.name, self._name, entry, names, times):
                yield without(joined([part], columns.types), pending)
        except FileDamagedError:
            self._damaged = entry.path
            raise

    def _parts(
        self,
        batches: Iterable[tuple[Position, Any]],
        deletes: Sequence[RowDelete],
        columns: "_Columns",
        *,
        is_doubtful: bool,
    ) -> Iterator[Any]:
        """The candidates of batches, which are gathered for that, less what is deleted."""
        for pending, gathered in _gathered(batches, deletes):
            part = without(joined(gathered, columns.types), pending)
            yield part if is_doubtful else self._candidates(part, columns)

    def _candidates(self, part: Any, columns: "_Columns") -> Any:
        return candidates(part, self._wanted(columns), columns.fields)

    def _settled(self, parts: Sequence[Any], columns: "_Columns", since_ns: int) -> Any:
        return settled(
            joined(parts, columns.types),
            self._wanted(columns),
            columns.tags,
            columns.fields,
            since_ns,
        )

    def _wanted(self, columns: "_Columns") -> Wanted:
        return Wanted(keys=columns.keys, count=self._count, has_last_fields=self._has_last_fields)


class _Columns:
    """The columns of a table that are of use, by what they are for.

    Attributes:
        keys: Those that make groups.
        tags: All tags, which with the time identify a row.
        fields: Other fields that are kept.
        types: Arrow types of all that are kept.
        are_known: Whether the table has all that are wanted.
        are_keys_fields: Whether a key is a field, which a later row may overwrite.
    """

    def __init__(
        self,
        columns: Sequence[tuple[str, ColumnType]],
        keys: tuple[str, ...] | None,
        values: tuple[str, ...] | None,
    ) -> None:
        kinds = dict(columns)
        self.tags = [name for name, kind in columns if kind is ColumnType.TAG]
        self.keys = tuple(self.tags) if keys is None else keys
        used = {*self.keys, *(kinds if values is None else values)}
        self.fields = [
            name for name, kind in columns if kind is not ColumnType.TAG and name in used
        ]
        self.are_known = used <= set(kinds)
        self.are_keys_fields = not set(self.keys) <= set(self.tags)
        names = [*self.tags, *self.fields]
        self.types = {name: ARROW_TYPES[kinds[name]] for name in names}
        self.types["time"] = ARROW_TYPES[ColumnType.TIME]


def _wanted_files(tail: TableTail, since_ns: int) -> list[int]:
    """Numbers of the files that may have rows of that time or later, the latest first."""
    wanted = [
        number
        for number, entry in enumerate(tail.files)
        if entry.max_time_ns >= since_ns
        and not any(delete.concerns(entry) and delete.covers(entry) for delete in tail.deletes)
    ]
    return sorted(wanted, key=lambda number: -tail.files[number].max_time_ns)


def _gathered(
    batches: Iterable[tuple[Position, Any]], deletes: Sequence[RowDelete]
) -> Iterator[tuple[Sequence[RowDelete], list[Any]]]:
    """Batches that follow each other as Arrow tables, with the deletes that came behind them."""
    positions = [delete.position for delete in deletes]
    gathered: list[Any] = []
    rows = first = 0
    for position, batch in batches:
        following = bisect_right(positions, position)
        if gathered and (rows >= _GATHERED_ROWS or following != first):
            yield deletes[first:], gathered
            gathered, rows = [], 0
        first = following
        gathered.append(pyarrow.Table.from_batches([pyarrow.record_batch(batch)]))
        rows += batch.num_rows
    if gathered:
        yield deletes[first:], gathered


def _in_order(of_files: dict[int, list[Any]], live: Sequence[Any]) -> list[Any]:
    """Parts of files, those with the oldest rows first, and then of live batches."""
    parts = [part for number in sorted(of_files) for part in of_files[number]]
    return [*parts, *live]
