# Owns SELECT on one table: whether it makes sense there, and the forming of the series that are the
# answer: intervals filled, expressions computed, rows counted off.
"""Running of SELECT statements."""

from collections.abc import Iterable, Mapping

from engine.errors import QueryError
from engine.influxql import functions, tree
from engine.influxql.calls import check_call, field_of
from engine.influxql.conditions import Calendar, Columns, Where, where_of
from engine.influxql.fetching import Fetch, Group
from engine.influxql.fields import (
    Output,
    Parts,
    check_steps,
    intervals_before,
    outputs_of,
    parts_of,
    values_of,
)
from engine.influxql.filling import Intervals, filled
from engine.influxql.names import matching
from engine.influxql.results import Series
from engine.influxql.tables import Runner, Table
from lp_core.enums import ColumnType


class Selection:
    """One SELECT on one table."""

    def __init__(
        self,
        select: tree.Select,
        table: Table,
        calendar: Calendar,
        columns: Columns | None = None,
    ) -> None:
        """Prepare it; `columns` are those of all tables of the statement, where it has several.

        Raises:
            QueryError, QueryNotSupportedError: It makes no sense for the table.
        """
        self._select = select
        self._table = table
        self._calendar = calendar
        columns = table.columns if columns is None else columns
        self._grouped = _grouped_tags(select.grouping, columns)
        self._outputs: list[Output] = outputs_of(select, columns, self._grouped)
        self._parts: Parts = parts_of(self._outputs)
        self._where: Where = where_of(select.condition, table.columns, calendar)
        self._interval_ns = select.grouping.interval_ns
        self._check()
        self._fetch = Fetch(
            select, table, self._parts, self._read(), self._grouped, calendar.now_ns
        )

    @property
    def num_columns(self) -> int:
        """How many columns the answer has beside the time."""
        return len(self._outputs)

    def run(self, run: Runner) -> list[Series]:
        """The series of the answer."""
        calls = self._parts.calls
        if not self._outputs or (calls and not any(map(self._is_known, calls))):
            return []
        groups = [group for group in self._fetch.groups(run) if group.has_values]
        if self._interval_ns is not None and not self._fetch.is_picking:
            intervals = Intervals(self._select, self._read(), self._calendar)
            starts = intervals.starts(groups)
            for group in groups:
                filled(group, starts, self._select.fill, calls)
        return [series for group in groups if (series := self._series(group)).values]

    def _is_known(self, call: tree.Call) -> bool:
        return self._table.columns.get(field_of(call)) not in (None, ColumnType.TAG)

    def _check(self) -> None:
        calls, references = self._parts.calls, self._parts.references
        if self._interval_ns is not None and not calls and not self._parts.has_transformation:
            raise QueryError("GROUP BY requires at least one aggregate function")
        if self._outputs and not calls and not references:
            raise QueryError("at least 1 non-time field must be queried")
        if not calls and self._select.fill.kind in (tree.FillKind.NONE, tree.FillKind.LINEAR):
            raise QueryError(f"fill({self._select.fill.kind}) must be used with a function")
        check_steps(self._outputs, has_interval=self._interval_ns is not None)
        is_selecting = not self._parts.has_transformation and all(
            call.name in functions.ROW_PICKERS for call in calls
        )
        if calls and references and not is_selecting:
            raise QueryError("mixing aggregate and non-aggregate queries is not supported")
        if len(calls) > 1 and references:
            raise QueryError(
                "mixing multiple selector functions with tags or fields is not supported"
            )
        for call in calls:
            if len(calls) > 1 and call.name in functions.MULTI_ROW:
                raise QueryError(
                    f"function {call.name}() cannot be combined with other functions or fields"
                )
            check_call(call, self._table.columns)

    def _read(self) -> Where:
        """The condition, with the times to read.

        What is computed from row to row looks at intervals before the first one of the answer.
        """
        where, interval_ns = self._where, self._interval_ns
        if interval_ns is None or self._table.rows is not None:
            return where
        before_ns = self._parts.intervals_before * interval_ns
        low, high = where.low_ns, where.high_ns
        if self._select.is_descending:
            high = None if high is None else high + before_ns
        else:
            low = None if low is None else low - before_ns
        return Where(where.sql, low, high, where.parameters)

    # -- forming ----------------------------------------------------------------------------------

    def _series(self, group: Group) -> Series:
        known, is_row = self._known(group)
        columns = [
            values_of(output.expression, group.times, known, self._interval_ns)
            for output in self._outputs
        ]
        rows = [list(row) for row in zip(group.times, *columns, strict=True)]
        rows = [row for row, is_shown in zip(rows, is_row, strict=True) if is_shown]
        if not self._fetch.is_limited:
            limits = self._select.limits
            end = None if limits.rows is None else limits.rows_skipped + limits.rows
            rows = rows[limits.rows_skipped : end]
        return Series(
            name=self._table.name,
            columns=["time", *(output.name for output in self._outputs)],
            values=rows,
            tags=dict(zip(self._grouped, group.tags, strict=True)),
            has_time=True,
            zone=self._select.zone,
        )

    def _known(self, group: Group) -> tuple[Mapping[tree.Expression, functions.Values], list[bool]]:
        """Values of the calls and columns of the answer, and which rows it has.

        A row is there where one of the calls, or of the columns without any, gives it; a call that
        does not has what is filled in.
        """
        calls, fill = self._parts.outermost, self._select.fill
        if not calls:
            return group.leaves, _any_known(group.leaves.values())
        known: dict[tree.Expression, functions.Values]
        known = {call: self._along(call, group) for call in calls}
        is_filled = self._interval_ns is not None and not self._fetch.is_picking
        has_rows = is_filled and fill.kind is not tree.FillKind.NONE
        if has_rows and not self._parts.has_transformation and not self._is_integral:
            is_row = [not self._is_before(time, 0) for time in group.times]
        else:
            is_row = _any_known(known.values())
            if is_filled:
                known = {call: _kept_up(values, is_row, fill) for call, values in known.items()}
        return {**group.leaves, **known}, is_row

    @property
    def _is_integral(self) -> bool:
        """Whether there is nothing but integrals, of which empty intervals have none."""
        return all(call.name == "integral" for call in self._parts.calls)

    def _along(self, call: tree.Call, group: Group) -> functions.Values:
        """The values of a call; None in intervals before the answer."""

        def masked(values: functions.Values, before: int) -> functions.Values:
            if self._interval_ns is None or not self._parts.intervals_before:
                return values
            return [
                None if self._is_before(time, before) else value
                for time, value in zip(group.times, values, strict=True)
            ]

        before = intervals_before(call)
        leaves = {leaf: masked(values, before) for leaf, values in group.leaves.items()}
        return masked(values_of(call, group.times, leaves, self._interval_ns), 0)

    def _is_before(self, time_ns: int, intervals: int) -> bool:
        """Whether an interval was read only for those `intervals` behind it."""
        width = self._interval_ns
        if width is None or not self._parts.intervals_before:
            return False
        low, high = self._where.low_ns, self._where.high_ns
        if self._select.is_descending:
            return high is not None and time_ns > high + intervals * width
        if low is None:
            return False
        offset = self._select.grouping.offset_ns % width
        return time_ns < self._calendar.zone.interval_start(low - intervals * width, width, offset)


def _kept_up(values: functions.Values, is_row: list[bool], fill: tree.Fill) -> functions.Values:
    """`values`, filled where there is a row that another call gives."""
    if fill.kind not in (tree.FillKind.VALUE, tree.FillKind.PREVIOUS):
        return values
    last = fill.value if fill.kind is tree.FillKind.VALUE else None
    result: functions.Values = []
    for value, is_shown in zip(values, is_row, strict=True):
        result.append(last if value is None and is_shown else value)
        if fill.kind is tree.FillKind.PREVIOUS and is_shown:
            last = result[-1]
    return result


def _any_known(columns: Iterable[functions.Values]) -> list[bool]:
    return [any(value is not None for value in row) for row in zip(*columns, strict=True)]


def _grouped_tags(grouping: tree.Grouping, columns: Columns) -> list[str]:
    tags = [name for name, kind in columns.items() if kind is ColumnType.TAG]
    names = set(grouping.tags)
    if grouping.has_all_tags:
        names.update(tags)
    for pattern in grouping.regexes:
        names.update(matching(pattern, tags))
    return sorted(names)
