# Owns the SQL that gives one table's rows of a stretch of time, sorted, behind a row or not. The
# rows themselves, each once, are what file_views.py says.
"""SQL over the past of a table."""

from collections.abc import Sequence

from engine.query.literals import TIME_NS_MAX, at_least_sql, between_sql
from engine.store.past import PastKey


def sorted_rows_sql(
    view: str,
    columns: Sequence[str],
    tags: Sequence[str],
    time: str,
    span: tuple[int, int],
    after: PastKey | None,
    limit: int,
) -> tuple[str, list[str]]:
    """SELECT of the first rows of `view` in the order of their keys, and its parameters.

    Args:
        view: A SELECT.
        columns: Names of what to select, quoted, as all names are here.
        tags: Those of the tags, in order of first appearance.
        time: That of the time.
        span: Rows are not before the first of these times, and before the second.
        after: Only rows behind this key, whose time is the first of `span`.
        limit: How many.
    """
    start, end = span
    conditions = [between_sql(time, start, end - 1)]
    parameters: list[str] = []
    if after is not None:
        behind = _behind(tags, after[2], parameters)
        if start < TIME_NS_MAX:
            behind = f"({at_least_sql(time, start + 1)} OR {behind})"
        conditions.append(behind)
    keys = [time, *(f"{_text(tag)} ASC NULLS FIRST" for tag in tags)]
    sql = (
        f"SELECT {', '.join(columns)} FROM ({view}) "  # noqa: S608 names are quoted
        f"WHERE {' AND '.join(conditions)} ORDER BY {', '.join(keys)} LIMIT {limit:d}"
    )
    return sql, parameters


def _behind(tags: Sequence[str], values: Sequence[str | None], parameters: list[str]) -> str:
    """The condition that tags come behind `values`; null comes first."""
    padded = [*values, *([None] * (len(tags) - len(values)))]
    cases: list[str] = []
    same: list[str] = []
    for tag, value in zip(tags, padded, strict=True):
        if value is None:
            cases.append(" AND ".join([*same, f"{tag} IS NOT NULL"]))
            same.append(f"{tag} IS NULL")
            continue
        parameters.append(value)
        number = len(parameters)
        cases.append(" AND ".join([*same, f"{_text(tag)} > ${number}"]))
        same.append(f"{_text(tag)} = ${number}")
    return f"({' OR '.join(f'({case})' for case in cases)})" if cases else "false"


def _text(tag: str) -> str:
    """Tags of live rows may be sorted by their numbers otherwise."""
    return f"CAST({tag} AS VARCHAR)"
