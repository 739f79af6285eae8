# Owns the question how much of its tables a query can touch at all: between which times, and which
# columns. It only ever errs towards more: what it does not understand it takes as everything. The
# query itself still has all its conditions.
"""What a query reaches of its tables."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import sqlglot.expressions as exp

from engine.errors import QueryError
from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN, parse_interval, parse_timestamp
from engine.query.slots import is_number_text
from engine.store.time_ranges import TimeRange, common

EVERYTHING: TimeRange = (TIME_NS_MIN, TIME_NS_MAX)
# Rounding in expressions of time is below this.
_SLACK_NS = 1_000_000
# Whole numbers up to this are doubles, too: comparing as one or the other makes no difference.
_EXACT_MAX = 1 << 52

FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.EQ: exp.EQ,
}
SIGNS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
}


class Select(NamedTuple):
    """A SELECT of a query.

    Attributes:
        sources: What it reads.
        conditions: Parts of its WHERE that must hold for every row of the answer.
    """

    sources: tuple[exp.Expr, ...]
    conditions: tuple[exp.Expr, ...]


class Survey(NamedTuple):
    """What matters of a query's tree, found once: a walk through it takes as long as an answer.

    Attributes:
        query: The tree.
        selects: All of its SELECTs.
        tables: All mentions of tables.
    """

    query: exp.Query
    selects: tuple[Select, ...]
    tables: tuple[exp.Table, ...]


class Comparison(NamedTuple):
    """A column of numbers compared with one, by a sign like ``<``."""

    column: str
    sign: str
    number: int | float


def survey_of(query: exp.Query) -> Survey:
    """The survey of a checked query with folded names."""
    selects = [
        Select(tuple(_sources(select)), tuple([] if where is None else _conditions(where.this)))
        for select in query.find_all(exp.Select)
        for where in [select.args.get("where")]
    ]
    return Survey(query, tuple(selects), tuple(query.find_all(exp.Table)))


def columns_reached(query: exp.Query) -> frozenset[str] | None:
    """Names, in lower case, among which are all columns that a query uses; None for all columns."""
    tables = {table.alias_or_name for table in query.find_all(exp.Table)}
    names: set[str] = set()
    for node in query.walk():
        if isinstance(node, exp.Star) and not _is_counted(node):
            return None
        if isinstance(node, exp.Join) and (node.args.get("method") or "").upper() == "NATURAL":
            return None
        if isinstance(node, exp.Column) and not node.table and node.name in tables:
            # A whole row, in the name of its table.
            return None
        if isinstance(node, exp.Identifier | exp.Literal):
            # A text may stand for a name in places.
            names.add(node.name.lower())
    return frozenset(names)


def _is_counted(star: exp.Star) -> bool:
    call = star.parent
    return isinstance(call, exp.Count) or (
        isinstance(call, exp.Anonymous) and str(call.this).lower() == "count"
    )


def times_reached(
    survey: Survey, params: Mapping[str, object], now_ns: int
) -> dict[str, TimeRange]:
    """By name of a table, the times outside of which its rows cannot matter.

    Tables of which that is not known are absent. A condition counts where it must hold for every
    row of the answer that the table has a part in: as a part of a WHERE that is joined by AND.
    """
    reached: dict[str, TimeRange] = {}
    unknown: set[str] = set()
    judged: set[int] = set()
    for select in survey.selects:
        for source in select.sources:
            if isinstance(source, exp.Table):
                judged.add(id(source))
                times = _times(select, source, (params, now_ns))
                known = reached.get(source.name)
                reached[source.name] = (
                    times if known is None else (min(times[0], known[0]), max(times[1], known[1]))
                )
    for table in survey.tables:
        if id(table) not in judged:
            unknown.add(table.name)
    return {
        name: times
        for name, times in reached.items()
        if name not in unknown and times != EVERYTHING
    }


def times_met(survey: Survey, params: Mapping[str, object], now_ns: int) -> TimeRange | None:
    """Times at which every row meets the conditions of a query over one table.

    None where it has conditions that are about other things, or not plain.
    """
    if not isinstance(survey.query, exp.Select):
        return None
    # The first one that is found in a SELECT is itself.
    sources, conditions = survey.selects[0]
    if len(sources) != 1 or not isinstance(sources[0], exp.Table):
        return None
    low, high = EVERYTHING
    for condition in conditions:
        limits = _exact_limits(condition, sources[0], (params, now_ns))
        if limits is None:
            return None
        low, high = max(low, limits[0]), min(high, limits[1])
    return low, high


def _exact_limits(
    condition: exp.Expr, table: exp.Table, at: tuple[Mapping[str, object], int]
) -> TimeRange | None:
    """Times between which a condition surely holds; None where it is no plain limit of time."""
    if isinstance(condition, exp.Between):
        pair = _value(condition.args["low"], at), _value(condition.args["high"], at)
        if not _is_time(condition.this, table, is_alone=True) or None in pair:
            return None
        return pair[0] + 2 * _SLACK_NS, pair[1] - 2 * _SLACK_NS  # type: ignore[operator]
    limits = _limits(condition, table, is_alone=True, at=at)
    if limits == EVERYTHING:
        return None
    low, high = limits
    return (
        low if low == TIME_NS_MIN else low + 3 * _SLACK_NS,
        high if high == TIME_NS_MAX else high - 3 * _SLACK_NS,
    )


def texts_reached(
    survey: Survey, params: Mapping[str, object]
) -> dict[str, dict[str, frozenset[str]]]:
    """By name of a table, columns whose value must be one of some texts, for a row to matter.

    Only of tables that the query mentions once.
    """
    reached: dict[str, dict[str, frozenset[str]]] = {}
    for source, condition, is_alone in _of_single_tables(survey):
        found = _texts(condition, source, params, is_alone=is_alone)
        if found is not None:
            reached.setdefault(source.name, {}).setdefault(*found)
    return reached


def numbers_reached(
    survey: Survey, params: Mapping[str, object]
) -> dict[str, tuple[Comparison, ...]]:
    """By name of a table, comparisons that a row meets, for it to matter.

    Of columns that are numbers; what a comparison of others means is another matter. Only of
    tables that the query mentions once.
    """
    reached: dict[str, tuple[Comparison, ...]] = {}
    for source, condition, is_alone in _of_single_tables(survey):
        found = _comparison(condition, source, params, is_alone=is_alone)
        if found is not None:
            reached[source.name] = (*reached.get(source.name, ()), found)
    return reached


def _of_single_tables(survey: Survey) -> Iterator[tuple[exp.Table, exp.Expr, bool]]:
    """Tables that are mentioned once, with each condition beside them.

    And whether there is no other source that its columns may be of.
    """
    mentions = Counter(table.name for table in survey.tables)
    for sources, conditions in survey.selects:
        for source in sources:
            if isinstance(source, exp.Table) and mentions[source.name] == 1:
                for condition in conditions:
                    yield source, condition, len(sources) == 1


def _comparison(
    condition: exp.Expr, table: exp.Table, params: Mapping[str, object], *, is_alone: bool
) -> Comparison | None:
    kind = type(condition)
    if kind not in SIGNS:
        return None
    column, value = condition.this, condition.args["expression"]
    if not isinstance(column, exp.Column):
        column, value, kind = value, column, FLIPPED.get(kind, kind)
    if not _is_own(column, table, is_alone=is_alone):
        return None
    number = _number(value, params)
    return None if number is None else Comparison(column.name, SIGNS[kind], number)


def _number(node: exp.Expr, params: Mapping[str, object]) -> int | float | None:
    if isinstance(node, exp.Neg):
        positive = _number(node.this, params)
        return None if positive is None else -positive
    value: object = None
    if isinstance(node, exp.Parameter):
        value = params.get(node.name)
    elif isinstance(node, exp.Literal) and not node.is_string and is_number_text(node.name):
        value = int(node.name) if node.name.isdigit() else float(node.name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= _EXACT_MAX else None


def _texts(
    condition: exp.Expr, table: exp.Table, params: Mapping[str, object], *, is_alone: bool
) -> tuple[str, frozenset[str]] | None:
    """The column of a condition like ``column = 'text'``, and the texts that meet it."""
    if isinstance(condition, exp.EQ):
        column, values = condition.this, [condition.expression]
        if not isinstance(column, exp.Column):
            column, values = condition.expression, [condition.this]
    elif isinstance(condition, exp.In) and not condition.args.get("query"):
        column, values = condition.this, list(condition.expressions)
    else:
        return None
    if not _is_own(column, table, is_alone=is_alone):
        return None
    texts = [_text(value, params) for value in values]
    known = frozenset(text for text in texts if text is not None)
    return (column.name, known) if texts and None not in texts else None


def _is_own(node: exp.Expr, table: exp.Table, *, is_alone: bool) -> bool:
    if not isinstance(node, exp.Column):
        return False
    return node.table == table.alias_or_name if node.table else is_alone


def _text(node: exp.Expr, params: Mapping[str, object]) -> str | None:
    if isinstance(node, exp.Literal):
        return node.name if node.is_string else None
    value = params.get(node.name) if isinstance(node, exp.Parameter) else None
    return value if isinstance(value, str) else None


def sure_end(times: TimeRange) -> int:
    """Rows up to this time meet the last time that a query sets, where `times` are its reach.

    The least time that there is where `times` have no end that is known.
    """
    return times[1] - 2 * _SLACK_NS if times[1] < TIME_NS_MAX else TIME_NS_MIN


def _sources(select: exp.Select) -> list[exp.Expr]:
    source = select.args.get("from_") or select.args.get("from")
    sources = [] if source is None else [source.this]
    sources += [join.this for join in select.args.get("joins") or []]
    return sources + list(select.args.get("laterals") or [])


def _times(select: Select, table: exp.Table, at: tuple[Mapping[str, object], int]) -> TimeRange:
    times = EVERYTHING
    for condition in select.conditions:
        limits = _limits(condition, table, is_alone=len(select.sources) == 1, at=at)
        # Conditions that contradict each other reach nothing; a moment is little enough.
        times = common(times, limits) or (limits[0], limits[0])
    return times


def _conditions(node: exp.Expr) -> list[exp.Expr]:
    """The parts of a condition that all must hold."""
    if isinstance(node, exp.Paren):
        return _conditions(node.this)
    if isinstance(node, exp.And):
        return [*_conditions(node.left), *_conditions(node.right)]
    return [node]


def _limits(
    condition: exp.Expr,
    table: exp.Table,
    *,
    is_alone: bool,
    at: tuple[Mapping[str, object], int],
) -> TimeRange:
    if isinstance(condition, exp.Between):
        if not _is_time(condition.this, table, is_alone=is_alone):
            return EVERYTHING
        low, high = _value(condition.args["low"], at), _value(condition.args["high"], at)
        return _widened(low, high)
    kind = type(condition)
    if kind not in FLIPPED:
        return EVERYTHING
    left, right = condition.this, condition.args["expression"]
    if _is_time(right, table, is_alone=is_alone):
        left, right, kind = right, left, FLIPPED[kind]
    if not _is_time(left, table, is_alone=is_alone):
        return EVERYTHING
    value = _value(right, at)
    return _widened(
        None if kind in (exp.LT, exp.LTE) else value, None if kind in (exp.GT, exp.GTE) else value
    )


def _widened(low: int | None, high: int | None) -> TimeRange:
    return (
        TIME_NS_MIN if low is None else max(TIME_NS_MIN, low - _SLACK_NS),
        TIME_NS_MAX if high is None else min(TIME_NS_MAX, high + _SLACK_NS),
    )


def _is_time(node: exp.Expr, table: exp.Table, *, is_alone: bool) -> bool:
    return _is_own(node, table, is_alone=is_alone) and node.name == "time"


def _value(node: exp.Expr, at: tuple[Mapping[str, object], int]) -> int | None:
    """Nanoseconds that an expression means where a time is wanted; None when that is not plain."""
    params, now_ns = at
    match node:
        case exp.Paren():
            return _value(node.this, at)
        case exp.Literal(is_string=True):
            return _of_text(node.name)
        case exp.Cast():
            is_text = isinstance(node.this, exp.Literal) and node.this.is_string
            return _value(node.this, at) if is_text and node.is_type("timestamp") else None
        case exp.Parameter():
            value = params.get(node.name)
            return _of_text(value) if isinstance(value, str) else None
        case exp.CurrentTimestamp():
            return now_ns
        case exp.Anonymous(this=name) if str(name).lower() == "now" and not node.expressions:
            return now_ns
        case exp.Add() | exp.Sub():
            value, span = _value(node.this, at), _span(node.expression)
            if value is None or span is None:
                return None
            return value + span if isinstance(node, exp.Add) else value - span
        case _:
            return None


def _of_text(text: str) -> int | None:
    try:
        return parse_timestamp(text)
    except QueryError:
        # Out of range; the query itself says so.
        return None


def _span(node: exp.Expr) -> int | None:
    if not isinstance(node, exp.Interval) or not isinstance(node.this, exp.Literal):
        return None
    unit = node.args["unit"].name if node.args.get("unit") else ""
    interval = parse_interval(f"{node.this.name} {unit}".strip())
    return None if interval is None or interval.months else interval.nanoseconds
