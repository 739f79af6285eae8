# Owns the event loop's side of queries: which thread runs one, how many run at once, and what is
# recorded.
"""Queries as coroutines."""

import asyncio
import contextvars
import logging
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from engine.catalog.catalog import DATABASE_NAME_BYTES_MAX
from engine.clock import Clock
from engine.errors import BackPressureError, DatabaseNotFoundError, QueryError
from engine.logs import keys
from engine.metrics import MetricsRegistry
from engine.query import formats
from engine.query.asker import ASKER, Asker
from engine.query.executor import QueryExecutor
from engine.query.export import Export
from engine.store.time_ranges import TimeRange

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

# Characters of a query that ``system.queries`` keeps, and that the log shows of a slow one.
QUERY_TEXT_SHOWN_MAX = 10_000
QUERY_TEXT_LOGGED_MAX = 1_000


class QueryServiceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the query service."""

    # Queries that run at once; others wait.
    concurrency_max: int = 8
    # Queries that wait; more are refused.
    waiting_max: int = 100
    # Queries that ``system.queries`` remembers.
    remembered_max: int = 1000
    # Seconds from which on a query is slow, and logged.
    slow_s: float = 10.0


class QueryNote(msgspec.Struct):
    """One query for ``system.queries``, running while its duration is None."""

    id: str
    phase: str
    issue_time_ns: int
    query_type: str
    query_text: str
    database: str
    end2end_duration_ns: int | None = None


class QueryService:
    """Runs queries in threads."""

    def __init__(
        self,
        config: QueryServiceConfig,
        executor: QueryExecutor,
        clock: Clock,
        metrics: MetricsRegistry,
    ) -> None:
        self._config = config
        self._executor = executor
        self._threads = ThreadPoolExecutor(config.concurrency_max, thread_name_prefix="query")
        self._clock = clock
        self.remembered: deque[QueryNote] = deque(maxlen=config.remembered_max)
        self._seconds = metrics.histogram(
            "headrace_query_seconds", "Time of queries, waiting for others included."
        )
        self._failed = metrics.counter(
            "headrace_query_errors_total", "Queries that failed, or whose client left."
        )
        self._slow = metrics.counter(
            "headrace_slow_queries_total", "Queries that took as long as is logged."
        )
        self._refused = metrics.counter(
            "headrace_queries_refused_total", "Queries refused because too many wait."
        )
        # Those that a client waits for: running in a thread, or waiting for one.
        self._asked = 0
        metrics.gauge(
            "headrace_queries_running",
            "Queries that run.",
            lambda: float(min(self._asked, config.concurrency_max)),
        )
        metrics.gauge(
            "headrace_queries_waiting",
            "Queries that wait for others to end.",
            lambda: float(max(self._asked - config.concurrency_max, 0)),
        )

    def forget(self, database: str) -> None:
        """Drop what is kept in memory for a database that is gone."""
        self._executor.forget(database)

    def release(self) -> None:
        """Give back the memory of rows that are in files now; may be called from any thread."""
        self._executor.release()

    def files_removed(self, count: int) -> None:
        """Files of tables were removed; may be called from any thread."""
        self._executor.files_removed(count)

    def close(self) -> None:
        """Stop taking queries; those under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._executor.close()

    async def encoded(
        self,
        database: str,
        sql: str,
        params: dict[str, Any] | None,
        result_format: formats.ResultFormat,
    ) -> bytes:
        """The answer in `result_format`.

        Raises:
            QueryError, DatabaseNotFoundError: As `QueryExecutor.run`.
            BackPressureError: Too many queries wait.
        """
        return await self._run(
            database,
            sql,
            lambda: formats.encode(self._executor.run(database, sql, params), result_format),
        )

    async def arrow_ipc(self, database: str, sql: str, params: Mapping[str, Any] | None) -> bytes:
        """The answer as an Arrow IPC stream.

        Raises:
            QueryError, DatabaseNotFoundError: As `QueryExecutor.run`.
            BackPressureError: Too many queries wait.
        """
        return await self._run(
            database, sql, lambda: formats.arrow_ipc(self._executor.run(database, sql, params))
        )

    async def table(
        self,
        database: str,
        sql: str,
        params: Mapping[str, Any] | None,
        *,
        query_type: str = "sql",
    ) -> Any:
        """The answer as a ``pyarrow.Table``.

        Raises:
            QueryError, DatabaseNotFoundError: As `QueryExecutor.run`.
        """
        return await self._run(
            database,
            sql,
            lambda: self._executor.run(database, sql, params),
            query_type,
        )

    async def plan(self, database: str, sql: str) -> tuple[tuple[str, ...], Any | None]:
        """The placeholders of `sql`, and the ``pyarrow.Schema`` of its answer.

        The second is None where it depends on the values of placeholders.

        Raises:
            QueryError, DatabaseNotFoundError: As `QueryExecutor.run`.
        """

        def plan() -> tuple[tuple[str, ...], Any | None]:
            names = self._executor.parameters(sql)
            nulls = dict.fromkeys(names)
            try:
                answer = self._executor.run(database, sql, nulls, is_schema_only=True)
            except QueryError:
                # Null may be no value that stands there: an interval, a limit.
                if not names:
                    raise
                return names, None
            return names, answer.schema

        return await self._run(database, sql, plan)

    def export(self, database: str, *, times: TimeRange, plain: bool) -> Export:
        """Prepare the export of tables of a database; what it does belongs into `run`."""
        return Export(self._executor, self._executor.columns, database, times=times, plain=plain)

    def table_names(self, database: str) -> list[str]:
        """The user tables of a database.

        Raises:
            DatabaseNotFoundError: There is no such database.
        """
        return self._executor.table_names(database)

    async def run(
        self, database: str, text: str, query_type: str, work: Callable[[], _Result]
    ) -> _Result:
        """What `work` gives, run in a thread and noted as a query of `query_type`.

        Raises:
            QueryError, DatabaseNotFoundError: As `work`.
            BackPressureError: Too many queries wait.
        """
        return await self._run(database, text, work, query_type)

    async def _run(
        self, database: str, sql: str, work: Callable[[], _Result], query_type: str = "sql"
    ) -> _Result:
        # What is remembered of a thousand queries has an end.
        if len(database) > DATABASE_NAME_BYTES_MAX:
            shown = database[:DATABASE_NAME_BYTES_MAX]
            raise DatabaseNotFoundError(f"query error: database not found: {shown}…")
        loop = asyncio.get_running_loop()
        config = self._config
        if self._asked >= config.concurrency_max + config.waiting_max:
            self._refused.add(1)
            raise BackPressureError(
                f"{config.concurrency_max} queries run and {config.waiting_max} wait for them",
                hint="ask again after the pause given, or raise --query-waiting-max",
            )
        text = sql[:QUERY_TEXT_SHOWN_MAX]
        issued_ns = self._clock.now_ns()
        note = QueryNote(str(uuid.uuid4()), "received", issued_ns, query_type, text, database)
        self.remembered.append(note)
        started = loop.time()
        self._asked += 1
        # What is logged in the thread is logged for the request that asked.
        context = contextvars.copy_context()
        asker = Asker()
        context.run(ASKER.set, asker)
        try:
            result = await loop.run_in_executor(self._threads, context.run, work)
        except BaseException as error:
            # Whoever gives up waiting needs no answer.
            asker.leave()
            self._failed.add(1)
            note.phase = "cancel" if isinstance(error, asyncio.CancelledError) else "fail"
            raise
        else:
            note.phase = "success"
            return result
        finally:
            self._asked -= 1
            seconds = loop.time() - started
            note.end2end_duration_ns = int(seconds * 1e9)
            self._seconds.observe(seconds)
            if seconds >= self._config.slow_s:
                self._slow.add(1)
                self._log_slow(note, seconds)

    def _log_slow(self, note: QueryNote, seconds: float) -> None:
        cut = len(note.query_text) > QUERY_TEXT_LOGGED_MAX
        logger.warning(
            "slow query",
            extra=keys(
                seconds=f"{seconds:.3f}",
                database=note.database,
                query_type=note.query_type,
                phase=note.phase,
                query_id=note.id,
                text=note.query_text[:QUERY_TEXT_LOGGED_MAX] + "…" * cut,
            ),
        )
