# Owns the SHOW statements about tables: measurements, tags, fields and series.
"""Running of SHOW statements."""

from collections.abc import Sequence
from typing import Any

from engine.influxql import tree
from engine.influxql.conditions import quoted, where_of
from engine.influxql.names import matching
from engine.influxql.results import Series
from engine.influxql.selection import Runner, Table
from lp_core.enums import ColumnType

_FIELD_TYPES = {
    ColumnType.INT64: "integer",
    ColumnType.UINT64: "unsigned",
    ColumnType.FLOAT64: "float",
    ColumnType.STRING: "string",
    ColumnType.BOOL: "boolean",
}


def shown(show: tree.Show, tables: Sequence[Table], run: Runner, now_ns: int) -> list[Series]:
    """The answer to `show` about `tables`, those that its FROM clause names."""
    match show.kind:
        case tree.ShowKind.MEASUREMENTS:
            names = [[table.name] for table in tables if _has_rows(show, table, run, now_ns)]
            return _series("measurements", ["name"], _limited(names, show.limits))
        case tree.ShowKind.SERIES:
            keys = [[key] for table in tables for key in _series_keys(show, table, run, now_ns)]
            return _series("", ["key"], _limited(keys, show.limits))
        case _:
            result: list[Series] = []
            for table in tables:
                columns, rows = _of_table(show, table, run, now_ns)
                result += _series(table.name, columns, _limited(rows, show.limits))
            limits = show.limits
            end = None if limits.series is None else limits.series_skipped + limits.series
            return result[limits.series_skipped : end]


def _series(name: str, columns: list[str], rows: list[list[Any]]) -> list[Series]:
    return [Series(name=name, columns=columns, values=rows)] if rows else []


def _limited(rows: list[list[Any]], limits: tree.Limits) -> list[list[Any]]:
    end = None if limits.rows is None else limits.rows_skipped + limits.rows
    return rows[limits.rows_skipped : end]


def _of_table(
    show: tree.Show, table: Table, run: Runner, now_ns: int
) -> tuple[list[str], list[list[Any]]]:
    if show.kind is tree.ShowKind.FIELD_KEYS:
        fields = [
            [name, _FIELD_TYPES[kind]]
            for name, kind in sorted(table.columns.items())
            if kind in _FIELD_TYPES
        ]
        return ["fieldKey", "fieldType"], fields
    if show.kind is tree.ShowKind.TAG_KEYS:
        keys = table.tags if _has_rows(show, table, run, now_ns) else []
        return ["tagKey"], [[key] for key in keys]
    rows = []
    for key in (tag for tag in table.tags if _is_wanted(show, tag)):
        sql = f"SELECT DISTINCT {quoted(key)} AS __v FROM {quoted(table.name)}"
        sql += f" WHERE {quoted(key)} IS NOT NULL"
        where = where_of(show.condition, table.columns, now_ns)
        sql += f" AND ({where.sql})" if where.sql else ""
        values = run(f"{sql} ORDER BY 1", where.parameters).column("__v").to_pylist()
        rows += [[key, value] for value in values]
    return ["key", "value"], rows


def _is_wanted(show: tree.Show, tag: str) -> bool:
    if show.key_regex is not None:
        is_match = bool(matching(show.key_regex, [tag]))
    else:
        is_match = tag in show.keys
    return is_match != show.is_key_negated


def _has_rows(show: tree.Show, table: Table, run: Runner, now_ns: int) -> bool:
    where = where_of(show.condition, table.columns, now_ns)
    if not where.sql:
        return True
    sql = f"SELECT 1 AS __v FROM {quoted(table.name)} WHERE {where.sql} LIMIT 1"
    return bool(run(sql, where.parameters).num_rows)


def _series_keys(show: tree.Show, table: Table, run: Runner, now_ns: int) -> list[str]:
    where = where_of(show.condition, table.columns, now_ns)
    tags = table.tags
    items = [f"{quoted(tag)} AS __v{index}" for index, tag in enumerate(tags)] or ["1 AS __v0"]
    sql = f"SELECT DISTINCT {', '.join(items)} FROM {quoted(table.name)}"
    sql += f" WHERE {where.sql}" if where.sql else ""
    found = run(sql, where.parameters)
    if not tags:
        return [_escaped(table.name, ", ")] if found.num_rows else []
    columns = [found.column(f"__v{index}").to_pylist() for index in range(len(tags))]
    keys = []
    for values in zip(*columns, strict=True):
        pairs = zip(tags, values, strict=True)
        parts = [
            f"{_escaped(tag, ',= ')}={_escaped(value, ',= ')}" for tag, value in pairs if value
        ]
        keys.append(",".join([_escaped(table.name, ", "), *parts]))
    return sorted(keys)


def _escaped(text: str, special: str) -> str:
    return "".join(f"\\{letter}" if letter in special else letter for letter in text)
