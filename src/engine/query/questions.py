# Owns the step from the text of a query to what can be said of it whatever the tables hold: parsed,
# checked, by its shape, and translated. Remembers the answers, for texts come again.
"""Texts of queries, understood."""

import contextlib
import functools
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from engine.errors import QueryError
from engine.query.dialect import ParseLimits, Statement, TableName, parse_statement
from engine.query.kinds import Kind
from engine.query.last_points import LastPoints, last_points
from engine.query.reach import Survey, columns_reached, survey_of
from engine.query.rewrite import fold_names, name_caches, tables_of, translate
from engine.query.sandbox import check_query
from engine.query.shapes import shape_of
from engine.query.template import Template

_STATEMENTS_KEPT = 512
# Longer texts are hardly ever sent twice, and their trees are large.
_TEXT_KEPT_MAX = 16_384

# Names of columns with their kinds.
Columns = tuple[tuple[str, Kind], ...]


class Parsed(msgspec.Struct, frozen=True):
    """What can be said of a text whatever the tables hold.

    Attributes:
        survey: Of its tree, where it is a query.
        tables: Those that it names.
        names: As `columns_reached` gives them.
        points: Tables of which the last rows of each series may be enough.
    """

    statement: Statement
    survey: Survey | None = None
    tables: tuple[TableName, ...] = ()
    names: frozenset[str] | None = None
    points: Mapping[TableName, LastPoints] = {}


class Question(NamedTuple):
    """A text, values of its parameters, and what can be said of it."""

    sql: str
    params: Mapping[str, object]
    parsed: Parsed


def question_of(sql: str, params: Mapping[str, object], limits: ParseLimits) -> Question:
    """The question of a text, by its shape where it has one.

    Raises:
        QueryError: It is not a query, or not one that may be asked.
    """
    shape = shape_of(sql) if len(sql) <= _TEXT_KEPT_MAX else None
    if shape is not None:
        # What is wrong is said of the text that was sent.
        with contextlib.suppress(QueryError):
            return Question(*shape, parsed_text(shape[0], limits))
    return plain_question(sql, params, limits)


def plain_question(sql: str, params: Mapping[str, object], limits: ParseLimits) -> Question:
    """The question of a text as it stands.

    Raises:
        QueryError: It is not a query, or not one that may be asked.
    """
    return Question(sql, params, parsed_text(sql, limits))


def parsed_text(sql: str, limits: ParseLimits) -> Parsed:
    """What can be said of a text.

    Raises:
        QueryError: It is not a query, or not one that may be asked.
    """
    parsed = _parsed if len(sql) <= _TEXT_KEPT_MAX else _parsed.__wrapped__
    return parsed(sql, limits)


def template_of(
    question: Question,
    limits: ParseLimits,
    tables: tuple[tuple[TableName, Columns], ...],
    renamed: Mapping[str, str],
) -> Template:
    """The translation of a question, whose tables have these columns.

    Args:
        question: It.
        limits: With which its text was parsed.
        tables: All that it names.
        renamed: Names that columns have in DuckDB, where they differ.

    Raises:
        QueryError: It does not fit the columns.
    """
    if len(question.sql) <= _TEXT_KEPT_MAX:
        return _translated(question.sql, limits, tables, tuple(renamed.items()))
    return _translation(question.parsed.statement, tables, renamed)


@functools.lru_cache(maxsize=_STATEMENTS_KEPT)
def _parsed(sql: str, limits: ParseLimits) -> Parsed:
    statement = parse_statement(sql, limits)
    query = statement.query
    if query is None:
        return Parsed(statement)
    try:
        check_query(query)
        fold_names(query)
        name_caches(query)
        return Parsed(
            statement,
            survey_of(query),
            tables_of(query),
            columns_reached(query),
            last_points(query),
        )
    except RecursionError as error:
        raise QueryError("the query is nested too deeply") from error


@functools.lru_cache(maxsize=_STATEMENTS_KEPT)
def _translated(
    sql: str,
    limits: ParseLimits,
    tables: tuple[tuple[TableName, Columns], ...],
    renamed: tuple[tuple[str, str], ...],
) -> Template:
    return _translation(_parsed(sql, limits).statement, tables, dict(renamed))


def _translation(
    statement: Statement,
    tables: tuple[tuple[TableName, Columns], ...],
    renamed: Mapping[str, str],
) -> Template:
    assert statement.query is not None
    columns = {table: dict(kinds) for table, kinds in tables}
    try:
        return translate(statement.query, columns, renamed)
    except RecursionError as error:
        raise QueryError("the query is nested too deeply") from error
