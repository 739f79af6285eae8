# Owns the form in which columns are kept whose rows are picked again and again: as numpy arrays of
# the narrowest integers that hold the values or codes, which are cut and joined in a microsecond
# each; other columns as Arrow has them. Knows nothing of files.
"""Columns in few bytes."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy
import pyarrow
import pyarrow.compute

# What a column takes beside its values.
_COLUMN_BYTES = 512
_DICTIONARIES_MAX = 256
_NARROW = (numpy.int8, numpy.int16, numpy.int32)

_NUMBERS = (pyarrow.int64(), pyarrow.uint64(), pyarrow.float64())

# A slice, or an array of rising numbers of rows.
Places = Any


class Within(NamedTuple):
    """What rows must meet.

    Attributes:
        times: From the first to the last, both inclusive.
        comparisons: Columns of numbers, each with a function that compares it with a number.
    """

    times: tuple[int, int]
    comparisons: Sequence[tuple[str, Callable[[Any, int | float], Any], int | float]] = ()

    @property
    def names(self) -> set[str]:
        """Of the columns that this is about."""
        return {"time", *(name for name, _, _ in self.comparisons)}


def count_of(places: Places) -> int:
    """How many rows they are."""
    return places.stop - places.start if isinstance(places, slice) else len(places)


class PackedColumn(NamedTuple):
    """A column of some rows.

    Attributes:
        values: A numpy array of numbers or codes, of which none is null; or else an Arrow array.
        dictionary: Of codes; else None.
        value_type: Of the column.
        is_rising: Whether no code is less than the one before.
    """

    values: Any
    dictionary: Any | None
    value_type: Any
    is_rising: bool = False

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, with its own dictionary."""
        texts = 0 if self.dictionary is None else self.dictionary.nbytes
        return int(self.values.nbytes) + texts + _COLUMN_BYTES

    @property
    def is_numpy(self) -> bool:
        """Whether its values are a numpy array."""
        return isinstance(self.values, numpy.ndarray)

    @property
    def is_plain(self) -> bool:
        """Whether its values are numbers that compare as such."""
        return self.is_numpy and self.dictionary is None and self.value_type in _NUMBERS

    def places_of(self, texts: frozenset[str]) -> Places:
        """Where it has one of these texts; None where it has none of them. Of texts with codes."""
        if not self.is_numpy:
            kinds = pyarrow.array(sorted(texts), pyarrow.utf8())
            found = pyarrow.compute.is_in(self.values.cast(pyarrow.utf8()), kinds)
            places = numpy.flatnonzero(found.to_numpy(zero_copy_only=False))
            return places if len(places) else None
        assert self.dictionary is not None
        indices = (pyarrow.compute.index(self.dictionary, text).as_py() for text in texts)
        codes = numpy.array([code for code in indices if code >= 0], self.values.dtype)
        if self.is_rising and len(codes) == 1:
            start, end = (int(self.values.searchsorted(codes[0], side)) for side in _SIDES)
            return slice(start, end) if start < end else None
        places = numpy.flatnonzero(numpy.isin(self.values, codes))
        return places if len(places) else None

    def at(self, places: Places) -> Any:
        """The values at `places`, as they are kept."""
        if self.is_numpy:
            return self.values[places]
        if isinstance(places, slice):
            return self.values.slice(places.start, places.stop - places.start)
        return self.values.take(pyarrow.array(places))


_COMPARED: dict[str, Any] = {
    "=": numpy.equal,
    "!=": numpy.not_equal,
    "<": numpy.less,
    "<=": numpy.less_equal,
    ">": numpy.greater,
    ">=": numpy.greater_equal,
}
_OF_FLOATS: dict[str, Any] = {
    **_COMPARED,
    ">": lambda left, right: ~(left <= right),
    ">=": lambda left, right: ~(left < right),
}
_SIDES: tuple[Any, Any] = ("left", "right")


class Dictionaries:
    """Makes equal dictionaries one, the last ones seen; any thread may use it."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, Any, Any], Any] = OrderedDict()

    def one(self, dictionary: Any) -> Any:
        """`dictionary`, or one that is equal."""
        if not len(dictionary):
            return dictionary
        key = (len(dictionary), dictionary[0].as_py(), dictionary[-1].as_py())
        known = self._known.get(key)
        if known is not None and known.equals(dictionary):
            return known
        self._known[key] = dictionary
        while len(self._known) > _DICTIONARIES_MAX:
            try:
                self._known.popitem(last=False)
            except KeyError:
                # Another thread was there first.
                break
        return dictionary


def packed(column: Any, dictionaries: Dictionaries) -> PackedColumn:
    """A ``pyarrow.ChunkedArray``, packed."""
    viewed = of_array(one_array(column), dictionaries)
    values, kind = viewed.values, viewed.value_type
    if viewed.dictionary is not None:
        codes = _narrowed(values, 0, len(viewed.dictionary))
        is_rising = bool((codes[1:] >= codes[:-1]).all())
        return viewed._replace(values=codes, is_rising=is_rising)
    if viewed.is_numpy and kind == pyarrow.int64() and len(values):
        return viewed._replace(values=_narrowed(values, int(values.min()), int(values.max())))
    return viewed


def compared(sign: str, *, is_float: bool = True) -> Callable[[Any, int | float], Any]:
    """A function that compares numbers as DuckDB does, to which NaN is greater than all others."""
    function: Callable[[Any, int | float], Any] = (_OF_FLOATS if is_float else _COMPARED)[sign]
    return function


def of_array(array: Any, dictionaries: Dictionaries) -> PackedColumn:
    """An Arrow array in this form, which shares its memory."""
    kind = array.type
    if array.null_count:
        return PackedColumn(array, None, kind)
    if pyarrow.types.is_dictionary(kind):
        if array.dictionary.null_count:
            return PackedColumn(array, None, kind)
        return PackedColumn(array.indices.to_numpy(), dictionaries.one(array.dictionary), kind)
    if kind == pyarrow.timestamp("ns"):
        return PackedColumn(array.cast(pyarrow.int64()).to_numpy(), None, kind)
    if kind in (pyarrow.int64(), pyarrow.uint64(), pyarrow.float64()):
        return PackedColumn(array.to_numpy(), None, kind)
    return PackedColumn(array, None, kind)


def one_array(column: Any) -> Any:
    """A ``pyarrow.ChunkedArray`` as one array."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return pyarrow.concat_arrays(array.chunks) if isinstance(array, pyarrow.ChunkedArray) else array


def narrowed(columns: Mapping[str, PackedColumn], places: Places, within: Within) -> Places | None:
    """Those of `places` at which rows are `within`, and maybe others; None where there are none.

    Args:
        columns: Columns of the rows. One that is not here, or has nulls, is not looked at.
        places: Where to look.
        within: What rows must meet.
    """
    times, comparisons = within
    meets: Any = None
    time = columns.get("time")
    if time is not None and time.is_numpy:
        values = time.at(places)
        meets = (values >= times[0]) & (values <= times[1])
    for name, compare, number in comparisons:
        column = columns.get(name)
        if column is not None and column.is_plain:
            here = compare(column.at(places), number)
            meets = here if meets is None else meets & here
    if meets is None or meets.all():
        return places if count_of(places) else None
    left = numpy.flatnonzero(meets)
    if not len(left):
        return None
    return left + places.start if isinstance(places, slice) else places[left]


def joined(columns: Sequence[PackedColumn], places: Sequence[Places]) -> Any:
    """The values of each of the columns at its places, as one Arrow column of their type.

    Of each column of a table: those that are here pieces of one column have one type.
    """
    parts = [column.at(place) for column, place in zip(columns, places, strict=True)]
    first = columns[0]
    is_one = all(column.is_numpy and column.dictionary is first.dictionary for column in columns)
    if is_one:
        return _unpacked(first, numpy.concatenate(parts))
    return pyarrow.chunked_array(
        [
            _unpacked(column, part) if column.is_numpy else part
            for column, part in zip(columns, parts, strict=True)
        ],
        first.value_type,
    )


def _narrowed(numbers: Any, least: int, greatest: int) -> Any:
    for kind in _NARROW:
        limits = numpy.iinfo(kind)
        if limits.min <= least and greatest <= limits.max:
            return numbers.astype(kind)
    return numbers


def _unpacked(column: PackedColumn, values: Any) -> Any:
    if column.dictionary is not None:
        codes = pyarrow.array(values.astype(numpy.int32, copy=False))
        return pyarrow.DictionaryArray.from_arrays(codes, column.dictionary, safe=False)
    if values.dtype.kind == "i":
        values = values.astype(numpy.int64, copy=False)
    array = pyarrow.array(values)
    return array if array.type == column.value_type else array.view(column.value_type)
