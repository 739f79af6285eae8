# Owns the one DuckDB database of the server: in memory, empty but for macros, and locked. Every
# query has a cursor of its own, in which only the tables it names are visible. Called from worker
# threads; blocking.
"""Running of queries."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import duckdb
import msgspec
import pyarrow

from engine.caches.table_caches import TableCaches
from engine.errors import (
    DatabaseNotFoundError,
    QueryCancelledError,
    QueryError,
    QueryResourceError,
    QueryTimeoutError,
)
from engine.query import catalog_tables
from engine.query.asker import ASKER
from engine.query.cached_rows import CachedRows
from engine.query.dialect import (
    ParseLimits,
    Statement,
    StatementKind,
    parameter_names,
)
from engine.query.grouped_queries import GroupedQueries
from engine.query.lazy_cursor import LazyCursor
from engine.query.locked_database import locked_database
from engine.query.preparer import Prepared, QueryPreparer, ReadFiles, Runnable
from engine.query.questions import parsed_text, plain_question, question_of
from engine.query.results import normalised
from engine.query.slice_stream import message_of
from engine.query.table_sources import TableSources, not_found
from engine.query.views import QueryCatalog
from engine.query.watchdog import RunningQuery, StopReason, Watchdog
from engine.store.file_faults import FileFaults
from lp_core.enums import ColumnType

REMOVED_FILES_MAX = 2_000
# How long closing waits for queries under way, and how often it interrupts them meanwhile.
_CLOSE_TIMEOUT_S = 0.5
_STOP_REPEAT_S = 0.02

# What fails while the answer streams out arrives through Arrow, as an OSError with DuckDB's
# message.
_FAILURES: tuple[type[Exception], ...] = (
    duckdb.Error,
    pyarrow.ArrowException,
    OSError,
    RuntimeError,
)
# How messages begin that may be about a file's bytes. What a query's own mistakes give is not
# among them: reading whole files is work that nobody should be able to ask for.
_FILE_FAILURES = (
    "IO Error",
    "Invalid Error",
    "Serialization Error",
    "INTERNAL Error",
    "TProtocolException",
    # Of the header of a page.
    "don't know what type",
    "Invalid Input Error: No magic bytes",
    "Invalid Input Error: Footer length",
    # "… 'PATH' too small to be a Parquet file"
    "Invalid Input Error: File '",
)
# How another one begins and ends: conditions that fail on a row may begin like that, too.
_PAGE_FAILURE = ('Invalid Input Error: Failed to read file "', "ecompression failure")
_NOTHING_GIVEN: Mapping[str, Any] = {}
# The columns of an answer to EXPLAIN.
_NO_PLAN = pyarrow.table(
    {name: pyarrow.array([], pyarrow.utf8()) for name in ("plan_type", "plan")}
)


class QueryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of queries.

    Attributes:
        memory_limit_bytes: What all queries together may use while they compute.
        threads: Threads of one query at most; 0 leaves it to DuckDB (one per core).
        timeout_ms: How long a query may run; 0 means for ever.
        text_bytes_max: Longest query text; sorting its words takes up to 3 s per MiB.
        parse_limits: How many words a query may have, and how deeply they may be nested. While they
            are parsed and translated, which takes up to 0.1 ms each, no time-out can interfere.
        result_bytes_max: Largest result, as Arrow memory.
        files_directory: Where the Parquet files of tables are; the only files that DuckDB may open.
        temp_directory: Where large sorts and joins may spill; empty means nowhere.
        temp_bytes_max: How much of it they may take, all together.
        cache_bytes_max: What may be kept of files that queries come back to: columns that those for
            single series pick rows from, rows that later ones repeat, and groups of whole files; 0
            keeps nothing.
    """

    memory_limit_bytes: Annotated[int, msgspec.Meta(ge=32 * 1024 * 1024)] = 1024 * 1024 * 1024
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    timeout_ms: Annotated[int, msgspec.Meta(ge=0)] = 30_000
    text_bytes_max: Annotated[int, msgspec.Meta(ge=1)] = 256 * 1024
    parse_limits: ParseLimits = ParseLimits()
    result_bytes_max: Annotated[int, msgspec.Meta(ge=1)] = 1024 * 1024 * 1024
    temp_directory: str = ""
    temp_bytes_max: Annotated[int, msgspec.Meta(ge=0)] = 0
    files_directory: Path | None = None
    cache_bytes_max: Annotated[int, msgspec.Meta(ge=0)] = 256 * 1024 * 1024


class QueryExecutor:
    """Answers SQL over the tables of a catalog.

    Attributes:
        preparer: Makes queries ready.
    """

    def __init__(
        self,
        config: QueryConfig,
        catalog: QueryCatalog,
        clock_ns: Callable[[], int] = time.time_ns,
        faults: FileFaults | None = None,
        caches: TableCaches | None = None,
    ) -> None:
        """Answer from `catalog`; `faults` knows the files that cannot be read.

        Without `caches`, none can be queried, and last points are computed from all rows.
        """
        self._config = config
        self._catalog = catalog
        self._faults = faults
        self._sources = TableSources(
            catalog,
            CachedRows(caches),
            faults,
            files_directory=config.files_directory,
            # Columns take most of it; rows that are repeated and groups share the rest.
            decoded_bytes_max=config.cache_bytes_max // 4 * 3,
            lookup_bytes_max=config.cache_bytes_max // 8,
            memory_bytes_max=config.memory_limit_bytes,
        )
        self._grouped = GroupedQueries(
            self._sources, config.files_directory or Path(), config.cache_bytes_max // 8
        )
        self.preparer = QueryPreparer(
            self._sources,
            self._grouped,
            clock_ns,
            config.parse_limits,
            result_bytes_max=config.result_bytes_max,
        )
        self._watchdog = Watchdog()
        # A connection refuses to be used by two threads at once, even to make cursors.
        self._lock = threading.Lock()
        self._connection = _new_database(config)
        # Since the database was made.
        self._removed_files = 0
        self._running: set[RunningQuery] = set()
        self._ended = threading.Condition(self._lock)
        self._is_closed = False

    def run(
        self,
        database: str,
        sql: str,
        params: Mapping[str, object] | None = None,
        *,
        timeout_ms: int | None = None,
        given: Mapping[str, Any] = _NOTHING_GIVEN,
        is_schema_only: bool = False,
    ) -> Any:
        """Run one query and return its whole result as a ``pyarrow.Table``.

        Args:
            database: The database whose tables the query names.
            sql: One statement.
            params: Values of ``$name`` placeholders; names that do not occur are ignored.
            timeout_ms: Shorter or longer than the configured limit; 0 means for ever.
            given: Rows as ``pyarrow.Table`` by the name under which the query reads them, instead
                of the table of that name.
            is_schema_only: Plan it only; the answer has its columns and no rows. Sums of whole
                numbers may turn out wider than their column here.

        Raises:
            DatabaseNotFoundError: There is no such database.
            TableNotFoundError: The query names a table that is not there.
            QueryTimeoutError: It took too long.
            QueryCancelledError: It was stopped.
            QueryResourceError: It needs more memory than it may have.
            FileDamagedError: It needs rows of a file that cannot be read.
            QueryError: Anything else in the query is wrong.
        """
        if not self._catalog.has_database(database):
            raise DatabaseNotFoundError(f"query error: database not found: {database}")
        limits = self._config.parse_limits
        question = question_of(self._checked(sql), params or {}, limits)
        statement = question.parsed.statement
        if statement.query is None:
            return self._listing(database, statement)
        with self._lock:
            if self._is_closed:
                raise QueryCancelledError("the server is shutting down")
            cursor = LazyCursor(self._cursor)
            running = RunningQuery(cursor.interrupt, self._watchdog)
            self._running.add(running)
        try:
            asker = ASKER.get()
            if asker is not None:
                asker.begun(running.cancel)
            limit_ms = self._config.timeout_ms if timeout_ms is None else timeout_ms
            if limit_ms:
                self._watchdog.watch(running, limit_ms / 1000, StopReason.TIMEOUT)
            with self._catalog.reading():
                files: ReadFiles = []
                try:
                    try:
                        prepared = self.preparer.prepared(
                            cursor, database, question, given, files, is_schema_only=is_schema_only
                        )
                    except QueryError:
                        if question.sql == sql:
                            raise
                        # What is wrong is said of the text that was sent.
                        question = plain_question(sql, params or {}, limits)
                        prepared = self.preparer.prepared(
                            cursor, database, question, given, files, is_schema_only=is_schema_only
                        )
                    if prepared.answer is not None:
                        return prepared.answer
                    return self._answer(
                        cursor.get(), running, prepared, statement, is_schema_only=is_schema_only
                    )
                except _FAILURES as error:
                    if running.reason is None:
                        self._search_damage(error, files)
                    raise
        except _FAILURES as error:
            raise self._explained(error, running) from error
        finally:
            running.finish()
            cursor.close()
            with self._ended:
                self._running.discard(running)
                self._ended.notify_all()

    @property
    def timeout_ms(self) -> int:
        """How long a query may run that does not say; 0 for ever."""
        return self._config.timeout_ms

    @property
    def words_max(self) -> int:
        """How many words a query may have, in whichever language."""
        return self._config.parse_limits.words_max

    def parameters(self, sql: str) -> tuple[str, ...]:
        """The names of the placeholders in `sql`, without ``$``.

        Raises:
            QueryError: It is not a query.
        """
        parsed_text(self._checked(sql), self._config.parse_limits)
        return parameter_names(sql)

    def table_names(self, database: str) -> list[str]:
        """The user tables of a database.

        Raises:
            DatabaseNotFoundError: There is no such database.
        """
        if not self._catalog.has_database(database):
            raise DatabaseNotFoundError(f"query error: database not found: {database}")
        return self._catalog.table_names(database)

    def columns(self, database: str, table: str) -> tuple[tuple[str, ColumnType], ...]:
        """Columns of a user table in order of first appearance; none where there is no such."""
        snapshot = self._catalog.snapshot(database, table)
        return () if snapshot is None else snapshot.columns

    def forget(self, database: str, table: str | None = None) -> None:
        """Drop what is kept in memory of a table, or of all tables of a database."""
        self._sources.forget(database, table)

    def release(self) -> None:
        """Give back the memory of rows that tables have in files by now."""
        self._sources.release()

    def files_removed(self, count: int) -> None:
        """Files of tables were removed.

        DuckDB remembers the footer of each file for ever, some 36 KB for twenty columns. So after
        many of them queries get a new database; those under way keep the old one alive.
        """
        self._sources.files_removed()
        self._grouped.files_removed()
        with self._lock:
            self._removed_files += count
            if self._removed_files >= REMOVED_FILES_MAX and not self._is_closed:
                self._removed_files = 0
                self._connection = _new_database(self._config)

    def close(self) -> None:
        """Stop queries under way and give everything back.

        A query that cannot be stopped in a moment (one that is still being translated) keeps the
        database: DuckDB refuses to close a connection in use.
        """
        deadline = time.monotonic() + _CLOSE_TIMEOUT_S
        with self._ended:
            self._is_closed = True
            while self._running and time.monotonic() < deadline:
                for running in self._running:
                    running.stop(StopReason.CANCELLED)
                self._ended.wait(_STOP_REPEAT_S)
            if not self._running:
                self._connection.close()
        self._sources.close()
        self._watchdog.close()

    def _checked(self, sql: str) -> str:
        if len(sql.encode(errors="surrogatepass")) > self._config.text_bytes_max:
            raise QueryError(f"the query is longer than {self._config.text_bytes_max} bytes")
        return sql

    def _listing(self, database: str, statement: Statement) -> Any:
        if statement.kind is StatementKind.SHOW_TABLES:
            return catalog_tables.show_tables(self._catalog, database)
        assert statement.table is not None
        listed = catalog_tables.show_columns(self._catalog, database, statement.table)
        if listed is None:
            raise not_found(statement.table)
        if statement.kind is StatementKind.DESCRIBE:
            return listed.select(["column_name", "data_type", "is_nullable"])
        return listed

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            return self._connection.cursor()

    def _answer(
        self,
        cursor: duckdb.DuckDBPyConnection,
        running: RunningQuery,
        prepared: Prepared,
        statement: Statement,
        *,
        is_schema_only: bool,
    ) -> Any:
        runnable, zones = prepared.runnable, prepared.zones
        if running.reason is not None:
            raise self._explained(RuntimeError("interrupted"), running)
        if is_schema_only:
            is_query = statement.kind is StatementKind.QUERY
            planned = _planned(cursor, runnable) if is_query else None
            return _NO_PLAN if planned is None else normalised(planned, zones, lambda: True)
        reader: Any = cursor.sql(runnable).to_arrow_reader()
        batches, size = [], 0
        for batch in reader:
            size += batch.nbytes
            if size > self._config.result_bytes_max:
                raise QueryResourceError(
                    f"the result is larger than {self._config.result_bytes_max} bytes",
                    hint="ask for fewer columns or rows, or aggregate",
                )
            batches.append(batch)
        table = pyarrow.Table.from_batches(batches, reader.schema)
        if statement.kind is not StatementKind.QUERY:
            return table.rename_columns(_NO_PLAN.column_names)
        return normalised(table, zones, statement.has_sums)

    def _search_damage(self, error: Exception, files: ReadFiles) -> None:
        """Look whether a file is why a query failed.

        Raises:
            FileDamagedError: It is.
        """
        if self._faults is not None and _is_of_file(message_of(error)):
            self._faults.search(files)

    def _explained(self, error: Exception, running: RunningQuery) -> QueryError:
        if running.reason is StopReason.TIMEOUT:
            return QueryTimeoutError(
                "the query ran longer than it may",
                hint="ask for a shorter time range, or raise the query time-out",
            )
        if running.reason is StopReason.CANCELLED:
            return QueryCancelledError("the query was stopped")
        message, _, more = self._without_paths(message_of(error)).partition("\n")
        if more.startswith("Candidate bindings"):
            message = f"{message} {more.split(chr(10), 1)[0]}"
        if message.startswith("Out of Memory Error"):
            return QueryResourceError(
                "the query needs more memory than it may have",
                hint="ask for a shorter time range or fewer groups, or raise --query-memory-limit "
                "or --query-temp-max",
            )
        planning = message.startswith(("Binder Error", "Parser Error", "Catalog Error"))
        prefix = "Error during planning" if planning else "Execution error"
        return QueryError(f"{prefix}: {message}".replace("headrace_", ""))

    def _without_paths(self, message: str) -> str:
        """`message`, which does not tell where the server has its files."""
        for directory in (self._config.files_directory, self._config.temp_directory):
            if directory:
                message = message.replace(f"{directory}/", "")
        return message


def _is_of_file(message: str) -> bool:
    """Whether it may be about a file's bytes."""
    begin, end = _PAGE_FAILURE
    return message.startswith(_FILE_FAILURES) or (
        message.startswith(begin) and message.endswith(end)
    )


def _planned(cursor: duckdb.DuckDBPyConnection, runnable: Runnable) -> Any:
    """The columns of a query's answer, without rows."""
    relation = cursor.sql(runnable)
    names = relation.columns
    # Among columns of one name, those of the limited query get new ones.
    return relation.limit(0).to_arrow_table().rename_columns(names)


def _new_database(config: QueryConfig) -> duckdb.DuckDBPyConnection:
    return locked_database(
        memory_limit_bytes=config.memory_limit_bytes,
        threads=config.threads,
        temp_directory=config.temp_directory,
        temp_bytes_max=config.temp_bytes_max,
        files_directory=config.files_directory,
    )
