"""Statements put together from parts of dashboards: an answer of the right shape, or an error of ours."""

from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.influxql.engine import InfluxqlEngine
from engine.influxql.parser import parse
from engine.influxql.rendering import Form, csv_answer, json_answer, table
from engine.influxql.results import StatementResult
from engine.query.executor import QueryConfig, QueryExecutor
from tests.unit.query.fakes import SECOND, T0, FakeCatalog, cpu

CATALOG = FakeCatalog(cpu(), cpu("mem"))
ENGINE = InfluxqlEngine(QueryExecutor(QueryConfig(), CATALOG), CATALOG, lambda: T0 + 7200 * SECOND)

COLUMNS = ["usage", "cores", "total", "note", "up", "host", "nothing", "time"]
FUNCTIONS = ["count", "sum", "mean", "median", "mode", "spread", "stddev", "min", "max", "first"]
FUNCTIONS += ["last", "distinct", "integral", "abs", "round", "sqrt", "ln", "difference"]
FUNCTIONS += ["derivative", "cumulative_sum", "elapsed", "non_negative_derivative"]
FIELDS = st.one_of(
    st.sampled_from([*COLUMNS, "*", "/^u/", "cores::float", "host::tag", "2", "0.5"]),
    st.builds("{}({})".format, st.sampled_from(FUNCTIONS), st.sampled_from([*COLUMNS, "*"])),
    st.builds(
        "{}({}, {})".format,
        st.sampled_from(["percentile", "top", "bottom", "moving_average", "pow"]),
        st.sampled_from(COLUMNS),
        st.sampled_from(["0", "1", "2", "50", "99.9"]),
    ),
    st.builds("difference({}({}))".format, st.sampled_from(FUNCTIONS), st.sampled_from(COLUMNS)),
)
EXPRESSIONS = st.one_of(
    FIELDS, st.builds("{} {} {}".format, FIELDS, st.sampled_from("+-*/%&|^"), FIELDS)
)
CONDITIONS = st.sampled_from(
    [
        *(
            "host = 'a'",
            "host =~ /./",
            "host != ''",
            "nothing = ''",
            "usage > 1",
            "up",
            "note = '5'",
        ),
        *("cores % 2 = 1", "usage / 0 > 1", "up = true AND note = 5", "time > now() - 1h"),
        "time >= '2025-01-01' AND time < '2025-01-01T00:10:00Z'",
    ]
)
GROUPS = st.lists(
    st.sampled_from(["host", "*", "/h/", "nothing", "time(10m)", "time(30m, 7m)"]),
    min_size=1,
    max_size=2,
)
FILLS = st.sampled_from(["", *(f"fill({kind})" for kind in ("none", "previous", "linear", "-1.5"))])
TAILS = st.sampled_from(
    ["", "LIMIT 1", "ORDER BY time DESC", "ORDER BY time DESC LIMIT 1 OFFSET 1", "SLIMIT 1"]
)


@given(
    fields=st.lists(EXPRESSIONS, min_size=1, max_size=3),
    source=st.sampled_from(["cpu", "cpu, mem", "/./", "nowhere"]),
    condition=st.none() | CONDITIONS,
    groups=st.none() | GROUPS,
    fill=FILLS,
    tail=TAILS,
)
def test_any_select_answers_or_says_why_not(
    fields: list[str],
    source: str,
    condition: str | None,
    groups: list[str] | None,
    fill: str,
    tail: str,
) -> None:
    text = f"SELECT {', '.join(fields)} FROM {source}"
    text += f" WHERE {condition}" if condition else ""
    text += f" GROUP BY {', '.join(groups)}" if groups else ""
    refusal, series = "", []
    try:
        (statement,) = parse(f"{text} {fill} {tail}")
        series = ENGINE.series(statement, "db", "")
    except EngineError as error:
        refusal = error.message
    # What the translation writes is SQL that DuckDB understands.
    assert not refusal.startswith(("Error during planning", "Execution error")), text
    for one in series:
        assert one.columns[0] == "time"
        assert len(set(one.columns)) == len(one.columns)
        assert all(len(row) == len(one.columns) for row in one.values)
        assert one.values
        if "LIMIT 1" in tail and "SLIMIT" not in tail:
            assert len(one.values) == 1
    assert not ("SLIMIT" in tail and len(series) > 1)
    assert json_answer([StatementResult(series)], Form())
    assert bool(csv_answer([StatementResult(series)], Form())) == bool(series)
    assert table(series).num_rows == sum(len(one.values) for one in series)
