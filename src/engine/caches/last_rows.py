# Owns the kernel of the caches: which of a table's rows are the last of their group. All of it
# works on whole columns, tags by their dictionary codes. Pure functions over Arrow tables of one
# chunk whose rows stand in the order of the log; used by kept_rows.py.
"""The last rows of groups."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy
import pyarrow
import pyarrow.compute

_Array = Any
_TIME_NS_MIN = -(2**63)
# Codes are numbered anew when there could be more of them than this many times the rows.
_SPARSE = 2


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows are the last ones.

    Attributes:
        keys: Rows that are equal in these columns make a group.
        count: So many rows of each group, the latest.
        has_last_fields: Beside them, for each field, the latest row of the group that has a value.
            Only where the keys are all tags, and one row is wanted.
    """

    keys: tuple[str, ...]
    count: int = 1
    has_last_fields: bool = False


def candidates(rows: Any, wanted: Wanted, fields: Sequence[str]) -> Any:
    """The rows of this part of a table that can be among the last ones of all of it.

    Rows of one identity are not folded; they are all there, or none of them is.
    """
    if rows.num_rows == 0:
        return rows
    times = times_of(rows)
    codes, size = codes_of(rows, wanted.keys)
    if wanted.count == 1:
        is_last = _is_greatest(times, codes, size)
        if wanted.has_last_fields:
            for name in fields:
                is_last |= _is_last_value(rows, name, times, codes, size)
    else:
        is_last = _is_among_greatest(times, codes, wanted.count)
    return rows if is_last.all() else rows.filter(pyarrow.array(is_last))


def settled(
    rows: Any, wanted: Wanted, tags: Sequence[str], fields: Sequence[str], since_ns: int
) -> Any:
    """The last rows of `rows`, which hold all candidates: folded, sorted by keys, latest first.

    Rows before `since_ns` do not count.
    """
    rows = _folded(since(rows, since_ns), tags, fields)
    if rows.num_rows == 0:
        return rows
    if wanted.has_last_fields:
        rows = candidates(rows, wanted, fields)
    ranks = [_ranks(rows, name) for name in (*wanted.keys, *tags)]
    keys, rest = ranks[: len(wanted.keys)], ranks[len(wanted.keys) :]
    times = times_of(rows)
    # The last one given is the first one sorted by. ~t falls as t rises, and cannot overflow.
    order = numpy.lexsort((*reversed(rest), ~times, *reversed(keys)))
    if not wanted.has_last_fields:
        order = order[_places_in_group([rank[order] for rank in keys], len(order)) < wanted.count]
    return with_own_dictionaries(rows.take(pyarrow.array(order)))


def latest_groups(rows: Any, groups_max: int) -> Any:
    """Of `rows`, one for each group, those that have the greatest times."""
    if rows.num_rows <= groups_max:
        return rows
    times = times_of(rows)
    latest = numpy.argsort(times, kind="stable")[-groups_max:]
    return rows.take(pyarrow.array(numpy.sort(latest)))


def joined(tables: Sequence[Any], types: Mapping[str, Any]) -> Any:
    """All rows of `tables` one behind the other, in one chunk, with the columns of `types`.

    `types` are the Arrow types of columns by name; what a table lacks of them is null.
    """
    schema = pyarrow.schema(list(types.items()))
    known = [table.select([name for name in table.column_names if name in types])
             for table in tables]  # fmt: skip
    table = pyarrow.concat_tables([schema.empty_table(), *known], promote_options="default")
    return table.select(schema.names).unify_dictionaries().combine_chunks()


def times_of(rows: Any) -> _Array:
    """The times of `rows` as int64."""
    return _one_chunk(rows.column("time")).cast(pyarrow.int64()).to_numpy()


def codes_of(rows: Any, names: Sequence[str]) -> tuple[_Array, int]:
    """A number for each row, equal where the columns `names` are; and what all are below."""
    parts = [_codes(_one_chunk(rows.column(name))) for name in names]
    parts.sort(key=lambda part: -part[1])
    codes: _Array = numpy.zeros(rows.num_rows, numpy.int64)
    size = 1
    for part, count in parts:
        # Most tags say nothing that an other one has not said: those of a host go with its name.
        if size > 1 and _follows(part, codes, size):
            continue
        codes = codes * count + part
        size *= count
        if size > _SPARSE * max(len(codes), 512):
            distinct, codes = numpy.unique(codes, return_inverse=True)
            size = len(distinct)
    return codes, size


def with_own_dictionaries(rows: Any) -> Any:
    """`rows` with dictionaries of the values that occur, in place of those they were taken from."""
    columns = []
    for name in rows.column_names:
        column = _one_chunk(rows.column(name))
        if pyarrow.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type).dictionary_encode()
        columns.append(column)
    return pyarrow.table(columns, names=rows.column_names)


def _follows(part: _Array, codes: _Array, size: int) -> bool:
    """Whether rows with one code have one value of `part`."""
    value_of_code = numpy.zeros(size, part.dtype)
    value_of_code[codes] = part
    return bool((value_of_code[codes] == part).all())


def _codes(column: Any) -> tuple[_Array, int]:
    """Codes of the values of a column, 0 for null; and how many there are."""
    encoded = column if pyarrow.types.is_dictionary(column.type) else column.dictionary_encode()
    indices = encoded.indices
    if indices.null_count:
        indices = indices.fill_null(-1)
    codes = indices.to_numpy(zero_copy_only=False).astype(numpy.int64)
    return codes + 1, len(encoded.dictionary) + 1


def _ranks(rows: Any, name: str) -> _Array:
    """A number for each row that rises with its value, 0 for null."""
    column = _one_chunk(rows.column(name))
    encoded = column if pyarrow.types.is_dictionary(column.type) else column.dictionary_encode()
    order = pyarrow.compute.array_sort_indices(encoded.dictionary).to_numpy()
    rank_of_code = numpy.zeros(len(order) + 1, numpy.int64)
    rank_of_code[order + 1] = numpy.arange(1, len(order) + 1)
    return rank_of_code[_codes(encoded)[0]]


def _is_greatest(times: _Array, codes: _Array, size: int) -> _Array:
    greatest = numpy.full(size, _TIME_NS_MIN, numpy.int64)
    numpy.maximum.at(greatest, codes, times)
    return times == greatest[codes]


def _is_last_value(rows: Any, name: str, times: _Array, codes: _Array, size: int) -> _Array:
    column = _one_chunk(rows.column(name))
    is_last = numpy.zeros(len(times), bool)
    if column.null_count in (0, len(column)):
        # Without nulls the last row has the last value; without values there is none.
        return is_last
    known = numpy.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    is_last[known] = _is_greatest(times[known], codes[known], size)
    return is_last


def _is_among_greatest(times: _Array, codes: _Array, count: int) -> _Array:
    """Whether a row has one of the `count` greatest times of its group."""
    order = numpy.lexsort((times, codes))
    times, codes = times[order], codes[order]
    is_new_group = _changes([codes])
    # Numbers the moments: equal ones of a group have one number.
    moments = numpy.cumsum(_changes([codes, times]))
    ends = numpy.flatnonzero(numpy.append(is_new_group[1:], True))
    last_moments = moments[ends][numpy.cumsum(is_new_group) - 1]
    is_last = numpy.empty(len(order), bool)
    is_last[order] = last_moments - moments < count
    return is_last


def _folded(rows: Any, tags: Sequence[str], fields: Sequence[str]) -> Any:
    """One row for each identity: of each field, the last value that is not null."""
    if rows.num_rows < 2:
        return rows
    times = times_of(rows)
    series, _ = codes_of(rows, tags)
    # Stable: among rows of one identity the order of the log stays.
    order = numpy.lexsort((times, series))
    firsts = numpy.flatnonzero(_changes([series[order], times[order]]))
    if len(firsts) == len(order):
        return rows
    numbers = numpy.arange(len(order))
    columns = []
    for name in rows.column_names:
        column = _one_chunk(rows.column(name))
        if name not in fields:
            columns.append(column.take(pyarrow.array(order[firsts])))
            continue
        is_valid = column.is_valid().to_numpy(zero_copy_only=False)[order]
        last = numpy.maximum.reduceat(numpy.where(is_valid, numbers, -1), firsts)
        indices = pyarrow.array(order[numpy.maximum(last, 0)], mask=last < 0)
        columns.append(column.take(indices))
    return pyarrow.table(columns, names=rows.column_names)


def since(rows: Any, since_ns: int) -> Any:
    """The rows of that time or later."""
    is_kept = times_of(rows) >= since_ns
    return rows if is_kept.all() else rows.filter(pyarrow.array(is_kept))


def _places_in_group(keys: Sequence[_Array], num_rows: int) -> _Array:
    """Of sorted rows, how many of their group stand before each."""
    numbers = numpy.arange(num_rows)
    starts = numpy.where(_changes(keys) if keys else numbers == 0, numbers, 0)
    return numbers - numpy.maximum.accumulate(starts)


def _changes(columns: Sequence[_Array]) -> _Array:
    """Whether a row differs from the one before; the first one does."""
    is_new = numpy.ones(len(columns[0]), bool)
    is_new[1:] = False
    for column in columns:
        is_new[1:] |= column[1:] != column[:-1]
    return is_new


def _one_chunk(column: Any) -> Any:
    if not isinstance(column, pyarrow.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
