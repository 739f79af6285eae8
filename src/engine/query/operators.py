# Owns the translation of operators, casts and literals: what a text or parameter means beside a
# time, arithmetic on time in nanoseconds, division of whole numbers. Each function takes a node
# whose parts are translated already and returns what takes its place.
"""Translation of operators."""

import math
from typing import Any, TypeVar

import msgspec
from sqlglot import exp

from engine.errors import QueryError
from engine.query.kinds import Kind
from engine.query.literals import (
    TIME_NS_MAX,
    TIME_NS_MIN,
    Interval,
    interval_sql,
    parse_interval,
    parse_timestamp,
    time_sql,
)
from engine.query.scopes import Resolution, kind_of_type
from engine.query.slots import Slot, SlotKind, is_number_text, number_sql, slot_mark
from engine.query.zones import fixed_offset_s

_Node = TypeVar("_Node", bound=exp.Expr)

# Parts of the tree that translation may copy in one query; each takes some 20 µs.
_COPIES_MAX = 30_000


def raw(sql: str) -> exp.Var:
    """SQL text as it is. Only for text that this package made itself."""
    return exp.Var(this=sql)


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """A call of a DuckDB function or of one of our macros."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def cast(node: exp.Expr, type_name: str) -> exp.Cast:
    """A cast to a DuckDB type."""
    return exp.Cast(this=node, to=exp.DataType.build(type_name, dialect="duckdb"))


def replace(node: exp.Expr, made: exp.Expr) -> None:
    """Put ``made`` into the tree in the place of ``node``.

    The library's own function goes through all neighbours of the node, which for a list of
    thousands of values takes seconds.
    """
    parent, key, index = node.parent, node.arg_key, node.index
    assert parent is not None
    assert key is not None
    if index is None:
        parent.set(key, made)
    else:
        parent.args[key][index] = made
        made.parent, made.arg_key, made.index = parent, key, index
    node.parent, node.arg_key, node.index = None, None, None


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


class Operators:
    """Translates the operators of one query.

    Attributes:
        slots: The slots made so far, in the order of their marks.
    """

    def __init__(self, resolution: Resolution) -> None:
        self.resolution = resolution
        self.slots: list[Slot] = []
        self._intervals: dict[int, tuple[exp.Expr, Interval]] = {}
        self._copies = 0

    def copied(self, node: exp.Expr) -> exp.Expr:
        """A copy of a part that is needed once more.

        Raises:
            QueryError: There are too many of them, as from functions nested in each other.
        """
        self._copies += sum(1 for _ in node.walk())
        if self._copies > _COPIES_MAX:
            raise QueryError(
                "functions are nested too deeply in the query",
                hint="compute the inner ones in a subquery",
            )
        made = node.copy()
        for old, new in zip(node.walk(), made.walk(), strict=True):
            self.resolution.carry(new, old)
        return made

    def slot(self, slot: Slot, kind: Kind) -> exp.Var:
        """A node that stands for a value of the call."""
        self.slots.append(slot)
        return self._known(raw(slot_mark(len(self.slots) - 1)), kind)

    def width(self, node: exp.Expr) -> exp.Expr | None:
        """An interval parameter as a whole number of nanoseconds; None if the node is no such."""
        node = _bare(node)
        if isinstance(node, exp.Parameter):
            return self.parameter(node, SlotKind.WIDTH)
        for index, slot in enumerate(self.slots):
            if isinstance(node, exp.Var) and node.name == slot_mark(index):
                self.slots[index] = msgspec.structs.replace(slot, kind=SlotKind.WIDTH)
                return node
        return None

    def parameter(self, node: exp.Parameter, kind: SlotKind, **details: Any) -> exp.Var:
        """The slot of a parameter."""
        kinds = {SlotKind.TIME: Kind.TIME, SlotKind.NUMBER: Kind.FLOAT, SlotKind.TEXT: Kind.TEXT}
        return self.slot(
            Slot(kind=kind, name=node.this.name, **details), kinds.get(kind, Kind.OTHER)
        )

    def kind(self, node: exp.Expr) -> Kind:
        """The kind of an expression."""
        return self.resolution.kind(node)

    def zone(self, node: exp.Expr) -> str | None:
        """The zone of the type of a time."""
        return self.resolution.zone(node)

    def clock(self, node: exp.Expr) -> exp.Expr:
        """A time as the clock of its zone shows it."""
        zone = self.zone(node)
        time = self.to_time(node)
        offset_s = None if zone is None else fixed_offset_s(zone)
        if offset_s is not None:
            return self.moved(time, offset_s * 1_000_000_000)
        if zone is None:
            return time
        return self._known(call("headrace_local", time, exp.Literal.string(zone)), Kind.TIME)

    def instant(self, clock: exp.Expr, zone: str | None) -> exp.Expr:
        """The moment at which a clock of a zone shows a time; the earlier of two."""
        offset_s = None if zone is None else fixed_offset_s(zone)
        if offset_s is not None:
            return self.moved(clock, -offset_s * 1_000_000_000)
        if zone is None:
            return clock
        return self._known(call("headrace_earlier", clock, exp.Literal.string(zone)), Kind.TIME)

    def moved(self, time: exp.Expr, by_ns: int) -> exp.Expr:
        """A time moved by a constant number of nanoseconds."""
        if not by_ns:
            return time
        total = exp.Add(this=call("epoch_ns", time), expression=raw(f"({by_ns:d})"))
        return self._known(call("make_timestamp_ns", total), Kind.TIME)

    def _known(self, node: _Node, kind: Kind) -> _Node:
        self.resolution.set_kind(node, kind)
        return node

    # -- literals beside something of a known kind --

    def adapt(self, node: exp.Expr, kind: Kind) -> None:
        """Turn a literal or parameter into what it must mean beside a value of ``kind``."""
        node = _bare(node)
        if isinstance(node, exp.Parameter):
            replace(node, self._adapted_parameter(node, kind))
        elif isinstance(node, exp.Literal):
            adapted = self._adapted_literal(node, kind)
            if adapted is not None:
                replace(node, adapted)

    def _adapted_parameter(self, node: exp.Parameter, kind: Kind) -> exp.Expr:
        if kind in (Kind.TIME, Kind.DATE):
            return self.parameter(node, SlotKind.TIME)
        if kind is Kind.INTERVAL:
            return self.parameter(node, SlotKind.INTERVAL)
        if kind.is_number:
            return self.parameter(node, SlotKind.NUMBER)
        return self.parameter(node, SlotKind.TEXT if kind.is_text else SlotKind.VALUE)

    def _adapted_literal(self, node: exp.Literal, kind: Kind) -> exp.Expr | None:
        text = node.name
        if kind is Kind.TIME:
            return self.time_literal(node)
        if kind is Kind.INTERVAL and node.is_string:
            interval = parse_interval(text)
            return None if interval is None else self.interval_node(interval)
        if kind.is_number and node.is_string and is_number_text(text):
            return self._known(raw(f"({number_sql(text)})"), Kind.FLOAT)
        if kind.is_text and not node.is_string:
            return self._known(exp.Literal.string(text), Kind.TEXT)
        return None

    def time_literal(self, node: exp.Literal, unit_ns: int = 1) -> exp.Expr:
        """A timestamp from a text, or from a number of units since the epoch."""
        if node.is_string:
            time_ns = parse_timestamp(node.name)
        else:
            number = float(node.name) * unit_ns
            time_ns = int(number) if "." in node.name and math.isfinite(number) else None
            time_ns = int(node.name) * unit_ns if node.name.isdigit() else time_ns
        if time_ns is None or not TIME_NS_MIN <= time_ns <= TIME_NS_MAX:
            raise QueryError(f"Error during planning: '{node.name}' is not a timestamp")
        return self._known(raw(time_sql(time_ns)), Kind.TIME)

    def to_time(self, node: exp.Expr, unit_ns: int = 1) -> exp.Expr:
        """The value as a nanosecond timestamp; a number counts units since the epoch."""
        bare = _bare(node)
        if isinstance(bare, exp.Parameter):
            return self.parameter(bare, SlotKind.TIME, unit_ns=unit_ns)
        if isinstance(bare, exp.Literal):
            return self.time_literal(bare, unit_ns)
        kind = self.kind(node)
        if kind is Kind.TIME:
            return node
        if kind.is_whole:
            scaled = exp.Mul(
                this=cast(exp.paren(node, copy=False), "BIGINT"), expression=_number(unit_ns)
            )
            time: exp.Expr = call("make_timestamp_ns", scaled)
        elif kind is Kind.FLOAT:
            scaled = exp.Mul(this=exp.paren(node, copy=False), expression=_number(unit_ns))
            time = call("make_timestamp_ns", cast(call("trunc", scaled), "BIGINT"))
        elif kind is Kind.DATE:
            time = cast(node, "TIMESTAMP_NS")
        else:
            time = call("headrace_parse_time", node)
        return self._known(time, Kind.TIME)

    # -- intervals --

    def interval(self, node: exp.Interval) -> exp.Expr:
        """``INTERVAL '…'`` or ``INTERVAL $name``."""
        unit = node.args["unit"].name if node.args.get("unit") else ""
        if isinstance(node.this, exp.Parameter):
            slot = self.parameter(node.this, SlotKind.INTERVAL, unit_text=unit)
            return self._known(slot, Kind.INTERVAL)
        interval = parse_interval(f"{node.this.name} {unit}".strip())
        if interval is None:
            raise QueryError(f"Error during planning: '{node.this.name}' is not an interval")
        return self.interval_node(interval)

    def interval_node(self, interval: Interval) -> exp.Expr:
        """An interval whose exact value stays known."""
        node = self._known(raw(interval_sql(interval)), Kind.INTERVAL)
        self._intervals[id(node)] = (node, interval)
        return node

    def constant_interval(self, node: exp.Expr) -> Interval | None:
        """The exact value of an interval, if it was written as one."""
        known = self._intervals.get(id(_bare(node)))
        return known[1] if known is not None else None

    # -- operators --

    def compare(self, node: exp.Binary) -> None:
        """``=``, ``<`` and their like: each side tells what a literal on the other means."""
        self.adapt(node.this, self.kind(node.expression))
        self.adapt(node.expression, self.kind(node.this))

    def between(self, node: exp.Between) -> None:
        """``BETWEEN``: the value tells what the bounds mean, or else one bound does."""
        kind = self.kind(node.this)
        if kind is Kind.OTHER:
            kind = self.kind(node.args["low"])
            kind = self.kind(node.args["high"]) if kind is Kind.OTHER else kind
            self.adapt(node.this, kind)
        self.adapt(node.args["low"], kind)
        self.adapt(node.args["high"], kind)

    def membership(self, node: exp.In) -> None:
        """``IN``: the value tells what the listed ones mean."""
        for item in list(node.expressions):
            self.adapt(item, self.kind(node.this))

    def arithmetic(self, node: exp.Binary) -> exp.Expr:
        """``+ - * / %``."""
        left, right = self.kind(node.this), self.kind(node.expression)
        if isinstance(node, (exp.Add, exp.Sub)):
            shifted = self._time_arithmetic(node, left, right)
            if shifted is not None:
                return shifted
        # Arithmetic is on numbers unless a side is known to be something else.
        for side, other in ((node.this, right), (node.expression, left)):
            if other.is_number or other is Kind.OTHER or other is Kind.INTERVAL:
                self.adapt(side, Kind.FLOAT)
        if isinstance(node, exp.Div):
            return self._division(node)
        if isinstance(node, exp.Mod) and left.is_whole and right.is_whole:
            node.set("expression", call("headrace_divisor", node.expression))
        return node

    def _division(self, node: exp.Div) -> exp.Expr:
        left, right = self.kind(node.this), self.kind(node.expression)
        real = Kind.FLOAT in (left, right) or Kind.INTERVAL in (left, right)
        # Of two unknown kinds DuckDB's // cuts off only if both turn out to be whole numbers.
        made = exp.Div if real else exp.IntDiv
        whole = left.is_whole and right.is_whole
        divisor = node.expression
        if whole:
            divisor = call("headrace_divisor", divisor)
        division = made(this=node.this, expression=divisor)
        kind = Kind.INTEGER if whole else (Kind.FLOAT if Kind.FLOAT in (left, right) else left)
        return self._known(division, kind)

    def _time_arithmetic(self, node: exp.Binary, left: Kind, right: Kind) -> exp.Expr | None:
        moments = (Kind.TIME, Kind.DATE)
        if right is Kind.INTERVAL and left is not Kind.INTERVAL and not left.is_number:
            return self.shift(self.to_time(node.this), node.expression, node)
        if left is Kind.INTERVAL and right in moments and isinstance(node, exp.Add):
            return self.shift(self.to_time(node.expression), node.this, node)
        if left in moments and right is Kind.OTHER:
            return self._time_and_literal(node)
        return None

    def _time_and_literal(self, node: exp.Binary) -> exp.Expr | None:
        other = _bare(node.expression)
        if isinstance(other, exp.Parameter):
            interval = self.parameter(other, SlotKind.INTERVAL)
            return self.shift(self.to_time(node.this), interval, node)
        if isinstance(other, exp.Literal) and other.is_string:
            span = parse_interval(other.name)
            if span is not None:
                return self.shift(self.to_time(node.this), self.interval_node(span), node)
            node.set("expression", self.time_literal(other))
            return self._known(node, Kind.INTERVAL)
        return None

    def shift(self, time: exp.Expr, by: exp.Expr, node: exp.Expr) -> exp.Expr:
        """``time`` moved by an interval, forwards or (for a Sub node) backwards."""
        backwards = isinstance(node, exp.Sub)
        span = self.constant_interval(by)
        if span is not None and not span.months:
            return self.moved(time, -span.nanoseconds if backwards else span.nanoseconds)
        if span is not None:
            by = raw(interval_sql(span.negated() if backwards else span))
        elif backwards:
            by = exp.Mul(this=exp.paren(by, copy=False), expression=raw("(-1)"))
        return self._known(call("headrace_shift", time, by), Kind.TIME)

    # -- casts --

    def cast(self, node: exp.Cast) -> exp.Expr:
        """``CAST(x AS type)``, ``x::type`` and ``TRY_CAST``."""
        wanted = kind_of_type(node.to)
        if wanted is Kind.TIME:
            return self.to_time(node.this)
        if wanted is Kind.INTERVAL:
            self.adapt(node.this, Kind.INTERVAL)
            return node
        if isinstance(_bare(node.this), exp.Parameter):
            kind = Kind.TIME if wanted is Kind.DATE else wanted
            self.adapt(node.this, kind)
        source = self.kind(node.this)
        if wanted.is_whole:
            node.set("this", self._whole(node.this, source))
        elif source is Kind.TIME and wanted is Kind.DATE:
            node.set("this", call("headrace_us", self.clock(node.this)))
        elif source is Kind.TIME and wanted.is_text:
            return self._known(self._time_text(node.this), Kind.TEXT)
        return node

    def _time_text(self, node: exp.Expr) -> exp.Expr:
        zone = self.zone(node)
        if zone is None:
            return call("headrace_time_text", node)
        clock, time = self.clock(self.copied(node)), self.to_time(node)
        return call("headrace_zoned_text", clock, time)

    def _whole(self, node: exp.Expr, kind: Kind) -> exp.Expr:
        # DuckDB rounds where the reference system cuts off.
        if kind is Kind.TIME:
            return call("epoch_ns", node)
        if kind is Kind.FLOAT:
            return call("trunc", node)
        if kind is Kind.OTHER and not isinstance(_bare(node), exp.Literal):
            return call("headrace_whole", node)
        return node


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)
