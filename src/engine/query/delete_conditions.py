# Owns the little language in which rows to be deleted are named: what may stand in the WHERE of a
# query, but for everything that is not a comparison of tags and time with fixed values. What comes
# out is no SQL any more.
"""Conditions of deletes of rows."""

from collections.abc import Mapping

from sqlglot import exp

from engine.errors import QueryError, QueryNotSupportedError
from engine.query.delete_sql import DELETE_TIME_NS_MAX
from engine.query.dialect import ParseLimits, parse_statement
from engine.query.literals import parse_timestamp
from engine.query.rewrite import fold_names
from engine.query.sandbox import check_query
from engine.store.row_deletes import (
    Condition,
    Every,
    Opposite,
    Some,
    TagAbsent,
    TagIn,
    TagIs,
    TimeIs,
)
from lp_core.enums import ColumnType

LIMITS = ParseLimits(words_max=2_000, nesting_max=16)

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_HINT = (
    "compare tags with texts in single quotes, and time with timestamps, by =, !=, <, <=, >, >=, "
    "IN, BETWEEN and IS NULL, joined by AND, OR and NOT"
)


def parse_condition(text: str, columns: Mapping[str, ColumnType]) -> Condition:
    """The condition that `text` spells, on a table with these columns.

    Raises:
        QueryError: It is not understood, names what is not a tag, or uses something else.
    """
    statement = parse_statement(f"SELECT 1 FROM t WHERE {text}", LIMITS)  # noqa: S608 checked below
    query = statement.query
    if not isinstance(query, exp.Select):
        raise _refused("what is more than one condition")
    for name, value in query.args.items():
        if value and name not in ("expressions", "from", "from_", "where", "kind"):
            raise _refused(f"{name.strip('_').upper()} in a condition")
    check_query(query)
    fold_names(query)
    where = query.args.get("where")
    if where is None:
        raise _refused("an empty condition")
    try:
        return _Reader(columns).condition(where.this)
    except RecursionError as error:
        raise QueryError("the condition is nested too deeply") from error


def _refused(what: str) -> QueryNotSupportedError:
    return QueryNotSupportedError(f"rows cannot be deleted by {what}", hint=_HINT)


class _Reader:
    def __init__(self, columns: Mapping[str, ColumnType]) -> None:
        self._columns = columns

    def condition(self, node: exp.Expr) -> Condition:
        """What `node` means."""
        match node:
            case exp.Paren():
                return self.condition(node.this)
            case exp.And():
                return Every(tuple(self._parts(node, exp.And)))
            case exp.Or():
                return Some(tuple(self._parts(node, exp.Or)))
            case exp.Not():
                return Opposite(self.condition(node.this))
            case exp.Is():
                return self._is(node)
            case exp.In():
                return self._in(node)
            case exp.Between():
                return self._between(node)
            case _ if type(node) in _COMPARISONS:
                return self._comparison(node)
            case _:
                raise _refused(f"'{node.sql()}'")

    def _parts(self, node: exp.Expr, kind: type[exp.Connector]) -> list[Condition]:
        if isinstance(node, kind):
            return [*self._parts(node.left, kind), *self._parts(node.right, kind)]
        return [self.condition(node)]

    def _comparison(self, node: exp.Expr) -> Condition:
        left, right, sign = node.this, node.args["expression"], _COMPARISONS[type(node)]
        if not isinstance(left, exp.Column):
            left, right, sign = right, left, _FLIPPED[sign]
        column = self._column(left)
        return self._compared(column, sign, right)

    def _compared(self, column: str, sign: str, value: exp.Expr) -> Condition:
        if column == "time":
            return TimeIs(sign, _time(value))
        return TagIs(column, sign, self._text(column, value))

    def _between(self, node: exp.Between) -> Condition:
        if node.args.get("symmetric"):
            raise _refused("BETWEEN SYMMETRIC")
        column = self._column(node.this)
        low, high = node.args["low"], node.args["high"]
        return Every((self._compared(column, ">=", low), self._compared(column, "<=", high)))

    def _in(self, node: exp.In) -> Condition:
        extra = [name for name, value in node.args.items() if value]
        if set(extra) - {"this", "expressions"}:
            raise _refused("a subquery")
        column = self._column(node.this)
        if column == "time":
            times = tuple(TimeIs("=", _time(value)) for value in node.expressions)
            return Some(times)
        return TagIn(column, tuple(self._text(column, value) for value in node.expressions))

    def _is(self, node: exp.Is) -> Condition:
        column = self._column(node.this)
        if not isinstance(node.expression, exp.Null):
            raise _refused(f"'{node.sql()}'")
        if column == "time":
            raise _refused("the absence of a time, which every row has")
        return TagAbsent(column)

    def _column(self, node: exp.Expr) -> str:
        if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier):
            raise _refused(f"'{node.sql()}'")
        if node.table:
            raise QueryError(f"'{node.sql()}': columns are named without their table")
        name = node.name
        kind = ColumnType.TIME if name == "time" else self._columns.get(name)
        if kind is None:
            raise QueryError(
                f"the table has no column '{name}'",
                hint="texts stand in single quotes, names with capital letters in double quotes",
            )
        if kind not in (ColumnType.TAG, ColumnType.TIME):
            raise QueryNotSupportedError(
                f"'{name}' is a field: rows are deleted by their tags and time alone",
                hint="find the rows by a query, and delete them by what tells them from others",
            )
        return name

    def _text(self, column: str, node: exp.Expr) -> str:
        if not isinstance(node, exp.Literal) or not node.is_string:
            raise QueryError(
                f"the tag '{column}' cannot be compared with {node.sql()}",
                hint="tags are texts: write the value in single quotes",
            )
        return node.name


def _time(node: exp.Expr) -> int:
    literal = node
    if isinstance(node, exp.Cast) and node.is_type("timestamp"):
        literal = node.this
    time_ns = None
    if isinstance(literal, exp.Literal) and literal.is_string:
        time_ns = parse_timestamp(literal.name)
    if time_ns is None:
        raise QueryError(
            f"time cannot be compared with {node.sql()}",
            hint="write a fixed time, such as '2030-01-31T12:00:00Z'",
        )
    if abs(time_ns) > DELETE_TIME_NS_MAX:
        raise QueryError(f"the time {node.sql()} is out of range")
    return time_ns
