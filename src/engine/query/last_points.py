# Owns the question whether a query needs no rows of a table but the last ones of each series: where
# it asks for last values in one of the ways in which people do. It only ever errs towards no; the
# query itself stays as it is, whichever rows it runs over.
"""Queries for last points."""

from collections import Counter
from collections.abc import Iterable

import msgspec
from sqlglot import exp

from engine.query.dialect import TableName
from engine.query.functions import AGGREGATES, WINDOWS

_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
}
_RANKS = frozenset(("row_number", "rank", "dense_rank"))
# Clauses that take more rows of a SELECT than the last of each series, or that change which these
# are.
_ROW_CLAUSES = ("joins", "laterals", "windows", "pivots", "sample", "match", "connect", "offset")


class LastPoints(msgspec.Struct, frozen=True):
    """What a query asks of a table of which the last rows of each series are enough.

    Attributes:
        tags: Columns for which that holds only if they are tags.
        has_end: Whether rows after a time do not count, so that others may be the last ones.
    """

    tags: frozenset[str]
    has_end: bool


class _Unfit(Exception):  # noqa: N818 - no error, but an answer
    """The query needs other rows as well."""


def last_points(query: exp.Query) -> dict[TableName, LastPoints]:
    """The tables of a checked query with folded names of which last rows are enough."""
    ctes = Counter(cte.alias for cte in query.find_all(exp.CTE))
    mentions = Counter((node.db, node.name) for node in query.find_all(exp.Table))
    found = {}
    for select in query.find_all(exp.Select):
        table = _only_table(select)
        if table is None or mentions[table.db, table.name] != 1:
            continue
        if table.name in ctes or table.db not in ("", "iox"):
            continue
        try:
            found[TableName("iox", table.name)] = _wanted(select, table)
        except _Unfit:
            continue
    return found


def _only_table(select: exp.Select) -> exp.Table | None:
    clause = select.args.get("from_")
    table = None if clause is None else clause.this
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        return None
    if table.args.get("joins") or any(select.args.get(key) for key in _ROW_CLAUSES):
        return None
    alias = table.args.get("alias")
    return None if alias is not None and alias.columns else table


def _wanted(select: exp.Select, table: exp.Table) -> LastPoints:
    distinct = select.args.get("distinct")
    windows = list(select.find_all(exp.Window))
    has_aggregates = not windows and (
        select.args.get("group") is not None or any(map(_is_aggregate, _inside(select)))
    )
    # Beside aggregates, an alias is made of last values and tags alone, as is what it may hide.
    names = _Names(select, table, has_clear_aliases=has_aggregates)
    if any(isinstance(node, exp.Query) for node in _inside(select)):
        raise _Unfit
    if windows:
        tags = _of_rank(select, windows, names)
    elif distinct is not None and distinct.args.get("on") is not None:
        tags = _of_distinct_on(select, distinct.args["on"], names)
    elif has_aggregates:
        tags = _of_aggregates(select, names)
    else:
        _check_last_row(select, names)
        tags = []
    has_end = False
    where = select.args.get("where")
    for condition in [] if where is None else _conditions(where.this):
        bound = names.bound(condition)
        if bound is None:
            tags += names.of(condition)
        if bound is exp.LT:
            # Of one end, the reach of the query tells where it is; of several only the first.
            if has_end:
                raise _Unfit
            has_end = True
    return LastPoints(frozenset(tags), has_end)


class _Names:
    """The names of the columns of one SELECT from one table."""

    def __init__(self, select: exp.Select, table: exp.Table, *, has_clear_aliases: bool) -> None:
        self._table = table.alias_or_name
        # A name may mean an alias as well as a column; where these are not the same it is unclear.
        self._unclear = (
            set()
            if has_clear_aliases
            else {
                projection.alias
                for projection in select.expressions
                if isinstance(projection, exp.Alias)
                and not (
                    isinstance(projection.this, exp.Column)
                    and projection.this.name == projection.alias
                )
            }
        )

    def of(self, node: exp.Expr) -> list[str]:
        """Names of all columns in an expression, which may be used as tags."""
        return [self.column(column) for column in node.find_all(exp.Column)]

    def column(self, node: exp.Expr | None) -> str:
        """Name of a column of the table."""
        if (
            not isinstance(node, exp.Column)
            or node.table not in ("", self._table)
            or node.name in self._unclear
            or isinstance(node.this, exp.Star)
        ):
            raise _Unfit
        return node.name

    def is_time(self, node: exp.Expr | None) -> bool:
        """Whether an expression is the time column."""
        return isinstance(node, exp.Column) and node.name == "time" and bool(self.column(node))

    def bound(self, condition: exp.Expr) -> type[exp.Expr] | None:
        """GT for a condition that is a first time, LT for one that is a last one; else None."""
        if isinstance(condition, exp.Between):
            limits = (condition.args["low"], condition.args["high"])
            is_bound = self.is_time(condition.this) and not any(map(_has_columns, limits))
            return exp.LT if is_bound else None
        kind = type(condition)
        if kind not in _FLIPPED:
            return None
        left, right = condition.this, condition.args["expression"]
        if self.is_time(right):
            left, right, kind = right, left, _FLIPPED[kind]
        if not self.is_time(left) or _has_columns(right):
            return None
        return exp.GT if kind in (exp.GT, exp.GTE) else exp.LT


def _inside(select: exp.Select) -> Iterable[exp.Expr]:
    """The nodes below a SELECT."""
    nodes = iter(select.walk())
    next(nodes)
    return nodes


def _has_columns(node: exp.Expr) -> bool:
    return node.find(exp.Column) is not None


def _conditions(node: exp.Expr) -> list[exp.Expr]:
    """The parts of a condition that all must hold."""
    if isinstance(node, exp.Paren):
        return _conditions(node.this)
    if isinstance(node, exp.And):
        return [*_conditions(node.left), *_conditions(node.right)]
    return [node]


def _is_aggregate(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this).lower() in AGGREGATES | WINDOWS


def _is_latest_first(order: exp.Expr | None, names: _Names) -> bool:
    return isinstance(order, exp.Ordered) and names.is_time(order.this) and bool(order.args["desc"])


# -- ranks ----------------------------------------------------------------------------------------


def _of_rank(select: exp.Select, windows: list[exp.Window], names: _Names) -> list[str]:
    """``row_number() OVER (PARTITION BY tags ORDER BY time DESC)``, of which the first is taken."""
    if any(select.args.get(key) for key in ("group", "having", "distinct", "limit", "order")):
        raise _Unfit
    if len(windows) != 1 or windows[0].args.get("spec") or windows[0].args.get("alias"):
        raise _Unfit
    window, rank = windows[0], windows[0].this
    is_rank = isinstance(rank, exp.Anonymous) and str(rank.this).lower() in _RANKS
    order = window.args.get("order")
    ordered = [] if order is None else order.expressions
    if not is_rank or len(ordered) != 1 or not _is_latest_first(ordered[0], names):
        raise _Unfit
    if sum(map(_is_aggregate, _inside(select))) != 1:
        raise _Unfit
    qualify = select.args.get("qualify")
    if qualify is not None and any(_is_first(one, window) for one in _conditions(qualify.this)):
        return [names.column(column) for column in window.args.get("partition_by") or []]
    parent = window.parent
    if not isinstance(parent, exp.Alias) or parent.parent is not select:
        raise _Unfit
    if not _is_only_first_taken(select, parent.alias):
        raise _Unfit
    return [names.column(column) for column in window.args.get("partition_by") or []]


def _is_only_first_taken(select: exp.Select, rank: str) -> bool:
    """Whether the one query around `select` takes only rows of which the column `rank` is 1."""
    holder = select.parent
    if isinstance(holder, exp.CTE):
        with_ = holder.parent
        root = select.root()
        users = [node for node in root.find_all(exp.Table) if node.name == holder.alias]
        if with_ is None or with_.args.get("recursive") or len(users) != 1 or users[0].db:
            return False
        if sum(cte.alias == holder.alias for cte in root.find_all(exp.CTE)) != 1:
            return False
        source: exp.Expr = users[0]
    elif isinstance(holder, exp.Subquery):
        source = holder
    else:
        return False
    alias = source.args.get("alias")
    clause = source.parent
    outer = None if clause is None else clause.parent
    if (
        not isinstance(clause, exp.From)
        or not isinstance(outer, exp.Select)
        or (alias is not None and alias.columns)
        or source.args.get("joins")
        or outer.args.get("joins")
        or outer.args.get("laterals")
        or outer.args.get("where") is None
    ):
        return False
    for condition in _conditions(outer.args["where"].this):
        for column in condition.find_all(exp.Column):
            is_rank = column.name == rank and column.table in ("", source.alias_or_name)
            if is_rank and _is_first(condition, column):
                return True
    return False


def _is_first(condition: exp.Expr, rank: exp.Expr) -> bool:
    """Whether a condition says that `rank` is 1."""
    left, right = condition.this, condition.args.get("expression")
    kind = type(condition)
    if right is rank:
        left, right, kind = right, left, _FLIPPED.get(kind, kind)
    if left is not rank or not isinstance(right, exp.Literal) or right.is_string:
        return False
    return (kind in (exp.EQ, exp.LTE) and right.name == "1") or (
        kind is exp.LT and right.name == "2"
    )


# -- other forms ----------------------------------------------------------------------------------


def _of_distinct_on(select: exp.Select, on: exp.Expr, names: _Names) -> list[str]:
    """``SELECT DISTINCT ON (tags) ... ORDER BY tags, time DESC``."""
    if any(select.args.get(key) for key in ("group", "having", "qualify")):
        raise _Unfit
    if any(map(_is_aggregate, _inside(select))):
        raise _Unfit
    keys = on.expressions if isinstance(on, exp.Tuple) else [on]
    tags = {names.column(key.unnest()) for key in keys}
    order = select.args.get("order")
    ordered = [] if order is None else list(order.expressions)
    while ordered and not names.is_time(ordered[0].this):
        if names.column(ordered.pop(0).this) not in tags:
            raise _Unfit
    if not ordered or not _is_latest_first(ordered[0], names):
        raise _Unfit
    return list(tags)


def _of_aggregates(select: exp.Select, names: _Names) -> list[str]:
    """``last_value(x ORDER BY time)``, ``selector_last(x, time)`` or ``max(time)``, by tags."""
    if select.args.get("qualify") is not None or select.args.get("distinct") is not None:
        raise _Unfit
    group = select.args.get("group")
    if group is not None and any(group.args.get(key) for key in ("all", "cube", "rollup",
                                 "grouping_sets", "totals")):  # fmt: skip
        raise _Unfit
    tags: list[str] = []
    for projection in select.expressions:
        tags += _outside_of_last_values(projection, names)
    for key in [] if group is None else group.expressions:
        # A number stands for one of the SELECT list.
        tags += names.of(key)
    having = select.args.get("having")
    if having is not None:
        tags += _outside_of_last_values(having.this, names)
    order = select.args.get("order")
    for ordered in [] if order is None else order.expressions:
        if not _is_own_alias(ordered.this, select):
            tags += _outside_of_last_values(ordered.this, names)
    return tags


def _is_own_alias(node: exp.Expr, select: exp.Select) -> bool:
    aliases = (one.alias for one in select.expressions if isinstance(one, exp.Alias))
    return isinstance(node, exp.Column) and not node.table and node.name in aliases


def _outside_of_last_values(node: exp.Expr, names: _Names) -> list[str]:
    """The columns of an expression that are not below functions that give last values."""
    if isinstance(node, exp.Column):
        return [names.column(node)]
    if isinstance(node, exp.IgnoreNulls | exp.RespectNulls):
        if not _is_last_value(node.this, names):
            raise _Unfit
        return []
    if isinstance(node, exp.Filter | exp.WithinGroup | exp.Star):
        raise _Unfit
    if _is_aggregate(node):
        if not _is_last_value(node, names):
            raise _Unfit
        return []
    return [
        name for child in node.iter_expressions() for name in _outside_of_last_values(child, names)
    ]


def _is_last_value(node: exp.Expr, names: _Names) -> bool:
    name, arguments = str(node.this).lower(), node.expressions
    if name == "max":
        return len(arguments) == 1 and names.is_time(arguments[0])
    if name == "selector_last":
        return (
            len(arguments) == 2 and _is_column(arguments[0], names) and names.is_time(arguments[1])
        )
    if name != "last_value" or len(arguments) != 1 or not isinstance(arguments[0], exp.Order):
        return False
    order = arguments[0]
    by = order.expressions
    is_by_time = len(by) == 1 and names.is_time(by[0].this) and not by[0].args.get("desc")
    return is_by_time and _is_column(order.this, names)


def _is_column(node: exp.Expr, names: _Names) -> bool:
    return isinstance(node, exp.Column) and bool(names.column(node))


def _check_last_row(select: exp.Select, names: _Names) -> None:
    """``SELECT ... ORDER BY time DESC LIMIT 1``."""
    order, limit = select.args.get("order"), select.args.get("limit")
    ordered = [] if order is None else order.expressions
    count = None if limit is None else limit.expression
    if (
        len(ordered) != 1
        or not _is_latest_first(ordered[0], names)
        or not isinstance(count, exp.Literal)
        or count.name != "1"
        or any(select.args.get(key) for key in ("distinct", "having", "qualify"))
    ):
        raise _Unfit
