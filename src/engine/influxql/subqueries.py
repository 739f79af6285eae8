# Owns what a subquery takes over from the query around it.
"""Subqueries."""

import msgspec

from engine.errors import QueryError
from engine.influxql import functions, tree
from engine.influxql.conditions import Calendar, bounded, where_of


def inherited(inner: tree.Select, outer: tree.Select, calendar: Calendar) -> tree.Select:
    """`inner` as it runs inside of `outer`: within its times, by its tags and in its order.

    Intervals are taken over where `inner` aggregates and has none. Empty ones are left out, for the
    query around it would not look at them.

    Raises:
        QueryError: `inner` is ordered the other way.
    """
    if inner.is_ordered and inner.is_descending != outer.is_descending:
        raise QueryError("subqueries must be ordered in the same direction as the query itself")
    where = where_of(outer.condition, {}, calendar)
    if where.high_ns is None and outer.grouping.interval_ns is not None:
        where = msgspec.structs.replace(where, high_ns=calendar.now_ns)
    grouping = inner.grouping
    tags = tuple(dict.fromkeys((*grouping.tags, *outer.grouping.tags)))
    grouping = msgspec.structs.replace(grouping, tags=tags)
    around = outer.grouping
    if grouping.interval_ns is None and around.interval_ns is not None:
        grouping = msgspec.structs.replace(
            grouping,
            interval_ns=around.interval_ns,
            offset_ns=around.offset_ns,
            is_inherited=True,
        )
    fill = inner.fill
    if fill.kind is tree.FillKind.NULL and _aggregates(inner):
        fill = tree.Fill(tree.FillKind.NONE)
    return msgspec.structs.replace(
        inner,
        condition=bounded(inner.condition, where),
        grouping=grouping,
        fill=fill,
        is_descending=outer.is_descending,
    )


def own_form(select: tree.Select) -> tree.Select:
    """`select` without an interval that only its subqueries heed."""
    grouping = select.grouping
    if not grouping.is_inherited or _aggregates(select):
        return select
    return msgspec.structs.replace(
        select, grouping=msgspec.structs.replace(grouping, interval_ns=None)
    )


def _aggregates(select: tree.Select) -> bool:
    return any(_has_aggregate(field.expression) for field in select.fields)


def _has_aggregate(expression: tree.Expression) -> bool:
    match expression:
        case tree.Call(name=name, arguments=arguments):
            return name in functions.AGGREGATES or any(map(_has_aggregate, arguments))
        case tree.Binary(left=left, right=right):
            return _has_aggregate(left) or _has_aggregate(right)
        case tree.Negation(operand=operand):
            return _has_aggregate(operand)
        case _:
            return False


def as_subquery(source: tree.Source) -> tree.Select:
    """All of a stored table, for a query that reads it beside a subquery."""
    everything = tree.Field(tree.Wildcard("field"))
    return tree.Select((everything,), (source,), grouping=tree.Grouping(has_all_tags=True))
