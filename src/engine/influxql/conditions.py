# Owns the meaning of WHERE: InfluxQL's idea of missing tags and of mixed types, written as SQL, and
# the range of time that it selects.
"""WHERE clauses as SQL."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from engine.errors import QueryError, QueryNotSupportedError
from engine.influxql import tree
from engine.influxql.zones import Zone
from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN, names_zone, parse_timestamp, value_sql
from lp_core.enums import ColumnType

Columns = Mapping[str, ColumnType]

_TIME = "time"
_SWAPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_COMPARISONS = frozenset({*_SWAPPED, "=~", "!~"})
_ARITHMETIC = frozenset({"+", "-", "*", "/", "%"})
_NUMBERS = frozenset({ColumnType.INT64, ColumnType.UINT64, ColumnType.FLOAT64})
_TEXTS = frozenset({ColumnType.TAG, ColumnType.STRING})


class Calendar(NamedTuple):
    """What a statement takes for now, and the zone of times that name none."""

    now_ns: int
    zone: Zone


class Where(msgspec.Struct, frozen=True):
    """A condition in SQL (empty for none), and the times that it permits, both ends included.

    Times stand in SQL as parameters: a dashboard asks again with other times, and finds its SQL
    translated.
    """

    sql: str = ""
    low_ns: int | None = None
    high_ns: int | None = None
    parameters: dict[str, object] = {}

    def whole(self) -> tuple[str, dict[str, object]]:
        """The condition with its times in SQL, and the values of its parameters."""
        conditions, parameters = [f"({self.sql})"] if self.sql else [], dict(self.parameters)
        for name, operator, bound_ns in (("low", ">=", self.low_ns), ("high", "<=", self.high_ns)):
            if bound_ns is not None:
                conditions.append(f"time {operator} ${name}")
                parameters[name] = bounded_ns(bound_ns)
        return " AND ".join(conditions), parameters


def quoted(name: str) -> str:
    """`name` as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_sql(text: str) -> str:
    """`text` as a literal."""
    return "'" + text.replace("'", "''") + "'"


def bounded_ns(time_ns: int) -> int:
    """A time, brought into what 64 bits hold."""
    return min(max(time_ns, TIME_NS_MIN + 1), TIME_NS_MAX)


def where_of(condition: tree.Expression | None, columns: Columns, calendar: Calendar) -> Where:
    """What `condition` means for a table with these columns.

    Raises:
        QueryError: It cannot mean anything.
    """
    if condition is None:
        return Where()
    low: int | None = None
    high: int | None = None
    writer = _Writer(columns, calendar)
    conditions: list[str] = []
    for part in _chained(condition, "AND"):
        bound = writer.bound(part)
        if bound is None:
            conditions.append(writer.truth(part))
            continue
        operator, time_ns = bound
        if operator in (">", ">=", "="):
            least = time_ns + (operator == ">")
            low = least if low is None else max(low, least)
        if operator in ("<", "<=", "="):
            most = time_ns - (operator == "<")
            high = most if high is None else min(high, most)
    return Where(" AND ".join(conditions), low, high, writer.parameters)


def bounded(condition: tree.Expression | None, where: Where) -> tree.Expression | None:
    """`condition`, within the times of `where` too."""
    time = tree.Reference(_TIME)
    for operator, bound_ns in ((">=", where.low_ns), ("<=", where.high_ns)):
        if bound_ns is not None:
            limit = tree.Binary(operator, time, tree.Literal(bound_ns))
            condition = limit if condition is None else tree.Binary("AND", condition, limit)
    return condition


def _chained(condition: tree.Expression, operator: str) -> list[tree.Expression]:
    """What `operator` joins, in order: in SQL a flat list, for its nesting is limited."""
    if isinstance(condition, tree.Binary) and condition.operator == operator:
        return [*_chained(condition.left, operator), *_chained(condition.right, operator)]
    return [condition]


def _is_time(expression: tree.Expression) -> bool:
    return isinstance(expression, tree.Reference) and expression.name.lower() == _TIME


class _Writer:
    def __init__(self, columns: Columns, calendar: Calendar) -> None:
        self._columns = columns
        self._calendar = calendar
        self.parameters: dict[str, object] = {}

    def bound(self, part: tree.Expression) -> tuple[str, int] | None:
        """Operator and time of a comparison with ``time``; None for anything else."""
        if not isinstance(part, tree.Binary) or part.operator not in _SWAPPED:
            return None
        if _is_time(part.left):
            return part.operator, self._time(part.right)
        if _is_time(part.right):
            return _SWAPPED[part.operator], self._time(part.left)
        return None

    def truth(self, expression: tree.Expression) -> str:
        """`expression` as a condition."""
        bound = self.bound(expression)
        if bound is not None:
            name = f"time{len(self.parameters)}"
            self.parameters[name] = bounded_ns(bound[1])
            return f"time {bound[0]} ${name}"
        if isinstance(expression, tree.Binary):
            if expression.operator in ("AND", "OR"):
                parts = [self.truth(part) for part in _chained(expression, expression.operator)]
                return f"({f' {expression.operator} '.join(parts)})"
            if expression.operator in _COMPARISONS:
                return self._comparison(expression)
        if isinstance(expression, tree.Literal) and isinstance(expression.value, bool):
            return "TRUE" if expression.value else "FALSE"
        if isinstance(expression, tree.Reference):
            kind = self._kind(expression)
            return quoted(expression.name) if kind is ColumnType.BOOL else "FALSE"
        raise QueryError("invalid condition expression in the WHERE clause")

    def _comparison(self, node: tree.Binary) -> str:
        operator = node.operator
        if operator in ("=~", "!~"):
            return self._match(node)
        left, left_kind = self._value(node.left)
        right, right_kind = self._value(node.right)
        # A column that the table does not have is a tag that no row has.
        left, left_kind = _absent(left, left_kind, right_kind)
        right, right_kind = _absent(right, right_kind, left_kind)
        if left_kind != right_kind:
            return "FALSE"
        return f"{left} {operator} {right}"

    def _match(self, node: tree.Binary) -> str:
        if not isinstance(node.right, tree.Regex):
            raise QueryError(f"operator {node.operator} needs a regular expression on its right")
        value, kind = self._value(node.left)
        value, kind = _absent(value, kind, "text")
        if kind != "text":
            return "FALSE"
        operator = "~" if node.operator == "=~" else "!~"
        return f"{value} {operator} {text_sql(node.right.pattern)}"

    def _value(self, expression: tree.Expression) -> tuple[str, str]:
        """SQL of a value, and what it is: number, text, truth or nothing."""
        match expression:
            case tree.Literal(value=bool(value)):
                return ("TRUE" if value else "FALSE"), "truth"
            case tree.Literal(value=str(text)):
                return text_sql(text), "text"
            case tree.Literal(value=value):
                sql = value_sql(value)
                return (f"({sql})" if sql.startswith("-") else sql), "number"
            case tree.Reference(name=name):
                return self._reference(name, self._kind(expression))
            case tree.Binary(operator=operator) if operator in _ARITHMETIC:
                left, left_kind = self._value(expression.left)
                right, right_kind = self._value(expression.right)
                if (left_kind, right_kind) != ("number", "number"):
                    return "NULL", "nothing"
                if operator == "/":
                    return f"(CAST({left} AS DOUBLE) / nullif({right}, 0))", "number"
                return f"({left} {operator} {right})", "number"
            case tree.Negation(operand=operand):
                value, kind = self._value(operand)
                return f"(0 - {value})", kind
            case _:
                raise QueryNotSupportedError(
                    "a condition compares tags, fields and time with constants and each other"
                )

    def _kind(self, reference: tree.Reference) -> ColumnType | None:
        kind = self._columns.get(reference.name)
        if reference.cast == "tag":
            return kind if kind is ColumnType.TAG else None
        if reference.cast == "field":
            return None if kind is ColumnType.TAG else kind
        return kind

    @staticmethod
    def _reference(name: str, kind: ColumnType | None) -> tuple[str, str]:
        if kind is None:
            return "NULL", "nothing"
        if kind is ColumnType.TAG:
            # A row without the tag is one where it is empty.
            return f"coalesce({quoted(name)}, '')", "text"
        if kind in _NUMBERS:
            return quoted(name), "number"
        return quoted(name), "text" if kind in _TEXTS else "truth"

    def _time(self, expression: tree.Expression) -> int:
        match expression:
            case tree.Literal(value=str(text)):
                time_ns = parse_timestamp(text)
                if time_ns is None:
                    raise QueryError(f"invalid timestamp string '{text}'")
                return time_ns if names_zone(text) else self._calendar.zone.instant_ns(time_ns)
            case tree.Literal(value=int(time_ns)) if not isinstance(time_ns, bool):
                return time_ns
            case tree.Literal(value=float(time_ns)):
                return int(time_ns)
            case tree.Duration(ns=ns):
                return ns
            case tree.Now():
                return self._calendar.now_ns
            case tree.Binary(operator="+"):
                return self._time(expression.left) + self._time(expression.right)
            case tree.Binary(operator="-"):
                return self._time(expression.left) - self._time(expression.right)
            case _:
                raise QueryError("time can be compared with times, now() and durations only")


def _absent(value: str, kind: str, other: str) -> tuple[str, str]:
    return ("''", "text") if kind == "nothing" and other == "text" else (value, kind)
