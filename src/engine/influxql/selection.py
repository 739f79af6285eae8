# Owns SELECT on one table: the SQL that fetches what it needs, and the forming of series from the
# rows that come back: intervals filled, expressions computed, rows counted off.
"""Running of SELECT statements."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
import pyarrow

from engine.errors import QueryError, QueryNotSupportedError
from engine.influxql import functions, tree
from engine.influxql.calls import check_call, distinct_inside, field_of, of_list, points
from engine.influxql.conditions import Columns, Where, bounded_ns, quoted, where_of
from engine.influxql.fields import Output, Parts, cast, outputs_of, parts_of, values_of
from engine.influxql.filling import bins, filled
from engine.influxql.names import matching
from engine.influxql.results import Series, check_cells
from lp_core.enums import ColumnType

# Runs SQL, with the values of its parameters, in the database of the table.
Runner = Callable[[str, Mapping[str, object]], Any]


class Table(msgspec.Struct, frozen=True):
    """A table as far as a SELECT needs to know it."""

    name: str
    columns: dict[str, ColumnType]

    @property
    def tags(self) -> list[str]:
        """Names of the tags, sorted."""
        return sorted(name for name, kind in self.columns.items() if kind is ColumnType.TAG)


class Group(msgspec.Struct):
    """Rows of one series while they are formed: times, and values of each leaf."""

    tags: tuple[str, ...]
    times: list[int]
    leaves: dict[tree.Expression, functions.Values]


class Selection:
    """One SELECT on one table."""

    def __init__(self, select: tree.Select, table: Table, now_ns: int) -> None:
        """Prepare it.

        Raises:
            QueryError, QueryNotSupportedError: It makes no sense for the table.
        """
        self._select = select
        self._table = table
        self._now_ns = now_ns
        self._grouped = _grouped_tags(select.grouping, table)
        self._outputs: list[Output] = outputs_of(select, table.columns, self._grouped)
        self._parts: Parts = parts_of(self._outputs)
        self._where: Where = where_of(select.condition, table.columns, now_ns)
        self._interval_ns = select.grouping.interval_ns
        self._check()

    def run(self, run: Runner) -> list[Series]:
        """The series of the answer."""
        calls = self._parts.calls
        if not self._outputs or (
            calls and all(self._known(field_of(call)) == "NULL" for call in calls)
        ):
            return []
        groups = self._aggregated(run) if self._parts.calls else self._raw(run)
        return [series for group in groups if (series := self._series(group)).values]

    # -- checks -----------------------------------------------------------------------------------

    def _check(self) -> None:
        calls, references = self._parts.calls, self._parts.references
        if self._interval_ns is not None and not calls:
            raise QueryError("GROUP BY requires at least one aggregate function")
        if self._outputs and not calls and not references:
            raise QueryError("at least 1 non-time field must be queried")
        is_single = len(calls) == 1 and calls[0].name in functions.SELECTORS
        if calls and references and not is_single:
            raise QueryError("mixing aggregate and non-aggregate queries is not supported")
        if len(calls) > 1 and any(call.name in functions.MULTI_ROW for call in calls):
            raise QueryNotSupportedError("distinct(), top() and bottom() must stand alone")
        for call in calls:
            check_call(call, self._table.columns)

    # -- fetching ---------------------------------------------------------------------------------

    def _raw(self, run: Runner) -> Iterator[Group]:
        references = self._parts.references
        fields = [
            quoted(reference.name)
            for reference in references
            if self._table.columns.get(reference.name) not in (None, ColumnType.TAG)
        ]
        if not fields:
            return  # rows are rows of fields: tags alone select none
        names = [f"__g{index}" for index in range(len(self._grouped))]
        items = [*self._group_items(names), "time AS __t"]
        items += [f"{self._column(ref)} AS __c{index}" for index, ref in enumerate(references)]
        condition = " OR ".join(f"{field} IS NOT NULL" for field in dict.fromkeys(fields))
        is_reversed = self._select.is_descending and self._is_limit_pushed
        direction = "DESC" if is_reversed else "ASC"
        sql = f"SELECT {', '.join(items)} FROM {quoted(self._table.name)} WHERE "
        sql += " AND ".join(f"({part})" for part in (self._where.sql, condition) if part)
        sql += f" ORDER BY {', '.join([*names, f'__t {direction}'])}"
        limits = self._select.limits
        if self._is_limit_pushed and limits.rows is not None:
            sql += f" LIMIT {limits.rows} OFFSET {limits.rows_skipped}"
        yield from self._groups(_bounded(run(sql, self._where.parameters)), references, len(names))

    @property
    def _is_limit_pushed(self) -> bool:
        """Whether SQL counts the rows off: of one series, as they are stored."""
        has_parts = self._parts.calls or self._parts.has_transformation
        return not self._grouped and not has_parts and self._select.limits.rows is not None

    def _aggregated(self, run: Runner) -> Iterator[Group]:
        call = self._parts.calls[0]
        if call.name in functions.MULTI_ROW:
            return self._several_rows(run, call)
        return self._one_row(run)

    def _one_row(self, run: Runner) -> Iterator[Group]:
        """One row for each interval of each series."""
        leaves: list[tree.Call | tree.Reference] = [*self._parts.calls, *self._parts.references]
        names = [f"__g{index}" for index in range(len(self._grouped))]
        columns: list[str] = []
        for index, leaf in enumerate(leaves):
            columns += self._leaf_items(leaf, index)
        table = _bounded(run(self._aggregate_sql(names, columns), self._values))
        groups = list(self._groups(table, leaves, len(names)))
        if self._interval_ns is not None:
            span = bins(groups, self._select, self._where, self._now_ns)
            for group in groups:
                filled(group, span, self._select.fill, self._parts.calls)
        yield from groups

    def _several_rows(self, run: Runner, call: tree.Call) -> Iterator[Group]:
        """As many rows of each interval as the function gives."""
        names = [f"__g{index}" for index in range(len(self._grouped))]
        field = field_of(call)
        if field not in self._table.columns:
            return
        columns = _list_items(quoted(field), 0)
        table = _bounded(run(self._aggregate_sql(names, columns), self._values))
        keys = [table.column(name).to_pylist() for name in names]
        starts = _nanoseconds(table.column("__t")).to_pylist()
        all_values = table.column("__c0").to_pylist()
        all_times = _nanoseconds(table.column("__t0")).to_pylist()
        rows = zip(zip(*keys, strict=True) if keys else [()] * len(starts), starts, strict=True)
        for tags, indexed in groupby(enumerate(rows), key=lambda row: row[1][0]):
            group = Group(tuple(tags), [], {call: []})
            for index, (_, start) in indexed:
                values, times = all_values[index] or [], all_times[index] or []
                for time, value in points(call, times, values):
                    is_moment = call.name != "distinct"
                    group.times.append(time if is_moment else start)
                    group.leaves[call].append(value)
            yield group

    @property
    def _values(self) -> dict[str, object]:
        """Values of the parameters of an aggregate's SQL."""
        low_ns = self._where.low_ns or 0
        own = {"low": bounded_ns(low_ns), "now": self._now_ns}
        return {**self._where.parameters, **own}

    def _aggregate_sql(self, names: Sequence[str], columns: Sequence[str]) -> str:
        conditions = [self._where.sql]
        if self._interval_ns is None:
            calls = self._parts.calls
            if len(calls) == 1 and calls[0].name in functions.SELECTORS:
                time = _selected_time(calls[0], self._table.columns)
            else:
                time = "to_timestamp_nanos($low)"
        else:
            offset = self._select.grouping.offset_ns % self._interval_ns
            origin = f"to_timestamp_nanos({offset})"
            time = f"date_bin(INTERVAL '{self._interval_ns} nanoseconds', time, {origin})"
            if self._where.high_ns is None:
                conditions.append("time <= $now")
        if len(self._parts.calls) == 1 and self._parts.references:
            conditions.append(f"{quoted(field_of(self._parts.calls[0]))} IS NOT NULL")
        items = [*self._group_items(names), f"{time} AS __t", *columns, "max(time) AS __n"]
        sql = f"SELECT {', '.join(items)} FROM {quoted(self._table.name)}"
        told = [f"({condition})" for condition in conditions if condition]
        if told:
            sql += f" WHERE {' AND '.join(told)}"
        keys = [str(index + 1) for index in range(len(names) + (self._interval_ns is not None))]
        if keys:
            sql += f" GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)}"
        return sql

    def _group_items(self, names: Sequence[str]) -> list[str]:
        items = []
        for name, tag in zip(names, self._grouped, strict=True):
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

    def _leaf_items(self, leaf: tree.Call | tree.Reference, index: int) -> list[str]:
        if isinstance(leaf, tree.Reference):
            call = self._parts.calls[0]
            order = functions.SELECTORS[call.name].format(quoted(field_of(call)))
            return [f"first_value({self._column(leaf)} ORDER BY {order}) AS __c{index}"]
        inner = distinct_inside(leaf)
        if inner is not None:
            return [f"count(DISTINCT {self._known(inner)}) AS __c{index}"]
        field = self._known(field_of(leaf))
        if leaf.name in functions.LIST_AGGREGATES:
            return _list_items(field, index)
        return [f"{functions.SQL_AGGREGATES[leaf.name].format(field)} AS __c{index}"]

    def _known(self, name: str) -> str:
        kind = self._table.columns.get(name)
        return "NULL" if kind in (None, ColumnType.TAG) else quoted(name)

    # -- forming ----------------------------------------------------------------------------------

    def _groups(
        self, table: Any, leaves: Sequence[tree.Call | tree.Reference], num_names: int
    ) -> Iterator[Group]:
        if not table.num_rows or (
            "__n" in table.column_names and table.column("__n").null_count == table.num_rows
        ):
            return
        times = _nanoseconds(table.column("__t")).to_pylist()
        columns = [self._leaf_values(table, leaf, index) for index, leaf in enumerate(leaves)]
        keys = [table.column(f"__g{index}").to_pylist() for index in range(num_names)]
        if not keys:
            yield Group((), times, {**dict(zip(leaves, columns, strict=True))})
            return
        start = 0
        for tags, rows in groupby(zip(*keys, strict=True)):
            end = start + sum(1 for _ in rows)
            cut: dict[tree.Expression, functions.Values] = {
                leaf: column[start:end] for leaf, column in zip(leaves, columns, strict=True)
            }
            yield Group(tuple(tags), times[start:end], cut)
            start = end

    def _leaf_values(
        self, table: Any, leaf: tree.Call | tree.Reference, index: int
    ) -> functions.Values:
        values: functions.Values = table.column(f"__c{index}").to_pylist()
        if isinstance(leaf, tree.Reference):
            return [cast(value, leaf.cast) for value in values] if leaf.cast else values
        if leaf.name not in functions.LIST_AGGREGATES:
            return values
        all_times = _nanoseconds(table.column(f"__t{index}")).to_pylist()
        return [
            of_list(leaf, times or [], items or [])
            for times, items in zip(all_times, values, strict=True)
        ]

    def _series(self, group: Group) -> Series:
        columns = [
            values_of(output.expression, group.times, group.leaves, self._interval_ns)
            for output in self._outputs
        ]
        rows = [list(row) for row in zip(group.times, *columns, strict=True)]
        is_sparse = self._parts.has_transformation or (
            self._parts.calls and self._select.fill.kind is tree.FillKind.NONE
        )
        if is_sparse or self._interval_ns is None:
            rows = [row for row in rows if any(value is not None for value in row[1:])]
        if self._select.is_descending and not (not self._parts.calls and self._is_limit_pushed):
            rows.reverse()
        if not self._is_limit_pushed:
            limits = self._select.limits
            end = None if limits.rows is None else limits.rows_skipped + limits.rows
            rows = rows[limits.rows_skipped : end]
        return Series(
            name=self._table.name,
            columns=["time", *(output.name for output in self._outputs)],
            values=rows,
            tags=dict(zip(self._grouped, group.tags, strict=True)),
            has_time=True,
        )


def _grouped_tags(grouping: tree.Grouping, table: Table) -> list[str]:
    names = set(grouping.tags)
    if grouping.has_all_tags:
        names.update(table.tags)
    for pattern in grouping.regexes:
        names.update(matching(pattern, table.tags))
    return sorted(names)


def _selected_time(call: tree.Call, columns: Columns) -> str:
    name = field_of(call)
    if columns.get(name) in (None, ColumnType.TAG):
        return "to_timestamp_nanos(0)"
    return f"selector_{call.name}({quoted(name)}, time)['time']"


def _list_items(field: str, index: int) -> list[str]:
    if field == "NULL":
        return [f"NULL AS __c{index}", f"NULL AS __t{index}"]
    known = f"FILTER (WHERE {field} IS NOT NULL)"
    return [
        f"array_agg({field} ORDER BY time) {known} AS __c{index}",
        f"array_agg(time ORDER BY time) {known} AS __t{index}",
    ]


def _bounded(table: Any) -> Any:
    """`table`, if it is small enough to become Python objects."""
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
