# Owns what a SELECT reads from: a stored table, or the answer of a subquery made one.
"""Tables of SELECT."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import pyarrow

from engine.influxql.results import Series
from lp_core.enums import ColumnType

# Runs SQL, with the values of its parameters, where the table is.
Runner = Callable[[str, Mapping[str, object]], Any]

_KINDS: tuple[tuple[Callable[[Any], bool], ColumnType], ...] = (
    (pyarrow.types.is_boolean, ColumnType.BOOL),
    (pyarrow.types.is_uint64, ColumnType.UINT64),
    (pyarrow.types.is_integer, ColumnType.INT64),
    (pyarrow.types.is_floating, ColumnType.FLOAT64),
)


class Table(msgspec.Struct, frozen=True):
    """A table as far as a SELECT needs to know it.

    Attributes:
        rows: A ``pyarrow.Table`` where it is the answer of a subquery. It may have several rows of
            one time in one series.
    """

    name: str
    columns: dict[str, ColumnType]
    rows: Any = None

    @property
    def tags(self) -> list[str]:
        """Names of the tags, sorted."""
        return sorted(name for name, kind in self.columns.items() if kind is ColumnType.TAG)


def derived(all_series: Iterable[Series]) -> list[Table]:
    """The answers of subqueries as tables, one for each name."""
    by_name: dict[str, list[Series]] = {}
    for series in all_series:
        by_name.setdefault(series.name, []).append(series)
    return [_derived(name, found) for name, found in sorted(by_name.items())]


def _derived(name: str, found: list[Series]) -> Table:
    tags = sorted({tag for series in found for tag in series.tags})
    fields = dict.fromkeys(
        column for series in found for column in series.columns[1:] if column not in tags
    )
    content: dict[str, list[Any]] = {column: [] for column in ("time", *tags, *fields)}
    for series in found:
        count = len(series.values)
        columns = map(list, zip(*series.values, strict=True))
        by_name = dict(zip(["time", *series.columns[1:]], columns, strict=True))
        by_name = {column: _without_nan(values) for column, values in by_name.items()}
        by_name |= {tag: [value] * count for tag, value in series.tags.items()}
        for column, values in content.items():
            values += by_name.get(column) or [None] * count
    kinds: dict[str, ColumnType] = {}
    arrays = {"time": pyarrow.array(content["time"], pyarrow.timestamp("ns"))}
    for tag in tags:
        arrays[tag], kinds[tag] = pyarrow.array(content[tag], pyarrow.utf8()), ColumnType.TAG
    for field in fields:
        array = values_array(content[field])
        # A column without any value is none.
        if array.null_count < len(array):
            arrays[field], kinds[field] = array, _kind(array.type)
    return Table(name, kinds, pyarrow.table(arrays))


def _without_nan(values: list[Any]) -> list[Any]:
    # NaN is the deviation of a single value, of which nothing more is computed.
    return [None if value != value else value for value in values]


def _kind(arrow_type: Any) -> ColumnType:
    return next((kind for fits, kind in _KINDS if fits(arrow_type)), ColumnType.STRING)


def values_array(values: list[Any]) -> Any:
    """Values of a column as an Arrow array; as texts where they are of several kinds."""
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError):
        if all(value is None or type(value) in (int, float) for value in values):
            return _wide_numbers(values)
        return pyarrow.array([None if value is None else str(value) for value in values])


def _wide_numbers(values: list[Any]) -> Any:
    """Numbers of which some do not fit into 64 bits with a sign, as sums and products may not."""
    if all(value is None or (type(value) is int and 0 <= value < 2**64) for value in values):
        return pyarrow.array(values, pyarrow.uint64())
    return pyarrow.array(
        [None if value is None else float(value) for value in values], pyarrow.float64()
    )
