# Owns the way of a write: decoded → parsed → catalogued → durable → acknowledged. Runs on the event
# loop; big bodies are parsed and encoded in threads. Nothing here knows HTTP.
"""The write pipeline."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from engine.catalog.catalog import validate_database_name
from engine.clock import Clock
from engine.errors import PartialWriteError, RequestError, WriteError
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
    ) -> None:
        """Wire the pipeline; `ensure_database` creates a database that does not exist yet."""
        self._config = config
        self._log = log
        self._store = store
        self._clock = clock
        self._ensure_database = ensure_database
        self._threads = ThreadPoolExecutor(config.parse_threads, thread_name_prefix="parse")
        self._rows = metrics.counter(
            "headrace_write_rows_total", "Rows stored by writes of clients and plugins."
        )
        self._bytes = metrics.counter(
            "headrace_write_bytes_total", "Bytes of line protocol received."
        )
        self._rejected = metrics.counter("headrace_write_lines_rejected_total", "Lines refused.")

    def close(self) -> None:
        """End the parse threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def write(self, request: WriteRequest) -> None:
        """Store the rows of `request`; return when they are durable and visible.

        With ``no_sync`` it returns once the frame is queued for the disk.

        Raises:
            InvalidNameError: The database name breaks the rules.
            RequestError: The body has no lines.
            PartialWriteError: Lines were refused; ``stored`` tells whether the good ones were kept.
            WalError, BackPressureError: The log does not take the frame.
        """
        validate_database_name(request.database)
        self._bytes.add(len(request.body))
        done, (part,) = await self._append(FrameKind.WRITE, [request], b"", on_empty="refuse")
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
            InvalidNameError, WalError, BackPressureError: As `write`.
        """
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
            parts, encoded = await self._prepare(kind, requests, control)
            filled = [part for part in parts if part.batch.num_rows]
            if not filled and on_empty == "refuse":
                if not any(part.num_errors for part in parts):
                    raise RequestError("incoming write was empty", hint="send at least one line")
                return None, parts
            for part in filled:
                await self._ensure_database(part.request.database)
            # From here to the append there is no await: what is checked still holds when it is
            # queued.
            databases = [self._live(part.request.database) for part in filled]
            if any(
                database is None or database.schema.conflict(part.batch) is not None
                for database, part in zip(databases, filled, strict=True)
            ):
                # Another write fixed a type (or a database went) since the parse: parse against
                # that.
                continue
            done = self._log.append(encoded)
            for database, part in zip(databases, filled, strict=True):
                assert database is not None
                database.schema.apply(part.batch)
                self._rows.add(part.batch.num_rows)
            return done, parts

    def _live(self, name: str) -> LiveDatabase | None:
        return self._store.database(name)

    async def _prepare(
        self, kind: FrameKind, requests: Sequence[WriteRequest], control: bytes
    ) -> tuple[list[_Part], EncodedFrame]:
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

        if sum(len(request.body) for request in requests) <= self._config.inline_body_bytes_max:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

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
