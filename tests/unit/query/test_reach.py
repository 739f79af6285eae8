"""What a query reaches of its tables."""

import pytest

from engine.query.dialect import parse_statement
from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN
from engine.query.reach import (
    Comparison,
    columns_reached,
    numbers_reached,
    survey_of,
    times_reached,
)
from engine.query.rewrite import fold_names

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
SLACK = 1_000_000
T10, T20 = "'1970-01-01T00:00:10Z'", "'1970-01-01T00:00:20Z'"
FROM_10 = (10 * SECOND - SLACK, TIME_NS_MAX)
TO_20 = (TIME_NS_MIN, 20 * SECOND + SLACK)
BOTH = (FROM_10[0], TO_20[1])


def query_of(sql):
    query = parse_statement(sql).query
    fold_names(query)
    return query


def survey_of_sql(sql):
    return survey_of(query_of(sql))


@pytest.mark.parametrize(
    ("condition", "times"),
    [
        (f"time > {T10}", FROM_10),
        (f"time >= {T10} AND time <= {T20}", BOTH),
        (f"(time >= {T10}) AND ({T20} > time AND f = 1)", BOTH),
        (f"time BETWEEN {T10} AND {T20}", BOTH),
        (f"m.time > timestamp {T10}", FROM_10),
        (f"time < {T20}::timestamp", TO_20),
        ("time > now() - interval '1 minute'", (940 * SECOND - SLACK, TIME_NS_MAX)),
        ("time < current_timestamp + interval '1s'", (TIME_NS_MIN, 1001 * SECOND + SLACK)),
        ("time > $from", FROM_10),
        (f"time = {T10}", (10 * SECOND - SLACK, 10 * SECOND + SLACK)),
        (f"time > {T10} AND time > $number", FROM_10),
        # Nothing is known of these.
        (f"time > {T10} OR f = 1", None),
        (f"NOT time > {T10}", None),
        ("time > $number", None),
        ("time > $absent", None),
        (f"time <> {T10}", None),
        (f"f > {T10}", None),
        (f"time + interval '1s' > {T10}", None),
        (f"other.time > {T10}", None),
        ("time > now() - interval '1 month'", None),
        ("time > 10000000000", None),
        ("time > 'yesterday'", None),
        ("true", None),
    ],
)
def test_conditions_on_time(condition, times):
    params = {"from": T10.strip("'"), "number": 5}
    found = times_reached(survey_of_sql(f"SELECT f FROM m WHERE {condition}"), params, NOW)
    assert found == ({} if times is None else {"m": times})


def test_conditions_that_contradict_each_other_reach_next_to_nothing():
    survey = survey_of_sql(f"SELECT f FROM m WHERE time > {T20} AND time < {T10}")
    low, high = times_reached(survey, {}, NOW)["m"]
    assert low == high or high - low < SECOND


@pytest.mark.parametrize(
    ("sql", "times"),
    [
        (f"SELECT f FROM m WHERE time > {T10} UNION ALL SELECT f FROM m WHERE time < {T20}", {}),
        (f"SELECT f FROM m WHERE time > {T10} AND f IN (SELECT f FROM m)", {}),
        (
            f"SELECT f FROM m WHERE time > {T10} AND f IN (SELECT f FROM n WHERE time < {T20})",
            {"m": FROM_10, "n": TO_20},
        ),
        (f"SELECT m.f FROM m JOIN n ON m.time = n.time WHERE n.time > {T10}", {"n": FROM_10}),
        (f"SELECT f FROM m, n WHERE time > {T10}", {}),
        (f"SELECT x.f FROM m x LEFT JOIN m y ON x.time = y.time WHERE x.time > {T10}", {}),
        (f"SELECT f FROM (SELECT f, time FROM m) WHERE time > {T10}", {}),
        (f"WITH m AS (SELECT * FROM m) SELECT f FROM m WHERE time > {T10}", {}),
        (f"WITH c AS (SELECT * FROM m WHERE time > {T10}) SELECT f FROM c", {"m": FROM_10}),
        (f"SELECT (SELECT max(f) FROM n) FROM m WHERE time > {T10}", {"m": FROM_10}),
        (f"SELECT max(f) FROM m HAVING max(time) > {T10}", {}),
    ],
)
def test_tables_that_are_read_in_several_places(sql, times):
    assert times_reached(survey_of_sql(sql), {}, NOW) == times


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT F, \"G\" FROM m WHERE h = 'x' ORDER BY i", {"m", "f", "g", "h", "x", "i"}),
        ("SELECT count(*) FROM m", {"m"}),
        ("SELECT * FROM m", None),
        ("SELECT m.* FROM m", None),
        ("SELECT m FROM m", None),
        ("SELECT x FROM m AS x", None),
        ("SELECT f FROM m NATURAL JOIN n", None),
        ("SELECT f FROM m JOIN n USING (k)", {"f", "m", "n", "k"}),
    ],
)
def test_columns(sql, names):
    assert columns_reached(query_of(sql)) == (None if names is None else frozenset(names))


@pytest.mark.parametrize(
    ("sql", "numbers"),
    [
        ("SELECT f FROM m WHERE f > 5", [("f", ">", 5)]),
        ("SELECT f FROM m WHERE -5 >= f AND m.g <> 1.5", [("f", "<=", -5), ("g", "!=", 1.5)]),
        ("SELECT f FROM m WHERE (f = $n) AND g < $text", [("f", "=", 7)]),
        ("SELECT m.f FROM m JOIN n ON m.f = n.f WHERE m.f > 1 AND g > 2", [("f", ">", 1)]),
        ("SELECT f FROM m WHERE f > 5 OR g > 5", []),
        ("SELECT f FROM m WHERE NOT f > 5", []),
        ("SELECT f FROM m WHERE f > 4503599627370497", []),
        ("SELECT f FROM m WHERE f > $absent AND f > '5' AND f > g AND f + 1 > 2", []),
        ("SELECT f FROM m WHERE f > 5 AND f IN (SELECT f FROM m)", []),
        ("SELECT f FROM (SELECT f FROM m) WHERE f > 5", []),
    ],
)
def test_conditions_on_numbers(sql, numbers):
    found = numbers_reached(survey_of_sql(sql), {"n": 7, "text": "8"})
    assert list(found.get("m", ())) == [Comparison(*one) for one in numbers]
