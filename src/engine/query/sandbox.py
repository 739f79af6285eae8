# Owns the decision what a query may contain: the syntax tree is checked against lists of allowed
# node classes, functions, types and table sources, so what nobody thought of is refused. Checks
# only; the executor locks DuckDB down as well.
"""The allow-list of queries."""

import re
from typing import Any

from sqlglot import exp

from engine.errors import QueryError, QueryNotSupportedError
from engine.query.functions import (
    CACHE_FUNCTIONS,
    PLAIN,
    REFUSED,
    SPECIAL,
    TABLE_FUNCTIONS,
)

_NODES: frozenset[type[exp.Expr]] = frozenset(
    {
        # queries
        exp.Select, exp.Subquery, exp.Union, exp.Intersect, exp.Except, exp.With, exp.CTE,
        exp.TableAlias, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Qualify,
        exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.Fetch, exp.Distinct, exp.Window,
        exp.WindowSpec, exp.Values, exp.Unnest, exp.Table, exp.GroupingSets, exp.Rollup, exp.Cube,
        # names and values
        exp.Star, exp.Column, exp.Identifier, exp.Alias, exp.Literal, exp.Boolean, exp.Null,
        exp.Parameter, exp.Interval, exp.Var, exp.Paren, exp.Tuple, exp.Array, exp.Bracket,
        exp.Concat,
        # operators
        exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.In,
        exp.Between, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Like, exp.ILike, exp.Escape,
        exp.SimilarTo, exp.RegexpLike, exp.RegexpILike, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod,
        exp.Neg, exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot,
        exp.BitwiseLeftShift, exp.BitwiseRightShift, exp.DPipe, exp.Exists, exp.Any, exp.All,
        # functions and forms with their own grammar
        exp.Anonymous, exp.Cast, exp.TryCast, exp.DataType, exp.Case, exp.If, exp.Extract,
        exp.Substring, exp.Trim, exp.StrPosition, exp.Overlay, exp.CurrentDate,
        exp.CurrentTimestamp, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls,
        exp.AtTimeZone, exp.CurrentTime, exp.Slice,
    }
)  # fmt: skip

_NOT_YET_NODES: dict[type[exp.Expr], str] = {
    exp.TableSample: "TABLESAMPLE",
    exp.Lateral: "LATERAL",
    exp.Pivot: "PIVOT",
    exp.JSONExtract: "the -> operator",
}

CAST_TYPES: frozenset[Any] = frozenset(
    {
        exp.DataType.Type.TINYINT, exp.DataType.Type.SMALLINT, exp.DataType.Type.INT,
        exp.DataType.Type.BIGINT, exp.DataType.Type.UTINYINT, exp.DataType.Type.USMALLINT,
        exp.DataType.Type.UINT, exp.DataType.Type.UBIGINT, exp.DataType.Type.FLOAT,
        exp.DataType.Type.DOUBLE, exp.DataType.Type.DECIMAL, exp.DataType.Type.BOOLEAN,
        exp.DataType.Type.CHAR, exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT,
        exp.DataType.Type.DATE, exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TIMESTAMPTZ,
        exp.DataType.Type.TIMESTAMPNTZ, exp.DataType.Type.INTERVAL,
    }
)  # fmt: skip

_WORD = re.compile(r"\w+\Z", re.ASCII)


def check_query(query: exp.Query) -> None:
    """Refuse a query that contains anything but what is allowed.

    Raises:
        QueryNotSupportedError: It holds a clause or function that the server does not offer.
        QueryError: It calls a function that does not exist, or is misshapen.
    """
    for node in query.walk():
        if type(node) not in _NODES:
            _refuse(node)
        if isinstance(node, exp.Anonymous):
            _check_function(node)
        elif isinstance(node, exp.Table):
            _check_table(node)
        elif isinstance(node, exp.DataType):
            _check_type(node)
        elif isinstance(node, exp.Var):
            _check_word(node)
        elif isinstance(node, exp.Between) and node.args.get("symmetric"):
            # Bounds that may be the wrong way round are none for those who look for bounds.
            raise QueryNotSupportedError("This feature is not implemented: BETWEEN SYMMETRIC")
        elif isinstance(node, exp.Select) and not node.expressions:
            raise QueryError('SQL error: ParserError("Expected an expression after SELECT")')


def _refuse(node: exp.Expr) -> None:
    what = _NOT_YET_NODES.get(type(node))
    if what is None:
        what = "SELECT INTO" if isinstance(node, exp.Into) else type(node).__name__
        what = "FOR UPDATE" if isinstance(node, exp.Lock) else what
        raise QueryNotSupportedError(f"This feature is not implemented: {what}")
    raise QueryNotSupportedError(f"{what} is not supported yet")


def _check_function(node: exp.Anonymous) -> None:
    name = node.name.lower()
    if name in REFUSED:
        raise QueryNotSupportedError(f"the function {name} is not supported", hint=REFUSED[name])
    if name in CACHE_FUNCTIONS and isinstance(node.parent, exp.Table):
        texts = [isinstance(one, exp.Literal) and one.is_string for one in node.expressions]
        if not 1 <= len(texts) <= 2 or not all(texts):
            raise QueryError(
                f"Error during planning: {name} takes the name of a table and of a cache, as texts",
                hint=f"{name}('table') or {name}('table', 'cache')",
            )
        return
    if isinstance(node.this, exp.Identifier) or (name not in PLAIN and name not in SPECIAL):
        raise QueryError(f"Error during planning: Invalid function '{name}'")
    # A function as source of rows is checked with its table; elsewhere these would make rows too.
    if name in ("range", "generate_series") and not isinstance(node.parent, exp.Table):
        raise QueryNotSupportedError(f"{name} is supported in FROM only")


def _check_table(node: exp.Table) -> None:
    allowed = {"this", "db", "catalog", "alias", "joins"}
    extra = [key for key, value in node.args.items() if value and key not in allowed]
    if extra:
        raise QueryNotSupportedError(f"This feature is not implemented: {extra[0]} of a table")
    if isinstance(node.this, exp.Anonymous):
        name = node.this.name.lower()
        if name not in TABLE_FUNCTIONS or node.args.get("db"):
            raise QueryError(f"Error during planning: table function '{name}' not found")
    elif not isinstance(node.this, exp.Identifier):
        raise QueryError("Error during planning: a table name is an identifier or a text")


def _check_type(node: exp.DataType) -> None:
    if node.this not in CAST_TYPES:
        raise QueryNotSupportedError(f"Unsupported SQL type {node.sql()}")
    for size in node.expressions:
        if not isinstance(size.this, exp.Literal) or size.this.is_string:
            raise QueryNotSupportedError(f"Unsupported SQL type {node.sql()}")


def _check_word(node: exp.Var) -> None:
    # Words are written out as they are, so they may only stand where they were matched as words.
    fits = isinstance(node.parent, (exp.Extract, exp.Interval, exp.Parameter))
    if not fits or not _WORD.match(node.name):
        raise QueryError(f"unexpected word {node.name!r} in the query")
