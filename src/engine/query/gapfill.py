# Owns the filling of gaps: a SELECT that groups by date_bin_gapfill becomes one over three layers
# (the groups, the same with a row for every bin, and the values that go into new rows). Runs before
# translation, so everything here is written in the users' dialect.
"""Queries that fill gaps in time."""

from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from engine.errors import QueryError, QueryNotSupportedError
from engine.query.functions import AGGREGATES, COUNTS
from engine.query.literals import parse_interval
from engine.query.scopes import Resolution

_BINS = {
    "date_bin_gapfill": "date_bin",
    "date_bin_wallclock_gapfill": "date_bin_wallclock",
}
_FILLS = ("locf", "interpolate")
_WRAPPERS = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)

# The names of the layers and of their columns; users cannot use such names.
_ROWS, _KEYS, _TIMES, _BIN = "headrace rows", "headrace keys", "headrace times", "headrace bin"
_SERIES, _SAMPLE, _HERE = "headrace series", "headrace sample", "headrace here"
_TURNED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LT,
    exp.LT: exp.GT,
    exp.GTE: exp.LTE,
    exp.LTE: exp.GTE,
}
# How closely the range is looked through for bins of a clock that is sometimes put forward or back.
_SAMPLE_NS = 15 * 60 * 1_000_000_000


def fills_gaps(query: exp.Query) -> bool:
    """Whether a query calls one of the functions of this module."""
    return any(_name(call) in (*_BINS, *_FILLS) for call in query.find_all(exp.Anonymous))


def filled(query: exp.Query, resolution: Resolution) -> exp.Query:
    """The query without calls of these functions.

    Raises:
        QueryError: One is called where it has no meaning, or the range of time is open.
    """
    selects = list(query.find_all(exp.Select))
    for select in reversed(selects):
        group = select.args.get("group")
        keys = _keys(select, resolution) if group is not None else []
        if any(_calls(key, _BINS) for key in keys):
            made = _Filling(select, keys).made()
            if select is query:
                query = made
            else:
                select.replace(made)
    for call in query.find_all(exp.Anonymous):
        if _name(call) in _BINS:
            raise QueryError(
                f"Error during planning: {_name(call)} may only be used as a GROUP BY expression"
            )
        if _name(call) in _FILLS:
            raise QueryError(
                f"Error during planning: {_name(call)} may only be used in the SELECT list of a "
                "gap-filling query"
            )
    return query


def _name(node: Any) -> str:
    return node.name.lower() if isinstance(node, exp.Anonymous) else ""


def _calls(node: exp.Expr, names: Any) -> list[exp.Anonymous]:
    return [call for call in node.find_all(exp.Anonymous) if _name(call) in names]


def _keys(select: exp.Select, resolution: Resolution) -> list[exp.Expr]:
    """What a SELECT groups by, with numbers and aliases resolved."""
    group = select.args["group"]
    known = {name for source in resolution.sources(select) for name in source.columns}
    aliases = {
        projection.alias: projection.this
        for projection in select.expressions
        if isinstance(projection, exp.Alias)
    }
    keys: list[exp.Expr] = []
    for key in group.expressions:
        bare = key.unnest()
        if isinstance(bare, exp.Literal) and bare.name.isdigit():
            number = int(bare.name)
            if not 0 < number <= len(select.expressions):
                raise QueryError(f"Error during planning: there is no column {number} to group by")
            bare = select.expressions[number - 1].unalias()
        elif isinstance(bare, exp.Column) and not bare.table and bare.name not in known:
            bare = aliases.get(bare.name, bare)
        keys.append(bare.unnest())
    return keys


def _column(name: str, table: str = "") -> exp.Column:
    quoted = exp.to_identifier(name, quoted=True)
    return exp.Column(this=quoted, table=exp.to_identifier(table, quoted=True) if table else None)


def _call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _named(node: exp.Expr, name: str) -> exp.Alias:
    return exp.Alias(this=node, alias=exp.to_identifier(name, quoted=True))


def _table(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def _subquery(query: exp.Query, name: str) -> exp.Subquery:
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(name, quoted=True)))


class _Filling:
    """The layers of one SELECT."""

    def __init__(self, select: exp.Select, keys: list[exp.Expr]) -> None:
        self._select = select
        self._bin = self._only_bin(keys)
        self._others = [key for key in keys if key is not self._bin]
        # Aggregates with the way in which they are filled, in the order of their columns.
        self._values: list[tuple[exp.Expr, str]] = []

    @staticmethod
    def _only_bin(keys: list[exp.Expr]) -> exp.Anonymous:
        calls = [call for key in keys for call in _calls(key, _BINS)]
        if len(calls) > 1:
            raise QueryError("Error during planning: DATE_BIN_GAPFILL specified more than once")
        if not any(key is calls[0] for key in keys):
            raise QueryError(
                "Error during planning: DATE_BIN_GAPFILL must be a top-level expression in the "
                "GROUP BY clause when gap filling. It cannot be part of another expression or cast"
            )
        if len(calls[0].expressions) not in (2, 3):
            count = len(calls[0].expressions)
            raise QueryError(
                f"Error during planning: DATE_BIN_GAPFILL expects 2 or 3 arguments, got {count}"
            )
        return calls[0]

    def made(self) -> exp.Select:
        """The SELECT that takes the place of the one given."""
        for clause in ("qualify", "windows", "joins_after"):
            if self._select.args.get(clause):
                raise QueryNotSupportedError(f"{clause.upper()} in a gap-filling query")
        bounds = _Bounds(self._select, self._bin)
        plain, bins = self._select.copy(), self._bin.copy()
        outer = exp.Select(
            **{
                key: value
                for key, value in plain.args.items()
                if key in ("expressions", "order", "limit", "offset", "distinct")
            }
        )
        having = plain.args.get("having")
        self._replace(outer, may_fill=True)
        if having is not None:
            condition = exp.Where(this=having.this)
            self._replace(condition, may_fill=False)
            outer.set("where", condition)
        rows = self._rows(plain, bins)
        inner = self._filled_rows(bounds, bins)
        outer.set("from_", exp.From(this=_subquery(inner, _HERE)))
        if outer.args.get("order") is None and not outer.args.get("distinct"):
            columns = [_column(f"headrace key {n}", _HERE) for n in range(len(self._others))]
            keys = [*columns, _column(_BIN, _HERE)]
            outer.set(
                "order",
                exp.Order(
                    expressions=[
                        exp.Ordered(this=key, desc=False, nulls_first=False) for key in keys
                    ]
                ),
            )
        ctes = list(plain.args["with_"].expressions) if plain.args.get("with_") else []
        ctes.append(
            exp.CTE(this=rows, alias=exp.TableAlias(this=exp.to_identifier(_ROWS, quoted=True)))
        )
        recursive = bool(plain.args.get("with_") and plain.args["with_"].args.get("recursive"))
        outer.set("with_", exp.With(expressions=ctes, recursive=recursive))
        return outer

    def _rows(self, plain: exp.Select, bins: exp.Anonymous) -> exp.Select:
        """The groups that there are."""
        bins.set("this", _BINS[_name(bins)])
        keys = [bins, *(key.copy() for key in self._others)]
        names = [_BIN, *(f"headrace key {number}" for number in range(len(self._others)))]
        shown = [_named(key.copy(), name) for key, name in zip(keys, names, strict=True)]
        shown += [
            _named(value.copy(), f"headrace value {number}")
            for number, (value, _) in enumerate(self._values)
        ]
        rows = exp.Select(expressions=shown)
        for clause in ("from_", "joins", "where"):
            if plain.args.get(clause):
                rows.set(clause, plain.args[clause])
        rows.set("group", exp.Group(expressions=keys))
        return rows

    def _filled_rows(self, bounds: "_Bounds", bins: exp.Anonymous) -> exp.Select:
        """A row for each group and bin, with values in the new ones."""
        names = [f"headrace key {number}" for number in range(len(self._others))]
        keys = exp.Select(
            expressions=[
                *(_column(name) for name in names),
                _named(exp.Boolean(this=True), "headrace one"),
            ],
            distinct=exp.Distinct(),
        )
        keys.set("from_", exp.From(this=_table(_ROWS)))
        matches: exp.Expr = exp.EQ(this=_column(_BIN, _ROWS), expression=_column(_BIN, _TIMES))
        for name in names:
            same = exp.NullSafeEQ(this=_column(name, _ROWS), expression=_column(name, _KEYS))
            matches = exp.And(this=matches, expression=same)
        joined = exp.Select(
            expressions=[
                _named(_column(_BIN, _TIMES), _BIN),
                *(_named(_column(name, _KEYS), name) for name in names),
                *(
                    _named(self._value(number), f"headrace value {number}")
                    for number in range(len(self._values))
                ),
            ]
        )
        joined.set("from_", exp.From(this=_subquery(keys, _KEYS)))
        joined.set(
            "joins",
            [
                exp.Join(this=_subquery(bounds.times(bins), _TIMES), kind="CROSS"),
                exp.Join(this=_table(_ROWS), side="LEFT", on=matches),
            ],
        )
        if not any(fill for _, fill in self._values):
            return joined
        shown: list[exp.Expr] = [_column(_BIN), *(_column(name) for name in names)]
        for number, (_, fill) in enumerate(self._values):
            value = f"headrace value {number}"
            shown.append(_named(self._fill(fill, value, names), value) if fill else _column(value))
        layer = exp.Select(expressions=shown)
        layer.set("from_", exp.From(this=_subquery(joined, _KEYS)))
        return layer

    def _value(self, number: int) -> exp.Expr:
        value, fill = self._values[number]
        column = _column(f"headrace value {number}", _ROWS)
        inner = value
        while isinstance(inner, _WRAPPERS):
            inner = inner.this
        if not fill and _name(inner) in COUNTS:
            return _call("coalesce", column, exp.Literal.number(0))
        return column

    def _fill(self, fill: str, name: str, keys: list[str]) -> exp.Expr:
        def near(value: exp.Expr, is_before: bool) -> exp.Expr:
            function = _call("last_value" if is_before else "first_value", value)
            rows = exp.WindowSpec(
                kind="ROWS",
                start="UNBOUNDED" if is_before else "CURRENT ROW",
                start_side="PRECEDING" if is_before else None,
                end="CURRENT ROW" if is_before else "UNBOUNDED",
                end_side=None if is_before else "FOLLOWING",
            )
            return exp.Window(
                this=exp.IgnoreNulls(this=function),
                partition_by=[_column(key) for key in keys],
                order=exp.Order(
                    expressions=[exp.Ordered(this=_column(_BIN), desc=False, nulls_first=False)]
                ),
                spec=rows,
                over="OVER",
            )

        def time() -> exp.Expr:
            known = exp.Not(this=exp.Is(this=_column(name), expression=exp.Null()))
            return exp.Case(ifs=[exp.If(this=known, true=_column(_BIN))])

        if fill == "locf":
            return near(_column(name), is_before=True)
        return _call(
            "headrace_interpolated",
            _column(name),
            near(_column(name), is_before=True),
            near(time(), is_before=True),
            near(_column(name), is_before=False),
            near(time(), is_before=False),
            _column(_BIN),
        )

    def _replace(self, root: exp.Expr, *, may_fill: bool) -> None:
        """Put columns of the layers in the place of keys and aggregates."""
        for node in list(_outermost(root, self._is_replaced)):
            made: exp.Expr
            if _name(node) in _FILLS:
                if not may_fill:
                    continue
                argument = node.expressions[0].unnest() if node.expressions else None
                if argument is None or not _is_aggregate(argument):
                    raise QueryError(
                        f"Error during planning: {_name(node)} must be called on an aggregate "
                        "column in a gap-filling query"
                    )
                made = self._value_column(argument, _name(node))
            elif _is_aggregate(node):
                made = self._value_column(node, "")
            elif node == self._bin:
                made = _column(_BIN, _HERE)
            else:
                number = next(n for n, key in enumerate(self._others) if _same(key, node))
                made = _column(f"headrace key {number}", _HERE)
            if isinstance(node.parent, exp.Select) and isinstance(node, exp.Column):
                made = _named(made, node.name)
            node.replace(made)

    def _is_replaced(self, node: exp.Expr) -> bool:
        if _name(node) in _FILLS or _is_aggregate(node) or node == self._bin:
            return True
        return any(_same(key, node) for key in self._others)

    def _value_column(self, value: exp.Expr, fill: str) -> exp.Column:
        wanted = (value, fill)
        if wanted not in self._values:
            self._values.append((value.copy(), fill))
        return _column(f"headrace value {self._values.index(wanted)}", _HERE)


def _same(key: exp.Expr, node: exp.Expr) -> bool:
    if isinstance(key, exp.Column) and isinstance(node, exp.Column):
        is_table_known = key.table and node.table
        return key.name == node.name and (not is_table_known or key.table == node.table)
    return key == node


def _outermost(root: exp.Expr, wanted: Any) -> Iterator[exp.Expr]:
    waiting = list(root.iter_expressions())
    while waiting:
        node = waiting.pop()
        if wanted(node):
            yield node
        elif not isinstance(node, exp.Query):
            waiting += node.iter_expressions()


def _is_aggregate(node: exp.Expr) -> bool:
    """Whether a node is an aggregate with all that belongs to it."""
    if isinstance(node, exp.Bracket):
        return _name(node.this).startswith("selector_")
    while isinstance(node, _WRAPPERS):
        node = node.this
    if _name(node) not in AGGREGATES:
        return False
    parent = node.parent
    while isinstance(parent, _WRAPPERS):
        parent = parent.parent
    return not isinstance(parent, exp.Window)


class _Bounds:
    """The range of time of a gap-filling query, from its WHERE."""

    def __init__(self, select: exp.Select, bins: exp.Anonymous) -> None:
        self._width, time, *self._origin = bins.expressions
        while isinstance(time, (exp.Cast, exp.Paren)) or _name(time) == "tz":
            time = time.this if not isinstance(time, exp.Anonymous) else time.expressions[0]
        if not isinstance(time, exp.Column):
            raise QueryError(
                "Error during planning: DATE_BIN_GAPFILL requires a column as the source argument"
            )
        self._time = time
        self._lower: list[exp.Expr] = []
        self._upper: list[exp.Expr] = []
        where = select.args.get("where")
        if where is not None:
            for condition in (
                where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
            ):
                self._take(condition.unnest())
        missing = [
            name for name, found in (("upper", self._upper), ("lower", self._lower)) if not found
        ]
        if missing:
            bounds = (
                "both upper and lower time bounds"
                if len(missing) == 2
                else f"{missing[0]} time bound"
            )
            raise QueryError(
                f"Error during planning: gap-filling query is missing {bounds}",
                hint="add time >= … AND time < … to WHERE",
            )

    def _take(self, condition: exp.Expr) -> None:
        if isinstance(condition, exp.And):
            for part in condition.flatten():
                self._take(part.unnest())
        elif isinstance(condition, exp.Between) and _same(self._time, condition.this):
            self._add(self._lower, condition.args["low"], 0)
            self._add(self._upper, condition.args["high"], 0)
        elif isinstance(condition, (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ)):
            kind: type[exp.Expr] = type(condition)
            bound = condition.expression
            if not _same(self._time, condition.this):
                if not _same(self._time, condition.expression):
                    return
                bound = condition.this
                kind = _TURNED.get(kind, kind)
            if kind in (exp.GT, exp.GTE, exp.EQ):
                self._add(self._lower, bound, 1 if kind is exp.GT else 0)
            if kind in (exp.LT, exp.LTE, exp.EQ):
                self._add(self._upper, bound, -1 if kind is exp.LT else 0)

    @staticmethod
    def _add(bounds: list[exp.Expr], bound: exp.Expr, step_ns: int) -> None:
        if bound.find(exp.Column, exp.Query):
            raise QueryError(
                "Error during planning: a time bound for gap fill query must evaluate to a scalar"
            )
        moment: exp.Expr = _call("to_timestamp_nanos", bound.copy())
        if step_ns:
            step = exp.Interval(this=exp.Literal.string(f"{step_ns} nanoseconds"))
            moment = exp.Add(this=moment, expression=step)
        bounds.append(moment)

    def times(self, bins: exp.Anonymous) -> exp.Query:
        """A query for the bins of the range."""
        lower = self._lower[0] if len(self._lower) == 1 else _call("greatest", *self._lower)
        upper = self._upper[0] if len(self._upper) == 1 else _call("least", *self._upper)
        if bins.name == "date_bin":
            first, last = self._binned(bins, lower), self._binned(bins, upper)
            return _series(first, last, self._step(), lambda moment: moment)
        step = exp.Literal.number(min(_SAMPLE_NS, self._width_ns()))
        sampled = _series(lower, upper, step, lambda moment: self._binned(bins, moment))
        last_bin = exp.Select(expressions=[_named(self._binned(bins, upper), _BIN)])
        found = exp.Select(expressions=[_column(_BIN)])
        found.set("from_", exp.From(this=_table(_ROWS)))
        both = exp.Union(this=sampled, expression=last_bin, distinct=True)
        return exp.Union(this=both, expression=found, distinct=True)

    def _binned(self, bins: exp.Anonymous, moment: exp.Expr) -> exp.Expr:
        made = bins.copy()
        time = next(
            column
            for column in made.expressions[1].find_all(exp.Column)
            if _same(self._time, column)
        )
        if time is made.expressions[1]:
            made.set("expressions", [made.expressions[0], moment.copy(), *made.expressions[2:]])
        else:
            time.replace(moment.copy())
        return made

    def _width_ns(self) -> int:
        width = self._width
        text = width.name
        if isinstance(width, exp.Interval):
            unit = width.args["unit"].name if width.args.get("unit") else ""
            text = f"{width.this.name} {unit}" if isinstance(width.this, exp.Literal) else ""
        span = parse_interval(text)
        if span is None:
            raise QueryError(
                "Error during planning: stride argument to DATE_BIN_GAPFILL for gap fill query "
                "must evaluate to a scalar"
            )
        if span.months:
            raise QueryNotSupportedError("date_bin_gapfill does not support months")
        if span.nanoseconds <= 0:
            raise QueryError("Error during planning: the interval of date_bin must be positive")
        return span.nanoseconds

    def _step(self) -> exp.Expr:
        return exp.Literal.number(self._width_ns())


def _series(first: exp.Expr, last: exp.Expr, step: exp.Expr, moment: Any) -> exp.Select:
    """Moments from the first to the last, each a step after the one before."""
    function = _call("generate_series", _call("epoch_ns", first), _call("epoch_ns", last), step)
    alias = exp.TableAlias(
        this=exp.to_identifier(_SERIES, quoted=True),
        columns=[exp.to_identifier(_SAMPLE, quoted=True)],
    )
    series = exp.Select(
        expressions=[_named(moment(_call("make_timestamp_ns", _column(_SAMPLE))), _BIN)]
    )
    series.set("from_", exp.From(this=exp.Table(this=function, alias=alias)))
    return series
