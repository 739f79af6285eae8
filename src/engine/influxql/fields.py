# Owns the fields of a SELECT: wildcards written out for one table, the names of columns, what a
# query is made of (raw columns or aggregates), and the values of expressions over a series.
"""Fields of SELECT."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from engine.errors import QueryError, QueryNotSupportedError
from engine.influxql import functions, tree
from engine.influxql.conditions import Columns
from engine.influxql.names import matching
from lp_core.enums import ColumnType

FIELDS_MAX = 10_000
_NUMBERS = frozenset({ColumnType.INT64, ColumnType.UINT64, ColumnType.FLOAT64})


class Output(msgspec.Struct, frozen=True):
    """A column of the answer."""

    name: str
    expression: tree.Expression


class Parts(msgspec.Struct, frozen=True):
    """What the expressions of a query are computed from."""

    # Aggregate calls, and columns outside of such.
    calls: tuple[tree.Call, ...]
    references: tuple[tree.Reference, ...]
    has_transformation: bool
    # Calls that are not within another one but of mathematics; each gives rows of its own.
    outermost: tuple[tree.Call, ...]
    # How many intervals before the first one of the answer a transformation looks at.
    intervals_before: int


def outputs_of(select: tree.Select, columns: Columns, grouped: Sequence[str]) -> list[Output]:
    """The columns of the answer from a table with `columns`; `grouped` tags stand aside.

    Raises:
        QueryError, QueryNotSupportedError: A field makes no sense.
    """
    named: list[tuple[str, tree.Expression]] = []
    for field in select.fields:
        for suffix, expression in _written_out(field.expression, columns, grouped):
            name = field.alias or _name_of(expression)
            named.append((f"{name}_{suffix}" if suffix else name, expression))
            named += [(tag.name, tag) for tag in _tags_of(expression)]
        if len(named) > FIELDS_MAX:
            raise QueryError(f"more than {FIELDS_MAX} columns")
    if all(_is_time(expression) for _, expression in named) and named:
        raise QueryError("at least 1 non-time field must be queried")
    outputs: list[Output] = []
    taken: set[str] = set()
    for name, expression in named:
        if _is_time(expression):
            continue
        unique, count = name, 0
        while unique in taken:
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique)
        outputs.append(Output(unique, expression))
    return outputs


def _is_time(expression: tree.Expression) -> bool:
    return isinstance(expression, tree.Reference) and expression.name.lower() == "time"


def check_steps(outputs: Sequence[Output], *, has_interval: bool) -> None:
    """Refuse functions from row to row whose rows are not what they say.

    Raises:
        QueryError: They work on aggregates without intervals, or on columns with such.
    """
    for output in outputs:
        for leaf in _leaves(output.expression):
            if not isinstance(leaf, tree.Call) or leaf.name not in functions.TRANSFORMATIONS:
                continue
            is_aggregate = isinstance(leaf.arguments[0], tree.Call)
            if is_aggregate and not has_interval:
                raise QueryError(f"{leaf.name} aggregate requires a GROUP BY interval")
            if has_interval and not is_aggregate:
                raise QueryError(f"aggregate function required inside the call to {leaf.name}")


def parts_of(outputs: Sequence[Output]) -> Parts:
    """What `outputs` are computed from.

    Raises:
        QueryError, QueryNotSupportedError: A function does not exist, or is used wrongly.
    """
    calls: dict[tree.Call, None] = {}
    outermost: dict[tree.Call, None] = {}
    references: dict[tree.Reference, None] = {}
    before: list[int] = []
    for output in outputs:
        outermost.update(dict.fromkeys(_outermost(output.expression)))
        for leaf in _leaves(output.expression):
            match leaf:
                case tree.Call(name=name) if name in functions.TRANSFORMATIONS:
                    before.append(intervals_before(leaf))
                case tree.Call():
                    calls[leaf] = None
                case _:
                    references[leaf] = None
    return Parts(
        tuple(calls), tuple(references), bool(before), tuple(outermost), max(before, default=0)
    )


def intervals_before(call: tree.Call) -> int:
    """How many intervals before the first one of the answer `call` looks at.

    Raises:
        QueryError: Its arguments are wrong.
    """
    if call.name not in functions.TRANSFORMATIONS or call.name == "cumulative_sum":
        return 0
    if call.name == "moving_average":
        return (_argument(call.name, call.arguments) or 1) - 1
    return 1


def _outermost(expression: tree.Expression) -> Iterator[tree.Call]:
    match expression:
        case tree.Call(name=name, arguments=arguments) if name in functions.MATH:
            for argument in arguments:
                yield from _outermost(argument)
        case tree.Call():
            yield expression
        case tree.Binary(left=left, right=right):
            yield from _outermost(left)
            yield from _outermost(right)
        case tree.Negation(operand=operand):
            yield from _outermost(operand)


def _leaves(expression: tree.Expression) -> Iterator[tree.Call | tree.Reference]:
    """Aggregates, columns and (beside what they work on) transformations of an expression."""
    match expression:
        case tree.Reference():
            yield expression
        case tree.Binary(operator=operator):
            if operator in ("AND", "OR", "=", "!=", "<", "<=", ">", ">=", "=~", "!~"):
                raise QueryError(f"invalid operator {operator} in SELECT clause")
            yield from _leaves(expression.left)
            yield from _leaves(expression.right)
        case tree.Negation(operand=operand):
            yield from _leaves(operand)
        case tree.Call(name=name, arguments=arguments):
            yield from _leaves_of_call(expression, name, arguments)
        case tree.Literal(value=value) if not isinstance(value, (bool, str)):
            return
        case _:
            raise QueryError("SELECT takes columns, functions and numbers")


def _leaves_of_call(
    call: tree.Call, name: str, arguments: tuple[tree.Expression, ...]
) -> Iterator[tree.Call | tree.Reference]:
    if name in functions.AGGREGATES:
        yield call
    elif name in functions.TRANSFORMATIONS:
        if not 1 <= len(arguments) <= 2:
            raise QueryError(f"invalid number of arguments for {name}, expected 1 or 2")
        yield call
        yield from _leaves(arguments[0])
    elif name in functions.MATH:
        wanted = functions.MATH[name][0]
        if len(arguments) != wanted:
            raise QueryError(
                f"invalid number of arguments for {name}, expected {wanted}, got {len(arguments)}"
            )
        for argument in arguments:
            yield from _leaves(argument)
    elif name in functions.NOT_SUPPORTED:
        raise QueryNotSupportedError(f"{name}() is not supported")
    else:
        raise QueryError(f"undefined function {name}()")


def _tags_of(expression: tree.Expression) -> list[tree.Reference]:
    """The tags in ``top(field, tag, count)``, which are columns of the answer too."""
    if not isinstance(expression, tree.Call) or expression.name not in ("top", "bottom"):
        return []
    return [tag for tag in expression.arguments[1:-1] if isinstance(tag, tree.Reference)]


# -- writing out wildcards ----------------------------------------------------------------------


def _written_out(
    expression: tree.Expression, columns: Columns, grouped: Sequence[str]
) -> Iterator[tuple[str, tree.Expression]]:
    """The expressions that one stands for, each with what its column's name ends in."""
    if isinstance(expression, (tree.Wildcard, tree.Regex)):
        for name in _matching(expression, columns):
            if not (columns[name] is ColumnType.TAG and name in grouped):
                yield "", tree.Reference(name)
        return
    place = _wildcard_in(expression)
    if place is None:
        yield "", expression
        return
    call, wildcard = place
    for name in _matching(wildcard, columns):
        kind = columns[name]
        if kind is ColumnType.TAG or (kind not in _NUMBERS and call.name not in functions.ANY_TYPE):
            continue
        yield name, _replaced(expression, wildcard, tree.Reference(name))


def _matching(pattern: tree.Wildcard | tree.Regex, columns: Columns) -> list[str]:
    if isinstance(pattern, tree.Regex):
        return sorted(matching(pattern.pattern, columns))
    return sorted(
        name
        for name, kind in columns.items()
        if not pattern.kind or (pattern.kind == "tag") == (kind is ColumnType.TAG)
    )


def _wildcard_in(
    expression: tree.Expression,
) -> tuple[tree.Call, tree.Wildcard | tree.Regex] | None:
    if isinstance(expression, tree.Call) and expression.arguments:
        first = expression.arguments[0]
        if isinstance(first, (tree.Wildcard, tree.Regex)):
            return expression, first
        return _wildcard_in(first)
    if isinstance(expression, tree.Binary):
        return _wildcard_in(expression.left) or _wildcard_in(expression.right)
    return None


def _replaced(
    expression: tree.Expression, old: tree.Expression, new: tree.Expression
) -> tree.Expression:
    if expression is old:
        return new
    if isinstance(expression, tree.Call):
        arguments = tuple(_replaced(argument, old, new) for argument in expression.arguments)
        return tree.Call(expression.name, arguments)
    if isinstance(expression, tree.Binary):
        left, right = expression.left, expression.right
        return tree.Binary(
            expression.operator, _replaced(left, old, new), _replaced(right, old, new)
        )
    return expression


def _name_of(expression: tree.Expression) -> str:
    match expression:
        case tree.Reference(name=name) | tree.Call(name=name):
            return name
        case tree.Binary(left=left, right=right):
            return "_".join(name for name in (_name_of(left), _name_of(right)) if name)
        case tree.Negation(operand=operand):
            return _name_of(operand)
        case _:
            return ""


# -- values -------------------------------------------------------------------------------------


def values_of(
    expression: tree.Expression,
    times: Sequence[int],
    known: Mapping[tree.Expression, functions.Values],
    interval_ns: int | None,
) -> functions.Values:
    """The values of `expression` along a series of which the leaves are `known`."""

    def values(node: tree.Expression) -> functions.Values:
        found = known.get(node)
        if found is not None:
            return found
        match node:
            case tree.Literal(value=value):
                return [value] * len(times)
            case tree.Binary(operator=operator):
                pairs = zip(values(node.left), values(node.right), strict=True)
                return [functions.combined(operator, left, right) for left, right in pairs]
            case tree.Negation(operand=operand):
                return [functions.combined("*", -1, value) for value in values(operand)]
            case tree.Call(name=name, arguments=arguments) if name in functions.MATH:
                rows = zip(*(values(argument) for argument in arguments), strict=True)
                return [functions.applied(name, row) for row in rows]
            case tree.Call(name=name, arguments=arguments):
                inner = values(arguments[0])
                argument = _argument(name, arguments)
                if argument is None and isinstance(arguments[0], tree.Call):
                    argument = None if name in ("moving_average", "elapsed") else interval_ns
                return functions.transformed(name, times, inner, argument)
            case _:
                raise AssertionError(node)

    return values(expression)


def _argument(name: str, arguments: tuple[tree.Expression, ...]) -> int | None:
    second = arguments[1] if len(arguments) == 2 else None
    if name == "moving_average":
        if not isinstance(second, tree.Literal):
            raise QueryError("moving_average() needs the number of points")
        window = functions.whole_argument(name, second.value)
        if window == 1:
            raise QueryError("moving_average window must be greater than 1, got 1")
        return window
    if second is None:
        return None
    if not isinstance(second, tree.Duration) or second.ns <= 0:
        raise QueryError(f"{name}() takes a duration above 0 as its second argument")
    return second.ns


_CASTS: dict[str, tuple[type[Any], ...]] = {
    "float": (int, float),
    "integer": (int, float),
    "unsigned": (int, float),
    "string": (str,),
    "boolean": (bool,),
}


def cast(value: Any, kind: str) -> Any:
    """`value` as ``::kind`` has it; None where it is of another sort."""
    wanted = _CASTS.get(kind)
    if wanted is None or value is None:
        return value
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        return None
    if kind == "float":
        return float(value)
    return int(value) if kind in ("integer", "unsigned") else value
