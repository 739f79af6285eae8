# Owns the grammar of the users' SQL: a sqlglot dialect near to DataFusion's, and the sorting of a
# text into one of the few statement kinds that the server answers. What a query may contain is
# decided in sandbox.py, what it means in rewrite.py. The tree of a parsed statement is never
# changed: copy it.
"""Parsing of SQL statements."""

import itertools
import re
from enum import StrEnum
from typing import Any, ClassVar, cast

import msgspec
from sqlglot import exp, generator, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.tokens import Token, TokenType  # type: ignore[attr-defined]  # re-exported there

from engine.errors import QueryError, QueryNotSupportedError

_INTERVAL_UNITS = frozenset(
    unit + plural
    for unit in (
        "NANOSECOND",
        "MICROSECOND",
        "MILLISECOND",
        "SECOND",
        "MINUTE",
        "HOUR",
        "DAY",
        "WEEK",
        "MONTH",
        "QUARTER",
        "YEAR",
    )
    for plural in ("", "S")
)

# A double has no more digits before or after its point.
_DIGITS_MAX = 400

# Reading a word of usual queries takes 2 to 6 steps.
_PARSER_STEPS_MIN = 1_000
_PARSER_STEPS_PER_WORD = 50

# Pieces of a text: names of several words and signs of several characters make up to four of them
# one word. None of it can go back in what it has read.
_PIECE = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*(?:.*?\*/|.*))
  | (?:'[^']*'?)+ | (?:"[^"]*"?)+ | \d+(?:\.\d*)?(?:e[+-]?\d+)? | \w+ | .
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_PIECES_PER_WORD = 4

_OPENING = frozenset((TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE))
_CLOSING = frozenset((TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END))

_QUERY_OPENING = frozenset((TokenType.SELECT, TokenType.WITH))

_QUERY_WORDS = frozenset({"SELECT", "WITH", "VALUES", "("})

# Known statements get a refusal that names them; anything else is a syntax error.
_REFUSED_WORDS = frozenset(
    (
        "ALTER",
        "ANALYZE",
        "ATTACH",
        "BEGIN",
        "CALL",
        "CHECKPOINT",
        "COMMENT",
        "COMMIT",
        "COPY",
        "CREATE",
        "DEALLOCATE",
        "DELETE",
        "DETACH",
        "DROP",
        "EXECUTE",
        "EXPORT",
        "FORCE",
        "FROM",
        "GRANT",
        "IMPORT",
        "INSERT",
        "INSTALL",
        "LOAD",
        "MERGE",
        "PIVOT",
        "PRAGMA",
        "PREPARE",
        "REPLACE",
        "RESET",
        "REVOKE",
        "ROLLBACK",
        "SET",
        "START",
        "SUMMARIZE",
        "TABLE",
        "TRUNCATE",
        "UNPIVOT",
        "UPDATE",
        "UPSERT",
        "USE",
        "VACUUM",
    )
)


class ParseLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How large a statement may be: parsing it holds the interpreter's lock.

    Attributes:
        words_max: Words, numbers, texts and signs.
        nesting_max: Brackets and CASEs within each other.
        subqueries_max: Subqueries within each other. DuckDB 1.5 plans 22 of them in a second, 24 in
            more than four.
    """

    words_max: int = 10_000
    nesting_max: int = 32
    subqueries_max: int = 16


# Functions of whole numbers that are not held to 64 bits.
_WIDER = frozenset(("factorial", "sum"))


class StatementKind(StrEnum):
    """What a statement asks for."""

    QUERY = "query"
    EXPLAIN = "explain"
    EXPLAIN_ANALYZE = "explain analyze"
    SHOW_TABLES = "show tables"
    SHOW_COLUMNS = "show columns"
    DESCRIBE = "describe"


class TableName(msgspec.Struct, frozen=True):
    """A table as a statement names it; ``schema`` is ``iox`` when the statement gives none."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"public.{self.schema}.{self.name}"


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One parsed statement: a tree for the query kinds, a table name for the others."""

    kind: StatementKind
    query: exp.Query | None = None
    table: TableName | None = None

    def has_sums(self) -> bool:
        """Whether whole numbers of the answer may be wider than those that it is made of."""
        return self.query is not None and any(
            node.name.lower() in _WIDER for node in self.query.find_all(exp.Anonymous)
        )


class _StepsExceededError(Exception):
    """The parser goes back and forth over the same words."""


class _HeadraceParser(parser.Parser):
    # Every function stays a plain call (exp.Anonymous) with the name the user wrote, so that the
    # list of allowed functions and their translation see names, not sqlglot's idea of other
    # products.
    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        name: parser.Parser.FUNCTION_PARSERS[name]
        for name in ("CAST", "TRY_CAST", "EXTRACT", "OVERLAY", "POSITION", "SUBSTRING", "TRIM")
    }
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        name: parser.Parser.NO_PAREN_FUNCTION_PARSERS[name] for name in ("ANY", "CASE")
    }
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {
        TokenType.CURRENT_DATE: exp.CurrentDate,
        TokenType.CURRENT_TIMESTAMP: exp.CurrentTimestamp,
        TokenType.LOCALTIMESTAMP: exp.CurrentTimestamp,
    }
    UNARY_PARSERS: ClassVar[dict[Any, Any]] = {
        **parser.Parser.UNARY_PARSERS,
        TokenType.RLIKE: lambda self: self.expression(exp.BitwiseNot(this=self._parse_unary())),
    }

    # Some constructs are tried in several ways, each of which tries its parts in several ways: a
    # few hundred bytes could take minutes. Words are counted each time they are read.
    _steps_left = 0

    def parse(self, raw_tokens: list[Token], sql: str) -> list[exp.Expr | None]:
        self._steps_left = _PARSER_STEPS_MIN + _PARSER_STEPS_PER_WORD * len(raw_tokens)
        return super().parse(raw_tokens, sql)

    def parse_into(
        self, expression_types: Any, raw_tokens: list[Token], sql: str | None = None
    ) -> list[exp.Expr | None]:
        # The name of a type that sqlglot does not know has a parser of its own.
        self._steps_left = _PARSER_STEPS_MIN
        return super().parse_into(expression_types, raw_tokens, sql)

    def _advance(self, times: int = 1) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise _StepsExceededError
        super()._advance(times)

    def _parse_interval(
        self,
        require_interval: bool = True,
        parse_function_unit: bool = True,
    ) -> exp.Interval | None:
        # The text stays whole ('1 hour 30 minutes'); its meaning is literals.parse_interval's.
        index = self._index
        if not self._match(TokenType.INTERVAL) and require_interval:
            return None
        if self._match_set((TokenType.STRING, TokenType.NUMBER)):
            value: exp.Expr = exp.Literal.string(self._prev.text)
        elif self._match(TokenType.PARAMETER):
            value = self._parse_parameter()
        else:
            self._retreat(index)
            return None
        unit = None
        if self._curr and self._curr.text.upper() in _INTERVAL_UNITS:
            unit = exp.Var(this=self._curr.text.lower())
            self._advance()
        return exp.Interval(this=value, unit=unit)


class HeadraceDialect(Dialect):
    """The SQL that clients of the reference system write."""

    NULL_ORDERING = "nulls_are_large"

    class Tokenizer(tokens.Tokenizer):
        """Tokens: ``~`` matches a regular expression and ``$name`` is a parameter."""

        # Without this the words after SHOW and EXPLAIN would arrive as one string.
        COMMANDS: ClassVar[set[TokenType]] = set()

        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            **{
                word: token
                for word, token in tokens.Tokenizer.KEYWORDS.items()
                if word not in ("/*+", "DIV")
            },
            "~": TokenType.RLIKE,
            "LOCALTIMESTAMP": TokenType.LOCALTIMESTAMP,
        }
        SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
            **{
                sign: token for sign, token in tokens.Tokenizer.SINGLE_TOKENS.items() if sign != "@"
            },
            "$": TokenType.PARAMETER,
        }

    Parser = _HeadraceParser

    class Generator(generator.Generator):
        """Writes expressions as users do; for names of result columns only."""

        PARAMETER_TOKEN = "$"  # noqa: S105 - not a secret


class DuckDBDialect(DuckDB):
    """DuckDB's SQL, in which indices of lists stand as the user wrote them.

    Both count from 1. To bring them from one count to another, sqlglot finds the types of all that
    stands before each index, which takes seconds where hundreds follow each other.
    """

    INDEX_OFFSET = 0


_DIALECT = HeadraceDialect()
_DEFAULT_LIMITS = ParseLimits()


def parse_statement(sql: str, limits: ParseLimits = _DEFAULT_LIMITS) -> Statement:
    """Parse the text of exactly one statement.

    Raises:
        QueryNotSupportedError: The statement is not a query.
        QueryError: The text is not understood, is not exactly one statement, or is too large.
    """
    if "\x00" in sql:
        raise QueryError(_syntax_error("a query may not contain the NUL character"))
    try:
        _check_pieces(sql, limits)
        words = list(_DIALECT.tokenize(sql))
        while words and words[-1].token_type == TokenType.SEMICOLON:
            words.pop()
        _check_size(words, limits)
        return _classify(words, sql)
    except (ParseError, TokenError) as error:
        raise QueryError(_syntax_error(_reason(error))) from error
    except _StepsExceededError as error:
        raise QueryError(
            "the query takes too many steps to parse", hint="nest brackets and calls less deeply"
        ) from error
    except RecursionError as error:
        raise QueryError("the query is nested too deeply") from error


def _check_pieces(sql: str, limits: ParseLimits) -> None:
    """Refuse a text that cannot but have too many words, before the time to cut it into words."""
    most = _PIECES_PER_WORD * limits.words_max
    if len(sql) <= most:
        return
    pieces = 0
    for piece in _PIECE.finditer(sql):
        pieces += piece.lastgroup is None
        if pieces > most:
            raise _too_many_words(limits)


def _too_many_words(limits: ParseLimits) -> QueryError:
    return QueryError(
        f"the query has more than {limits.words_max} words",
        hint="ask for a range instead of listing values, or send several queries",
    )


def _check_size(words: list[Token], limits: ParseLimits) -> None:
    if len(words) > limits.words_max:
        raise _too_many_words(limits)
    depth = queries = 0
    opened: list[bool] = []
    for word, following in zip(words, [*words, None][1:], strict=True):
        if word.token_type == TokenType.NUMBER and len(word.text) > _DIGITS_MAX:
            raise QueryError(f"a number in the query is longer than {_DIGITS_MAX} digits")
        if word.token_type in _OPENING:
            depth += 1
            opened.append(following is not None and following.token_type in _QUERY_OPENING)
            queries += opened[-1]
            if queries > limits.subqueries_max:
                raise QueryError(
                    "the query is nested too deeply: more than "
                    f"{limits.subqueries_max} subqueries within each other",
                    hint="use WITH to name subqueries",
                )
            if depth > limits.nesting_max:
                raise QueryError(
                    f"the query is nested too deeply: more than {limits.nesting_max} levels",
                    hint="use WITH to name subqueries",
                )
        elif word.token_type in _CLOSING:
            depth -= 1
            queries -= opened.pop() if opened else 0


def _classify(words: list[Token], sql: str) -> Statement:
    if not words:
        raise QueryError(_syntax_error("the query is empty"))
    if any(word.token_type == TokenType.SEMICOLON for word in words):
        raise QueryError("a query is exactly one statement, this text holds several")
    first = words[0].text.upper()
    if first == "EXPLAIN":
        return _explain(words[1:], sql)
    if first == "SHOW":
        return _show(words[1:])
    if first in ("DESCRIBE", "DESC"):
        return Statement(kind=StatementKind.DESCRIBE, table=_table_name(words[1:]))
    if first in _QUERY_WORDS:
        return Statement(kind=StatementKind.QUERY, query=_query(words, sql))
    if first in _REFUSED_WORDS:
        raise QueryNotSupportedError(
            f"{first} statements are not supported: this interface answers queries only",
            hint="use SELECT, WITH, VALUES, SHOW TABLES, SHOW COLUMNS, DESCRIBE or EXPLAIN",
        )
    raise QueryError(_syntax_error(f"Expected a SQL statement, found: {words[0].text}"))


def _query(words: list[Token], sql: str) -> exp.Query:
    trees = _DIALECT.parser().parse(words, sql)
    tree = trees[0] if len(trees) == 1 else None
    if isinstance(tree, exp.Values) and tree.expressions:
        width = len(tree.expressions[0].expressions)
        names = [exp.to_identifier(f"column{number}") for number in range(1, width + 1)]
        tree.set("alias", exp.TableAlias(this=exp.to_identifier("values"), columns=names))
        tree = exp.select("*").from_(tree)
    if not isinstance(tree, exp.Query):
        raise QueryNotSupportedError("only queries can be run")
    for kind in (exp.Or, exp.And):
        _balance(tree, kind)
    return tree


def _balance(tree: exp.Expr, kind: type[exp.Connector]) -> None:
    """Make ``((a OR b) OR c) OR d`` into ``(a OR b) OR (c OR d)``: long chains are common."""
    for node in list(tree.find_all(kind)):
        if isinstance(node.parent, kind) or not isinstance(node.this, kind):
            continue
        parts: list[exp.Expr] = []
        waiting: list[exp.Expr] = [node]
        while waiting:
            part = waiting.pop()
            if isinstance(part, kind):
                waiting += [part.this, part.expression]
            else:
                parts.append(part)
        parts.reverse()
        while len(parts) > 2:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            rest = parts[len(parts) - len(parts) % 2 :]
            parts = [kind(this=left, expression=right) for left, right in pairs] + rest
        node.set("this", parts[0])
        node.set("expression", parts[1])


def _explain(words: list[Token], sql: str) -> Statement:
    kind = StatementKind.EXPLAIN
    while words and words[0].text.upper() in ("ANALYZE", "VERBOSE"):
        if words[0].text.upper() == "ANALYZE":
            kind = StatementKind.EXPLAIN_ANALYZE
        words = words[1:]
    if not words or words[0].text.upper() not in _QUERY_WORDS:
        raise QueryNotSupportedError("EXPLAIN is supported for queries only")
    return Statement(kind=kind, query=_query(words, sql))


def _show(words: list[Token]) -> Statement:
    if len(words) == 1 and words[0].text.upper() == "TABLES":
        return Statement(kind=StatementKind.SHOW_TABLES)
    if (
        len(words) > 2
        and words[0].text.upper() == "COLUMNS"
        and words[1].text.upper() in ("FROM", "IN")
    ):
        return Statement(kind=StatementKind.SHOW_COLUMNS, table=_table_name(words[2:]))
    what = " ".join(word.text for word in words)
    raise QueryNotSupportedError(
        f"SHOW {what} is not supported", hint="use SHOW TABLES or SHOW COLUMNS FROM <table>"
    )


def _table_name(words: list[Token]) -> TableName:
    parts = [
        word.text
        if word.token_type in (TokenType.IDENTIFIER, TokenType.STRING)
        else word.text.lower()
        for word in words[::2]
    ]
    dots = all(word.token_type == TokenType.DOT for word in words[1::2])
    if not parts or not dots or len(words) % 2 == 0 or len(parts) > 3:
        raise QueryError(_syntax_error("Expected a table name"))
    if len(parts) == 3 and parts[0] != "public":
        raise QueryError(f"Error during planning: catalog '{parts[0]}' not found")
    return TableName(parts[-2] if len(parts) > 1 else "iox", parts[-1])


def _reason(error: SqlglotError) -> str:
    details = cast("list[dict[str, Any]]", getattr(error, "errors", []))
    if not details:
        return str(error).split("\n", 1)[0]
    first = details[0]
    near = f" at Line: {first['line']}, Column: {first['col']}" if first.get("line") else ""
    found = f", near {first['highlight']!r}" if first.get("highlight") else ""
    return f"{str(first.get('description', '')).rstrip('.')}{near}{found}"


def _syntax_error(reason: str) -> str:
    return f'SQL error: ParserError("{reason}")'


def parameter_names(sql: str) -> tuple[str, ...]:
    """The names of the placeholders in a statement that can be parsed, without ``$``.

    Numbers come by their value, words as they first occur in the text.
    """
    words = list(_DIALECT.tokenize(sql))
    names = dict.fromkeys(
        word.text
        for sign, word in itertools.pairwise(words)
        if sign.token_type is TokenType.PARAMETER
    )
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(names)
