# Owns the running of whole InfluxQL statements: which database and tables they are about, and what
# series come of it. Blocking; called from the threads of queries.
"""Answers to InfluxQL."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from engine.errors import DatabaseNotFoundError, QueryError, QueryTimeoutError
from engine.influxql import tree
from engine.influxql.conditions import Calendar
from engine.influxql.names import matching
from engine.influxql.parser import parse
from engine.influxql.results import Series, check_cells, limited, num_cells
from engine.influxql.selection import Selection
from engine.influxql.showing import shown
from engine.influxql.subqueries import as_subquery, inherited, own_form
from engine.influxql.tables import Runner, Table, derived
from engine.influxql.zones import Zone
from engine.query.executor import QueryExecutor
from engine.query.views import QueryCatalog
from lp_core.enums import ColumnType

# Columns of one statement, counted for each table that it reads.
COLUMNS_MAX = 500_000
_NOTHING: Mapping[str, Any] = {}
# The policies that mean the plain database.
DEFAULT_POLICIES = frozenset({"", "autogen", "default"})


def database_of(name: str, policy: str) -> str:
    """The database that a name and a retention policy of the older versions mean."""
    return name if policy.lower() in DEFAULT_POLICIES else f"{name}/{policy.lower()}"


def databases_of(statement: tree.Statement, default: str, policy: str) -> list[str]:
    """The databases that `statement` reads, where `default` and `policy` are the request's.

    Raises:
        QueryError: It needs one, and none is named.
    """
    match statement:
        case tree.Select(sources=sources):
            found = [
                database for source in sources for database in _read_by(source, default, policy)
            ]
        case tree.Show(kind=tree.ShowKind.DATABASES):
            return []
        case tree.Show():
            base = statement.database or default
            own = statement.policy or policy
            found = [source_database(source, base, own) for source in statement.sources] or [
                database_of(base, own)
            ]
        case tree.CreateDatabase():
            return []
    if not all(found):
        raise QueryError("database is required", hint="add db=NAME to the request")
    return list(dict.fromkeys(found))


def _read_by(source: tree.Source, default: str, policy: str) -> list[str]:
    if source.select is None:
        return [source_database(source, default, policy)]
    return [name for inner in source.select.sources for name in _read_by(inner, default, policy)]


def source_database(source: tree.Source, default: str, policy: str) -> str:
    """The database of one source."""
    name = source.database or default
    if not name:
        return ""
    own = source.policy or ("" if source.database else policy)
    return database_of(name, own)


class InfluxqlEngine:
    """Runs parsed statements."""

    def __init__(
        self, executor: QueryExecutor, catalog: QueryCatalog, now_ns: Callable[[], int]
    ) -> None:
        self._executor = executor
        self._catalog = catalog
        self._now_ns = now_ns

    def parsed(self, text: str, values: Mapping[str, object]) -> list[tree.Statement]:
        """The statements of `text`, with the values of their parameters.

        Raises:
            QueryError: They cannot be understood.
        """
        return parse(text, values, self._executor.words_max)

    def series(self, statement: tree.Statement, default: str, policy: str) -> list[Series]:
        """The answer to one SELECT, or SHOW about tables.

        Args:
            statement: What is asked.
            default: Database of what names none.
            policy: Retention policy of what names none.

        Raises:
            DatabaseNotFoundError, QueryError: As they say.
        """
        return _Run(self._executor, self._catalog, default, policy, self._now_ns()).series(
            statement
        )


class _Run:
    """One statement while it runs."""

    def __init__(
        self,
        executor: QueryExecutor,
        catalog: QueryCatalog,
        default: str,
        policy: str,
        now_ns: int,
    ) -> None:
        self._executor = executor
        self._catalog = catalog
        self._default = default
        self._policy = policy
        self._now_ns = now_ns
        self._columns = 0
        limit_ms = executor.timeout_ms
        self._deadline = time.monotonic() + limit_ms / 1000 if limit_ms else None

    def series(self, statement: tree.Statement) -> list[Series]:
        """The answer."""
        try:
            if isinstance(statement, tree.Select):
                return limited(self._selected(statement), statement.limits)
            assert isinstance(statement, tree.Show)
            return self._shown(statement)
        except RecursionError as error:
            raise QueryError("the query is nested too deeply") from error

    def _query(
        self,
        database: str,
        sql: str,
        parameters: Mapping[str, object],
        given: Mapping[str, Any] = _NOTHING,
    ) -> Any:
        """One query of those that the statement takes, within its time."""
        if self._deadline is None:
            return self._executor.run(database, sql, parameters, given=given)
        left_ms = int((self._deadline - time.monotonic()) * 1000)
        if left_ms <= 0:
            raise QueryTimeoutError(
                "the query ran longer than it may",
                hint="ask fewer tables or a shorter time range, or raise the query time-out",
            )
        return self._executor.run(database, sql, parameters, timeout_ms=left_ms, given=given)

    def _selected(self, select: tree.Select) -> list[Series]:
        calendar = Calendar(self._now_ns, Zone(select.zone))
        series: list[Series] = []
        read = list(self._read(select, calendar))
        columns: dict[str, ColumnType] = {}
        for table, _ in read:
            for name, kind in table.columns.items():
                columns.setdefault(name, kind)
        for table, run in read:
            selection = Selection(own_form(select), table, calendar, columns)
            self._columns += selection.num_columns
            if self._columns > COLUMNS_MAX:
                raise QueryError(
                    f"more than {COLUMNS_MAX} columns of all tables",
                    hint="name the columns, or ask fewer tables at once",
                )
            series += selection.run(run)
            check_cells(num_cells(series))
        # Stable: those of one name are in their order already.
        return sorted(series, key=lambda one: one.name, reverse=select.is_descending)

    def _read(self, select: tree.Select, calendar: Calendar) -> Iterator[tuple[Table, Runner]]:
        """The tables that `select` reads, and what runs SQL on each."""
        sources, default, policy = select.sources, self._default, self._policy
        if all(source.select is None for source in sources):
            by_database: dict[str, list[tree.Source]] = {}
            for source in sources:
                by_database.setdefault(source_database(source, default, policy), []).append(source)
            for database, named in by_database.items():
                for table in self._tables(database, named):
                    yield table, functools.partial(self._query, database)
            return
        given: list[Series] = []
        for source in sources:
            given += self._selected(
                inherited(source.select or as_subquery(source), select, calendar)
            )
            check_cells(num_cells(given))
        database = next(name for source in sources for name in _read_by(source, default, policy))
        for table in derived(given):
            tables = {table.name: table.rows}
            yield table, functools.partial(self._query, database, given=tables)

    def _shown(self, show: tree.Show) -> list[Series]:
        calendar = Calendar(self._now_ns, Zone(""))
        series: list[Series] = []
        for database in databases_of(show, self._default, self._policy):
            if show.kind is tree.ShowKind.RETENTION_POLICIES:
                self._require(database)
                series.append(_policies(self._catalog.retention_ns(database)))
                continue
            tables = self._tables(database, show.sources)
            series += shown(show, tables, functools.partial(self._query, database), calendar)
        return series

    def _require(self, database: str) -> None:
        if not self._catalog.has_database(database):
            raise DatabaseNotFoundError(f"database not found: {database}")

    def _tables(self, database: str, sources: Sequence[tree.Source]) -> list[Table]:
        """The tables that `sources` name, all without any."""
        self._require(database)
        names = sorted(self._catalog.table_names(database))
        found = _named(names, sources) if sources else names
        tables = []
        for name in found:
            snapshot = self._catalog.snapshot(database, name)
            if snapshot is not None:
                tables.append(Table(name, dict(snapshot.columns)))
        return tables


def _named(names: Iterable[str], sources: Sequence[tree.Source]) -> list[str]:
    known = sorted(names)
    found: dict[str, None] = {}
    for source in sources:
        if source.regex is not None:
            found.update(dict.fromkeys(matching(source.regex, known)))
        elif source.name in known:
            found[source.name] = None
    return list(found)


def _policies(retention_ns: int | None) -> Series:
    """The one policy of a database."""
    minutes, seconds = divmod((retention_ns or 0) // 1_000_000_000, 60)
    kept = f"{minutes // 60}h{minutes % 60}m{seconds}s" if retention_ns else "0s"
    return Series(
        name="retention_policies",
        columns=["name", "duration", "shardGroupDuration", "replicaN", "default"],
        values=[["autogen", kept, "168h0m0s", 1, True]],
    )
