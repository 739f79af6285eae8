"""The grammar of InfluxQL."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import QueryError, QueryNotSupportedError
from engine.influxql import tree
from engine.influxql.lexer import duration_ns, tokens_of
from engine.influxql.parser import parse


def select(text: str, **parameters: object) -> tree.Select:
    (statement,) = parse(text, parameters)
    assert isinstance(statement, tree.Select)
    return statement


def expression(text: str) -> tree.Expression:
    return select(f"SELECT {text} FROM m").fields[0].expression


def test_a_dashboards_statement() -> None:
    found = select(
        """SELECT mean("usage idle") AS "m", max(x) FROM "db"."autogen"."cpu"
        WHERE "host" =~ /^a\\/b$/ AND time >= now() - 1h30m -- the last hours
        GROUP BY time(10s, -5s), "host", /^r/ fill(previous) ORDER BY time DESC
        LIMIT 5 OFFSET 1 SLIMIT 2 SOFFSET 3"""
    )
    assert found.fields[0] == tree.Field(
        tree.Call("mean", (tree.Reference("usage idle"),)), alias="m"
    )
    assert found.sources == (tree.Source("cpu", None, "db", "autogen"),)
    assert found.condition == tree.Binary(
        "AND",
        tree.Binary("=~", tree.Reference("host"), tree.Regex("^a/b$")),
        tree.Binary(
            ">=", tree.Reference("time"), tree.Binary("-", tree.Now(), tree.Duration(5400 * 10**9))
        ),
    )
    assert found.grouping == tree.Grouping(10 * 10**9, -5 * 10**9, ("host",), ("^r",), False)
    assert found.fill == tree.Fill(tree.FillKind.PREVIOUS)
    assert found.is_descending
    assert found.limits == tree.Limits(5, 1, 2, 3)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("m", tree.Source("m")),
        ('"my table"', tree.Source("my table")),
        ("/a.*/", tree.Source(regex="a.*")),
        ("db..m", tree.Source("m", None, "db", "")),
        ("rp.m", tree.Source("m", None, "", "rp")),
        ("db.rp./x/", tree.Source("", "x", "db", "rp")),
    ],
)
def test_sources(text: str, source: tree.Source) -> None:
    assert select(f"SELECT a FROM {text}").sources == (source,)


def test_operators_bind_as_in_arithmetic() -> None:
    def number(value: int) -> tree.Literal:
        return tree.Literal(value)

    assert expression("1 + 2 * 3 - 4") == tree.Binary(
        "-",
        tree.Binary("+", number(1), tree.Binary("*", number(2), number(3))),
        number(4),
    )
    assert expression("(1 + 2) * -3") == tree.Binary(
        "*", tree.Binary("+", number(1), number(2)), number(-3)
    )
    assert expression("a / b / 2") == tree.Binary(
        "/", tree.Binary("/", tree.Reference("a"), tree.Reference("b")), number(2)
    )
    assert expression("-a") == tree.Negation(tree.Reference("a"))


def test_conditions_bind_or_last() -> None:
    condition = select("SELECT a FROM m WHERE a = 1 OR b = 2 AND c <> 'x'").condition
    assert isinstance(condition, tree.Binary)
    assert condition.operator == "OR"
    assert isinstance(condition.right, tree.Binary)
    assert condition.right.operator == "AND"
    assert condition.right.right == tree.Binary("!=", tree.Reference("c"), tree.Literal("x"))


def test_names_and_texts_keep_what_is_escaped() -> None:
    found = select(r"""SELECT "a \"b\"" FROM m WHERE c = 'it\'s \d' """)
    assert found.fields[0].expression == tree.Reference('a "b"')
    assert found.condition == tree.Binary("=", tree.Reference("c"), tree.Literal(r"it's \d"))


@pytest.mark.parametrize(
    ("text", "ns"),
    [("1ns", 1), ("2u", 2000), ("2µ", 2000), ("1h30m", 5400 * 10**9), ("1w", 604_800 * 10**9)],
)
def test_durations(text: str, ns: int) -> None:
    assert duration_ns(text) == ns
    assert expression(f"derivative(a, {text})") == tree.Call(
        "derivative", (tree.Reference("a"), tree.Duration(ns))
    )


def test_parameters_are_values_and_nothing_else() -> None:
    found = select("SELECT a FROM m WHERE b = $b AND c =~ $c", b="x' OR 1=1", c={"regex": "^q"})
    assert found.condition == tree.Binary(
        "AND",
        tree.Binary("=", tree.Reference("b"), tree.Literal("x' OR 1=1")),
        tree.Binary("=~", tree.Reference("c"), tree.Regex("^q")),
    )
    with pytest.raises(QueryError, match="missing parameter: b"):
        select("SELECT a FROM m WHERE b = $b")
    with pytest.raises(QueryError, match="neither a number"):
        select("SELECT a FROM m WHERE b = $b", b=[1])


@pytest.mark.parametrize("text", ["soon", "", "1h x", "9" * 5000 + "s"])
def test_a_duration_among_the_parameters_is_one(text: str) -> None:
    with pytest.raises(QueryError, match="is not a duration"):
        parse("SELECT a FROM m WHERE time > now() - $d", {"d": {"duration": text}})


def test_several_statements() -> None:
    first, second = parse("SELECT a FROM m; SHOW DATABASES;")
    assert isinstance(first, tree.Select)
    assert second == tree.Show(kind=tree.ShowKind.DATABASES)


def test_show_statements() -> None:
    assert parse('SHOW TAG VALUES ON db FROM m WITH KEY IN ("a", b) WHERE c = 1 LIMIT 2') == [
        tree.Show(
            kind=tree.ShowKind.TAG_VALUES,
            database="db",
            sources=(tree.Source("m"),),
            keys=("a", "b"),
            condition=tree.Binary("=", tree.Reference("c"), tree.Literal(1)),
            limits=tree.Limits(2),
        )
    ]
    assert parse("show measurements with measurement =~ /x/") == [
        tree.Show(kind=tree.ShowKind.MEASUREMENTS, sources=(tree.Source(regex="x"),))
    ]
    assert parse('CREATE DATABASE "new"') == [tree.CreateDatabase("new")]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("DROP DATABASE db", "DROP DATABASE"),
        ("DELETE FROM m", "DELETE"),
        ("CREATE RETENTION POLICY p ON db", "CREATE RETENTION POLICY"),
        ("CREATE CONTINUOUS QUERY q", "CREATE CONTINUOUS QUERY"),
        ("SHOW CONTINUOUS QUERIES", "SHOW CONTINUOUS QUERIES"),
        ("EXPLAIN SELECT a FROM m", "EXPLAIN"),
        ("GRANT ALL TO me", "GRANT"),
        ("SHOW USERS", "SHOW USERS"),
        ("SHOW QUERIES", "SHOW QUERIES"),
        ("SHOW SERIES CARDINALITY GROUP BY host", "GROUP BY"),
        ("SELECT a INTO b FROM m", "INTO"),
        ("SELECT a FROM m ORDER BY a", "ORDER BY"),
    ],
)
def test_what_is_not_supported_is_named(text: str, name: str) -> None:
    with pytest.raises(QueryNotSupportedError, match=name):
        parse(text)


def test_what_to_do_instead_is_said() -> None:
    with pytest.raises(QueryNotSupportedError) as caught:
        parse("DROP MEASUREMENT cpu")
    assert caught.value.hint == "headrace delete table NAME"


@pytest.mark.parametrize(
    "text",
    [
        *("", ";", "SELECT", "SELECT FROM m", "SELECT a", "SELECT a FROM", "SELECT a FROM m WHERE"),
        *("SELECT a FROM m GROUP", "SELECT a FROM m LIMIT x", "SELECT a FROM m extra words"),
        *("SELECT mean(a FROM m", "SELECT a FROM m WHERE b = 'open", "SHOW", "SHOW NOTHING"),
        *("SHOW TAG VALUES", "SELECT a FROM m GROUP BY time(0s)", "SELECT a FROM m fill(what)"),
        *("UPDATE m", "SELECT a FROM m; SELECT", "SELECT a FROM a.b.c.d", "SELECT a FROM m ~ 1"),
        "SELECT a FROM m WHERE b = \x00",
        *("SELECT a FROM m LIMIT " + "9" * 5000, "SELECT a FROM m WHERE b > " + "9" * 5000),
        *("SELECT a FROM m WHERE time > " + "9" * 5000 + "d", "SELECT a FROM m WHERE b > 1e999"),
        *("SELECT a FROM m fill(" + "9" * 5000 + ")", "SELECT percentile(a, 1e999) FROM m"),
        *("SELECT a FROM m LIMIT 9223372036854775808", "SHOW MEASUREMENTS OFFSET " + "9" * 20),
    ],
)
def test_what_does_not_follow_the_grammar_is_an_error(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)


def test_errors_name_the_place() -> None:
    with pytest.raises(QueryError, match=r"found FROM, expected identifier.* at char 8"):
        parse("SELECT FROM m")


@pytest.mark.parametrize("text", ["(" * 5000, "-" * 5000, "a OR " * 5000, "f(" * 5000])
def test_deep_and_long_expressions_are_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse(f"SELECT a FROM m WHERE {text}a")


_WORDS = ["SELECT", "FROM", "WHERE", "GROUP", "BY", "time", "(", ")", "1m", ",", "a", '"b"', "'c'"]
_WORDS += ["/d/", "=~", "=", "AND", "-", "*", "1", "2.5", "fill", "SHOW", "TAG", "KEYS", ";", "$p"]


@given(st.lists(st.sampled_from(_WORDS), max_size=30), st.text(max_size=20))
def test_any_words_give_statements_or_an_error(words: list[str], tail: str) -> None:
    text = " ".join([*words, tail])
    with contextlib.suppress(QueryError):
        assert parse(text, {"p": 1})


@given(st.text(max_size=100))
def test_any_text_gives_tokens_or_an_error(text: str) -> None:
    try:
        tokens = tokens_of(text, 10_000)
    except QueryError:
        return
    assert [token.offset for token in tokens] == sorted(token.offset for token in tokens)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a" + ",a" * 100_000 + " FROM b",
        "SELECT a FROM /a/" + ",/a/" * 60_000,
        "SELECT " + ",".join("a" + "+a" * 299 for _ in range(400)) + " FROM b",
        ";" * 200_000,
    ],
)
def test_texts_of_too_many_words_are_refused_before_they_are_understood(text: str) -> None:
    with pytest.raises(QueryError, match="more than 10000 words"):
        parse(text)
    with pytest.raises(QueryError, match="more than 3 words"):
        parse("SELECT a FROM b", words_max=3)
    assert len(parse("SELECT a FROM b", words_max=4)) == 1
