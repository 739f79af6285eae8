# Owns the answer to where in a chunk of live rows the values of one tag are. Live rows stand in the
# order in which they came, so those of one series are all over a chunk; looking for them row by row
# is most of what a query for one series takes. For small chunks that is what is done.
"""Places of the values of a tag."""

from collections.abc import Iterable
from typing import Any

import numpy
import pyarrow
import pyarrow.compute

# Numbers below this are sorted by their digits, many times faster than others.
_RADIX_MAX = 65_536


def places_of(column: Any, values: Iterable[str]) -> Any:
    """Numbers of the rows of `column` with one of `values`, looked for row by row."""
    array = _one(column)
    codes = [pyarrow.compute.index(array.dictionary, value).as_py() for value in values]
    # Null is none of them.
    indices = array.indices.fill_null(-1) if array.null_count else array.indices
    rows = indices.to_numpy(zero_copy_only=False)
    met = numpy.zeros(len(rows), bool)
    for code in codes:
        if code >= 0:
            met |= rows == code
    return numpy.flatnonzero(met)


def _one(column: Any) -> Any:
    if isinstance(column, pyarrow.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


class TagPlaces:
    """Rows by their value of one tag; 4 bytes per row."""

    def __init__(self, column: Any) -> None:
        """Sort the rows of `column`, dictionary-coded text of one chunk."""
        column = _one(column)
        self._dictionary = column.dictionary
        codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False) + 1
        size = len(self._dictionary) + 1
        small = codes.astype(numpy.uint16 if size <= _RADIX_MAX else numpy.int64)
        # Stable, so that the rows of a value keep their order.
        self._rows = numpy.argsort(small, kind="stable").astype(numpy.int32)
        self._starts = numpy.concatenate(([0], numpy.cumsum(numpy.bincount(codes, minlength=size))))

    def of(self, values: Iterable[str]) -> Any:
        """Numbers of the rows with one of `values`, rising, as a numpy array."""
        found = []
        for value in values:
            code = pyarrow.compute.index(self._dictionary, value).as_py() + 1
            if code:
                found.append(self._rows[self._starts[code] : self._starts[code + 1]])
        if not found:
            return numpy.empty(0, numpy.int32)
        return found[0] if len(found) == 1 else numpy.sort(numpy.concatenate(found))
