# Owns the translation of a checked query into DuckDB's SQL: it walks the tree once, from the leaves
# up, and puts tables, operators and calls into DuckDB's terms. Pure: everything it needs to know
# about the tables comes in as their columns.
"""Translation of queries into DuckDB's SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlglot import exp
from sqlglot.errors import ErrorLevel, UnsupportedError

from engine.errors import QueryError, QueryNotSupportedError
from engine.query.calls import Calls
from engine.query.dialect import DuckDBDialect, HeadraceDialect, TableName
from engine.query.functions import CACHE_FUNCTIONS
from engine.query.gapfill import filled, fills_gaps
from engine.query.group_parts import two_steps
from engine.query.kinds import Kind
from engine.query.macros import check_copies
from engine.query.operators import Operators, call, cast, replace
from engine.query.scopes import Columns, Resolution, zones_of
from engine.query.series_plans import series_plan
from engine.query.slots import Slot, SlotKind
from engine.query.template import GroupParts, Template, cut

# Names that begin like this are refused in queries, so no subquery can stand in for a table.
RESERVED_PREFIX = "headrace "
_VIEW_PREFIX = f"{RESERVED_PREFIX}table "

# Where no column has such a name, DuckDB takes it for a function, even in double quotes.
_VALUE_NAMES = frozenset(
    (
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "localtime",
        "localtimestamp",
        "session_user",
        "user",
    )
)
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
        if name.name.startswith(RESERVED_PREFIX):
            raise QueryError(f"the name {name.name!r} is reserved")


def name_caches(query: exp.Query) -> None:
    """Put tables of a schema of their own in place of calls like ``last_cache('t', 'cache')``.

    Once after `fold_names`, which keeps users from that schema.
    """
    for node in list(query.find_all(exp.Table)):
        function = node.this
        if not isinstance(function, exp.Anonymous) or function.name.lower() not in CACHE_FUNCTIONS:
            continue
        name = function.name.lower()
        path = msgspec.json.encode([one.name for one in function.expressions]).decode()
        node.set("this", exp.to_identifier(path, quoted=True))
        node.set("db", exp.to_identifier(f"{RESERVED_PREFIX}{name}", quoted=True))
        alias = node.args.get("alias")
        if alias is None:
            node.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
        elif not node.alias:
            alias.set("this", exp.to_identifier(name, quoted=True))


def cache_of(table: TableName) -> tuple[str, str, str | None] | None:
    """Kind, table and name of the cache that a table name of `name_caches` stands for, or None."""
    if not table.schema.startswith(RESERVED_PREFIX):
        return None
    name, *cache = msgspec.json.decode(table.name, type=list[str])
    return table.schema.removeprefix(RESERVED_PREFIX), name, cache[0] if cache else None


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
    _name_projections(tree, resolution)
    if fills_gaps(tree):
        tree = filled(tree, resolution)
        resolution = Resolution(tree, columns.__getitem__)
    for node in tree.walk():
        resolution.kind(node)
        resolution.zone(node)
    for old, new in renamed.items():
        for name in tree.find_all(exp.Identifier):
            if name.name == old and not isinstance(name.parent, exp.Table):
                name.set("this", new)
    zones = tuple(zones_of(resolution.columns).items())
    for column in tree.find_all(exp.Column):
        is_function = column.name in _VALUE_NAMES and not column.table
        if is_function and not resolution.names_column(column):
            raise QueryError(f'Error during planning: column "{column.name}" not found')
    _use_views(resolution, list(columns))
    operators = Operators(resolution)
    _Rewriter(operators).visit(tree)
    for node in list(tree.find_all(exp.Parameter)):
        replace(node, operators.parameter(node, SlotKind.VALUE))
    check_copies(tree)
    parts = plan = None
    if len(columns) == 1:
        ((table, known),) = columns.items()
        if table.schema == "iox":
            parts = _parts(tree, known, operators.slots)
            # Zones and new names of columns are beyond what is answered without DuckDB.
            if not zones and not renamed:
                plan = series_plan(tree, known, operators.slots)
    return cut(_sql(tree), operators.slots, zones, parts, plan)


def _parts(tree: exp.Query, columns: Columns, slots: list[Slot]) -> GroupParts | None:
    steps = two_steps(tree, columns)
    if steps is None:
        return None
    inner, whole, outer = (
        cut(_sql(step), slots) for step in (steps.inner, steps.whole, steps.outer)
    )
    return GroupParts(inner, whole, outer, steps.told)


def _sql(tree: exp.Query) -> str:
    try:
        return tree.sql(
            dialect=DuckDBDialect,
            identify=True,
            normalize_functions=False,
            comments=False,
            # The default is to leave out what cannot be written.
            unsupported_level=ErrorLevel.RAISE,
        )
    except UnsupportedError as error:
        raise QueryNotSupportedError(f"This feature is not implemented: {error}") from error


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
    for function in list(shown.find_all(exp.Anonymous)):
        function.set("this", function.name.lower())
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
            self._operators.resolution.carry(made, node)
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
        if isinstance(node, exp.CurrentTime):
            return calls.translate(exp.Anonymous(this="current_time", expressions=[]))
        if isinstance(node, exp.AtTimeZone):
            return calls.times.at_time_zone(node)
        if isinstance(node, exp.SimilarTo):
            return call("regexp_matches", node.this, node.expression)
        if isinstance(node, exp.Overlay):
            return _overlay(node)
        if isinstance(node, exp.Extract):
            return calls.times.date_part(node.this, node.expression)
        if isinstance(node, exp.WithinGroup):
            return calls.within_group(node)
        if isinstance(node, exp.IgnoreNulls):
            return calls.ignore_nulls(node)
        if isinstance(node, exp.RespectNulls):
            plain: exp.Expr = node.this
            return plain
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


def _overlay(node: exp.Overlay) -> exp.Expr:
    new, length = node.expression, node.args.get("for_")
    if length is None:
        length = call("length", new.copy())
    return call("headrace_overlay", node.this, new, node.args["from_"], length)


def _number(node: exp.Literal) -> exp.Expr:
    if node.is_string:
        return node
    # A number with a decimal point is a double; DuckDB would make it a decimal of fixed size.
    if not node.name.isdigit():
        return node if "e" in node.name.lower() else exp.Literal.number(f"{node.name}e0")
    # A whole number has 64 bits; DuckDB would take 32 for small ones and calculate with them.
    outer = node.parent
    while isinstance(outer, (exp.Paren, exp.Neg)):
        outer = outer.parent
    counts = isinstance(outer, (*_ARITHMETIC, exp.Alias, exp.Case, exp.If, exp.Array)) or (
        isinstance(outer, exp.Tuple) and isinstance(outer.parent, exp.Values)
    )
    number = int(node.name)
    if number >= 2**64:
        # As in the reference: what no whole number can be is a double.
        return exp.Literal.number(f"{node.name}e0") if counts else node
    is_wide = counts and number < 2**63
    return cast(exp.Literal.number(node.name), "BIGINT") if is_wide else node
