# Owns the SHOW statements about tables: measurements, tags, fields and series.
"""Running of SHOW statements."""

from collections.abc import Sequence
from typing import Any

import pyarrow
import pyarrow.compute

from engine.influxql import tree
from engine.influxql.conditions import Calendar, quoted, where_of
from engine.influxql.names import matching
from engine.influxql.results import Series, check_cells, limited
from engine.influxql.tables import Runner, Table
from lp_core.enums import ColumnType

_FIELD_TYPES = {
    ColumnType.INT64: "integer",
    ColumnType.UINT64: "unsigned",
    ColumnType.FLOAT64: "float",
    ColumnType.STRING: "string",
    ColumnType.BOOL: "boolean",
}

# Tags whose values one query asks for: of each, DuckDB holds a few megabytes.
_TAGS_AT_ONCE = 32
_TAG_ESCAPES = str.maketrans({letter: f"\\{letter}" for letter in ",= "})
_TABLE_ESCAPES = str.maketrans({letter: f"\\{letter}" for letter in ", "})


def shown(
    show: tree.Show, tables: Sequence[Table], run: Runner, calendar: Calendar
) -> list[Series]:
    """The answer to `show` about `tables`, those that its FROM clause names."""
    if show.is_cardinality:
        return _counted(show, tables, run, calendar)
    match show.kind:
        case tree.ShowKind.MEASUREMENTS:
            names = [[table.name] for table in tables if _has_rows(show, table, run, calendar)]
            return _series("measurements", ["name"], _limited(names, show.limits))
        case tree.ShowKind.SERIES:
            keys = [[key] for table in tables for key in _series_keys(show, table, run, calendar)]
            return _series("", ["key"], _limited(keys, show.limits))
        case _:
            result: list[Series] = []
            for table in tables:
                columns, rows = _of_table(show, table, run, calendar)
                result += _series(table.name, columns, _limited(rows, show.limits))
            return limited(result, show.limits)


def _counted(
    show: tree.Show, tables: Sequence[Table], run: Runner, calendar: Calendar
) -> list[Series]:
    """How many there are: of each table, or, where an estimate is enough, of all."""
    counts = {table.name: _count(show, table, run, calendar) for table in tables}
    is_plain = not show.sources and show.condition is None and show.limits == tree.Limits()
    has_total = show.kind in (tree.ShowKind.SERIES, tree.ShowKind.MEASUREMENTS)
    if has_total and is_plain and not show.is_exact:
        return [Series("", ["cardinality estimation"], [[sum(counts.values())]])]
    if show.kind is tree.ShowKind.MEASUREMENTS:
        counts = {"": sum(counts.values())}
    found = [Series(name, ["count"], [[count]]) for name, count in counts.items() if count]
    return limited(found, show.limits)


def _count(show: tree.Show, table: Table, run: Runner, calendar: Calendar) -> int:
    if show.kind is tree.ShowKind.MEASUREMENTS:
        return int(_has_rows(show, table, run, calendar))
    if show.kind is tree.ShowKind.SERIES:
        sql, parameters = _distinct_series(show, table, calendar)
        counted = run(f"SELECT count(*) AS __v FROM ({sql})", parameters)
        return int(counted.column("__v")[0].as_py())
    return len(_of_table(show, table, run, calendar)[1])


def _series(name: str, columns: list[str], rows: list[list[Any]]) -> list[Series]:
    return [Series(name=name, columns=columns, values=rows)] if rows else []


def _limited(rows: list[list[Any]], limits: tree.Limits) -> list[list[Any]]:
    end = None if limits.rows is None else limits.rows_skipped + limits.rows
    return rows[limits.rows_skipped : end]


def _of_table(
    show: tree.Show, table: Table, run: Runner, calendar: Calendar
) -> tuple[list[str], list[list[Any]]]:
    if show.kind is tree.ShowKind.FIELD_KEYS:
        fields = [
            [name, _FIELD_TYPES[kind]]
            for name, kind in sorted(table.columns.items())
            if kind in _FIELD_TYPES
        ]
        return ["fieldKey", "fieldType"], fields
    if show.kind is tree.ShowKind.TAG_KEYS:
        keys = table.tags if _has_rows(show, table, run, calendar) else []
        return ["tagKey"], [[key] for key in keys]
    return ["key", "value"], _tag_values(show, table, run, calendar)


def _tag_values(show: tree.Show, table: Table, run: Runner, calendar: Calendar) -> list[list[Any]]:
    """Key and value, in order, of each value that a wanted tag has; no more than are shown."""
    wanted = [tag for tag in table.tags if _is_wanted(show, tag)]
    condition, parameters = where_of(show.condition, table.columns, calendar).whole()
    limits = show.limits
    end = None if limits.rows is None else limits.rows_skipped + limits.rows
    rows: list[list[Any]] = []
    for start in range(0, len(wanted), _TAGS_AT_ONCE):
        if end is not None and len(rows) >= end:
            break
        keys = wanted[start : start + _TAGS_AT_ONCE]
        items = (f"array_agg(DISTINCT {quoted(key)}) AS __v{at}" for at, key in enumerate(keys))
        sql = f"SELECT {', '.join(items)} FROM {quoted(table.name)}"
        if len(keys) == 1:
            # What is kept of the rows may answer this one.
            sql = f"SELECT DISTINCT {quoted(keys[0])} AS __v0 FROM {quoted(table.name)}"
        found = run(f"{sql} WHERE {condition}" if condition else sql, parameters)
        for at, key in enumerate(keys):
            column = found.column(f"__v{at}")
            values = column if len(keys) == 1 else pyarrow.compute.list_flatten(column)
            check_cells(2 * (len(rows) + len(values)))
            rows += [[key, value] for value in sorted(values.drop_null().to_pylist())]
    return rows


def _is_wanted(show: tree.Show, tag: str) -> bool:
    if show.key_regex is not None:
        is_match = bool(matching(show.key_regex, [tag]))
    else:
        is_match = tag in show.keys
    return is_match != show.is_key_negated


def _has_rows(show: tree.Show, table: Table, run: Runner, calendar: Calendar) -> bool:
    condition, parameters = where_of(show.condition, table.columns, calendar).whole()
    if not condition:
        return True
    sql = f"SELECT 1 AS __v FROM {quoted(table.name)} WHERE {condition} LIMIT 1"
    return bool(run(sql, parameters).num_rows)


def _distinct_series(
    show: tree.Show, table: Table, calendar: Calendar
) -> tuple[str, dict[str, object]]:
    """SQL of the tags of each series, and the values of its parameters."""
    condition, parameters = where_of(show.condition, table.columns, calendar).whole()
    items = [f"{quoted(tag)} AS __v{index}" for index, tag in enumerate(table.tags)]
    sql = f"SELECT DISTINCT {', '.join(items or ['1 AS __v0'])} FROM {quoted(table.name)}"
    return (f"{sql} WHERE {condition}" if condition else sql), parameters


def _series_keys(show: tree.Show, table: Table, run: Runner, calendar: Calendar) -> list[str]:
    tags = table.tags
    found = run(*_distinct_series(show, table, calendar))
    if not tags:
        return [_escaped(table.name, _TABLE_ESCAPES)] if found.num_rows else []
    check_cells(found.num_rows)
    keys = [_escaped(table.name, _TABLE_ESCAPES)] * found.num_rows
    for index, tag in enumerate(tags):
        column = found.column(f"__v{index}")
        # Series have few of a table's tags, where these are thousands.
        places = pyarrow.compute.indices_nonzero(column.is_valid())
        name = _escaped(tag, _TAG_ESCAPES)
        for place, value in zip(places.to_pylist(), column.drop_null().to_pylist(), strict=True):
            if value:
                keys[place] += f",{name}={_escaped(value, _TAG_ESCAPES)}"
    return sorted(keys)


def _escaped(text: str, escapes: dict[int, str]) -> str:
    return text.translate(escapes)
