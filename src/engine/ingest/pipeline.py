# Owns the way of a write: decoded → parsed → catalogued → durable → acknowledged. Runs on the event
# loop; big bodies are parsed and encoded in threads. Nothing here knows HTTP.
"""The write pipeline."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from engine.catalog.catalog import validate_database_name
from engine.clock import Clock
from engine.errors import (
    AlreadyDeletedError,
    EngineError,
    PartialWriteError,
    RequestError,
    WriteError,
)
from engine.ingest.holds import Holds
from engine.ingest.merger import Arrivals, Merger, OnStored
from engine.ingest.write_request import WriteRequest
from engine.metrics import MetricsRegistry
from engine.store.live import LiveDatabase, LiveStore
from engine.wal.log import DurableFrame, Log
from lp_core import (
    BatchLimitError,
    EncodedFrame,
    FrameKind,
    LineError,
    LineProtocolError,
    Precision,
    Section,
    WriteBatch,
    encode_frame,
    parse,
)

logger = logging.getLogger(__name__)


class IngestConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the write pipeline."""

    # Bodies up to this size are parsed on the event loop: a thread hand-over costs more than the
    # parse.
    inline_body_bytes_max: int = 32 * 1024
    parse_threads: int = 2


class _Part(msgspec.Struct, frozen=True):
    """A request with its parsed rows."""

    request: WriteRequest
    batch: WriteBatch
    errors: list[LineError]
    # All refused lines; `errors` describes only the first thousands of them.
    num_errors: int


class IngestPipeline:
    """Turns write requests into durable frames."""

    def __init__(
        self,
        config: IngestConfig,
        log: Log,
        store: LiveStore,
        clock: Clock,
        metrics: MetricsRegistry,
        *,
        ensure_database: Callable[[str], Awaitable[None]],
        holds: Holds,
        check_room: Callable[[], None] = lambda: None,
    ) -> None:
        """Wire the pipeline; `ensure_database` creates a database that does not exist yet.

        `holds` say whose writes have to wait for a change of tables; `check_room` raises
        DiskFullError while no rows are to be taken.
        """
        self._config = config
        self._log = log
        self._store = store
        self._clock = clock
        self._ensure_database = ensure_database
        self._holds = holds
        self._check_room = check_room
        self._threads = ThreadPoolExecutor(config.parse_threads, thread_name_prefix="parse")
        self._rows = metrics.counter(
            "headrace_write_rows_total", "Rows stored by writes of clients and plugins."
        )
        self._bytes = metrics.counter(
            "headrace_write_bytes_total", "Bytes of line protocol of clients, unpacked."
        )
        self._rejected = metrics.counter(
            "headrace_write_lines_rejected_total",
            "Lines refused; one of a body that is refused for its first.",
        )
        # Observed by who answers clients.
        self.write_seconds = metrics.histogram(
            "headrace_write_seconds", "From the whole body of a write to its acknowledgement."
        )
        self._merger = Merger(
            log, store, clock, self._rows, self._begin_alone, is_held=holds.is_held
        )

    def close(self) -> None:
        """End the parse threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def write(self, request: WriteRequest) -> Awaitable[None]:
        """Store the rows of `request`; return when they are durable and visible.

        With ``no_sync`` it returns once the frame is queued for the disk.

        Raises:
            InvalidNameError: The database name breaks the rules.
            RequestError: The body has no lines.
            PartialWriteError: Lines were refused; ``stored`` tells whether the good ones were kept.
            WalError, BackPressureError: The log does not take the frame.
            DiskFullError: There is no room for rows.
        """
        self._check_room()
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._merge(request, partial(_settle, stored)):
            self._merger.decide()
            return stored
        if self._live(request.database) is None:
            validate_database_name(request.database)
        self._bytes.add(len(request.body))
        self._merger.let_pass(request.database)
        return self._write_alone(request)

    def is_for_merging(self, request: WriteRequest) -> bool:
        """Whether `merge` takes requests of the kind."""
        return self._merger.takes(request)

    def gather(self, arrivals: Arrivals) -> None:
        """Merge the small requests of `arrivals`, too; each is given to `merge`."""
        self._merger.gather(arrivals)

    def merge(
        self,
        request: WriteRequest,
        on_stored: OnStored,
        meanwhile: Callable[[], None] | None = None,
    ) -> bool:
        """Store `request` along with others, if it is of that kind; return whether it is taken.

        If not, nothing has happened, and `write` says why. `on_stored` hears of its end, and
        `meanwhile` may make the answer ready while the disk is at work. Whoever merges on his own
        account calls `decide` then.
        """
        try:
            self._check_room()
        except EngineError:
            return False
        return self._merge(request, on_stored, meanwhile)

    def decide(self) -> None:
        """Have merged requests stored, unless it is worth waiting for more."""
        self._merger.decide()

    def _merge(
        self,
        request: WriteRequest,
        on_stored: OnStored,
        meanwhile: Callable[[], None] | None = None,
    ) -> bool:
        if self._live(request.database) is None or not self._merger.takes(request):
            return False
        self._bytes.add(len(request.body))
        self._merger.put(request, on_stored, meanwhile)
        return True

    async def _write_alone(self, request: WriteRequest) -> None:
        done, (part,) = await self._append(FrameKind.WRITE, [request], b"", on_empty="refuse")
        await self._acknowledge(request, part, done)

    def _begin_alone(self, request: WriteRequest) -> Coroutine[Any, Any, None]:
        """Parse and append a small `request` at once; what is left waits until it is durable."""
        if self._live(request.database) is None or self._holds.is_held(request.database):
            return self._write_alone(request)
        parts, encoded = self._parse_and_encode(FrameKind.WRITE, [request], b"")()
        filled = [part for part in parts if part.batch.num_rows]
        if not filled:
            _refuse_empty(parts)
        # Nothing else ran since the parse, so there is no conflict.
        done = self._queue(filled, encoded) if filled else None
        return self._acknowledge(request, parts[0], done)

    async def _acknowledge(
        self, request: WriteRequest, part: _Part, done: asyncio.Future[DurableFrame] | None
    ) -> None:
        if done is not None and not request.no_sync:
            await asyncio.shield(done)
        if part.num_errors:
            self._rejected.add(part.num_errors)
            raise PartialWriteError(
                "partial write of line protocol occurred",
                lines=[error_entry(error) for error in part.errors],
                stored=True,
                hint=""
                if part.num_errors == len(part.errors)
                else f"{part.num_errors} lines were refused, {len(part.errors)} are listed",
            )

    async def commit(self, requests: Sequence[WriteRequest], control: bytes) -> DurableFrame:
        """Store `control` and the rows of all `requests` in one COMMIT frame: all of it or nothing.

        Raises:
            PartialWriteError: A line was refused; nothing was stored.
            InvalidNameError, WalError, BackPressureError, DiskFullError: As `write`.
        """
        if requests:
            self._check_room()
        for request in requests:
            validate_database_name(request.database)
        done, _ = await self._append(FrameKind.COMMIT, requests, control, on_empty="skip")
        assert done is not None
        return await asyncio.shield(done)

    async def _append(
        self, kind: FrameKind, requests: Sequence[WriteRequest], control: bytes, *, on_empty: str
    ) -> tuple[asyncio.Future[DurableFrame] | None, list[_Part]]:
        """Parse, check against the schemas of the moment, queue the frame."""
        while True:
            for request in requests:
                # What they would be checked against is about to go.
                await self._holds.wait(request.database)
            work = self._parse_and_encode(kind, requests, control)
            nbytes = sum(len(request.body) for request in requests)
            if nbytes <= self._config.inline_body_bytes_max:
                parts, encoded = work()
            else:
                loop = asyncio.get_running_loop()
                parts, encoded = await loop.run_in_executor(self._threads, work)
            filled = [part for part in parts if part.batch.num_rows]
            if not filled and on_empty == "refuse":
                _refuse_empty(parts)
                return None, parts
            for part in filled:
                await self._ready(part.request.database)
            # A run's end need not hurry: where a group of writers is on its way, one sync does for
            # both, and the writers do not wait for a commit of its own.
            joins = kind is FrameKind.COMMIT and self._merger.is_expecting
            done = self._queue(filled, encoded, joins=joins)
            if done is not None:
                return done, parts
            # Another write fixed a type (or a database went) since the parse: parse against that.

    async def _ready(self, database: str) -> None:
        """Return when `database` is there and takes rows."""
        await self._holds.wait(database)
        try:
            await self._ensure_database(database)
        except AlreadyDeletedError as error:
            raise WriteError(
                f"cannot write to soft-deleted database '{database}' - it is marked for deletion",
                hint="choose another name",
            ) from error

    def _queue(
        self, filled: Sequence[_Part], encoded: EncodedFrame, *, joins: bool = False
    ) -> asyncio.Future[DurableFrame] | None:
        """Append the frame unless its parts contradict the schemas of the moment."""
        # From here to the append there is no await: what is checked still holds when it is queued.
        databases: list[LiveDatabase] = []
        for part in filled:
            database = self._live(part.request.database)
            if database is None or self._holds.is_held(part.request.database):
                return None
            if database.schema.conflict(part.batch) is not None:
                return None
            databases.append(database)
        done = self._log.append(encoded, joins=joins)
        for database, part in zip(databases, filled, strict=True):
            database.expect(part.batch)
            self._rows.add(part.batch.num_rows)
        return done

    def _live(self, name: str) -> LiveDatabase | None:
        return self._store.database(name)

    def _parse_and_encode(
        self, kind: FrameKind, requests: Sequence[WriteRequest], control: bytes
    ) -> Callable[[], tuple[list[_Part], EncodedFrame]]:
        """What any thread may do, against the schemas of the moment."""
        now_ns = self._clock.now_ns()
        schemas = [self._live(request.database) for request in requests]

        def work() -> tuple[list[_Part], EncodedFrame]:
            parts = [
                self._parse(request, database, now_ns)
                for request, database in zip(requests, schemas, strict=True)
            ]
            sections = [
                Section(
                    part.request.database,
                    part.batch,
                    origin=part.request.origin,
                    hops=part.request.hops,
                    ingest_time_ns=now_ns,
                )
                for part in parts
                if part.batch.num_rows
            ]
            return parts, encode_frame(kind, sections, control)

        return work

    def _parse(self, request: WriteRequest, database: LiveDatabase | None, now_ns: int) -> _Part:
        try:
            result = parse(
                request.body,
                precision=request.precision,
                now_ns=now_ns,
                accept_partial=request.accept_partial,
                schema=None if database is None else database.schema,
            )
        except LineProtocolError as error:
            if error.code == "utf8":
                raise RequestError(
                    error.message,
                    hint="line protocol is UTF-8 text; nothing of the body was stored",
                ) from error
            self._rejected.add(1)
            raise PartialWriteError(
                "line protocol parsing error",
                lines=[
                    {
                        "error_message": error.message,
                        "line_number": error.line_number,
                        "original_line": error.line,
                    }
                ],
                stored=False,
            ) from error
        except BatchLimitError as error:
            raise WriteError(str(error), hint="send the body in smaller pieces") from error
        return _Part(request, result.batch, result.errors, result.num_errors)


def _settle(stored: asyncio.Future[None], error: Exception | None) -> None:
    """End the future of a merged request; its client may be gone."""
    if stored.done():
        return
    if error is None:
        stored.set_result(None)
    else:
        stored.set_exception(error)


def _refuse_empty(parts: Sequence[_Part]) -> None:
    if not any(part.num_errors for part in parts):
        raise RequestError("incoming write was empty", hint="send at least one line")


def error_entry(error: LineError) -> dict[str, object]:
    """A refused line as clients get it: reason, physical line number, whole line."""
    return {
        "error_message": error.message,
        "line_number": error.line_number,
        "original_line": error.line,
    }


def precision_of(text: str) -> Precision:
    """The precision that `text` names, in any spelling of the reference system.

    Raises:
        WriteError: It names none.
    """
    precision = PRECISION_NAMES.get(text)
    if precision is None:
        raise WriteError(
            f"serde error: unknown variant `{text}`, expected one of auto, second, millisecond, "
            "microsecond, nanosecond",
            hint="precision may also be written s, ms, us (or u) and ns (or n)",
        )
    return precision


# Names of precisions in version 3.
PRECISION_NAMES = {
    "auto": Precision.AUTO,
    "s": Precision.SECOND,
    "second": Precision.SECOND,
    "ms": Precision.MILLISECOND,
    "millisecond": Precision.MILLISECOND,
    "us": Precision.MICROSECOND,
    "u": Precision.MICROSECOND,
    "microsecond": Precision.MICROSECOND,
    "ns": Precision.NANOSECOND,
    "n": Precision.NANOSECOND,
    "nanosecond": Precision.NANOSECOND,
}
