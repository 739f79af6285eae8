# Owns what comes before DuckDB runs a query: its tables are found, as far as the query reaches, and
# made visible in its cursor, and its translation is bound to its values. Or it is answered without
# DuckDB. The executor asks, once for each query.
"""Queries made ready to run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
import msgspec

from engine.query import catalog_tables
from engine.query.dialect import ParseLimits, StatementKind
from engine.query.grouped_queries import GroupedQueries, Grouping
from engine.query.lazy_cursor import LazyCursor
from engine.query.questions import Parsed, Question, template_of
from engine.query.reach import (
    EVERYTHING,
    numbers_reached,
    texts_reached,
    times_met,
    times_reached,
)
from engine.query.rewrite import view_name
from engine.query.series_answers import Moment, series_answer
from engine.query.series_plans import SeriesPlan
from engine.query.table_sources import Found, TableSources
from engine.query.views import Reach, distinct_names
from engine.store.manifest import FileEntry

_NO_ZONES: Mapping[str, str] = {}
# Parsed, where it is a query, so that it is not parsed again.
Runnable = str | duckdb.Statement
# Files that a query reads, each with its database and table.
ReadFiles = list[tuple[str, str, FileEntry]]


class Prepared(NamedTuple):
    """A query that is to be run, or has been answered.

    Attributes:
        runnable: What DuckDB is to run.
        zones: The time zones of columns of the result.
        answer: The answer; None where DuckDB gives it.
    """

    runnable: Runnable = ""
    zones: Mapping[str, str] = _NO_ZONES
    answer: Any | None = None


class QueryPreparer:
    """Makes queries ready; any thread may ask.

    Attributes:
        answers_series: Whether questions about single series are answered without DuckDB where
            that is possible; the answers are the same, so that tests compare them.
    """

    def __init__(
        self,
        sources: TableSources,
        grouped: GroupedQueries,
        clock_ns: Callable[[], int],
        limits: ParseLimits,
        *,
        result_bytes_max: int,
    ) -> None:
        """Find tables in `sources`; the rest is as QueryConfig has it."""
        self.answers_series = True
        self._sources = sources
        self._grouped = grouped
        self._clock_ns = clock_ns
        self._limits = limits
        self._result_bytes_max = result_bytes_max

    def prepared(
        self,
        cursor: LazyCursor,
        database: str,
        question: Question,
        given: Mapping[str, Any],
        files: ReadFiles,
        *,
        is_schema_only: bool,
    ) -> Prepared:
        """Make the tables visible in the cursor, for the statement that reads them.

        Args:
            cursor: Of the query.
            database: The database whose tables it names.
            question: It.
            given: Rows by the name under which it reads them, instead of the table of that name.
            files: Gets those that it reads, before any of them is looked at.
            is_schema_only: Whether nothing but the columns of its answer is asked for.

        Raises:
            TableNotFoundError: It names a table that is not there.
            FileDamagedError: It needs rows of a file that cannot be read.
            QueryError: It does not fit the columns, or anything else in it is wrong.
            duckdb.Error, OSError: DuckDB or a disk says so.
        """
        now_ns = self._clock_ns()
        params, parsed = question.params, question.parsed
        statement, tables, survey = parsed.statement, parsed.tables, parsed.survey
        assert survey is not None
        found = self._found(database, question, given, now_ns)
        files[:] = [
            (database, one.snapshot.name, entry)
            for one in found
            if one.snapshot is not None
            for entry in one.snapshot.files
        ]
        renamed = distinct_names(name for one in found for name, _ in one.columns)
        named = tuple((table, one.columns) for table, one in zip(tables, found, strict=True))
        template = template_of(question, self._limits, named, renamed)
        text = None
        if len(found) == 1 and statement.kind is StatementKind.QUERY and not is_schema_only:
            if template.plan is not None and not given:
                answer = self._series_answer(template.plan, found[0], Moment(params, now_ns))
                if answer is not None:
                    return Prepared(answer=answer)
            met = times_met(survey, params, now_ns)
            if met is not None:
                text = self._grouped.text(
                    cursor.get(),
                    found[0],
                    Grouping(template, params, now_ns, met, renamed, parsed.names),
                )
        if is_schema_only:
            # Columns are the same, however the rows are found.
            found = [msgspec.structs.replace(one, database=None) for one in found]
        if text is None:
            text = self._plain_text(
                cursor.get(), template.bind(params, now_ns), found, renamed, parsed
            )
        # Our own translation, checked as if it were somebody else's.
        made = cursor.get().extract_statements(text)
        assert len(made) == 1
        assert made[0].type == duckdb.StatementType.SELECT
        runnable: Runnable = made[0]
        if statement.kind is StatementKind.EXPLAIN:
            runnable = f"EXPLAIN {text}"
        elif statement.kind is not StatementKind.QUERY:
            runnable = f"EXPLAIN ANALYZE {text}"
        return Prepared(runnable, dict(template.zones))

    def _found(
        self, database: str, question: Question, given: Mapping[str, Any], now_ns: int
    ) -> list[Found]:
        """The tables that a question names, as far as it reaches."""
        params, parsed = question.params, question.parsed
        assert parsed.survey is not None
        times = times_reached(parsed.survey, params, now_ns)
        texts = texts_reached(parsed.survey, params)
        numbers = numbers_reached(parsed.survey, params)
        return [
            _given(given[table.name])
            if table.schema == "iox" and table.name in given
            else self._sources.find(
                database,
                table,
                Reach(
                    times.get(table.name, EVERYTHING),
                    texts.get(table.name, {}),
                    numbers.get(table.name, ()),
                    parsed.names,
                ),
                parsed.points.get(table),
            )
            for table in parsed.tables
        ]

    def _series_answer(self, plan: SeriesPlan, found: Found, moment: Moment) -> Any | None:
        """The answer without DuckDB, where all rows are in memory."""
        snapshot = found.snapshot
        if not self.answers_series or (snapshot is not None and snapshot.files):
            return None
        least_time_ns = None if snapshot is None else snapshot.least_time_ns
        answer = series_answer(plan, found.rows, least_time_ns, moment)
        if answer is None or answer.nbytes > self._result_bytes_max:
            return None
        return answer

    def _plain_text(
        self,
        cursor: duckdb.DuckDBPyConnection,
        text: str,
        found: Sequence[Found],
        renamed: dict[str, str],
        parsed: Parsed,
    ) -> str:
        """`text` with the definitions of the tables that it needs."""
        definitions = [
            f'"{view_name(index)}" AS NOT MATERIALIZED ({select})'
            for index, one in enumerate(found)
            if (select := self._sources.show(cursor, view_name(index), one, renamed, parsed.names))
            is not None
        ]
        return _with(definitions, text) if definitions else text


def _given(rows: Any) -> Found:
    return Found(catalog_tables.kinds_of_schema(rows.schema), rows)


def _with(definitions: list[str], text: str) -> str:
    """`text` with more definitions in front of its own."""
    joined = ", ".join(definitions)
    for start in ("WITH RECURSIVE ", "WITH "):
        if text.startswith(start):
            return f"{start}{joined}, {text.removeprefix(start)}"
    return f"WITH {joined} {text}"
