# Owns the question whether a query that groups can be asked in two steps: groups of some rows, and
# then groups of these groups. Works on translated trees of one shape, that of dashboards: one
# table, grouped by columns and bins of time or not at all, with sums and the like of columns. It
# only ever errs towards no.
"""Queries in two steps."""

from collections.abc import Collection

from sqlglot import exp

# Under which name the groups of the first step are visible to the second.
PARTS_VIEW = "headrace parts"

_CLAUSES = frozenset(("expressions", "from_", "where", "group", "order", "limit", "offset"))
_BIN = "headrace_bin_column"
# What is known of a file's rows without reading them.
ROWS, LEAST_TIME, GREATEST_TIME = "rows", "least time", "greatest time"
_OF_TIME = {"count": ROWS, "min": LEAST_TIME, "max": GREATEST_TIME, "sum": ""}


class _Unfit(Exception):  # noqa: N818 - no error, but an answer
    """The query is of another shape."""


class TwoSteps:
    """The trees of a query's two steps.

    ``told`` is what each column of the first step is where all of them are known of a file without
    reading it: how many rows, or the least or the greatest time. Else it is empty.
    """

    def __init__(self, inner: exp.Select, outer: exp.Select, told: tuple[str, ...]) -> None:
        self.inner = inner
        self.outer = outer
        self.told = told
        self.whole = inner.copy()
        self.whole.set("where", None)


def two_steps(tree: exp.Query, columns: Collection[str]) -> TwoSteps | None:
    """The two steps of a translated query over a table with these columns, or None."""
    if not isinstance(tree, exp.Select) or any(tree.find_all(exp.Subquery, exp.Window, exp.CTE)):
        return None
    if any(value and name not in _CLAUSES for name, value in tree.args.items()):
        return None
    source = tree.args.get("from_")
    if source is None or not isinstance(source.this, exp.Table) or source.this.args.get("joins"):
        return None
    try:
        return _Splitter(tree, columns).split()
    except _Unfit:
        return None


class _Splitter:
    def __init__(self, tree: exp.Select, columns: Collection[str]) -> None:
        self._tree = tree
        self._columns = columns
        self._names = [one.alias_or_name for one in tree.expressions]
        self._values = [one.unalias() for one in tree.expressions]
        # Numbers of the projections that the query groups by, in the order of its clause.
        self._keys: list[int] = []
        self._aggregates: list[exp.Expr] = []

    def split(self) -> TwoSteps:
        group = self._tree.args.get("group")
        if group is not None:
            if any(value for name, value in group.args.items() if name != "expressions"):
                raise _Unfit
            self._keys = [self._key(one) for one in group.expressions]
        outer = exp.Select(
            expressions=[
                exp.alias_(self._combined(number), name, quoted=True)
                for number, name in enumerate(self._names)
            ]
        ).from_(exp.to_identifier(PARTS_VIEW, quoted=True))
        keys = [_column(f"k{place}") for place in range(len(self._keys))]
        if keys:
            outer.set("group", exp.Group(expressions=keys))
        order = self._tree.args.get("order")
        if order is not None:
            self._check_order(order)
        for name in ("order", "limit", "offset"):
            clause = self._tree.args.get(name)
            if clause is not None:
                outer.set(name, clause.copy())
        return TwoSteps(self._inner(), outer, self._told())

    def _inner(self) -> exp.Select:
        shown = [
            exp.alias_(self._values[number].copy(), f"k{place}", quoted=True)
            for place, number in enumerate(self._keys)
        ]
        shown += [
            exp.alias_(aggregate, f"a{place}", quoted=True)
            for place, aggregate in enumerate(self._aggregates)
        ]
        inner = exp.Select(expressions=shown)
        for name in ("from_", "where"):
            clause = self._tree.args.get(name)
            if clause is not None:
                inner.set(name, clause.copy())
        ordinals = [exp.Literal.number(place + 1) for place in range(len(self._keys))]
        if ordinals:
            inner.set("group", exp.Group(expressions=ordinals))
        return inner

    def _told(self) -> tuple[str, ...]:
        """What the first step asks for, where it is known of files as a whole."""
        found = tuple(_told(aggregate) for aggregate in self._aggregates)
        return () if self._keys or "" in found else found

    def _key(self, node: exp.Expr) -> int:
        if isinstance(node, exp.Literal) and not node.is_string:
            number = int(node.name) - 1 if node.name.isdigit() else -1
            if not 0 <= number < len(self._values):
                raise _Unfit
        else:
            number = self._meant(node)
        value = self._values[number]
        is_bin = isinstance(value, exp.Anonymous) and value.name == _BIN
        if not isinstance(value, exp.Column) and not is_bin:
            raise _Unfit
        return number

    def _meant(self, node: exp.Expr) -> int:
        """The projection that an expression of GROUP BY means."""
        if (
            isinstance(node, exp.Column)
            and node.name not in self._columns
            and node.name.lower() in map(str.lower, self._columns)
        ):
            # To DuckDB it is that column.
            raise _Unfit
        if isinstance(node, exp.Column) and node.name not in self._columns and not node.table:
            found = [number for number, name in enumerate(self._names) if name == node.name]
        elif isinstance(node, exp.Column):
            found = [
                number
                for number, value in enumerate(self._values)
                if isinstance(value, exp.Column) and value.name == node.name
            ]
        else:
            found = [number for number, value in enumerate(self._values) if value == node]
        if not found:
            raise _Unfit
        return found[0]

    def _combined(self, number: int) -> exp.Expr:
        """What the second step computes for a projection."""
        if number in self._keys:
            return _column(f"k{self._keys.index(number)}")
        value = self._values[number]
        if not isinstance(value, exp.Anonymous) or len(value.expressions) != 1:
            raise _Unfit
        argument = value.expressions[0]
        name = value.name.lower()
        is_star = isinstance(argument, exp.Star) and not argument.args.get("except_")
        is_column = isinstance(argument, exp.Column) and isinstance(argument.this, exp.Identifier)
        if not is_column and not (is_star and name == "count"):
            raise _Unfit
        match name:
            case "min" | "max":
                return _call(name, self._part(name, argument))
            case "sum":
                return _call("sum", self._part("sum", argument))
            case "count":
                return exp.cast(_call("sum", self._part("count", argument)), "BIGINT")
            case "avg":
                total = _call("sum", self._part("sum", argument))
                count = _call("sum", self._part("count", argument))
                return exp.Div(this=exp.cast(total, "DOUBLE"), expression=exp.cast(count, "DOUBLE"))
            case _:
                raise _Unfit

    def _part(self, name: str, argument: exp.Expr) -> exp.Expr:
        """The column of the first step that has an aggregate of each group."""
        wanted = _call(name, argument.copy())
        if wanted not in self._aggregates:
            self._aggregates.append(wanted)
        return _column(f"a{self._aggregates.index(wanted)}")

    def _check_order(self, order: exp.Expr) -> None:
        for ordered in order.expressions:
            by = ordered.this
            is_number = isinstance(by, exp.Literal) and not by.is_string
            is_name = isinstance(by, exp.Column) and not by.table and by.name in self._names
            if not is_number and not is_name:
                raise _Unfit


def _told(aggregate: exp.Expr) -> str:
    """What an aggregate is of all rows of a file, whose every row has a time; empty if unknown."""
    (argument,) = aggregate.expressions
    if isinstance(argument, exp.Star):
        return ROWS
    return _OF_TIME[aggregate.name] if argument.name == "time" else ""


def _column(name: str) -> exp.Column:
    return exp.Column(this=exp.to_identifier(name, quoted=True))


def _call(name: str, argument: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=[argument])
