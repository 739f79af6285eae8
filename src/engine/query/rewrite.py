# Owns the translation of a checked query into DuckDB's SQL: it walks the tree once, from the leaves
# up, and puts tables, operators and calls into DuckDB's terms. Pure: everything it needs to know
# about the tables comes in as their columns.
"""Translation of queries into DuckDB's SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import exp

from engine.errors import QueryError, QueryNotSupportedError
from engine.query.calls import Calls
from engine.query.dialect import HeadraceDialect, TableName
from engine.query.kinds import Kind
from engine.query.macros import check_copies
from engine.query.operators import Operators, replace
from engine.query.scopes import Columns, Resolution
from engine.query.template import SlotKind, Template, cut

# Names that begin like this are refused in queries, so no subquery can stand in for a table.
_VIEW_PREFIX = "headrace table "

_COMPARISONS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ,
)  # fmt: skip
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)


def view_name(index: int) -> str:
    """The name under which DuckDB has the table that a query mentions as its ``index``-th."""
    return f"{_VIEW_PREFIX}{index}"


def fold_names(query: exp.Query) -> None:
    """Put unquoted names into lower case and mark every name as exact, once after parsing."""
    for name in query.find_all(exp.Identifier):
        if not name.args.get("quoted"):
            name.set("this", name.name.lower())
            name.set("quoted", True)
        if name.name.startswith(_VIEW_PREFIX):
            raise QueryError(f"the name {name.name!r} is reserved")


def tables_of(query: exp.Query) -> tuple[TableName, ...]:
    """The tables that a query reads, each once."""
    mentions = Resolution(query, lambda _: {}).tables
    return tuple(dict.fromkeys(table for _, table in mentions))


def translate(
    query: exp.Query,
    columns: Mapping[TableName, Columns],
    renamed: Mapping[str, str],
) -> Template:
    """Translate a query; the tree that is given stays as it is.

    Args:
        query: A checked query with folded names.
        columns: The columns of every table in ``tables_of``; its order numbers the views.
        renamed: Columns that DuckDB knows under another name (see ``views.distinct_names``).

    Raises:
        QueryError: The query does not fit the tables or a function.
    """
    tree = query.copy()
    resolution = Resolution(tree, columns.__getitem__)
    for node in tree.walk():
        resolution.kind(node)
    _name_projections(tree, resolution)
    for old, new in renamed.items():
        for name in tree.find_all(exp.Identifier):
            if name.name == old and not isinstance(name.parent, exp.Table):
                name.set("this", new)
    _use_views(resolution, list(columns))
    operators = Operators(resolution)
    _Rewriter(operators).visit(tree)
    for node in list(tree.find_all(exp.Parameter)):
        replace(node, operators.parameter(node, SlotKind.VALUE))
    check_copies(tree)
    sql = tree.sql(dialect="duckdb", identify=True, normalize_functions=False, comments=False)
    return cut(sql, operators.slots)


def _use_views(resolution: Resolution, order: Sequence[TableName]) -> None:
    for node, table in resolution.tables:
        if node.args.get("alias") is None:
            alias = exp.TableAlias(this=exp.to_identifier(node.name, quoted=True))
            node.set("alias", alias)
        elif not node.alias:
            node.args["alias"].set("this", exp.to_identifier(node.name, quoted=True))
        node.set("this", exp.to_identifier(view_name(order.index(table)), quoted=True))
        node.set("db", None)
        node.set("catalog", None)


def _name_projections(tree: exp.Query, resolution: Resolution) -> None:
    # Results are named as the reference system names them: the expression, columns with their
    # table.
    for select in list(tree.find_all(exp.Select)):
        aliases = [source.alias for source in resolution.sources(select)]
        for projection in list(select.expressions):
            unnamed = not isinstance(projection, (exp.Alias, exp.Column, exp.Star))
            if unnamed and not isinstance(projection.unnest(), exp.Column):
                name = _display(projection, aliases[0] if len(aliases) == 1 else "")
                alias = exp.Alias(alias=exp.to_identifier(name, quoted=True))
                resolution.set_kind(alias, resolution.kind(projection))
                replace(projection, alias)
                alias.set("this", projection)


def _display(node: exp.Expr, table: str) -> str:
    shown = node.copy()
    for call in list(shown.find_all(exp.Anonymous)):
        call.set("this", call.name.lower())
    for column in list(shown.find_all(exp.Column)):
        if table and not column.table and not isinstance(column.this, exp.Star):
            column.set("table", exp.to_identifier(table))
    for name in list(shown.find_all(exp.Identifier)):
        name.set("quoted", False)
    sql = shown.sql(dialect=HeadraceDialect, normalize_functions=False, comments=False)
    return sql.replace(", ", ",") if isinstance(shown, exp.Anonymous) else sql


class _Rewriter:
    def __init__(self, operators: Operators) -> None:
        self._operators = operators
        self._calls = Calls(operators)

    def visit(self, node: exp.Expr) -> None:
        """Translate the parts of a node, then the node itself."""
        for child in list(node.iter_expressions()):
            self.visit(child)
        made = self._translated(node)
        if made is not node:
            if self._operators.kind(made) is Kind.OTHER:
                self._operators.resolution.set_kind(made, self._operators.kind(node))
            replace(node, made)

    def _translated(self, node: exp.Expr) -> exp.Expr:
        operators, calls = self._operators, self._calls
        if isinstance(node, _COMPARISONS):
            operators.compare(node)
        elif isinstance(node, exp.Between):
            operators.between(node)
        elif isinstance(node, exp.In):
            operators.membership(node)
        elif isinstance(node, (exp.Limit, exp.Offset)):
            operators.adapt(node.expression, Kind.INTEGER)
        elif isinstance(node, _ARITHMETIC):
            return operators.arithmetic(node)
        elif isinstance(node, exp.Cast):
            return operators.cast(node)
        elif isinstance(node, exp.Interval):
            return operators.interval(node)
        elif isinstance(node, exp.Literal):
            return _number(node)
        else:
            return self._called(node, calls)
        return node

    def _called(self, node: exp.Expr, calls: Calls) -> exp.Expr:
        if isinstance(node, exp.Anonymous):
            is_ordered = isinstance(node.parent, exp.WithinGroup) and node.parent.this is node
            return node if is_ordered else calls.translate(node)
        if isinstance(node, exp.CurrentTimestamp):
            return calls.translate(exp.Anonymous(this="now", expressions=[]))
        if isinstance(node, exp.CurrentDate):
            return calls.translate(exp.Anonymous(this="today", expressions=[]))
        if isinstance(node, exp.Extract):
            return calls.date_part(node.this, node.expression)
        if isinstance(node, exp.WithinGroup):
            return calls.within_group(node)
        if isinstance(node, exp.IgnoreNulls):
            return calls.ignore_nulls(node)
        if isinstance(node, exp.Bracket) and _is_selector(node.this):
            return calls.selected(node.this, node.expressions[0].name)
        if isinstance(node, exp.Column):
            node.set("db", None)
            node.set("catalog", None)
        if isinstance(node, (exp.Any, exp.All)) and not isinstance(node.this, exp.Query):
            raise QueryNotSupportedError("ANY and ALL are supported with a subquery only")
        return node


def _is_selector(node: Any) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower().startswith("selector_")


def _number(node: exp.Literal) -> exp.Expr:
    # A number with a decimal point is a double; DuckDB would make it a decimal of fixed size.
    if not node.is_string and "." in node.name and "e" not in node.name.lower():
        return exp.Literal.number(f"{node.name}e0")
    return node
