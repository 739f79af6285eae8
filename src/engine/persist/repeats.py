# Owns the question whether the rows of a new file repeat rows of earlier files indeed. That they
# may is told by times alone, when they are written; here identities are compared, so that queries
# do not fold rows of which each is there once. It knows Arrow tables and numbers, and asks for
# files.
"""Rows that are in earlier files, too."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy
import pyarrow

from engine.errors import FileDamagedError
from engine.logs import keys
from engine.persist.rows import joined, series_ranks, times_of
from engine.store.file_faults import FileFaults
from engine.store.manifest import FileEntry
from engine.store.parquet_file import Columns
from engine.store.time_ranges import OVERLAP_RANGES_MAX, TimeRange, common
from lp_core.enums import ColumnType

logger = logging.getLogger(__name__)

# Rows that may repeat those of more files are left in doubt: reading all these takes too long.
FILES_READ_MAX = 16

_Array = Any


class Repeats:
    """Looks into earlier files."""

    def __init__(self, faults: FileFaults) -> None:
        self._faults = faults

    def among(
        self,
        names: tuple[str, str],
        columns: Columns,
        rows: Any,
        doubts: tuple[TimeRange, ...],
        earlier: Sequence[FileEntry],
    ) -> _Array | None:
        """The times, within `doubts`, in which `rows` have identities that `earlier` files have.

        Rising, as int64; None when they cannot be told, so that all of `doubts` stay.

        Args:
            names: Of database and table.
            columns: All of the table.
            rows: A ``pyarrow.Table``.
            doubts: Sorted, disjoint ranges.
            earlier: Files; those without rows of these times do not matter.

        Raises:
            OSError: A file cannot be opened, for a reason that says nothing about the file.
        """
        concerned = [
            entry
            for entry in earlier
            if any(common(one, entry.times) is not None for one in doubts)
        ]
        if len(concerned) > FILES_READ_MAX:
            return None
        identity = [name for name, kind in columns if kind is ColumnType.TAG]
        own = _inside(rows, identity, doubts)
        found = [numpy.empty(0, numpy.int64)]
        for entry in concerned:
            try:
                read = self._faults.read(*names, entry, [*identity, "time"])
            except FileDamagedError as error:
                # It is noted. What it has is not known, so the doubt stays.
                text = "rows stay in doubt beside a damaged file"
                logger.warning(text, extra=keys(error=error.message))
                return None
            found.append(shared_times(own, _inside(read, identity, doubts), columns))
        return numpy.unique(numpy.concatenate(found))


def shared_times(first: Any, second: Any, columns: Columns) -> _Array:
    """Times, rising, of the rows of which both tables have one; no table has one twice."""
    if not first.num_rows or not second.num_rows:
        return numpy.empty(0, numpy.int64)
    both = joined([first, second])
    times, series = times_of(both), series_ranks(both, columns)
    order = numpy.lexsort((series, times))
    times, series = times[order], series[order]
    is_shared = (times[1:] == times[:-1]) & (series[1:] == series[:-1])
    return numpy.unique(times[1:][is_shared])


def times_as_ranges(times: _Array) -> list[TimeRange]:
    """Few ranges that have all `times`, which rise; parted where nothing is for longest."""
    if not len(times):
        return []
    gaps = numpy.diff(times)
    parts = numpy.sort(numpy.argsort(-gaps, kind="stable")[: OVERLAP_RANGES_MAX - 1])
    starts = [0, *(parts + 1).tolist()]
    ends = [*parts.tolist(), len(times) - 1]
    return [(int(times[start]), int(times[end])) for start, end in zip(starts, ends, strict=True)]


def _inside(rows: Any, identity: Sequence[str], ranges: Sequence[TimeRange]) -> Any:
    """The identities of the rows of these times."""
    times = times_of(rows)
    is_inside = numpy.zeros(len(times), bool)
    for low, high in ranges:
        is_inside |= (times >= low) & (times <= high)
    names = [name for name in identity if name in rows.column_names]
    return rows.select([*names, "time"]).filter(pyarrow.array(is_inside))
