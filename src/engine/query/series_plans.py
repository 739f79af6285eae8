# Owns the question whether a query asks one of the few things that dashboards ask of single series,
# which are answered without DuckDB. Works on translated trees, so what it reads is what DuckDB
# would be told, and knows the values of parameters only as slots. It only ever errs towards no.
"""Plans of questions about single series."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from sqlglot import exp

from engine.query.kinds import Kind
from engine.query.reach import FLIPPED, SIGNS
from engine.query.slots import SLOT_MARK, Slot, SlotKind, is_number_text

_CLAUSES = frozenset(("expressions", "from_", "where", "group", "order", "limit", "offset"))
_AGGREGATES = frozenset(("count", "sum", "avg", "min", "max"))
_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS
# Units of date_trunc that have one length, with it and a moment at which one begins.
_UNITS_NS = {
    "millisecond": (1_000_000, 0),
    "second": (_SECOND_NS, 0),
    "minute": (60 * _SECOND_NS, 0),
    "hour": (3_600 * _SECOND_NS, 0),
    "day": (_DAY_NS, 0),
    "week": (7 * _DAY_NS, 4 * _DAY_NS),
}
# How the translation writes what it made of literals and slots.
_TIME = re.compile(r"make_timestamp_ns\((-?\d+)\)", re.ASCII)
_WHOLE = re.compile(r"\(?(-?\d+)\)?", re.ASCII)


class Given(NamedTuple):
    """A value of a query: a constant, or that of a slot; a time may be moved by nanoseconds."""

    constant: int | float | str = 0
    slot: Slot | None = None
    moved_ns: int = 0


class Condition(NamedTuple):
    """A column compared with a value; ``=`` holds for one of several."""

    column: str
    kind: Kind
    sign: str
    values: tuple[Given, ...]


class Bin(NamedTuple):
    """The time, rounded down to a multiple of `width_ns` after `origin`."""

    width_ns: int
    origin: Given


class Aggregate(NamedTuple):
    """A function of the values of a column; of rows where that is None."""

    function: str
    column: str | None


# A column is shown as it is.
Shown = str | Bin | Aggregate


class Sorting(NamedTuple):
    """A key by which the answer is sorted: the number of a part of it, or a column."""

    by: int | str
    is_descending: bool
    are_nulls_first: bool


class SeriesPlan(NamedTuple):
    """A query over one table.

    Attributes:
        conditions: That all must hold. One of them is about a tag.
        names: Of the columns of the answer.
        shown: What is in them.
        keys: Numbers of those that rows are grouped by; None where rows are shown as they are.
        order: What the answer is sorted by.
        limit: How many rows it has at most.
        offset: How many are left out before them.
    """

    conditions: tuple[Condition, ...]
    names: tuple[str, ...]
    shown: tuple[Shown, ...]
    keys: tuple[int, ...] | None
    order: tuple[Sorting, ...]
    limit: Given | None
    offset: Given | None


class _Unfit(Exception):  # noqa: N818 - no error, but an answer
    """The query asks something else."""


def series_plan(
    tree: exp.Query, columns: Mapping[str, Kind], slots: Sequence[Slot]
) -> SeriesPlan | None:
    """The plan of a translated query over a table with these columns, or None."""
    if not isinstance(tree, exp.Select) or _has_others(tree, _CLAUSES):
        return None
    try:
        return _Reader(tree, columns, slots).plan()
    except _Unfit:
        return None


def _has_others(node: exp.Expr, names: frozenset[str]) -> bool:
    """Whether a node has parts beside those of these names."""
    return any(value and name not in names for name, value in node.args.items())


def _unfit() -> NoReturn:
    raise _Unfit


class _Reader:
    def __init__(
        self, tree: exp.Select, columns: Mapping[str, Kind], slots: Sequence[Slot]
    ) -> None:
        self._tree = tree
        self._columns = columns
        self._slots = slots
        self._table = self._source()
        self._names: list[str] = []
        self._parts: list[exp.Expr] = []

    def plan(self) -> SeriesPlan:
        self._read_list()
        where = self._tree.args.get("where")
        conditions = tuple(self._conditions(where.this)) if where is not None else ()
        if not any(one.kind is Kind.TAG for one in conditions):
            _unfit()
        shown = tuple(map(self._shown, self._parts))
        keys = self._keys(shown)
        return SeriesPlan(
            conditions,
            tuple(self._names),
            shown,
            keys,
            self._sorting(keys),
            self._count("limit", exp.Limit),
            self._count("offset", exp.Offset),
        )

    def _source(self) -> str:
        source = self._tree.args.get("from_")
        table = None if source is None else source.this
        if not isinstance(table, exp.Table) or _has_others(table, frozenset(("this", "alias"))):
            _unfit()
        alias = table.args.get("alias")
        if not isinstance(table.this, exp.Identifier) or (alias is not None and alias.columns):
            _unfit()
        return str(table.alias_or_name)

    # -- what is shown --

    def _read_list(self) -> None:
        expressions = self._tree.expressions
        if len(expressions) == 1 and isinstance(expressions[0], exp.Star):
            if _has_others(expressions[0], frozenset()):
                _unfit()
            self._names = list(self._columns)
            self._parts = [exp.column(exp.to_identifier(name, quoted=True)) for name in self._names]
            return
        self._names = [one.alias_or_name for one in expressions]
        self._parts = [one.unalias() for one in expressions]
        # DuckDB does not tell names apart that differ in case.
        if len({name.lower() for name in self._names}) != len(self._names):
            _unfit()

    def _shown(self, node: exp.Expr) -> Shown:
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, exp.Cast):
            return self._truncated(node)
        if not isinstance(node, exp.Anonymous):
            _unfit()
        name, arguments = str(node.this).lower(), node.expressions
        if name == "headrace_bin_column":
            width, time, origin = arguments
            found = _WHOLE.fullmatch(width.name) if isinstance(width, exp.Var) else None
            if found is None or self._kind(time) is not Kind.TIME:
                _unfit()
            return Bin(int(found[1]), self._time(origin))
        if name not in _AGGREGATES or len(arguments) != 1:
            _unfit()
        return self._aggregate(name, arguments[0])

    def _truncated(self, node: exp.Cast) -> Bin:
        """``date_trunc`` as it is translated."""
        inner, (unit, micros) = node.this, (None, None)
        is_trunc = isinstance(inner, exp.Anonymous) and str(inner.this) == "date_trunc"
        if is_trunc and node.to.sql(dialect="duckdb") == "TIMESTAMP_NS":
            unit, micros = inner.expressions
        if not isinstance(micros, exp.Anonymous) or str(micros.this) != "headrace_us":
            _unfit()
        known = _UNITS_NS.get("" if unit is None else unit.name)
        if known is None or self._kind(micros.expressions[0]) is not Kind.TIME:
            _unfit()
        return Bin(known[0], Given(known[1]))

    def _aggregate(self, name: str, argument: exp.Expr) -> Aggregate:
        if isinstance(argument, exp.Star):
            is_plain = not _has_others(argument, frozenset())
            return Aggregate(name, None) if is_plain and name == "count" else _unfit()
        kind = self._kind(argument)
        fits = kind.is_number or (kind is Kind.TIME and name in ("min", "max"))
        return Aggregate(name, self._column(argument)) if fits or name == "count" else _unfit()

    # -- columns --

    def _column(self, node: exp.Expr) -> str:
        if (
            not isinstance(node, exp.Column)
            or not isinstance(node.this, exp.Identifier)
            or node.table not in ("", self._table)
            or node.name not in self._columns
        ):
            _unfit()
        return node.name

    def _kind(self, node: exp.Expr) -> Kind:
        return self._columns[self._column(node)]

    # -- groups and order --

    def _keys(self, shown: Sequence[Shown]) -> tuple[int, ...] | None:
        group = self._tree.args.get("group")
        keys = []
        if group is not None:
            if _has_others(group, frozenset(("expressions",))):
                _unfit()
            keys = [self._key(one) for one in group.expressions]
        elif all(isinstance(one, str) for one in shown):
            return None
        for number, one in enumerate(shown):
            if isinstance(one, Aggregate) == (number in keys):
                _unfit()
        for number in keys:
            one = shown[number]
            if isinstance(one, str) and self._columns[one] not in (Kind.TAG, Kind.TIME):
                _unfit()
        return tuple(keys)

    def _key(self, node: exp.Expr) -> int:
        """The number of the shown part that an expression of GROUP BY means."""
        if isinstance(node, exp.Column) and node.name in self._columns:
            name = self._column(node)
            for number, part in enumerate(self._parts):
                if isinstance(part, exp.Column) and part.name == name:
                    return number
            _unfit()
        if isinstance(node, exp.Column) and node.name.lower() in map(str.lower, self._columns):
            # To DuckDB it is that column.
            _unfit()
        return self._number(node)

    def _number(self, node: exp.Expr) -> int:
        """The number of the shown part that a number, name or expression means."""
        if isinstance(node, exp.Literal):
            number = int(node.name) - 1 if not node.is_string and node.name.isdigit() else -1
            return number if 0 <= number < len(self._parts) else _unfit()
        if isinstance(node, exp.Column):
            is_name = not node.table and node.name in self._names
            return self._names.index(node.name) if is_name else _unfit()
        return self._parts.index(node) if node in self._parts else _unfit()

    def _sorting(self, keys: tuple[int, ...] | None) -> tuple[Sorting, ...]:
        order = self._tree.args.get("order")
        sorting = []
        for one in [] if order is None else order.expressions:
            if not isinstance(one, exp.Ordered) or one.args.get("with_fill"):
                _unfit()
            by: int | str = self._sorted_by(one.this, keys)
            is_first = bool(one.args.get("nulls_first"))
            sorting.append(Sorting(by, bool(one.args.get("desc")), is_first))
        return tuple(sorting)

    def _sorted_by(self, node: exp.Expr, keys: tuple[int, ...] | None) -> int | str:
        lowered = {name.lower() for name in self._names}
        if keys is None and isinstance(node, exp.Column) and node.name.lower() not in lowered:
            name = self._column(node)
        else:
            number = self._number(node)
            if keys is not None:
                return number if number in keys else _unfit()
            name = self._column(self._parts[number])
        return name if self._columns[name] in (Kind.TAG, Kind.TIME) else _unfit()

    def _count(self, name: str, kind: type[exp.Expr]) -> Given | None:
        clause = self._tree.args.get(name)
        if clause is None:
            return None
        if not isinstance(clause, kind) or _has_others(clause, frozenset(("expression",))):
            _unfit()
        return self._value(clause.expression)

    # -- conditions --

    def _conditions(self, node: exp.Expr) -> list[Condition]:
        if isinstance(node, exp.Paren):
            return self._conditions(node.this)
        if isinstance(node, exp.And):
            return [*self._conditions(node.left), *self._conditions(node.right)]
        if isinstance(node, exp.Between):
            if _has_others(node, frozenset(("this", "low", "high"))):
                _unfit()
            bounds = ((">=", node.args["low"]), ("<=", node.args["high"]))
            return [self._condition(node.this, sign, [value]) for sign, value in bounds]
        if isinstance(node, exp.In):
            if _has_others(node, frozenset(("this", "expressions"))) or not node.expressions:
                _unfit()
            return [self._condition(node.this, "=", node.expressions)]
        kind = type(node)
        if kind not in SIGNS:
            _unfit()
        left, right = node.this, node.args["expression"]
        if not isinstance(left, exp.Column):
            left, right, kind = right, left, FLIPPED.get(kind, kind)
        return [self._condition(left, SIGNS[kind], [right])]

    def _condition(self, column: exp.Expr, sign: str, values: Sequence[exp.Expr]) -> Condition:
        kind = self._kind(column)
        if kind is Kind.TIME:
            given = [self._time(value) for value in values]
        elif kind.is_number:
            given = [self._value(value) for value in values]
        elif kind is Kind.TAG and sign == "=":
            given = [self._text(value) for value in values]
        else:
            _unfit()
        if len(given) > 1 and kind is not Kind.TAG:
            _unfit()
        return Condition(self._column(column), kind, sign, tuple(given))

    # -- values --

    def _slot(self, node: exp.Expr) -> Slot | None:
        found = SLOT_MARK.fullmatch(node.name) if isinstance(node, exp.Var) else None
        return None if found is None else self._slots[int(found[1])]

    def _text(self, node: exp.Expr) -> Given:
        slot = self._slot(node)
        if slot is not None:
            return Given("", slot) if slot.kind is SlotKind.TEXT else _unfit()
        is_text = isinstance(node, exp.Literal) and node.is_string
        return Given(node.name) if is_text else _unfit()

    def _value(self, node: exp.Expr) -> Given:
        """A number."""
        slot = self._slot(node)
        if slot is not None:
            return Given(0, slot) if slot.kind is SlotKind.NUMBER else _unfit()
        if isinstance(node, exp.Paren):
            return self._value(node.this)
        if isinstance(node, exp.Neg):
            given = self._value(node.this)
            assert not isinstance(given.constant, str)
            return Given(-given.constant) if given.slot is None else _unfit()
        if isinstance(node, exp.Var):
            found = _WHOLE.fullmatch(node.name)
            return _unfit() if found is None else Given(int(found[1]))
        if not isinstance(node, exp.Literal) or node.is_string or not is_number_text(node.name):
            _unfit()
        return Given(int(node.name) if node.name.isdigit() else float(node.name))

    def _time(self, node: exp.Expr) -> Given:
        slot = self._slot(node)
        if slot is not None:
            is_time = slot.kind in (SlotKind.TIME, SlotKind.NOW)
            return Given(0, slot) if is_time else _unfit()
        if isinstance(node, exp.Paren):
            return self._time(node.this)
        if isinstance(node, exp.Var):
            found = _TIME.fullmatch(node.name)
            return _unfit() if found is None else Given(int(found[1]))
        return self._moved(node)

    def _moved(self, node: exp.Expr) -> Given:
        """A time and a constant number of nanoseconds, as `Operators.moved` writes it."""
        if not isinstance(node, exp.Anonymous) or str(node.this) != "make_timestamp_ns":
            _unfit()
        (total,) = node.expressions
        if not isinstance(total, exp.Add) or not isinstance(total.this, exp.Anonymous):
            _unfit()
        by = total.expression
        found = _WHOLE.fullmatch(by.name) if isinstance(by, exp.Var) else None
        if found is None or str(total.this.this) != "epoch_ns":
            _unfit()
        start = self._time(total.this.expressions[0])
        return start._replace(moved_ns=start.moved_ns + int(found[1]))
