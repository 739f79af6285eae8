# By its shape a query means what it means by its text.
import pytest

from engine.errors import EngineError
from engine.query.dialect import ParseLimits
from engine.query.executor import QueryConfig, QueryExecutor
from engine.query.questions import _parsed, _translated
from engine.query.reach import numbers_reached, texts_reached, times_reached
from engine.query.shapes import shape_of
from engine.query.views import columns_of, kinds_of
from tests.corpus.sql.tables import NOW_NS, catalog
from tests.unit.query.test_corpus import cases

CATALOG = catalog()


def translated(sql, params):
    parsed = _parsed(sql, ParseLimits())
    named = []
    for table in parsed.tables:
        snapshot = CATALOG.snapshot("db", table.name)
        if table.schema != "iox" or snapshot is None:
            pytest.skip("not about tables of users")
        named.append((table, kinds_of(columns_of(snapshot))))
    template = _translated(sql, ParseLimits(), tuple(named), ())
    reached = (
        times_reached(parsed.survey, params, NOW_NS),
        texts_reached(parsed.survey, params),
        numbers_reached(parsed.survey, params),
    )
    return template.bind(params, NOW_NS), template.zones, reached, parsed.points


SHAPED = [case.sql for case in cases() if case.refusal is None and shape_of(case.sql)]
MORE = [
    "SELECT * FROM home WHERE room = 'Kitchen' AND (time >= '2022-01-01T08:00:00Z' OR temp < '7')",
    "SELECT co FROM home WHERE time > '2022-01-01' AND time <= '2022-01-02 00:00:00' ORDER BY time",
    "SELECT max(co) FROM home WHERE room>='Kitchen' GROUP BY room",
    "SELECT (co), upper((room)) FROM (SELECT * FROM home WHERE room = 'a') WHERE (room > 'a')",
]


@pytest.mark.parametrize("sql", [*SHAPED, *MORE])
def test_a_shape_is_translated_as_the_text(sql):
    shape, values = shape_of(sql)
    assert translated(shape, values) == translated(sql, {})


def test_one_question_has_one_shape():
    shapes = {
        shape_of(f"SELECT max(x) FROM cpu WHERE host = '{host}' AND time >= '{time}' GROUP BY y")[0]
        for host, time in (("a", "2022-01-01"), ("where and", "2023-05-05T00:00:00Z"))
    }
    assert shapes == {
        "SELECT max(x) FROM cpu WHERE host = $headrace_value_0 AND time >= $headrace_value_1 "
        "GROUP BY y"
    }


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 'a' = 'b'",
        "SELECT x = 'a' FROM cpu",
        "SELECT x FROM cpu WHERE x = 'it''s'",
        "SELECT x FROM cpu WHERE x = $y AND z = 'a'",
        "SELECT x FROM cpu -- WHERE x = 'a'",
        "SELECT x FROM cpu /* WHERE x = 'a' */",
        "SELECT x FROM \"WHERE\" GROUP BY x HAVING max(x) = 'a'",
        "SELECT x FROM cpu GROUP BY x HAVING x = 'a'",
        "SELECT x FROM cpu WHERE CASE WHEN x = 'a' THEN y END",
        "SELECT x FROM cpu WHERE x = 'a' || 'b'",
        "SELECT x FROM cpu WHERE x = '5' AND y < '2.5e3'",
        "SELECT ' WHERE x = ', 'a' FROM cpu",
        "SELECT x FROM cpu WHERE x IN (SELECT y = 'a' FROM z)",
        # What makes the name of a column stays as it is.
        "SELECT count(*) FILTER (WHERE x = 'a') FROM cpu",
        "SELECT (SELECT max(y) FROM (SELECT y FROM cpu WHERE x = 'a') WHERE x = 'a') FROM cpu",
        "SELECT x IS DISTINCT FROM (SELECT max(y) FROM cpu WHERE x = 'a') FROM cpu",
        "SELECT x FROM cpu WHERE time >= '2022-01-01'::timestamp",
        "SELECT x FROM cpu WHERE time >= '2022-01-01' - INTERVAL '1 hour'",
        "SELECT x FROM cpu WHERE time >= timestamp '2022-01-01'",
    ],
)
def test_what_is_not_plain_has_no_shape(sql):
    assert shape_of(sql) is None


def test_errors_are_those_of_the_text():
    executor = QueryExecutor(QueryConfig(threads=1), CATALOG, lambda: NOW_NS)
    try:
        for sql in ("SELECT * FROM home WHERE time >= 'soon'", "SELECT * FROM x WHERE y = 'a'"):
            with pytest.raises(EngineError) as caught:
                executor.run("db", sql)
            assert "headrace_value" not in caught.value.message
            assert "$" not in caught.value.message
    finally:
        executor.close()
