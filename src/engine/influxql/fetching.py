# Owns the SQL of a SELECT on one table, and the cutting of the rows that come back into series.
# What becomes of them is decided in selection.py.
"""Fetching of the rows of a SELECT."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
import pyarrow

from engine.influxql import functions, tree
from engine.influxql.calls import areas, distinct_inside, field_of, of_list, picked
from engine.influxql.conditions import Where, bounded_ns, quoted, text_sql
from engine.influxql.fields import Parts, cast
from engine.influxql.results import check_cells
from engine.influxql.tables import Runner, Table
from lp_core.enums import ColumnType

Leaf = tree.Call | tree.Reference


class Group(msgspec.Struct):
    """Rows of one series while they are formed: times, and values of each leaf.

    They are in the order of the answer: the latest first, where that is asked for.
    """

    tags: tuple[str, ...]
    times: list[int]
    leaves: dict[tree.Expression, functions.Values]

    @property
    def has_values(self) -> bool:
        """Whether any leaf has a value at any time."""
        return any(value is not None for values in self.leaves.values() for value in values)


class Fetch:
    """The rows that one SELECT needs of one table."""

    def __init__(
        self,
        select: tree.Select,
        table: Table,
        parts: Parts,
        where: Where,
        grouped: Sequence[str],
        now_ns: int,
    ) -> None:
        """`grouped` are the tags by which there are series; `where` has the times to read."""
        self._select = select
        self._table = table
        self._parts = parts
        self._where = where
        self._grouped = grouped
        self._now_ns = now_ns
        self._interval_ns = select.grouping.interval_ns
        self._names = [f"__g{index}" for index in range(len(grouped))]
        self._direction = "DESC" if select.is_descending else "ASC"

    @property
    def is_limited(self) -> bool:
        """Whether SQL counts the rows off: of one series, as they are stored."""
        has_parts = self._parts.calls or self._parts.has_transformation
        return not self._grouped and not has_parts and self._select.limits.rows is not None

    @property
    def is_picking(self) -> bool:
        """Whether the answer has rows that a function picks, or values of its own number."""
        calls = self._parts.calls
        if len(calls) != 1 or self._parts.has_transformation:
            return False
        is_row = bool(self._parts.references) or self._interval_ns is None
        return calls[0].name in functions.MULTI_ROW or (calls[0].name == "percentile" and is_row)

    def groups(self, run: Runner) -> Iterator[Group]:
        """The series, in the order of the answer."""
        if not self._parts.calls:
            return self._raw(run)
        return self._picks(run) if self.is_picking else self._one_row(run)

    # -- rows as they are stored ------------------------------------------------------------------

    def _raw(self, run: Runner) -> Iterator[Group]:
        references = self._parts.references
        fields = [
            quoted(reference.name)
            for reference in references
            if self._table.columns.get(reference.name) not in (None, ColumnType.TAG)
        ]
        if not fields:
            return  # rows are rows of fields: tags alone select none
        items = [*self._group_items(), "time AS __t"]
        items += [f"{self._column(ref)} AS __c{index}" for index, ref in enumerate(references)]
        known = " OR ".join(f"{field} IS NOT NULL" for field in dict.fromkeys(fields))
        sql, parameters = self._sql(items, [known])
        # A missing tag is an empty one, which comes first.
        nulls = "NULLS LAST" if self._select.is_descending else "NULLS FIRST"
        keys = [*self._names, "__t", *(quoted(tag) for tag in self._other_tags)]
        sql += f" ORDER BY {', '.join(f'{key} {self._direction} {nulls}' for key in keys)}"
        limits = self._select.limits
        if self.is_limited and limits.rows is not None:
            sql += f" LIMIT {limits.rows} OFFSET {limits.rows_skipped}"
        yield from self._cut(bounded_table(run(sql, parameters)), references)

    @property
    def _other_tags(self) -> list[str]:
        """Tags that tell rows of one time and series apart."""
        return [tag for tag in self._table.tags if tag not in self._grouped]

    # -- one row for each interval ----------------------------------------------------------------

    def _one_row(self, run: Runner) -> Iterator[Group]:
        leaves: list[Leaf] = [*self._parts.calls, *self._parts.references]
        columns: list[str] = []
        for index, leaf in enumerate(leaves):
            columns += self._leaf_items(leaf, index)
        yield from self._cut(bounded_table(self._aggregated(run, columns)), leaves)

    def _aggregated(self, run: Runner, columns: Sequence[str]) -> Any:
        conditions = []
        if self._interval_ns is not None and self._where.high_ns is None:
            conditions.append("time <= $now")
        if len(self._parts.calls) == 1 and self._parts.references:
            conditions.append(f"{quoted(field_of(self._parts.calls[0]))} IS NOT NULL")
        items = [*self._group_items(), f"{self._time()} AS __t", *columns, "max(time) AS __n"]
        sql, parameters = self._sql(items, conditions)
        keys = [
            str(index + 1) for index in range(len(self._names) + (self._interval_ns is not None))
        ]
        if keys:
            order = ", ".join(f"{key} {self._direction}" for key in keys)
            sql += f" GROUP BY {', '.join(keys)} ORDER BY {order}"
        start = {"start": bounded_ns(self._where.low_ns or 0), "now": self._now_ns}
        return run(sql, {**parameters, **start})

    def _time(self) -> str:
        """SQL of the time of a row."""
        calls = self._parts.calls
        if self._interval_ns is None:
            if len(calls) == 1 and calls[0].name in functions.SELECTORS:
                name = field_of(calls[0])
                if self._table.columns.get(name) not in (None, ColumnType.TAG):
                    return f"selector_{calls[0].name}({quoted(name)}, time)['time']"
            return "to_timestamp_nanos($start)"
        origin = self._select.grouping.offset_ns % self._interval_ns
        width = f"INTERVAL '{self._interval_ns} nanoseconds'"
        zone = self._select.zone
        if zone:
            return (
                f"date_bin_wallclock({width}, tz(time, {text_sql(zone)}), "
                f"to_timestamp_nanos({origin}))"
            )
        return f"date_bin({width}, time, to_timestamp_nanos({origin}))"

    def _leaf_items(self, leaf: Leaf, index: int) -> list[str]:
        if isinstance(leaf, tree.Reference):
            call = self._parts.calls[0]
            order = functions.SELECTORS[call.name].format(quoted(field_of(call)))
            return [f"first_value({self._column(leaf)} ORDER BY {order}) AS __c{index}"]
        inner = distinct_inside(leaf)
        if inner is not None:
            return [f"nullif(count(DISTINCT {self._known(inner)}), 0) AS __c{index}"]
        field = self._known(field_of(leaf))
        if leaf.name in functions.LIST_AGGREGATES:
            return self._lists(field, [field, "time"], [f"__c{index}", f"__t{index}"])
        return [f"{functions.SQL_AGGREGATES[leaf.name].format(field)} AS __c{index}"]

    def _lists(self, field: str, columns: Sequence[str], names: Sequence[str]) -> list[str]:
        """SQL of the values of columns where `field` has one, as lists in the order of time."""
        if field == "NULL":
            return [f"NULL AS {name}" for name in names]
        order = ", ".join(["time", *(f"{quoted(tag)} NULLS FIRST" for tag in self._other_tags)])
        return [
            f"array_agg({column} ORDER BY {order}) FILTER (WHERE {field} IS NOT NULL) AS {name}"
            for column, name in zip(columns, names, strict=True)
        ]

    # -- rows that a function picks ---------------------------------------------------------------

    def _picks(self, run: Runner) -> Iterator[Group]:
        call, references = self._parts.calls[0], self._parts.references
        field = self._known(field_of(call))
        if field == "NULL":
            return
        names = ["__c", "__at", *(f"__r{index}" for index in range(len(references)))]
        columns = [field, "time", *(self._column(reference) for reference in references)]
        table = bounded_table(self._aggregated(run, self._lists(field, columns, names)))
        starts = _nanoseconds(table.column("__t")).to_pylist()
        lists = [_nanoseconds(table.column(name)).to_pylist() for name in names]
        for tags, rows in self._by_series(table):
            group = Group(tags, [], {call: [], **{reference: [] for reference in references}})
            for row in rows:
                values, times, *others = ([] if one[row] is None else one[row] for one in lists)
                self._pick(group, starts[row], times, values, others)
            yield group

    def _pick(
        self,
        group: Group,
        start: int,
        times: list[int],
        values: functions.Values,
        others: Sequence[functions.Values],
    ) -> None:
        """Add to `group` what the function picks of the rows of one interval."""
        call, references = self._parts.calls[0], self._parts.references
        by_name = {ref.name: column for ref, column in zip(references, others, strict=True)}
        places = picked(call, times, values, by_name)
        for at in reversed(places) if self._select.is_descending else places:
            is_start = call.name == "distinct" or (
                call.name == "percentile" and self._interval_ns is not None
            )
            group.times.append(start if is_start else times[at])
            group.leaves[call].append(values[at])
            for reference, column in zip(references, others, strict=True):
                group.leaves[reference].append(cast(column[at], reference.cast))

    # -- SQL --------------------------------------------------------------------------------------

    def _sql(
        self, items: Sequence[str], conditions: Sequence[str]
    ) -> tuple[str, dict[str, object]]:
        # What a subquery gives is within the times already, though the beginning of an interval
        # may be before its rows.
        is_derived = self._table.rows is not None
        condition, parameters = (
            (self._where.sql, self._where.parameters) if is_derived else self._where.whole()
        )
        sql = f"SELECT {', '.join(items)} FROM {quoted(self._table.name)}"
        told = [f"({one})" for one in (condition, *conditions) if one]
        return (f"{sql} WHERE {' AND '.join(told)}" if told else sql), dict(parameters)

    def _group_items(self) -> list[str]:
        items = []
        for name, tag in zip(self._names, self._grouped, strict=True):
            is_tag = self._table.columns.get(tag) is ColumnType.TAG
            value = f"coalesce({quoted(tag)}, '')" if is_tag else "''"
            items.append(f"{value} AS {name}")
        return items

    def _column(self, reference: tree.Reference) -> str:
        kind = self._table.columns.get(reference.name)
        is_wrong = (reference.cast == "tag" and kind is not ColumnType.TAG) or (
            reference.cast == "field" and kind is ColumnType.TAG
        )
        return "NULL" if kind is None or is_wrong else quoted(reference.name)

    def _known(self, name: str) -> str:
        kind = self._table.columns.get(name)
        return "NULL" if kind in (None, ColumnType.TAG) else quoted(name)

    # -- cutting ----------------------------------------------------------------------------------

    def _by_series(self, table: Any) -> Iterator[tuple[tuple[str, ...], range]]:
        """The tags of each series, and where its rows are in `table`."""
        keys = [table.column(name).to_pylist() for name in self._names]
        if not keys:
            yield (), range(table.num_rows)
            return
        start = 0
        for tags, rows in groupby(zip(*keys, strict=True)):
            end = start + sum(1 for _ in rows)
            yield tuple(tags), range(start, end)
            start = end

    def _cut(self, table: Any, leaves: Sequence[Leaf]) -> Iterator[Group]:
        if not table.num_rows or (
            "__n" in table.column_names and table.column("__n").null_count == table.num_rows
        ):
            return
        times = _nanoseconds(table.column("__t")).to_pylist()
        for tags, rows in self._by_series(table):
            part, starts = table.slice(rows.start, len(rows)), times[rows.start : rows.stop]
            leaves_of: dict[tree.Expression, functions.Values] = {
                leaf: self._leaf_values(part, starts, leaf, index)
                for index, leaf in enumerate(leaves)
            }
            yield Group(tags, starts, leaves_of)

    @staticmethod
    def _leaf_values(table: Any, starts: list[int], leaf: Leaf, index: int) -> functions.Values:
        values: functions.Values = table.column(f"__c{index}").to_pylist()
        if isinstance(leaf, tree.Reference):
            return [cast(value, leaf.cast) for value in values] if leaf.cast else values
        if leaf.name not in functions.LIST_AGGREGATES:
            return values
        if leaf.name == "integral":
            times = _nanoseconds(table.column(f"__t{index}")).to_pylist()
            return areas(leaf, starts, times, values)
        return [of_list(leaf, items or []) for items in values]


def bounded_table(table: Any) -> Any:
    """`table`, if it is small enough to become Python objects.

    Raises:
        QueryResourceError: It is not.
    """
    count = table.num_rows * table.num_columns
    for column in table.columns:
        if pyarrow.types.is_list(column.type):
            count += sum(len(chunk.flatten()) for chunk in column.chunks)
    check_cells(count)
    return table


def _nanoseconds(column: Any) -> Any:
    types = pyarrow.types
    if types.is_list(column.type) and types.is_timestamp(column.type.value_type):
        return column.cast(pyarrow.list_(pyarrow.int64()))
    return column.cast(pyarrow.int64()) if types.is_timestamp(column.type) else column
