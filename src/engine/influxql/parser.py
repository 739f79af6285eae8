# Owns the grammar of InfluxQL. What is known of the language but not supported is refused by its
# name; everything else that does not fit is a syntax error.
"""Parsing of InfluxQL."""

from collections.abc import Mapping

import msgspec

from engine.errors import QueryError, QueryNotSupportedError
from engine.influxql import tree
from engine.influxql.expression_parser import ExpressionParser, number_of
from engine.influxql.lexer import TokenKind, duration_ns, syntax_error, tokens_of
from engine.influxql.zones import is_zone

TEXT_CHARACTERS_MAX = 256 * 1024
WORDS_MAX = 10_000
STATEMENTS_MAX = 100
SUBQUERIES_MAX = 10

# What SHOW … CARDINALITY counts, in its own words.
_COUNTED = {
    ("SERIES",): tree.ShowKind.SERIES,
    ("MEASUREMENT",): tree.ShowKind.MEASUREMENTS,
    ("TAG", "KEY"): tree.ShowKind.TAG_KEYS,
    ("TAG", "VALUES"): tree.ShowKind.TAG_VALUES,
    ("FIELD", "KEY"): tree.ShowKind.FIELD_KEYS,
}
_TOKENS_INSTEAD = "there are tokens instead: headrace create token"
_RETENTION_INSTEAD = "headrace update database --retention-period says how long rows are kept"
# Statements of the language that are refused, and what to do instead. The longer ones come first.
_REFUSED = {
    "ALTER RETENTION POLICY": _RETENTION_INSTEAD,
    "CREATE CONTINUOUS QUERY": "a trigger can compute and write: headrace create trigger",
    "CREATE RETENTION POLICY": _RETENTION_INSTEAD,
    "CREATE SUBSCRIPTION": "a trigger can send rows on: headrace create trigger",
    "CREATE USER": _TOKENS_INSTEAD,
    "DELETE": "headrace delete rows",
    "DROP CONTINUOUS QUERY": "there are none",
    "DROP DATABASE": "headrace delete database NAME",
    "DROP MEASUREMENT": "headrace delete table NAME",
    "DROP RETENTION POLICY": _RETENTION_INSTEAD,
    "DROP SERIES": "headrace delete rows",
    "DROP SHARD": "there are none",
    "DROP SUBSCRIPTION": "there are none",
    "DROP USER": _TOKENS_INSTEAD,
    "EXPLAIN": "EXPLAIN is answered in SQL",
    "GRANT": _TOKENS_INSTEAD,
    "KILL QUERY": "a query ends when its client leaves, and at --query-timeout",
    "REVOKE": _TOKENS_INSTEAD,
    "SET PASSWORD": _TOKENS_INSTEAD,
}
_SHOW_REFUSED = {
    "CONTINUOUS QUERIES": "headrace show triggers",
    "DIAGNOSTICS": "GET /metrics",
    "GRANTS": _TOKENS_INSTEAD,
    "QUERIES": "ask system.queries in SQL",
    "SHARD GROUPS": "ask system.parquet_files in SQL",
    "SHARDS": "ask system.parquet_files in SQL",
    "STATS": "GET /metrics",
    "SUBSCRIPTIONS": "headrace show triggers",
    "USERS": _TOKENS_INSTEAD,
}


def parse(
    text: str, parameters: Mapping[str, object] | None = None, words_max: int = WORDS_MAX
) -> list[tree.Statement]:
    """The statements of `text`, in order.

    Raises:
        QueryError: It does not follow the grammar, or has more than `words_max` words and signs.
        QueryNotSupportedError: It asks for something that the server does not offer.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        raise QueryError(f"the query is longer than {TEXT_CHARACTERS_MAX} characters")
    return _Parser(tokens_of(text, words_max), parameters or {}).statements()


class _Parser(ExpressionParser):
    def statements(self) -> list[tree.Statement]:
        found: list[tree.Statement] = []
        while not self._is_at_end():
            if self._took_symbol(";"):
                continue
            found.append(self._statement())
            if len(found) > STATEMENTS_MAX:
                raise QueryError(f"more than {STATEMENTS_MAX} statements")
            if not self._is_at_end() and not self._is_symbol(";"):
                raise self._unexpected("end of the statement")
        if not found:
            raise QueryError("error parsing query: there is no statement")
        return found

    # -- statements -------------------------------------------------------------------------------

    def _statement(self) -> tree.Statement:
        if self._took("SELECT"):
            return self._select()
        if self._took("SHOW"):
            return self._show()
        if self._took("CREATE", "DATABASE"):
            return self._create_database()
        self._refuse(_REFUSED)
        raise self._unexpected("SELECT, SHOW or CREATE DATABASE")

    def _refuse(self, known: Mapping[str, str], prefix: str = "") -> None:
        """Refuse, by its name, a statement that is one of `known`."""
        for words, instead in known.items():
            if self._is_word(*words.split()):
                raise QueryNotSupportedError(
                    f"{prefix}{words} is not supported in InfluxQL", hint=instead
                )

    def _create_database(self) -> tree.CreateDatabase:
        name = self._name("database name")
        if self._is_word("WITH"):
            raise QueryNotSupportedError(
                "retention policies are not supported", hint="leave the WITH clause out"
            )
        return tree.CreateDatabase(name)

    def _select(self) -> tree.Select:
        fields = [self._field()]
        while self._took_symbol(","):
            fields.append(self._field())
        if self._is_word("INTO"):
            raise QueryNotSupportedError(
                "SELECT INTO is not supported",
                hint="a trigger computes as rows come in, or at times, and writes what it has: "
                "headrace create trigger",
            )
        self._expect("FROM")
        sources = self._sources()
        condition = self._expression() if self._took("WHERE") else None
        grouping = self._grouping() if self._took("GROUP", "BY") else tree.Grouping()
        fill = self._fill() if self._took("FILL") else tree.Fill()
        is_ordered = self._is_word("ORDER", "BY")
        is_descending = self._ordering()
        limits = self._limits()
        return tree.Select(
            fields=tuple(fields),
            sources=sources,
            condition=condition,
            grouping=grouping,
            fill=fill,
            is_descending=is_descending,
            is_ordered=is_ordered,
            limits=limits,
            zone=self._zone() if self._took("TZ") else "",
        )

    def _zone(self) -> str:
        self._expect_symbol("(")
        token = self._next()
        self._expect_symbol(")")
        if token.kind is not TokenKind.STRING:
            raise syntax_error("tz() takes the name of a time zone in quotes", token.offset)
        if not is_zone(token.text):
            raise QueryError(f"unable to find time zone {token.text}")
        return token.text

    def _subquery(self) -> tree.Source:
        self._depth += 1
        if self._depth > SUBQUERIES_MAX:
            raise QueryError(f"error parsing query: more than {SUBQUERIES_MAX} subqueries nested")
        self._expect("SELECT")
        select = self._select()
        self._expect_symbol(")")
        self._depth -= 1
        return tree.Source(select=select)

    def _field(self) -> tree.Field:
        expression = self._expression()
        return tree.Field(expression, self._name("alias") if self._took("AS") else "")

    def _sources(self) -> tuple[tree.Source, ...]:
        sources = [self._source()]
        while self._took_symbol(","):
            sources.append(self._source())
        return tuple(sources)

    def _source(self) -> tree.Source:
        if self._took_symbol("("):
            return self._subquery()
        parts: list[str] = []
        while True:
            if self._token.kind is TokenKind.REGEX:
                return _qualified(parts, tree.Source(regex=self._next().text))
            if self._is_symbol(".") and parts:
                parts.append("")  # db..table: the policy is left out
            else:
                parts.append(self._name("measurement"))
            if not self._took_symbol("."):
                break
        if len(parts) > 3:
            raise self._unexpected("at most database, policy and measurement")
        return _qualified(parts[:-1], tree.Source(name=parts[-1]))

    def _grouping(self) -> tree.Grouping:
        interval: int | None = None
        offset, tags, regexes, has_all = 0, [], [], False
        while True:
            if self._is_word("TIME") and self._tokens[self._at + 1].text == "(":
                self._at += 2
                interval = self._duration()
                if interval <= 0:
                    raise QueryError("GROUP BY time() needs a duration above 0")
                offset = self._signed_duration() if self._took_symbol(",") else 0
                self._expect_symbol(")")
            elif self._token.kind is TokenKind.REGEX:
                regexes.append(self._next().text)
            elif self._took_symbol("*"):
                has_all = True
            else:
                tags.append(self._name("tag"))
                if self._took_symbol("::"):
                    self._name("tag")
            if not self._took_symbol(","):
                break
        return tree.Grouping(interval, offset, tuple(dict.fromkeys(tags)), tuple(regexes), has_all)

    def _duration(self) -> int:
        if self._token.kind is not TokenKind.DURATION:
            raise self._unexpected("duration")
        return duration_ns(self._next().text)

    def _signed_duration(self) -> int:
        sign = -1 if self._took_symbol("-") else 1
        if self._is_word("NOW"):
            raise QueryNotSupportedError("now() as the offset of time() is not supported")
        return sign * self._duration()

    def _fill(self) -> tree.Fill:
        self._expect_symbol("(")
        sign = -1 if self._took_symbol("-") else 1
        token = self._next()
        self._expect_symbol(")")
        if token.kind in (TokenKind.INTEGER, TokenKind.NUMBER):
            return tree.Fill(tree.FillKind.VALUE, sign * number_of(token))
        try:
            kind = tree.FillKind(token.text.lower())
        except ValueError:
            kind = tree.FillKind.VALUE
        if token.kind is not TokenKind.WORD or kind is tree.FillKind.VALUE:
            raise syntax_error(f"unknown fill option '{token.text}'", token.offset)
        return tree.Fill(kind)

    def _ordering(self) -> bool:
        if not self._took("ORDER", "BY"):
            return False
        if self._name("time").lower() != "time":
            raise QueryNotSupportedError("ORDER BY is supported for time alone")
        is_descending = self._took("DESC")
        if not is_descending:
            self._took("ASC")
        return is_descending

    def _limits(self) -> tree.Limits:
        found: dict[str, int] = {}
        for word in ("LIMIT", "OFFSET", "SLIMIT", "SOFFSET"):
            if self._took(word):
                if self._token.kind is not TokenKind.INTEGER:
                    raise self._unexpected("integer")
                token = self._next()
                found[word] = int(token.text)
                if found[word] >= 2**63:
                    raise syntax_error(f"{word} has 63 bits, not {token.text}", token.offset)
        return tree.Limits(
            # 0 stands for no limit.
            rows=found.get("LIMIT") or None,
            rows_skipped=found.get("OFFSET", 0),
            series=found.get("SLIMIT") or None,
            series_skipped=found.get("SOFFSET", 0),
        )

    # -- SHOW -------------------------------------------------------------------------------------

    def _show(self) -> tree.Show:
        for words, kind in _COUNTED.items():
            for more in (("CARDINALITY",), ("EXACT", "CARDINALITY")):
                if self._took(*words, *more):
                    shown = self._show_of(kind)
                    is_exact = len(more) > 1
                    return msgspec.structs.replace(shown, is_cardinality=True, is_exact=is_exact)
        for kind in tree.ShowKind:
            if self._took(*kind.value.split()):
                return self._show_of(kind)
        self._refuse(_SHOW_REFUSED, "SHOW ")
        raise self._unexpected(" or ".join(tree.ShowKind))

    def _show_of(self, kind: tree.ShowKind) -> tree.Show:
        database = policy = ""
        if self._took("ON"):
            database = self._name("database")
            policy = self._name("retention policy") if self._took_symbol(".") else ""
        sources = self._sources() if self._took("FROM") else ()
        keys: tuple[str, ...] = ()
        regex: str | None = None
        is_negated = False
        if self._took("WITH", "MEASUREMENT"):
            sources = self._with_measurement()
        elif self._took("WITH", "KEY"):
            keys, regex, is_negated = self._with_key()
        elif kind is tree.ShowKind.TAG_VALUES:
            raise self._unexpected("WITH KEY")
        condition = self._expression() if self._took("WHERE") else None
        if self._is_word("GROUP"):
            raise QueryNotSupportedError("SHOW with GROUP BY is not supported")
        if self._took("ORDER", "BY"):
            self._name()
            if not self._took("ASC") and self._is_word("DESC"):
                raise QueryNotSupportedError("SHOW in descending order is not supported")
        return tree.Show(
            kind=kind,
            database=database,
            policy=policy,
            sources=sources,
            keys=keys,
            key_regex=regex,
            is_key_negated=is_negated,
            condition=condition,
            limits=self._limits(),
        )

    def _with_measurement(self) -> tuple[tree.Source, ...]:
        if self._took_symbol("=~"):
            if self._token.kind is not TokenKind.REGEX:
                raise self._unexpected("regex")
            return (tree.Source(regex=self._next().text),)
        self._expect_symbol("=")
        return (self._source(),)

    def _with_key(self) -> tuple[tuple[str, ...], str | None, bool]:
        if self._took("IN"):
            self._expect_symbol("(")
            keys = [self._name("tag key")]
            while self._took_symbol(","):
                keys.append(self._name("tag key"))
            self._expect_symbol(")")
            return tuple(keys), None, False
        symbol = self._next().text
        if symbol in ("=~", "!~") and self._token.kind is TokenKind.REGEX:
            return (), self._next().text, symbol == "!~"
        if symbol in ("=", "!="):
            return (self._name("tag key"),), None, symbol == "!="
        self._at -= 1
        raise self._unexpected("=, !=, =~, !~ or IN")


def _qualified(parts: list[str], source: tree.Source) -> tree.Source:
    database, policy = (["", "", *parts])[-2:] if len(parts) > 1 else ("", "".join(parts))
    return tree.Source(source.name, source.regex, database, policy)
