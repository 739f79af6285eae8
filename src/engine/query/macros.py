# Owns the macros that translated queries call, and the weight they give to a query: DuckDB copies
# an argument to every place where a macro mentions it, so nested calls grow exponentially, in a
# phase that neither its memory limit nor interrupts stop.
"""Macros of translated queries."""

import functools
import re

import sqlglot
from sqlglot import exp

from engine.errors import QueryError

# Copies of parts that macros may make in one query; each costs DuckDB up to 0.1 ms.
COPIES_MAX = 10_000

# Groups of a regular expression whose matches are made into a list.
MATCH_GROUPS_MAX = 9

_TIME_MACROS = (
    # Microseconds rounded down: DuckDB's own cast rounds to the nearest, which crosses into
    # tomorrow. 1000 is 8 * 125; the shift rounds down, and the sum is not negative.
    """CREATE MACRO headrace_us(t) AS
       make_timestamp(((epoch_ns(t) >> 3) + 1162500000000000000) // 125 - 9300000000000000)""",
    """CREATE MACRO headrace_shift(t, span) AS make_timestamp_ns(
       epoch_ns(headrace_us(t) + span) + nanosecond(t) % 1000)""",
    """CREATE MACRO headrace_bin(width, t, origin) AS make_timestamp_ns(epoch_ns(t)
       - (((epoch_ns(t) - epoch_ns(origin)) % width) + width) % width)""",
    # A remainder takes as long as all the rest, and only before the origin are two of them needed.
    # For a column, of which copies are cheap.
    """CREATE MACRO headrace_bin_column(width, t, origin) AS make_timestamp_ns(
       CASE WHEN epoch_ns(t) >= epoch_ns(origin)
       THEN epoch_ns(t) - (epoch_ns(t) - epoch_ns(origin)) % width
       ELSE epoch_ns(t) - (((epoch_ns(t) - epoch_ns(origin)) % width) + width) % width END)""",
    """CREATE MACRO headrace_bin_months(months, t, origin) AS time_bucket(
       to_months(months), headrace_us(t), headrace_us(origin))::TIMESTAMP_NS""",
    """CREATE MACRO headrace_seconds(t) AS
       (epoch_ns(t) - ((epoch_ns(t) % 1000000000) + 1000000000) % 1000000000) // 1000000000""",
    """CREATE MACRO headrace_whole(x) AS CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT')
       THEN CAST(trunc(CAST(x AS DOUBLE)) AS BIGINT) ELSE CAST(x AS BIGINT) END""",
    # A numeric offset in the text counts; DuckDB's cast to a time without zone would ignore it, and
    # that to one with a zone has no nanoseconds.
    r"""CREATE MACRO headrace_parse_time(x) AS CASE
       WHEN regexp_matches(CAST(x AS VARCHAR), '[0-9][+-][0-9]{2}(:?[0-9]{2})?$')
         AND NOT regexp_matches(CAST(x AS VARCHAR), '^[0-9]+-[0-9]+-[0-9]+$')
       THEN make_timestamp_ns(epoch_ns(CAST(regexp_replace(CAST(x AS VARCHAR),
         '[+-][0-9]{2}(:?[0-9]{2})?$', '') AS TIMESTAMP_NS))
         - CAST(regexp_extract(CAST(x AS VARCHAR), '([+-])[0-9:]+$', 1) || '1' AS BIGINT)
         * (60 * CAST(regexp_extract(CAST(x AS VARCHAR), '[+-]([0-9]{2})(:?[0-9]{2})?$', 1)
         AS BIGINT) + CAST('0' || regexp_extract(CAST(x AS VARCHAR),
         '[+-][0-9]{2}:?([0-9]{2})$', 1) AS BIGINT))
         * 60000000000)
       ELSE CAST(x AS TIMESTAMP_NS) END""",
    """CREATE MACRO headrace_not_parsed(x) AS CASE WHEN x IS NOT NULL
       THEN error('Could not parse the time: ' || x) END""",
    # The clock of a zone, and back. Of two moments that have the same clock time DuckDB takes the
    # later, and a clock time that is skipped it moves on by the gap.
    """CREATE MACRO headrace_local(t, zone) AS make_timestamp_ns(
       epoch_ns(timezone(zone, timezone('UTC', headrace_us(t)))) + nanosecond(t) % 1000)""",
    """CREATE MACRO headrace_instant(clock, zone) AS make_timestamp_ns(
       epoch_ns(timezone('UTC', timezone(zone, headrace_us(clock)))) + nanosecond(clock) % 1000)""",
    # The earlier of two moments with one clock time: the offset of three hours before is tried.
    """CREATE MACRO headrace_offset(t, zone) AS epoch_ns(headrace_local(t, zone)) - epoch_ns(t)""",
    """CREATE MACRO headrace_tried(clock, offset_ns, zone, other) AS CASE
       WHEN headrace_local(make_timestamp_ns(epoch_ns(clock) - offset_ns), zone) = clock
       THEN make_timestamp_ns(epoch_ns(clock) - offset_ns) ELSE other END""",
    """CREATE MACRO headrace_earlier(clock, zone) AS headrace_tried(clock, headrace_offset(
       make_timestamp_ns(epoch_ns(headrace_instant(clock, zone)) - 10800000000000), zone), zone,
       headrace_instant(clock, zone))""",
    """CREATE MACRO headrace_bin_wide(width, t, origin, zone) AS headrace_earlier(
       headrace_bin(width, headrace_local(t, zone), origin), zone)""",
    """CREATE MACRO headrace_bin_narrow(width, t, origin, zone) AS headrace_tried(
       headrace_bin(width, headrace_local(t, zone), origin), headrace_offset(t, zone), zone,
       headrace_instant(headrace_bin(width, headrace_local(t, zone), origin), zone))""",
    # Between the points before and after; whole numbers are cut off.
    """CREATE MACRO headrace_interpolated(v, v1, t1, v2, t2, t) AS CASE WHEN v IS NULL
       THEN (v2 - v1) / CAST(epoch_ns(t2) - epoch_ns(t1) AS DOUBLE)
       * CAST(epoch_ns(t) - epoch_ns(t1) AS DOUBLE) + v1 ELSE v END""",
    """CREATE MACRO headrace_interpolated_whole(v, v1, t1, v2, t2, t) AS CASE WHEN v IS NULL
       THEN CAST(trunc(CAST(CAST(v2 AS HUGEINT) - v1 AS DOUBLE)
       / CAST(epoch_ns(t2) - epoch_ns(t1) AS DOUBLE)
       * CAST(epoch_ns(t) - epoch_ns(t1) AS DOUBLE) + CAST(v1 AS DOUBLE)) AS HUGEINT) ELSE v END""",
    """CREATE MACRO headrace_time_text(t) AS replace(regexp_replace(
       regexp_replace(CAST(t AS VARCHAR), '(\\.\\d{3})0{6}$|(\\.\\d{6})000$', '\\1\\2'),
       '\\.0+$', ''), ' ', 'T')""",
    """CREATE MACRO headrace_offset_text(seconds) AS CASE WHEN seconds = 0 THEN 'Z'
       WHEN seconds < 0 THEN '-' ELSE '+' END || CASE WHEN seconds = 0 THEN ''
       ELSE lpad(CAST(abs(seconds) // 3600 AS VARCHAR), 2, '0') || ':'
       || lpad(CAST(abs(seconds) // 60 % 60 AS VARCHAR), 2, '0') END""",
    """CREATE MACRO headrace_zoned_text(clock, t) AS headrace_time_text(clock)
       || headrace_offset_text((epoch_ns(clock) - epoch_ns(t)) // 1000000000)""",
)

# What one DuckDB line computes and another refuses gets the reference's answer.
_NUMBER_MACROS = (
    "CREATE MACRO headrace_sqrt(x) AS CASE WHEN x < 0 THEN CAST('NaN' AS DOUBLE) ELSE sqrt(x) END",
    *(
        f"""CREATE MACRO headrace_{name}(x) AS CASE WHEN x < 0 THEN CAST('NaN' AS DOUBLE)
        WHEN x = 0 THEN CAST('-Infinity' AS DOUBLE) ELSE {name}(x) END"""
        for name in ("ln", "log2", "log10")
    ),
    "CREATE MACRO headrace_log(b, x) AS headrace_ln(x) / headrace_ln(b)",
    *(
        f"""CREATE MACRO headrace_{name}(x) AS CASE WHEN {outside} THEN CAST('NaN' AS DOUBLE)
        ELSE {name}(x) END"""
        for name, outside in (
            ("acos", "abs(x) > 1"),
            ("asin", "abs(x) > 1"),
            ("acosh", "x < 1"),
            ("atanh", "abs(x) > 1"),
        )
    ),
    """CREATE MACRO headrace_cot(x) AS CASE WHEN x = 0 THEN CAST('Infinity' AS DOUBLE)
       ELSE cot(x) END""",
    "CREATE MACRO headrace_sign(x) AS CAST(sign(x) AS DOUBLE)",
    "CREATE MACRO headrace_iszero(x) AS x = 0",
    "CREATE MACRO headrace_nanvl(x, y) AS CASE WHEN isnan(CAST(x AS DOUBLE)) THEN y ELSE x END",
    "CREATE MACRO headrace_nvl2(x, a, b) AS CASE WHEN x IS NULL THEN b ELSE a END",
    """CREATE MACRO headrace_divisor(x) AS CASE WHEN x = 0
       THEN error('Divide by zero error') ELSE x END""",
)

_TEXT_MACROS = (
    # DuckDB makes one text of any length without looking at its memory limit or at interrupts.
    """CREATE MACRO headrace_text_length(n) AS CAST(CASE WHEN n > 10000000
       THEN error('the text would be longer than 10000000 characters') ELSE n END AS INTEGER)""",
    """CREATE MACRO headrace_repeat(x, n) AS repeat(x, CASE WHEN n * strlen(x) > 10000000
       THEN error('the text would be longer than 10000000 bytes') ELSE n END)""",
    """CREATE MACRO headrace_initcap(x) AS array_to_string(list_transform(regexp_extract_all(
       x, '[\\pL\\pN]+|[^\\pL\\pN]+'), lambda w: upper(w[1]) || lower(w[2:])), '')""",
    """CREATE MACRO headrace_find_in_set(x, texts) AS CASE WHEN x IS NULL OR texts IS NULL THEN NULL
       ELSE coalesce(list_position(string_split(texts, ','), x), 0) END""",
    """CREATE MACRO headrace_substr_index(x, delimiter, n) AS CASE
       WHEN n > 0 THEN array_to_string(list_slice(string_split(x, delimiter), 1, n), delimiter)
       WHEN n < 0 THEN array_to_string(list_slice(string_split(x, delimiter), n, -1), delimiter)
       WHEN n = 0 THEN '' END""",
    """CREATE MACRO headrace_overlay(x, new, start, n) AS
       substr(x, 1, start - 1) || new || substr(x, start + n)""",
    """CREATE MACRO headrace_string_to_array(x, delimiter) AS CASE WHEN delimiter IS NULL
       THEN string_split_regex(x, '') WHEN delimiter = '' THEN [x]
       ELSE string_split(x, delimiter) END""",
    """CREATE MACRO headrace_string_to_array_null(x, delimiter, missing) AS list_transform(
       headrace_string_to_array(x, delimiter), lambda part: nullif(part, missing))""",
    """CREATE MACRO headrace_position(x, before) AS CASE WHEN regexp_matches(x, before)
       THEN length(regexp_extract(x, before, 1)) + 1 WHEN x IS NOT NULL THEN 0 END""",
    *(
        f"""CREATE MACRO headrace_match_{groups}(x, pattern) AS CASE WHEN regexp_matches(x, pattern)
        THEN [{", ".join(f"regexp_extract(x, pattern, {number})" for number in numbers)}] END"""
        for groups in range(MATCH_GROUPS_MAX + 1)
        for numbers in (range(1, groups + 1) or (0,),)
    ),
    "CREATE MACRO headrace_uuid() AS CAST(uuid() AS VARCHAR)",
    # The reference writes base64 without padding.
    "CREATE MACRO headrace_base64(x) AS rtrim(base64(CAST(x AS BLOB)), '=')",
    "CREATE MACRO headrace_hex(x) AS lower(hex(CAST(x AS BLOB)))",
    """CREATE MACRO headrace_unbase64(x) AS
       from_base64(rpad(x, CAST((length(x) + 3) // 4 * 4 AS INTEGER), '='))""",
)

_LIST_MACROS = (
    """CREATE MACRO headrace_count(n) AS CASE WHEN n > 10000000
       THEN error('the list would be longer than 10000000') ELSE greatest(n, 0) END""",
    "CREATE MACRO headrace_is_empty(l) AS len(l) = 0",
    "CREATE MACRO headrace_first_ones(l) AS list_filter(l, lambda x, i: list_position(l, x) = i)",
    "CREATE MACRO headrace_distinct(l) AS list_sort(list_distinct(l), 'ASC', 'NULLS FIRST')",
    "CREATE MACRO headrace_union(a, b) AS headrace_first_ones(list_concat(a, b))",
    """CREATE MACRO headrace_intersect(a, b) AS
       list_filter(headrace_first_ones(a), lambda x: list_contains(b, x))""",
    """CREATE MACRO headrace_except(a, b) AS
       list_filter(headrace_first_ones(a), lambda x: NOT list_contains(b, x))""",
    "CREATE MACRO headrace_pop_back(l) AS list_slice(l, 1, len(l) - 1)",
    "CREATE MACRO headrace_pop_front(l) AS list_slice(l, 2, len(l))",
    """CREATE MACRO headrace_positions(l, x) AS
       list_filter(range(1, len(l) + 1), lambda i: l[i] IS NOT DISTINCT FROM x)""",
    # Of the places where x stands, the first n.
    """CREATE MACRO headrace_remove_n(l, x, n) AS list_filter(l, lambda y, i:
       y IS DISTINCT FROM x OR list_position(headrace_positions(l, x), i) > n)""",
    """CREATE MACRO headrace_replace_n(l, x, new, n) AS list_transform(l, lambda y, i: CASE WHEN
       y IS NOT DISTINCT FROM x AND list_position(headrace_positions(l, x), i) <= n
       THEN new ELSE y END)""",
    "CREATE MACRO headrace_remove(l, x) AS headrace_remove_n(l, x, 1)",
    "CREATE MACRO headrace_remove_all(l, x) AS headrace_remove_n(l, x, len(l))",
    "CREATE MACRO headrace_replace_first(l, x, new) AS headrace_replace_n(l, x, new, 1)",
    "CREATE MACRO headrace_replace_all(l, x, new) AS headrace_replace_n(l, x, new, len(l))",
    "CREATE MACRO headrace_array_repeat(x, n) AS list_resize([x], headrace_count(n), x)",
    "CREATE MACRO headrace_resize(l, n, x) AS list_resize(l, headrace_count(n), x)",
    "CREATE MACRO headrace_joined(l, delimiter) AS array_to_string(l, delimiter)",
    """CREATE MACRO headrace_joined_null(l, delimiter, missing) AS array_to_string(
       list_transform(l, lambda x: coalesce(CAST(x AS VARCHAR), missing)), delimiter)""",
    "CREATE MACRO headrace_sorted(l) AS list_sort(l, 'ASC', 'NULLS FIRST')",
)

_TYPE_MACROS = (
    "CREATE MACRO headrace_selected(v, t) AS {'time': t, 'value': v}",
    """CREATE MACRO headrace_typeof(x) AS CASE typeof(x)
       WHEN 'BIGINT' THEN 'Int64' WHEN 'INTEGER' THEN 'Int64' WHEN 'UBIGINT' THEN 'UInt64'
       WHEN 'HUGEINT' THEN 'Int64' WHEN 'DOUBLE' THEN 'Float64' WHEN 'FLOAT' THEN 'Float32'
       WHEN 'VARCHAR' THEN 'Utf8' WHEN 'BOOLEAN' THEN 'Boolean' WHEN 'DATE' THEN 'Date32'
       WHEN 'TIMESTAMP_NS' THEN 'Timestamp(ns)' WHEN 'INTERVAL' THEN 'Interval(MonthDayNano)'
       WHEN 'BLOB' THEN 'Binary' WHEN '"NULL"' THEN 'Null' ELSE typeof(x) END""",
)

# They are made before the database is locked. A macro stands behind those that it uses.
MACROS = (*_TIME_MACROS, *_NUMBER_MACROS, *_TEXT_MACROS, *_LIST_MACROS, *_TYPE_MACROS)

_MACRO = re.compile(r"CREATE MACRO (\w+)\(([^)]*)\) AS\s(.*)\Z", re.DOTALL)


@functools.cache
def copies_by_macro() -> dict[str, tuple[int, ...]]:
    """How often each macro copies each of its arguments."""
    copies: dict[str, tuple[int, ...]] = {}
    for macro in MACROS:
        match = _MACRO.match(macro)
        assert match is not None
        name, parameters, body = match.groups()
        columns = list(sqlglot.parse_one(body, dialect="duckdb").find_all(exp.Column))
        copies[name] = tuple(
            sum(_times(column, copies) for column in columns if column.name == parameter.strip())
            for parameter in parameters.split(",")
        )
    return copies


def _times(node: exp.Expr, copies: dict[str, tuple[int, ...]]) -> int:
    times = 1
    while node.parent is not None:
        if isinstance(node.parent, exp.Anonymous) and node.parent.name in copies:
            times *= copies[node.parent.name][node.index or 0]
        node = node.parent
    return times


def check_copies(tree: exp.Expr) -> None:
    """Refuse a translated query whose macros would blow it up.

    Raises:
        QueryError: It nests functions so deeply that DuckDB could not plan it.
    """
    copies = copies_by_macro()
    nodes = list(tree.walk(bfs=False))
    weights: dict[int, int] = {}
    for node in reversed(nodes):
        times = copies.get(node.name) if isinstance(node, exp.Anonymous) else None
        weights[id(node)] = 1 + sum(
            weights[id(child)] * (1 if times is None else times[child.index or 0])
            for child in node.iter_expressions()
        )
    if weights[id(tree)] - len(nodes) > COPIES_MAX:
        raise QueryError(
            "functions are nested too deeply in the query",
            hint="compute the inner ones in a subquery",
        )
