# Owns what happens to rows on their way into a file: put together in the order of the log, sorted
# by window, tags and time, and of rows with one identity the last value of each field kept. It
# knows Arrow tables and numbers, no files.
"""Sorting and deduplication of rows."""

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy
import pyarrow
import pyarrow.compute

from engine.ids import Position
from engine.store.parquet_file import Columns
from engine.store.row_deletes import RowDelete, without
from engine.store.time_ranges import TimeRange
from lp_core.enums import ColumnType

_GATHERED_MAX = 4_096
TIME_NS_MIN = -(2**63)
# Keys are combined as long as they surely fit 63 bits.
_KEYS_MAX = 1 << 62

_Array = Any


class WindowRows(msgspec.Struct, frozen=True):
    """Sorted, unique rows of one window of time, as a ``pyarrow.Table``."""

    start_ns: int
    rows: Any
    min_time_ns: int
    max_time_ns: int

    def of(self, is_of: _Array) -> "WindowRows":
        """Those of the rows, at least one, for which the array of bool says so."""
        rows = self.rows.filter(pyarrow.array(is_of)).combine_chunks()
        times = times_of(rows)
        return WindowRows(self.start_ns, rows, int(times.min()), int(times.max()))


def gathered(batches: Iterable[Any]) -> Any:
    """All rows of `batches` (anything with ``__arrow_c_array__``) one behind the other."""
    parts: list[Any] = []
    waiting: list[Any] = []
    for batch in batches:
        waiting.append(pyarrow.Table.from_batches([pyarrow.record_batch(batch)]))
        if len(waiting) == _GATHERED_MAX:
            parts.append(joined(waiting))
            waiting = []
    return joined([*parts, *waiting])


def gathered_without(batches: Sequence[tuple[Position, Any]], deletes: Sequence[RowDelete]) -> Any:
    """All rows of `batches`, each with its position, less those that later `deletes` mean.

    Rows go before those of one identity are folded: what a delete leaves standing must not get the
    values of what it took.
    """
    positions = [position for position, _ in batches]
    parts, start = [], 0
    for index, delete in enumerate(deletes):
        end = bisect_left(positions, delete.position)
        if end > start:
            part = gathered(batch for _, batch in batches[start:end])
            parts.append(without(part, deletes[index:]))
            start = end
    if start < len(batches):
        parts.append(gathered(batch for _, batch in batches[start:]))
    return parts[0] if len(parts) == 1 else joined(parts)


def joined(tables: Sequence[Any]) -> Any:
    """All rows of `tables` one behind the other, in one chunk."""
    table = pyarrow.concat_tables(tables, promote_options="default")
    return table.unify_dictionaries().combine_chunks()


def times_of(rows: Any) -> _Array:
    """The times of `rows` as int64."""
    return _one_chunk(rows.column("time")).cast(pyarrow.int64()).to_numpy()


def since(rows: Any, least_time_ns: int) -> Any:
    """The rows of that time or later."""
    is_kept = times_of(rows) >= least_time_ns
    return rows if is_kept.all() else rows.filter(pyarrow.array(is_kept))


def within(rows: Any, times: TimeRange) -> Any:
    """The rows of these times."""
    found = times_of(rows)
    is_within = (found >= times[0]) & (found <= times[1])
    return rows if is_within.all() else rows.filter(pyarrow.array(is_within))


def by_window(rows: Any, columns: Columns, window_ns: int) -> list[WindowRows]:
    """`rows`, which stand in the order of the log in one chunk, by windows of time.

    Sorted by the tags in the order of `columns`, then by time; rows without a tag come before those
    with one.
    """
    if not rows.num_rows:
        return []
    times = times_of(rows)
    series = series_ranks(rows, columns)
    windows = numpy.floor_divide(times, window_ns)
    # Stable: among rows of one identity the order of the log stays.
    order = numpy.lexsort((times, series, windows))
    times, series, windows = times[order], series[order], windows[order]
    is_first = numpy.empty(len(order), bool)
    is_first[0] = True
    numpy.not_equal(times[1:], times[:-1], out=is_first[1:])
    is_first[1:] |= series[1:] != series[:-1]
    firsts = numpy.flatnonzero(is_first)
    if len(firsts) == len(order):
        taken = rows.take(pyarrow.array(order))
    else:
        taken = _last_values(rows, columns, order, firsts)
        times, windows = times[firsts], windows[firsts]
    return _cut(taken, times, windows, window_ns)


def _cut(rows: Any, times: _Array, windows: _Array, window_ns: int) -> list[WindowRows]:
    """Sorted `rows` cut where a new window begins."""
    bounds = [0, *(numpy.flatnonzero(windows[1:] != windows[:-1]) + 1).tolist(), len(windows)]
    return [
        WindowRows(
            # The first window of all begins before the first time that there is.
            max(int(windows[start]) * window_ns, TIME_NS_MIN),
            _with_own_dictionaries(rows.slice(start, end - start)),
            int(times[start:end].min()),
            int(times[start:end].max()),
        )
        for start, end in itertools.pairwise(bounds)
    ]


def _last_values(rows: Any, columns: Columns, order: _Array, firsts: _Array) -> Any:
    """One row for each group of equal ones: the last value of each field that is not null."""
    types = {**dict(columns), "time": ColumnType.TIME}
    numbers = numpy.arange(len(order))
    taken = []
    for name in rows.column_names:
        column = _one_chunk(rows.column(name))
        if types[name] in (ColumnType.TAG, ColumnType.TIME):
            taken.append(column.take(pyarrow.array(order[firsts])))
            continue
        is_valid = column.is_valid().to_numpy(zero_copy_only=False)[order]
        last = numpy.maximum.reduceat(numpy.where(is_valid, numbers, -1), firsts)
        indices = pyarrow.array(order[numpy.maximum(last, 0)], mask=last < 0)
        taken.append(column.take(indices))
    return pyarrow.table(taken, names=rows.column_names)


def series_ranks(rows: Any, columns: Columns) -> _Array:
    """A number for each row, equal for equal tags, and rising with them."""
    ranks = numpy.zeros(rows.num_rows, numpy.int64)
    size = 1
    present = set(rows.column_names)
    for name, column_type in columns:
        if column_type is not ColumnType.TAG or name not in present:
            continue
        codes, count = _ranked_codes(_one_chunk(rows.column(name)))
        if size > _KEYS_MAX // count:
            distinct, ranks = numpy.unique(ranks, return_inverse=True)
            size = len(distinct)
        ranks = ranks * count + codes
        size *= count
    return ranks


def _ranked_codes(column: Any) -> tuple[_Array, int]:
    """A number for each value that rises with it, 0 for null; and how many numbers there are."""
    order = pyarrow.compute.array_sort_indices(column.dictionary).to_numpy()
    rank_of_code = numpy.empty(len(order) + 1, numpy.int64)
    rank_of_code[order] = numpy.arange(1, len(order) + 1)
    rank_of_code[-1] = 0
    return rank_of_code[_codes(column)], len(order) + 1


def _codes(column: Any) -> _Array:
    """Codes of a dictionary column, -1 for null."""
    return column.indices.fill_null(-1).to_numpy(zero_copy_only=False)


def _with_own_dictionaries(rows: Any) -> Any:
    """`rows` with dictionaries of the values that occur, sorted.

    A Parquet file gets the dictionary as it is: that of all windows would be in each file.
    """
    columns = []
    for name in rows.column_names:
        column = _one_chunk(rows.column(name))
        if pyarrow.types.is_dictionary(column.type):
            column = _with_own_dictionary(column)
        columns.append(column)
    return pyarrow.table(columns, names=rows.column_names)


def _with_own_dictionary(column: Any) -> Any:
    codes = _codes(column)
    used = numpy.unique(codes)
    used = used[used >= 0]
    values = column.dictionary.take(pyarrow.array(used))
    order = pyarrow.compute.array_sort_indices(values).to_numpy()
    new_code = numpy.zeros(len(column.dictionary) + 1, numpy.int32)
    new_code[used[order]] = numpy.arange(len(order), dtype=numpy.int32)
    indices = pyarrow.array(new_code[codes], mask=codes < 0)
    return pyarrow.DictionaryArray.from_arrays(indices, values.take(pyarrow.array(order)))


def _one_chunk(column: Any) -> Any:
    if column.num_chunks == 1:
        return column.chunk(0)
    return column.combine_chunks()
