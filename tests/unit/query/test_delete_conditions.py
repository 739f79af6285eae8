"""Which rows a condition of a delete means, in Arrow and in DuckDB, and what it may not contain."""

from typing import Any

import duckdb
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import QueryError
from engine.ids import Position
from engine.query.delete_conditions import parse_condition
from engine.query.delete_sql import delete_text, kept_sql
from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN
from engine.store.row_deletes import (
    Condition,
    Every,
    Opposite,
    RowDelete,
    Some,
    TagAbsent,
    TagIn,
    TagIs,
    TimeIs,
    meant,
    without,
)
from lp_core import ColumnType

COLUMNS = {
    "host": ColumnType.TAG,
    "Area": ColumnType.TAG,
    "it's": ColumnType.TAG,
    "value": ColumnType.FLOAT64,
}
EVERYTHING = (TIME_NS_MIN, TIME_NS_MAX)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("host = 'a'", TagIs("host", "=", "a")),
        ("'a' < HOST", TagIs("host", ">", "a")),
        ("\"Area\" <> 'it''s'", TagIs("Area", "!=", "it's")),
        ("host IN ('a', 'b')", TagIn("host", ("a", "b"))),
        ("host NOT IN ('a')", Opposite(TagIn("host", ("a",)))),
        ("host IS NULL", TagAbsent("host")),
        ("host IS NOT NULL", Opposite(TagAbsent("host"))),
        ("host BETWEEN 'a' AND 'b'", Every((TagIs("host", ">=", "a"), TagIs("host", "<=", "b")))),
        ("time >= '1970-01-01T00:00:01.000000002Z'", TimeIs(">=", 1_000_000_002)),
        ("time = timestamp '1970-01-01 02:00:00+02:00'", TimeIs("=", 0)),
        (
            "host='a' OR host='b' OR NOT (host='c' AND host='d' AND host='e')",
            Some(
                (
                    TagIs("host", "=", "a"),
                    TagIs("host", "=", "b"),
                    Opposite(Every(tuple(TagIs("host", "=", name) for name in "cde"))),
                )
            ),
        ),
        ("host = 'a' -- the rest is comment", TagIs("host", "=", "a")),
    ],
)
def test_conditions_are_read(text: str, condition: Condition) -> None:
    assert parse_condition(text, COLUMNS) == condition


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("value > 5", "'value' is a field"),
        ("nothing = 'a'", "no column 'nothing'"),
        ('host = "a"', "cannot be compared"),
        ("host = 5", "cannot be compared with 5"),
        ("host = Area", "cannot be compared"),
        ("t.host = 'a'", "without their table"),
        ("time > now()", "cannot be compared with NOW()"),
        ("time > 5", "cannot be compared with 5"),
        ("time > now() - interval '1 day'", "cannot be compared"),
        ("random() < 0.5", "cannot be deleted by"),
        ("host = upper('a')", "cannot be compared"),
        ("upper(host) = 'A'", "cannot be deleted by"),
        ("host LIKE 'a%'", "cannot be deleted by"),
        ("host ~ 'a'", "cannot be deleted by"),
        ("host IN (SELECT host FROM t)", "a subquery"),
        ("EXISTS (SELECT 1)", "cannot be deleted by"),
        ("host = 'a' GROUP BY host", "GROUP"),
        ("host = 'a' LIMIT 1", "LIMIT"),
        ("host = 'a' UNION SELECT 1 FROM t", "more than one condition"),
        ("host = 'a'; SELECT 1", "several"),
        ("host = $p", "cannot be compared"),
        ("true", "cannot be deleted by"),
        ("", "SQL error"),
        ("host = 'a') OR (host = 'b'", "SQL error"),
        ("time IS NULL", "every row has"),
        ("time < '2262-04-11T23:47:16.854775807Z'", "out of range"),
        ("host IS TRUE", "cannot be deleted by"),
        ("host = 'a' OR " * 1000 + "host = 'a'", "words"),
        ("(" * 40 + "host = 'a'" + ")" * 40, "nested"),
    ],
)
def test_other_conditions_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_condition(text, COLUMNS)
    assert message in f"{caught.value.message} {caught.value.hint}"


TEXTS = st.sampled_from(("", "a", "b", "é", "it's", "\U0001f600"))
COMPARISONS = st.sampled_from(("=", "!=", "<", "<=", ">", ">="))
LEAVES = st.one_of(
    st.builds(TagIs, st.sampled_from(("host", "Area", "it's")), COMPARISONS, TEXTS),
    st.builds(
        TagIn,
        st.sampled_from(("host", "Area")),
        st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(TagAbsent, st.sampled_from(("host", "Area"))),
    st.builds(TimeIs, COMPARISONS, st.integers(-3, 3)),
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(Opposite, parts),
        st.builds(Every, st.lists(parts, min_size=1, max_size=3).map(tuple)),
        st.builds(Some, st.lists(parts, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
ROWS = st.lists(
    st.tuples(st.one_of(st.none(), TEXTS), st.one_of(st.none(), TEXTS), st.integers(-3, 3)),
    max_size=12,
)


@given(CONDITIONS, ROWS, st.tuples(st.integers(-3, 0), st.integers(-1, 3)))
def test_arrow_and_duckdb_mean_the_same_rows(
    condition: Condition, rows: list[tuple[Any, Any, int]], times: tuple[int, int]
) -> None:
    tag = pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8())
    table = pyarrow.table(
        {
            "host": pyarrow.array([row[0] for row in rows], pyarrow.utf8()).cast(tag),
            "Area": pyarrow.array([row[1] for row in rows], pyarrow.utf8()).cast(tag),
            "it's": pyarrow.array([None] * len(rows), pyarrow.utf8()).cast(tag),
            "time": pyarrow.array([row[2] for row in rows], pyarrow.timestamp("ns")),
        }
    )
    delete = RowDelete(position=Position(1), times=times, condition=condition)
    mask = meant(table, delete)
    assert len(mask) == len(rows)
    left = without(table, [delete])
    names = {name: f'"{name}"' for name in table.column_names}
    with duckdb.connect() as connection:
        connection.register("t", table)
        kept = connection.execute(
            f'SELECT host, "Area", epoch_ns(time) FROM t WHERE {kept_sql(delete, names)}'
        ).fetchall()
    expected = [row for row, gone in zip(rows, mask, strict=True) if not gone]
    assert kept == expected
    assert left.num_rows == len(expected)
    # A tag that the rows do not have at all is absent in each.
    assert list(meant(table.drop_columns(["it's"]), delete)) == list(mask)


@given(CONDITIONS)
def test_a_condition_that_is_written_down_is_read_again(condition: Condition) -> None:
    once = parse_condition(delete_text(EVERYTHING, condition), COLUMNS)
    again = parse_condition(delete_text(EVERYTHING, once), COLUMNS)
    assert once == again


def test_a_delete_implies_earlier_ones_that_mean_less() -> None:
    condition = TagIs("host", "=", "a")

    def delete(times: tuple[int, int], what: Condition | None) -> RowDelete:
        return RowDelete(position=Position(1), times=times, condition=what)

    assert delete((0, 9), None).implies(delete((1, 9), condition))
    assert delete((0, 9), condition).implies(delete((0, 9), condition))
    assert not delete((1, 9), None).implies(delete((0, 9), condition))
    assert not delete((0, 9), condition).implies(delete((0, 9), None))
    assert not delete((0, 9), condition).implies(delete((0, 9), TagIs("host", "=", "b")))
