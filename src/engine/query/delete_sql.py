# Owns the two texts of a delete of rows: DuckDB's condition for the rows that it leaves standing,
# and the condition in the users' dialect, for questions about the rows and for people to read.
"""Deletes of rows as SQL."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN, time_sql, value_sql
from engine.store.row_deletes import (
    Condition,
    Every,
    Opposite,
    RowDelete,
    Some,
    TagAbsent,
    TagIn,
    TagIs,
    TimeIs,
)
from engine.store.time_ranges import TimeRange

_NS_PER_S = 1_000_000_000
# Times in deletes stay within: what lies beyond is infinity to DuckDB.
DELETE_TIME_NS_MAX = TIME_NS_MAX - 1_000


def kept_sql(delete: RowDelete, names: Mapping[str, str]) -> str:
    """DuckDB's condition for rows that `delete` does not mean; `names` are quoted already."""
    parts = [] if delete.condition is None else [_sql(delete.condition, names, time_sql)]
    low, high = delete.times
    # DuckDB takes the ends of all times for infinity.
    if low > TIME_NS_MIN:
        parts.append(f"{names['time']} >= {time_sql(low)}")
    if high < TIME_NS_MAX:
        parts.append(f"{names['time']} <= {time_sql(high)}")
    # What is unknown is not meant, and IS NOT TRUE says so.
    return f"(({' AND '.join(parts) or 'TRUE'}) IS NOT TRUE)"


def delete_text(times: TimeRange, condition: Condition | None) -> str:
    """The condition for the rows that are meant, as users write it."""
    parts = [] if condition is None else [_sql(condition, {}, _time_text)]
    low, high = times
    if low > TIME_NS_MIN:
        parts.append(f"time >= {_time_text(low)}")
    if high < TIME_NS_MAX:
        parts.append(f"time <= {_time_text(high)}")
    return " AND ".join(parts) or "TRUE"


def _sql(condition: Condition, names: Mapping[str, str], time: Callable[[int], str]) -> str:
    match condition:
        case TagIs(column=column, comparison=comparison, value=value):
            return f"{_name(column, names)} {comparison} {value_sql(value)}"
        case TagIn(column=column, values=values):
            return f"{_name(column, names)} IN ({', '.join(value_sql(one) for one in values)})"
        case TagAbsent(column=column):
            return f"{_name(column, names)} IS NULL"
        case TimeIs(comparison=comparison, time_ns=time_ns):
            return f"{names.get('time', 'time')} {comparison} {time(time_ns)}"
        case Every(parts=parts):
            return f"({' AND '.join(_sql(part, names, time) for part in parts)})"
        case Some(parts=parts):
            return f"({' OR '.join(_sql(part, names, time) for part in parts)})"
        case Opposite(part=part):
            return f"(NOT {_sql(part, names, time)})"


def _name(column: str, names: Mapping[str, str]) -> str:
    return names.get(column) or '"' + column.replace('"', '""') + '"'


def _time_text(time_ns: int) -> str:
    seconds, rest_ns = divmod(time_ns, _NS_PER_S)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"'{moment:%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z'"
