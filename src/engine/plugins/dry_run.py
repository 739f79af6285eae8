# Owns the trial of a plugin: a worker of its own whose queries are real and whose writes are
# captured, checked and shown, but never stored. Input is what somebody sends, or stored rows of a
# stretch of time.
"""Dry runs of plugins."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from engine.catalog.catalog import Catalog, validate_database_name
from engine.catalog.permissions import Action
from engine.catalog.trigger_permissions import chosen_permissions, permissions_of, require
from engine.clock import Clock
from engine.errors import (
    BackPressureError,
    InvalidNameError,
    PartialWriteError,
    PluginError,
    TriggerRightsError,
)
from engine.plugins import trigger_spec
from engine.plugins.channel import (
    EntryPointKind,
    Job,
    RequestRun,
    ScheduleRun,
    WritesRun,
)
from engine.plugins.dry_run_capture import Capture, DryRunCache
from engine.plugins.history import Call, history_calls
from engine.plugins.host import PluginHost, RunOutcome, Worker
from engine.plugins.past_rows import Past
from engine.plugins.ports import Questioner
from engine.plugins.repository import PluginRepository
from engine.plugins.response_stream import ResponseStream
from engine.plugins.runs import render_duration
from engine.plugins.schedule_runner import render_tick
from engine.plugins.services import WorkerTrigger
from engine.store.live import LiveStore
from engine.store.plugin_state import StateTable, TriggerState
from engine.store.secrets import SecretStore
from lp_core import Precision, SchemaConflictError, SchemaIndex, parse

# What a plugin that is tried takes for its trigger.
TRIGGER_NAME = "test"
DEFAULT_CACHE_NAME = "_shared_test"
CACHE_BYTES_MAX = 16 * 1024 * 1024
CACHES_MAX = 100
# Captured writes that a report shows of each database; it says how many there were.
WRITES_SHOWN_MAX = 10_000
BODY_BYTES_SHOWN_MAX = 1024 * 1024
TICKS_MAX = 1_000
ERRORS_SHOWN_MAX = 100
# Each has a worker process of its own.
RUNS_AT_ONCE_MAX = 4


class DryRunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What every dry run needs to know.

    Attributes:
        cache_name: Dry runs of one name share a cache, which forgets after half an hour.
        trigger_name: The trigger of the database whose state the plugin sees; without one the state
            is empty. What the plugin changes is shown, and seen by its next call, never stored.
        permissions: What the plugin may do; None for that of the trigger, and without one for what
            a new trigger may.
    """

    filename: str
    database: str
    input_arguments: dict[str, str] | None = None
    cache_name: str | None = None
    trigger_name: str | None = None
    permissions: Sequence[str] | None = None


class DryRunReport(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a plugin did.

    Attributes:
        log_lines: ``LEVEL: text``, those of the server first and last.
        database_writes: By database what ``build()`` returned: synchronous writes first, then
            those of ``write``.
        state_changes: By key what the plugin put into its state; null for what it deleted.
        errors: Why the plugin failed, and what is wrong with its writes.
        traceback: Where it failed.
        trigger_time: Time of the (last) scheduled call.
        response: Status, headers and body of a request plugin's answer.
        calls: How often the plugin was called, and with how many rows, over history.
        left_out: By name how many writes, log lines and errors are not shown.
    """

    log_lines: list[str]
    database_writes: dict[str, list[str]]
    errors: list[str]
    traceback: str = ""
    state_changes: dict[str, Any] = {}
    trigger_time: str | None = None
    response: dict[str, object] | None = None
    calls: int = 0
    rows: int = 0
    left_out: dict[str, int] = {}


class DryRuns:
    """Tries plugins out."""

    def __init__(
        self,
        host: PluginHost,
        repository: PluginRepository,
        catalog: Catalog,
        store: LiveStore,
        state: StateTable,
        secrets: SecretStore,
        questioner: Questioner,
        past: Past,
        clock: Clock,
        *,
        is_own_only: bool,
    ) -> None:
        self._host = host
        self._repository = repository
        self._catalog = catalog
        self._store = store
        self._state = state
        self._secrets = secrets
        self._questioner = questioner
        self._past = past
        self._clock = clock
        self._is_own_only = is_own_only
        self._caches: dict[str, DryRunCache] = {}
        self._running = 0

    async def wal(self, request: DryRunRequest, lines: str) -> DryRunReport:
        """Call ``process_writes`` with the rows of `lines`; the database need not exist.

        Raises:
            PartialWriteError: The lines do not fit the database.
            PluginError: The code cannot be found or lacks the entry point.
        """
        scratch = {request.database: self._schema(request.database)}
        rows = await asyncio.to_thread(self._rows_of, lines, scratch[request.database])
        return await self._wal(request, [rows], scratch)

    async def wal_history(
        self, request: DryRunRequest, start_ns: int, end_ns: int, table: str | None
    ) -> DryRunReport:
        """Call ``process_writes`` with stored rows of [start, end), in order of their times.

        Raises:
            DatabaseNotFoundError, PluginError: As they say.
        """
        self._catalog.database(request.database)
        calls = await history_calls(
            self._past, self._store, request.database, start_ns, end_ns, table
        )
        report = await self._wal(request, calls, {})
        report.calls = len(calls)
        report.rows = sum(len(rows) for call in calls for _, rows in call)
        return report

    async def schedule(
        self, request: DryRunRequest, schedule: str, span: tuple[int, int] | None
    ) -> DryRunReport:
        """Call ``process_scheduled_call`` for the next tick, or for all ticks of [start, end).

        Raises:
            DatabaseNotFoundError, PluginError: As they say.
        """
        self._catalog.database(request.database)
        ticks = self._ticks(schedule, span)
        report = await self._run(
            request,
            "schedule",
            [ScheduleRun(time_ns=tick_ns, batch_id=f"test-{tick_ns}") for tick_ns in ticks],
            [f"starting execution with scheduled time {render_tick(tick)}" for tick in ticks],
        )
        if not report.errors and ticks:
            report.trigger_time = render_tick(ticks[-1]).replace(" UTC", "Z").replace(" ", "T")
        if span is not None:
            report.calls = len(ticks)
        return report

    async def request(
        self, request: DryRunRequest, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> DryRunReport:
        """Call ``process_request``.

        Raises:
            DatabaseNotFoundError, PluginError: As they say.
        """
        self._catalog.database(request.database)
        job = RequestRun(query=query, headers=headers, body=body, batch_id="test")
        return await self._run(request, "request", [job], ["starting execution of request plugin."])

    async def _wal(
        self, request: DryRunRequest, calls: Sequence[Call], scratch: dict[str, SchemaIndex]
    ) -> DryRunReport:
        schema = scratch.get(request.database) or self._schema(request.database)
        types = {
            table: {name: int(kind) for name, kind in schema.columns(table)}
            for table in schema.tables()
        }
        jobs = [
            WritesRun(
                database=request.database,
                inline=call,
                inline_types=types,
                batch_id=f"test-{number}",
            )
            for number, call in enumerate(calls)
        ]
        first_lines = ["starting execution of wal plugin."] * len(jobs)
        return await self._run(request, "wal", jobs, first_lines, scratch)

    async def _run(
        self,
        request: DryRunRequest,
        kind: EntryPointKind,
        jobs: Sequence[Job],
        first_lines: Sequence[str],
        scratch: dict[str, SchemaIndex] | None = None,
    ) -> DryRunReport:
        report = DryRunReport(log_lines=[], database_writes={}, errors=[])
        capture = Capture(self._questioner, self._scratch_state(request))
        buffered: list[tuple[str, str]] = []
        async with self._worker(request, kind, capture) as worker:
            for job, first_line in zip(jobs, first_lines, strict=True):
                capture.note("INFO", first_line)
                outcome, body = await _run_once(worker, job)
                if not outcome.ok:
                    _report_failure(report, outcome)
                    break
                for database, lines in outcome.writes:
                    capture.admit(len(lines))
                    buffered.append((database, lines.decode()))
                try:
                    capture.change_state(outcome.state_changes)
                except PluginError as error:
                    report.errors.append(f"error executing plugin: {error.message}")
                    break
                capture.note("INFO", f"finished execution in {render_duration(outcome.duration_s)}")
                if outcome.response is not None:
                    report.response = {
                        "status": outcome.response.status,
                        "headers": dict(outcome.response.headers),
                        "body": (body or outcome.response.body).decode("utf-8", "replace"),
                    }
        report.log_lines = capture.log_lines
        report.state_changes = {
            key: None if value is None else msgspec.msgpack.decode(value)
            for key, value in capture.state_changes.items()
        }
        if capture.log_lines_left_out:
            report.left_out["log_lines"] = capture.log_lines_left_out
        await asyncio.to_thread(
            self._take_writes,
            report,
            [*capture.writes, *buffered],
            scratch or {},
            worker.trigger.permissions,
        )
        return self._redacted(report, request.input_arguments)

    def _redacted(self, report: DryRunReport, arguments: dict[str, str] | None) -> DryRunReport:
        def redacted(text: str) -> str:
            return self._secrets.redacted(text, arguments)

        report.log_lines = [redacted(line) for line in report.log_lines]
        report.errors = [redacted(error) for error in report.errors]
        report.traceback = redacted(report.traceback)
        return report

    @asynccontextmanager
    async def _worker(
        self, request: DryRunRequest, kind: EntryPointKind, capture: Capture
    ) -> AsyncIterator[Worker]:
        if self._running >= RUNS_AT_ONCE_MAX:
            raise BackPressureError(
                f"{self._running} dry runs are under way", hint="try again when one has ended"
            )
        self._running += 1
        try:
            async with self._started(request, kind, capture) as worker:
                yield worker
        finally:
            self._running -= 1

    @asynccontextmanager
    async def _started(
        self, request: DryRunRequest, kind: EntryPointKind, capture: Capture
    ) -> AsyncIterator[Worker]:
        plugin = await asyncio.to_thread(self._repository.obtain, request.filename, kind)
        worker = self._host.detached_worker(
            WorkerTrigger(
                database=request.database,
                name=TRIGGER_NAME,
                identity="test",
                plugin_path=str(plugin.path),
                kind=kind,
                arguments=self._secrets.resolved(request.input_arguments),
                permissions=self._permissions(request),
                is_dry_run=True,
            ),
            capture,
            self._cache(request.cache_name or DEFAULT_CACHE_NAME),
        )
        try:
            yield worker
        finally:
            await worker.close()

    def _scratch_state(self, request: DryRunRequest) -> TriggerState:
        if request.trigger_name is None:
            return TriggerState()
        trigger = self._catalog.trigger(request.database, request.trigger_name)
        return self._state.get(trigger.id).copy()

    def _permissions(self, request: DryRunRequest) -> tuple[str, ...]:
        if request.permissions is None and request.trigger_name is not None:
            return permissions_of(self._catalog.trigger(request.database, request.trigger_name))
        return chosen_permissions(
            request.permissions, request.database, is_own_only=self._is_own_only
        )

    def _cache(self, name: str) -> DryRunCache:
        cache = self._caches.pop(name, None)
        if cache is None:
            cache = DryRunCache(size_of=len, size_max=CACHE_BYTES_MAX)
            while len(self._caches) >= CACHES_MAX:
                del self._caches[next(iter(self._caches))]
        self._caches[name] = cache  # the one used last stands last
        return cache

    def _schema(self, database: str) -> SchemaIndex:
        """A copy of a database's schema, to try writes on."""
        validate_database_name(database)
        copy = SchemaIndex()
        known = self._store.database(database)
        if known is not None:
            for table in known.schema.tables():
                for column, kind in known.schema.columns(table):
                    copy.add_column(table, column, kind)
        return copy

    def _rows_of(self, lines: str, schema: SchemaIndex) -> Call:
        result = parse(
            lines.encode(),
            precision=Precision.NANOSECOND,
            now_ns=self._clock.now_ns(),
            schema=schema,
        )
        if result.errors:
            raise PartialWriteError(
                "line protocol parsing error",
                lines=[
                    {
                        "error_message": error.message,
                        "line_number": error.line_number,
                        "original_line": error.line,
                    }
                    for error in result.errors
                ],
                stored=True,  # which makes the answer list all of them; nothing is stored here
            )
        schema.apply(result.batch)
        return [(table, batch.rows()) for table, batch in result.batch.items()]

    def _ticks(self, schedule: str, span: tuple[int, int] | None) -> list[int]:
        has_form = schedule.startswith(("every:", "cron:", "schedule:"))
        spec = trigger_spec.parse(
            schedule if has_form else f"cron:{schedule}", now_ns=trigger_spec.ACCEPTED_BEFORE
        )
        if span is None:
            tick_ns = trigger_spec.next_time(spec, self._clock.now_ns())
            if tick_ns is None:
                raise PluginError(f"cron schedule never triggers: {schedule}")
            return [tick_ns]
        ticks: list[int] = []
        tick = trigger_spec.next_time(spec, span[0] - 1)
        while tick is not None and tick < span[1]:
            if len(ticks) == TICKS_MAX:
                raise PluginError(
                    f"the schedule has more than {TICKS_MAX} ticks in that time",
                    hint="try a shorter stretch, or a rarer schedule",
                )
            ticks.append(tick)
            tick = trigger_spec.next_time(spec, tick)
        return ticks

    def _take_writes(
        self,
        report: DryRunReport,
        writes: Sequence[tuple[str, str]],
        scratch: dict[str, SchemaIndex],
        permissions: tuple[str, ...],
    ) -> None:
        for database, text in writes:
            shown = report.database_writes.setdefault(database, [])
            if len(shown) < WRITES_SHOWN_MAX:
                shown.append(text)
            else:
                report.left_out["writes"] = report.left_out.get("writes", 0) + 1
            try:
                require(permissions, TRIGGER_NAME, Action.WRITE, database)
                if database not in scratch:
                    scratch[database] = self._schema(database)
                problem = self._problem(text, scratch[database])
            except InvalidNameError as error:
                problem = f"database name {database} is invalid: {error.message}"
            except TriggerRightsError as error:
                problem = f"error writing back lines: {error.message}"
            else:
                problem = (
                    problem and f"line protocol parse error on write to db {database}: {problem}"
                )
            if not problem or problem in report.errors:
                continue
            if len(report.errors) < ERRORS_SHOWN_MAX:
                report.errors.append(problem)
            else:
                report.left_out["errors"] = report.left_out.get("errors", 0) + 1

    def _problem(self, text: str, schema: SchemaIndex) -> str:
        result = parse(
            text.encode(),
            precision=Precision.NANOSECOND,
            now_ns=self._clock.now_ns(),
            schema=schema,
        )
        if result.errors:
            error = result.errors[0]
            return f"{error.message} (line {error.line_number}: {error.line})"
        try:
            schema.apply(result.batch)
        except SchemaConflictError as error:
            return str(error)
        return "" if result.batch.num_rows else "no lines"


async def _run_once(worker: Worker, job: Job) -> tuple[RunOutcome, bytes]:
    stream = ResponseStream()
    collecting = asyncio.create_task(_collect(stream))
    try:
        outcome = await worker.run(job, None, stream)
        if not stream.has_started:
            return outcome, b""
        await stream.end()
        return outcome, await collecting
    finally:
        collecting.cancel()


async def _collect(stream: ResponseStream) -> bytes:
    body = bytearray()
    while (piece := await stream.next()) is not None:
        body += piece[: BODY_BYTES_SHOWN_MAX - len(body)]
    return bytes(body)


def _report_failure(report: DryRunReport, outcome: RunOutcome) -> None:
    report.errors.append(f"error executing plugin: {outcome.error_type}: {outcome.error_message}")
    report.traceback = outcome.traceback
