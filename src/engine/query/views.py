# Owns the step from a table's batches to one Arrow table that DuckDB scans: columns in the order
# that `SELECT *` shows, small batches gathered into larger chunks, and duplicates folded where
# there may be any. The chunks are kept per table and only grow while the table only grows.
"""Tables as Arrow tables."""

import functools
import itertools
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy
import pyarrow
import pyarrow.compute

from engine.query.chunks import Chunk, KeptRows
from engine.query.kinds import KIND_OF_COLUMN, Kind
from engine.query.packed_column import (
    Dictionaries,
    PackedColumn,
    Within,
    compared,
    joined,
    narrowed,
    of_array,
    one_array,
)
from engine.query.reach import EVERYTHING, Comparison
from engine.query.tag_places import TagPlaces, places_of
from engine.store.parquet_file import ARROW_TYPES
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, common
from lp_core.enums import ColumnType

# Chunks from this size on are never copied again: DuckDB gains nothing from larger ones.
CHUNK_ROWS = 65_536
_GATHERED_BATCHES_MAX = 4_096
# Of smaller chunks queries for single series get all rows.
LOOKED_THROUGH_ROWS = 4_096

_TABLES_KEPT = 256

# Appended, with a number, to a column name that differs from another only in case, for DuckDB does
# not tell them apart.
_MARK = "\u2063"
_MARKED = re.compile(f"{_MARK}[0-9]+{_MARK}\\Z")


class QueryCatalog(Protocol):
    """What queries need to know of databases and tables; any thread may ask."""

    def has_database(self, name: str) -> bool:
        """Whether there is a database of that name."""

    def retention_ns(self, database: str) -> int | None:
        """How long the rows of a database are kept; None for ever."""

    def table_names(self, database: str) -> list[str]:
        """The user tables of a database."""

    def snapshot(self, database: str, table: str) -> TableSnapshot | None:
        """The rows of a table as they are now, or None when there is no such table."""

    def reading(self) -> AbstractContextManager[None]:
        """Keep the files of snapshots that are taken inside of the block, until its end."""

    def system_table(self, database: str, name: str) -> Any | None:
        """A ``system`` table as a ``pyarrow.Table``, or None when there is no such table."""


def columns_of(snapshot: TableSnapshot) -> tuple[tuple[str, ColumnType], ...]:
    """All columns of a table including ``time``, in the order of ``SELECT *``."""
    return tuple(sorted((*snapshot.columns, ("time", ColumnType.TIME))))


def kinds_of(columns: Iterable[tuple[str, ColumnType]]) -> tuple[tuple[str, Kind], ...]:
    """The columns with their kinds."""
    return tuple((name, KIND_OF_COLUMN[column_type]) for name, column_type in columns)


def distinct_names(names: Iterable[str]) -> dict[str, str]:
    """New names for those that another name equals but for its case.

    Users may give names that look like new ones: these get new ones, too.
    """
    renamed: dict[str, str] = {}
    seen: dict[str, int] = {}
    for name in sorted(set(names)):
        count = seen.get(name.lower(), 0)
        seen[name.lower()] = count + 1
        if count or _MARKED.search(name):
            renamed[name] = f"{name}{_MARK}{count}{_MARK}"
    return renamed


def original_name(name: str) -> str:
    """The name a column has for users, from the name that DuckDB has for it."""
    return _MARKED.sub("", name)


class Reach(NamedTuple):
    """What a query can need of a table; all of it unless it says otherwise.

    Attributes:
        times: Rows outside of these do not matter.
        texts: Nor do rows in which one of these columns has none of the texts.
        numbers: Nor do rows that do not meet one of these, of columns that are numbers.
        names: Names, in lower case, of the columns that are of use; None for all.
    """

    times: TimeRange = EVERYTHING
    texts: Mapping[str, frozenset[str]] = {}
    numbers: Sequence[Comparison] = ()
    names: frozenset[str] | None = None

    @property
    def within(self) -> Within:
        """What packed rows must meet."""
        comparisons = [(one.column, compared(one.sign), one.number) for one in self.numbers]
        return Within(self.times, comparisons)


_ALL = Reach()


class _Entry:
    """The chunks of one table; ``lock`` guards everything."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.batches: tuple[Any, ...] = ()
        self.chunks: list[Chunk] = []
        self.made_for: tuple[Any, ...] | None = None
        self.table: Any = None
        # What deletes have left of each chunk.
        self.kept: list[Chunk] = []
        self.kept_rows = KeptRows()
        self.dictionaries = Dictionaries()


class ArrowTables:
    """Arrow tables of snapshots, kept so that the next query converts only what is new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], _Entry] = {}

    def table(self, database: str, snapshot: TableSnapshot, reach: Reach = _ALL) -> Any:
        """The rows of a snapshot's batches as a ``pyarrow.Table`` without duplicates.

        All rows within `reach` are among them, and others may be; as may other columns.
        """
        with self._lock:
            entry = self._entries.setdefault((database, snapshot.name), _Entry())
        with entry.lock:
            made_for = (
                snapshot.batches,
                snapshot.columns,
                snapshot.overlap_ranges,
                snapshot.deletes,
            )
            if entry.made_for == made_for:
                return _reached(entry, snapshot, reach)
            if len(snapshot.batches) < len(entry.batches) and _begins_with(
                entry.batches, snapshot.batches
            ):
                # Another query was faster with a later snapshot; what is kept must not go back.
                first = _first_chunks(entry.chunks, snapshot.batches)
                return _assembled(KeptRows().of(first, snapshot), snapshot)
            _take_in(entry, snapshot.batches)
            entry.kept = entry.kept_rows.of(entry.chunks, snapshot)
            entry.table = _assembled(entry.kept, snapshot)
            entry.made_for = made_for
            return _reached(entry, snapshot, reach)

    def kept(self) -> list[tuple[str, str]]:
        """Databases and names of the tables that something is kept of."""
        with self._lock:
            return list(self._entries)

    def forget(self, database: str, table: str | None = None) -> None:
        """Drop what is kept of a table, or of a whole database."""
        with self._lock:
            for key in list(self._entries):
                if key[0] == database and table in (None, key[1]):
                    del self._entries[key]


def _reached(entry: _Entry, snapshot: TableSnapshot, reach: Reach) -> Any:
    """The rows of the chunks that have some within `reach`."""
    tags = {name for name, kind in snapshot.columns if kind is ColumnType.TAG}
    tag = next((name for name in reach.texts if name in tags), None)
    if snapshot.overlap_ranges and tag is None:
        # With rows folded already, which is not to be done again for each query.
        return entry.table
    chunks = [
        chunk
        for chunk in entry.kept
        if common((chunk.min_time_ns, chunk.max_time_ns), reach.times) is not None
    ]
    if tag is not None:
        # Rows of one identity have one tag and are folded among themselves, or with those of files:
        # by all of their tags.
        is_folded = snapshot.overlap_ranges or any(entry.overlaps for entry in snapshot.files)
        if is_folded:
            # A later row may give one of these another value.
            reach = reach._replace(numbers=(), names=None)
        return _assembled(_picked(entry, chunks, tag, reach), snapshot, reach.names)
    if len(chunks) == len(entry.kept):
        return entry.table
    return _assembled(chunks, snapshot)


def _picked(entry: _Entry, chunks: Iterable[Chunk], tag: str, reach: Reach) -> list[Chunk]:
    """Rows within `reach` by their `tag`, in their order; of the smallest chunks all rows."""
    picked: list[Chunk] = []
    with_tag = [chunk for chunk in chunks if tag in chunk.table.column_names]
    for is_large, run in itertools.groupby(with_tag, lambda chunk: chunk.rows >= CHUNK_ROWS):
        if is_large:
            picked += _picked_run(entry, list(run), tag, reach)
        else:
            cut = (_cut(entry, chunk, tag, reach) for chunk in run)
            picked += [chunk for chunk in cut if chunk is not None]
    return picked


def _cut(entry: _Entry, chunk: Chunk, tag: str, reach: Reach) -> Chunk | None:
    """The rows within `reach` of a chunk that is not worth to be sorted; None without any."""
    if chunk.rows < LOOKED_THROUGH_ROWS:
        return chunk
    found = places_of(chunk.table.column(tag), reach.texts[tag])
    within, names = reach.within, chunk.table.column_names
    known = {
        name: of_array(one_array(chunk.table.column(name)), entry.dictionaries)
        for name in within.names
        if name in names
    }
    places = narrowed(known, found, within)
    if places is None:
        return None
    wanted = chunk.table.select([name for name in names if _is_wanted(name, reach.names)])
    return chunk._replace(table=wanted.take(pyarrow.array(places)), places={}, columns={})


def _picked_run(entry: _Entry, chunks: Sequence[Chunk], tag: str, reach: Reach) -> list[Chunk]:
    """The rows of large chunks that follow each other, in one chunk where columns are the same."""
    picked = []
    within = reach.within
    for names, run in itertools.groupby(chunks, lambda chunk: tuple(chunk.table.column_names)):
        looked_at = [name for name in within.names if name in names]
        same, places = [], []
        for chunk in run:
            if tag not in chunk.places:
                chunk.places[tag] = TagPlaces(chunk.table.column(tag))
            found = chunk.places[tag].of(reach.texts[tag])
            known = {name: _column(entry, chunk, name) for name in looked_at} if len(found) else {}
            left = narrowed(known, found, within)
            if left is not None:
                same.append(chunk)
                places.append(left)
        if not same:
            continue
        columns = {
            name: joined([_column(entry, chunk, name) for chunk in same], places)
            for name in names
            if _is_wanted(name, reach.names)
        }
        picked.append(
            Chunk(
                pyarrow.table(columns),
                sum(map(len, places)),
                min(chunk.min_time_ns for chunk in same),
                max(chunk.max_time_ns for chunk in same),
                {},
                {},
            )
        )
    return picked


def _column(entry: _Entry, chunk: Chunk, name: str) -> PackedColumn:
    known = chunk.columns.get(name)
    if known is None:
        array = one_array(chunk.table.column(name))
        known = chunk.columns[name] = of_array(array, entry.dictionaries)
    return known


def _is_wanted(name: str, names: frozenset[str] | None) -> bool:
    return names is None or name == "time" or name.lower() in names


def _begins_with(batches: tuple[Any, ...], prefix: tuple[Any, ...]) -> bool:
    # Batches compare by identity, so this runs without calling back into Python.
    return batches[: len(prefix)] == prefix


def _first_chunks(chunks: Iterable[Chunk], batches: Iterable[Any]) -> list[Chunk]:
    rows_left = sum(batch.num_rows for batch in batches)
    first: list[Chunk] = []
    for chunk in chunks:
        if rows_left <= 0:
            break
        first.append(chunk._replace(table=chunk.table.slice(0, rows_left), places={}, columns={}))
        rows_left -= chunk.rows
    return first


def _take_in(entry: _Entry, batches: tuple[Any, ...]) -> None:
    if not _begins_with(batches, entry.batches):
        _drop_front(entry, batches)
    if not _begins_with(batches, entry.batches):
        # The table was made anew: what is kept says nothing any more.
        entry.batches, entry.chunks = (), []
    gathered: list[Any] = []
    rows = 0
    for batch in batches[len(entry.batches) :]:
        if not batch.num_rows:
            continue
        if batch.num_rows >= CHUNK_ROWS:
            # A large batch keeps its memory; what was gathered before it must stay before it.
            _add(entry.chunks, gathered)
            _add(entry.chunks, [batch])
            gathered, rows = [], 0
            continue
        gathered.append(batch)
        rows += batch.num_rows
        if rows >= CHUNK_ROWS or len(gathered) >= _GATHERED_BATCHES_MAX:
            _add(entry.chunks, gathered)
            gathered, rows = [], 0
    _add(entry.chunks, gathered)
    entry.batches = batches


def _drop_front(entry: _Entry, batches: tuple[Any, ...]) -> None:
    """Let go of what went to files: batches in front of the first one that is left."""
    first = batches[0] if batches else None
    count = next(
        (index for index, batch in enumerate(entry.batches) if batch is first), len(entry.batches)
    )
    rows = sum(batch.num_rows for batch in entry.batches[:count])
    entry.batches = entry.batches[count:]
    while entry.chunks and entry.chunks[0].rows <= rows:
        rows -= entry.chunks.pop(0).rows
    if rows:
        chunk = entry.chunks[0]
        # Copied, so that the memory in front is given back. The times stay as they are: too wide
        # a range costs a look, no more.
        rest = chunk.table.slice(rows)
        rest = rest.take(pyarrow.array(numpy.arange(rest.num_rows)))
        entry.chunks[0] = chunk._replace(table=rest, rows=chunk.rows - rows, places={}, columns={})


def _add(chunks: list[Chunk], batches: list[Any]) -> None:
    if not batches:
        return
    tables = [pyarrow.Table.from_batches([pyarrow.record_batch(batch)]) for batch in batches]
    chunks.append(
        Chunk(
            _concatenated(tables),
            sum(batch.num_rows for batch in batches),
            min(batch.min_time_ns for batch in batches),
            max(batch.max_time_ns for batch in batches),
            {},
            {},
        )
    )
    # Sizes stay geometric, so each row is copied a logarithmic number of times and chunks are few.
    while len(chunks) > 1 and _should_merge(chunks[-2], chunks[-1]):
        last, previous = chunks.pop(), chunks.pop()
        chunks.append(
            Chunk(
                _concatenated([previous.table, last.table]),
                previous.rows + last.rows,
                min(previous.min_time_ns, last.min_time_ns),
                max(previous.max_time_ns, last.max_time_ns),
                {},
                {},
            )
        )


def _should_merge(previous: Chunk, last: Chunk) -> bool:
    return previous.rows < CHUNK_ROWS and last.rows < CHUNK_ROWS and previous.rows <= 2 * last.rows


def _concatenated(tables: list[Any]) -> Any:
    if len(tables) == 1:
        return tables[0]
    return pyarrow.concat_tables(tables, promote_options="default").combine_chunks()


def _assembled(
    chunks: Iterable[Chunk], snapshot: TableSnapshot, names: frozenset[str] | None = None
) -> Any:
    columns = tuple(column for column in columns_of(snapshot) if _is_wanted(column[0], names))
    empty = _empty(columns)
    schema = empty.schema
    if snapshot.overlap_ranges:
        clean, doubtful = _split(chunks, snapshot.overlap_ranges)
    else:
        clean, doubtful = [chunk.table for chunk in chunks], []
    tables = [empty, *clean]
    if doubtful:
        rows = pyarrow.concat_tables([empty, *doubtful], promote_options="default")
        tables.append(_deduplicated(rows.select(schema.names), columns))
    return pyarrow.concat_tables(tables, promote_options="default").select(schema.names)


@functools.lru_cache(maxsize=_TABLES_KEPT)
def _empty(columns: tuple[tuple[str, ColumnType], ...]) -> Any:
    """A table with these columns and no rows."""
    fields = [(name, ARROW_TYPES[column_type]) for name, column_type in columns]
    return pyarrow.schema(fields).empty_table()


def _split(
    chunks: Iterable[Chunk], ranges: Sequence[tuple[int, int]]
) -> tuple[list[Any], list[Any]]:
    """The rows outside of the ranges, and those inside of one; each in log order."""
    clean: list[Any] = []
    doubtful: list[Any] = []
    for chunk in chunks:
        touching = [
            span for span in ranges if span[0] <= chunk.max_time_ns and span[1] >= chunk.min_time_ns
        ]
        if not touching:
            clean.append(chunk.table)
        elif any(
            span[0] <= chunk.min_time_ns and chunk.max_time_ns <= span[1] for span in touching
        ):
            doubtful.append(chunk.table)
        else:
            inside = _inside(chunk.table.column("time"), touching)
            clean.append(chunk.table.filter(pyarrow.compute.invert(inside)))
            doubtful.append(chunk.table.filter(inside))
    return clean, doubtful


def _inside(times: Any, ranges: Sequence[tuple[int, int]]) -> Any:
    compute = pyarrow.compute
    numbers = times.cast(pyarrow.int64())
    inside = None
    for first, last in ranges:
        here = compute.and_(
            compute.greater_equal(numbers, pyarrow.scalar(first, pyarrow.int64())),
            compute.less_equal(numbers, pyarrow.scalar(last, pyarrow.int64())),
        )
        inside = here if inside is None else compute.or_(inside, here)
    return inside


def _deduplicated(rows: Any, columns: Sequence[tuple[str, ColumnType]]) -> Any:
    """One row per identity (tags and time), with the last value of each field that is not null."""
    names = [name for name, _ in columns]
    # Numbered names: the result of an aggregate is called <name>_last, which could be another
    # column.
    numbered = rows.rename_columns([str(number) for number in range(len(names))]).combine_chunks()
    keys: list[str] = []
    fields: list[str] = []
    for number, (_, column_type) in enumerate(columns):
        is_key = column_type in (ColumnType.TAG, ColumnType.TIME)
        (keys if is_key else fields).append(str(number))
    last = pyarrow.compute.ScalarAggregateOptions(skip_nulls=True, min_count=0)
    # Threads would lose the order of the rows, and with it which value is the last.
    groups = numbered.group_by(keys, use_threads=False)
    folded = groups.aggregate([(field, "last", last) for field in fields])
    picked = [
        str(number) if str(number) in keys else f"{number}_last" for number in range(len(names))
    ]
    return folded.select(picked).rename_columns(names).cast(rows.schema)
