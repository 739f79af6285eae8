# Owns the macros that translated queries call, and the weight they give to a query: DuckDB copies an
# argument to every place where a macro mentions it, so nested calls grow exponentially, in a phase
# that neither its memory limit nor interrupts stop.
"""Macros of translated queries."""

import math
import re

from sqlglot import exp

from engine.errors import QueryError

# Copies of parts that macros may make in one query; each costs DuckDB up to 0.1 ms.
_COPIES_MAX = 5_000

# They are made before the database is locked. A macro stands behind those that it uses.
MACROS = (
    # Microseconds rounded down: DuckDB's own cast rounds to the nearest, which crosses into
    # tomorrow. 1000 is 8 * 125; the shift rounds down, and the sum is not negative.
    """CREATE MACRO headrace_us(t) AS
       make_timestamp(((epoch_ns(t) >> 3) + 1162500000000000000) // 125 - 9300000000000000)""",
    """CREATE MACRO headrace_shift(t, span) AS make_timestamp_ns(
       epoch_ns(headrace_us(t) + span) + nanosecond(t) % 1000)""",
    """CREATE MACRO headrace_bin(width, t, origin) AS make_timestamp_ns(epoch_ns(t)
       - (((epoch_ns(t) - epoch_ns(origin)) % width) + width) % width)""",
    """CREATE MACRO headrace_bin_months(months, t, origin) AS time_bucket(
       to_months(months), headrace_us(t), headrace_us(origin))::TIMESTAMP_NS""",
    "CREATE MACRO headrace_nanosecond(t) AS nanosecond(t)",
    """CREATE MACRO headrace_seconds(t) AS
       (epoch_ns(t) - ((epoch_ns(t) % 1000000000) + 1000000000) % 1000000000) // 1000000000""",
    """CREATE MACRO headrace_whole(x) AS CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT')
       THEN CAST(trunc(CAST(x AS DOUBLE)) AS BIGINT) ELSE CAST(x AS BIGINT) END""",
    # A numeric offset in the text counts; DuckDB's cast to a time without zone would ignore it.
    """CREATE MACRO headrace_parse_time(x) AS CASE
       WHEN regexp_matches(CAST(x AS VARCHAR), '[0-9][+-][0-9]{2}(:?[0-9]{2})?$')
         AND NOT regexp_matches(CAST(x AS VARCHAR), '^[0-9]+-[0-9]+-[0-9]+$')
       THEN CAST(timezone('UTC', CAST(x AS TIMESTAMPTZ)) AS TIMESTAMP_NS)
       ELSE CAST(x AS TIMESTAMP_NS) END""",
    # DuckDB makes one text of any length without looking at its memory limit or at interrupts.
    """CREATE MACRO headrace_text_length(n) AS CASE WHEN n > 10000000
       THEN error('the text would be longer than 10000000 characters') ELSE n END""",
    """CREATE MACRO headrace_repeat(x, n) AS repeat(x, CASE WHEN n * strlen(x) > 10000000
       THEN error('the text would be longer than 10000000 bytes') ELSE n END)""",
    "CREATE MACRO headrace_selected(v, t) AS {'time': t, 'value': v}",
    """CREATE MACRO headrace_typeof(x) AS CASE typeof(x)
       WHEN 'BIGINT' THEN 'Int64' WHEN 'INTEGER' THEN 'Int64' WHEN 'UBIGINT' THEN 'UInt64'
       WHEN 'HUGEINT' THEN 'Int64' WHEN 'DOUBLE' THEN 'Float64' WHEN 'FLOAT' THEN 'Float32'
       WHEN 'VARCHAR' THEN 'Utf8' WHEN 'BOOLEAN' THEN 'Boolean' WHEN 'DATE' THEN 'Date32'
       WHEN 'TIMESTAMP_NS' THEN 'Timestamp(ns)' WHEN 'INTERVAL' THEN 'Interval(MonthDayNano)'
       WHEN '"NULL"' THEN 'Null' ELSE typeof(x) END""",
)

_MACRO = re.compile(r"CREATE MACRO (\w+)\(([^)]*)\) AS\s(.*)\Z", re.DOTALL)


def _copies_by_macro() -> dict[str, int]:
    """How often each macro copies an argument at most."""
    copies: dict[str, int] = {}
    for macro in MACROS:
        match = _MACRO.match(macro)
        assert match is not None
        name, parameters, body = match.groups()
        words = re.findall(r"\w+", body)
        most = max(words.count(parameter.strip()) for parameter in parameters.split(","))
        inner = [copies[word] for word in words if word in copies]
        copies[name] = most * math.prod(inner)
    return copies


COPIES_BY_MACRO = _copies_by_macro()


def check_copies(tree: exp.Expr) -> None:
    """Refuse a translated query whose macros would blow it up.

    Raises:
        QueryError: It nests functions so deeply that DuckDB could not plan it.
    """
    nodes = list(tree.walk(bfs=False))
    weights: dict[int, int] = {}
    for node in reversed(nodes):
        inner = sum(weights[id(child)] for child in node.iter_expressions())
        if isinstance(node, exp.Anonymous):
            inner *= COPIES_BY_MACRO.get(node.name, 1)
        weights[id(node)] = inner + 1
    if weights[id(tree)] - len(nodes) > _COPIES_MAX:
        raise QueryError(
            "functions of time are nested too deeply in the query",
            hint="compute the inner ones in a subquery",
        )
