# Owns the answers to plans about single series: computed with numpy over rows in memory, to the
# value and type those that DuckDB gives. DuckDB needs milliseconds to bind, scan and group a few
# hundred rows. Where an answer would need more than plain numbers, there is none, and DuckDB gives
# it.
"""Answers about single series."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy
import pyarrow
import pyarrow.compute

from engine.errors import QueryError
from engine.query.kinds import Kind
from engine.query.packed_column import compared, one_array
from engine.query.series_plans import Aggregate, Bin, Given, SeriesPlan, Shown, Sorting
from engine.query.slots import SlotKind, is_number_text, time_of

# Of more rows DuckDB makes shorter work, with all cores.
ROWS_MAX = 1 << 17
# Times and bins beyond have no room for arithmetic, and some times DuckDB takes for infinity.
_TIME_MAX = (1 << 62) - 1
# Whole numbers up to this are doubles, too: comparing as one or the other makes no difference.
_EXACT_MAX = 1 << 52
_SUM_MAX = 1 << 63
_AVG_SUM_MAX = 1 << 53


class _Unfit(Exception):  # noqa: N818 - no answer, but DuckDB has one
    """Values that are left to DuckDB."""


def _unfit() -> NoReturn:
    raise _Unfit


class Moment(NamedTuple):
    """What a query is asked with: values of its parameters, and when."""

    params: Mapping[str, object]
    now_ns: int


def series_answer(
    plan: SeriesPlan, rows: Any, least_time_ns: int | None, moment: Moment
) -> Any | None:
    """The answer to a plan as a ``pyarrow.Table``; None where DuckDB is to give it.

    Args:
        plan: What is asked.
        rows: A ``pyarrow.Table`` with all rows of the table that meet the conditions, each once,
            and maybe others.
        least_time_ns: Older rows are past their retention.
        moment: What it is asked with.
    """
    if rows.num_rows > ROWS_MAX:
        return None
    try:
        return _Answer(plan, rows, least_time_ns, moment).table()
    except _Unfit:
        return None


class _Numbers(NamedTuple):
    """A column as numbers; those that are null are anything. None is null where none is told."""

    values: Any
    are_valid: Any | None


class _Coded(NamedTuple):
    """A tag as codes, -1 for null; a text may have more than one."""

    codes: Any
    dictionary: Any


class _Answer:
    def __init__(
        self, plan: SeriesPlan, rows: Any, least_time_ns: int | None, moment: Moment
    ) -> None:
        self._plan = plan
        self._rows = rows
        self._least_time_ns = least_time_ns
        self._moment = moment
        self._numbers: dict[str, _Numbers] = {}
        self._tags: dict[str, _Coded] = {}

    def table(self) -> Any:
        """The answer."""
        plan = self._plan
        offset = 0 if plan.offset is None else self._count(plan.offset)
        limit = None if plan.limit is None else self._count(plan.limit)
        places = self._places()
        if plan.keys is None:
            if plan.order:
                places = places[_order([self._sorted_by(one, places) for one in plan.order])]
            places = places[offset:] if limit is None else places[offset : offset + limit]
            columns = [self._shown_rows(name, places) for name in plan.shown]
        else:
            groups = _Groups(*self._keys(places))
            columns = [self._shown_groups(one, number, groups, places)
                       for number, one in enumerate(plan.shown)]  # fmt: skip
            if plan.order:
                order = pyarrow.array(_order(list(map(groups.sorted_by, plan.order))))
                columns = [column.take(order) for column in columns]
            columns = [column.slice(offset, limit) for column in columns]
        return pyarrow.table(columns, names=list(plan.names))

    # -- values of the query --

    def _count(self, given: Given) -> int:
        count = self._number(given)
        return count if isinstance(count, int) and 0 <= count <= _EXACT_MAX else _unfit()

    def _number(self, given: Given) -> int | float:
        value: object = given.constant
        if given.slot is not None:
            value = self._moment.params.get(given.slot.name)
            if isinstance(value, str) and is_number_text(value):
                value = _number_of(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            _unfit()
        # NaN compares as false.
        return value if abs(value) <= _EXACT_MAX else _unfit()

    def _time(self, given: Given) -> int:
        value = given.constant
        slot = given.slot
        if slot is not None and slot.kind is SlotKind.NOW:
            value = self._moment.now_ns
        elif slot is not None:
            try:
                value = time_of(slot, self._moment.params.get(slot.name))
            except QueryError:
                _unfit()
        assert isinstance(value, int)
        time_ns = value + given.moved_ns
        # The sum as well as what it is made of.
        return time_ns if max(abs(value), abs(time_ns)) <= _TIME_MAX else _unfit()

    def _text(self, given: Given) -> str:
        value: object = given.constant
        if given.slot is not None:
            value = self._moment.params.get(given.slot.name)
        return value if isinstance(value, str) and "\x00" not in value else _unfit()

    # -- rows --

    def _places(self) -> Any:
        """Numbers of the rows that meet the conditions, rising."""
        met: Any = None
        for one in self._plan.conditions:
            if one.kind is Kind.TAG:
                coded = self._tag(one.column)
                texts = pyarrow.array([self._text(value) for value in one.values], pyarrow.utf8())
                is_meant = pyarrow.compute.is_in(coded.dictionary, texts)
                # The last one stands for null, which has the code -1.
                lookup = numpy.append(is_meant.to_numpy(zero_copy_only=False), False)
                here = lookup[coded.codes]
            else:
                here = self._compared(one.column, one.kind, one.sign, one.values[0])
            met = here if met is None else met & here
        if self._least_time_ns is not None:
            met = met & (self._column("time").values >= self._least_time_ns)
        return numpy.flatnonzero(met)

    def _compared(self, name: str, kind: Kind, sign: str, given: Given) -> Any:
        column = self._column(name)
        value = self._time(given) if kind is Kind.TIME else self._number(given)
        if kind is Kind.UNSIGNED and value < 0:
            _unfit()
        met = compared(sign, is_float=kind is Kind.FLOAT)(column.values, value)
        return met if column.are_valid is None else met & column.are_valid

    def _column(self, name: str) -> _Numbers:
        known = self._numbers.get(name)
        if known is None:
            known = self._numbers[name] = _numbers(self._rows.column(name))
            if name == "time" and not _are_plain_times(known):
                _unfit()
        return known

    def _tag(self, name: str) -> _Coded:
        known = self._tags.get(name)
        if known is None:
            known = self._tags[name] = _coded(self._rows.column(name))
        return known

    def _is_tag(self, name: str) -> bool:
        return bool(pyarrow.types.is_dictionary(self._rows.schema.field(name).type))

    def _ranked(self, name: str, places: Any) -> tuple[Any, list[str]]:
        """A tag's values at `places` as numbers in their order, -1 for null; and the values."""
        coded = self._tag(name)
        used, inverse = numpy.unique(coded.codes[places], return_inverse=True)
        texts = coded.dictionary.take(pyarrow.array(used[used >= 0])).to_pylist()
        # In the order of their bytes, as Python compares texts.
        in_order = sorted(set(texts))
        ranks = {text: rank for rank, text in enumerate(in_order)}
        nulls = [-1] * (len(used) - len(texts))
        found = numpy.array([*nulls, *(ranks[text] for text in texts)], numpy.int64)
        return found[inverse], in_order

    def _sorted_by(self, sorting: Sorting, places: Any) -> Any:
        assert isinstance(sorting.by, str)
        if self._is_tag(sorting.by):
            return _directed(self._ranked(sorting.by, places)[0], sorting, is_tag=True)
        return _directed(self._column(sorting.by).values[places], sorting, is_tag=False)

    def _shown_rows(self, name: Shown, places: Any) -> Any:
        assert isinstance(name, str)
        if not self._is_tag(name):
            return self._rows.column(name).take(pyarrow.array(places))
        coded = self._tag(name)
        codes = coded.codes[places]
        return coded.dictionary.take(pyarrow.array(codes, mask=codes < 0))

    # -- groups --

    def _keys(self, places: Any) -> tuple[list["_Key"], int]:
        """The keys of groups, and how many rows there are."""
        plan = self._plan
        assert plan.keys is not None
        keys = []
        for number in plan.keys:
            shown = plan.shown[number]
            if isinstance(shown, Bin):
                if shown.width_ns > _TIME_MAX:
                    _unfit()
                times = self._column("time").values[places]
                since = times - self._time(shown.origin)
                keys.append(_Key(number, times - since % shown.width_ns, None))
            elif isinstance(shown, str) and self._is_tag(shown):
                keys.append(_Key(number, *self._ranked(shown, places)))
            elif isinstance(shown, str):
                keys.append(_Key(number, self._column(shown).values[places], None))
        return keys, len(places)

    def _shown_groups(self, shown: Shown, number: int, groups: "_Groups", places: Any) -> Any:
        if not isinstance(shown, Aggregate):
            return groups.shown(number)
        if shown.column is None:
            return pyarrow.array(groups.sizes)
        if shown.function == "count":
            # Of any type, texts among them.
            is_valid = self._rows.column(shown.column).is_valid().to_numpy()
            return pyarrow.array(groups.counts(is_valid[places]))
        column = self._column(shown.column)
        is_valid = None if column.are_valid is None else column.are_valid[places]
        made = groups.aggregated(shown.function, column.values[places], is_valid)
        return made.view(pyarrow.timestamp("ns")) if shown.column == "time" else made


class _Key(NamedTuple):
    """Of which number the key is, its value in each row, and texts that values are places of."""

    number: int
    values: Any
    texts: list[str] | None


class _Groups:
    """Rows in groups.

    Attributes:
        count: Of groups.
        sizes: Rows of each.
    """

    def __init__(self, keys: Sequence[_Key], rows: int) -> None:
        self._keys = {key.number: key for key in keys}
        # Without a key all rows are one group, even if there are none.
        self._of_rows, self._firsts, self.count = _grouped([key.values for key in keys], rows)
        self.sizes = numpy.bincount(self._of_rows, minlength=self.count)

    def shown(self, number: int) -> Any:
        """The values of a key."""
        key = self._keys[number]
        values = key.values[self._firsts]
        if key.texts is None:
            return pyarrow.array(values).view(pyarrow.timestamp("ns"))
        places = pyarrow.array(values, mask=values < 0)
        return pyarrow.array(key.texts, pyarrow.utf8()).take(places)

    def sorted_by(self, sorting: Sorting) -> Any:
        """Numbers in the order in which groups are to be."""
        assert isinstance(sorting.by, int)
        key = self._keys[sorting.by]
        return _directed(key.values[self._firsts], sorting, is_tag=key.texts is not None)

    def counts(self, are_counted: Any) -> Any:
        """Of each group, the rows that are counted."""
        return numpy.bincount(self._of_rows[are_counted], minlength=self.count)

    def aggregated(self, function: str, values: Any, are_valid: Any | None) -> Any:
        """Of each group, what a function gives for the values that are valid; null without any."""
        groups, sizes = self._of_rows, self.sizes
        if are_valid is not None and not are_valid.all():
            groups, values = groups[are_valid], values[are_valid]
            sizes = numpy.bincount(groups, minlength=self.count)
        if function in ("min", "max"):
            made = _extreme(function, values, groups, sizes)
        else:
            limit = _SUM_MAX if function == "sum" else _AVG_SUM_MAX
            made = _total(values, groups, self.count, limit)
        if function == "avg":
            made = made.astype(numpy.float64) / numpy.maximum(sizes, 1)
        return pyarrow.array(made, mask=sizes == 0)


def _grouped(keys: Sequence[Any], rows: int) -> tuple[Any, Any, int]:
    """The group of each row, the first row of each group, and how many groups there are."""
    if not keys:
        return numpy.zeros(rows, numpy.int64), None, 1
    if not rows:
        return numpy.empty(0, numpy.int64), numpy.empty(0, numpy.int64), 0
    combined = keys[0]
    for values in keys[1:]:
        least = int(values.min())
        span = int(values.max()) - least + 1
        # As numbers without gaps, lest the product be too large.
        combined = numpy.unique(combined, return_inverse=True)[1]
        if span > _TIME_MAX // rows:
            values, least = numpy.unique(values, return_inverse=True)[1], 0
            span = rows
        combined = combined * span + (values - least)
    found, firsts, groups = numpy.unique(combined, return_index=True, return_inverse=True)
    return groups, firsts, len(found)


def _extreme(function: str, values: Any, groups: Any, sizes: Any) -> Any:
    made = numpy.zeros(len(sizes), values.dtype)
    if len(values):
        order = numpy.argsort(groups, kind="stable")
        has_some = sizes > 0
        ends = numpy.cumsum(sizes[has_some])
        starts = numpy.concatenate(([0], ends[:-1]))
        # NaN is the greatest, and the least only where there is nothing else.
        reduced = numpy.fmin if function == "min" else numpy.maximum
        made[has_some] = reduced.reduceat(values[order], starts)
    return made


def _total(values: Any, groups: Any, count: int, limit: int) -> Any:
    if values.dtype.kind == "f":
        # Adds in the order of rows, as DuckDB does.
        total = numpy.bincount(groups, weights=values, minlength=count).astype(numpy.float64)
        return total if numpy.isfinite(total).all() else _unfit()
    if len(values):
        greatest = max(abs(int(values.min())), abs(int(values.max())))
        if greatest * len(values) >= limit:
            _unfit()
    total = numpy.zeros(count, numpy.int64)
    numpy.add.at(total, groups, values.astype(numpy.int64))
    return total


def _order(keys: Sequence[Any]) -> Any:
    """Numbers of rows in the order of `keys`, of which the first counts most."""
    return numpy.lexsort(keys[::-1])


def _directed(values: Any, sorting: Sorting, *, is_tag: bool) -> Any:
    """Numbers that rise as rows are to be sorted by `values`; those of tags are -1 for null."""
    made = -values if sorting.is_descending else values
    if is_tag:
        made[values < 0] = -_TIME_MAX if sorting.are_nulls_first else _TIME_MAX
    return made


def _numbers(column: Any) -> _Numbers:
    array = one_array(column)
    if array.type == pyarrow.timestamp("ns"):
        array = array.view(pyarrow.int64())
    if not array.null_count:
        return _Numbers(array.to_numpy(zero_copy_only=False), None)
    are_valid = array.is_valid().to_numpy(zero_copy_only=False)
    return _Numbers(array.fill_null(0).to_numpy(zero_copy_only=False), are_valid)


def _coded(column: Any) -> _Coded:
    # Not by pyarrow's unify_dictionaries, which takes codes of nulls for codes, whatever they are.
    chunks = column.chunks
    if any(chunk.dictionary.null_count for chunk in chunks):
        _unfit()
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in chunks]
    dictionaries = [chunk.dictionary for chunk in chunks]
    if len(chunks) == 1:
        return _Coded(codes[0], dictionaries[0])
    if not chunks:
        return _Coded(numpy.empty(0, numpy.int32), pyarrow.array([], pyarrow.utf8()))
    if all(one.equals(dictionaries[0]) for one in dictionaries[1:]):
        return _Coded(numpy.concatenate(codes), dictionaries[0])
    # One after the other: a text may be there more than once.
    start = 0
    for number, one in enumerate(dictionaries):
        codes[number] = numpy.where(codes[number] >= 0, codes[number] + start, -1)
        start += len(one)
    return _Coded(numpy.concatenate(codes), pyarrow.concat_arrays(dictionaries))


def _are_plain_times(times: _Numbers) -> bool:
    if times.are_valid is not None:
        return False
    values = times.values
    return not len(values) or bool(values.min() >= -_TIME_MAX and values.max() <= _TIME_MAX)


def _number_of(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
