# Owns a write pipeline without a server: log on disk, state in memory, a clock that stands still.
"""A write pipeline for tests."""

import asyncio
from pathlib import Path
from typing import Any

from engine.clock import SystemClock
from engine.errors import EngineError, PartialWriteError
from engine.filesystem import FileSystem
from engine.ids import Position
from engine.ingest.catalog_writer import CatalogWriter
from engine.ingest.pipeline import IngestConfig, IngestPipeline
from engine.ingest.state import ServerState
from engine.ingest.write_request import WriteRequest
from engine.metrics import MetricsRegistry
from engine.paths import DataPaths
from engine.wal.log import DurableFrame, Log, LogConfig

DATABASE = "db"
NOW_NS = 1_700_000_000_123_456_789


class StandingClock(SystemClock):
    """It is always the same moment."""

    def now_ns(self) -> int:
        """The moment."""
        return NOW_NS


class UnsyncedFileSystem(FileSystem):
    """Fast, and good for all that does not end in a crash."""

    def sync_data(self, descriptor: int) -> None:
        """Leave it to the kernel."""

    def sync_file(self, descriptor: int) -> None:
        """Leave it to the kernel."""


class IngestKit:
    """A pipeline with the database `DATABASE`; use as an asynchronous context on a loop."""

    def __init__(
        self, directory: Path, filesystem: FileSystem | None = None, *, merges: bool = True
    ) -> None:
        self.merges = merges
        self.paths = DataPaths(directory, "node0")
        self.paths.wal_dir.mkdir(parents=True, exist_ok=True)
        self.filesystem = filesystem or UnsyncedFileSystem()
        self.state = ServerState()
        self.frames: list[DurableFrame] = []
        self.metrics = MetricsRegistry()

    async def __aenter__(self) -> "IngestKit":
        clock = StandingClock()
        self.log = Log(
            self.paths,
            "node0",
            LogConfig(segment_bytes_max=1 << 20),
            self.filesystem,
            clock,
            next_position=Position(1),
            on_durable=self._on_durable,
            on_refused=self.state.forget_refused,
        )
        self.log.start()
        writer = CatalogWriter(self.state.catalog, self.log, clock)
        self.pipeline = IngestPipeline(
            IngestConfig(),
            self.log,
            self.state.store,
            clock,
            self.metrics,
            ensure_database=writer.ensure_database,
            holds=writer.holds,
        )
        if not self.merges:
            self.pipeline._merger.takes = lambda request: False  # type: ignore[method-assign]
        await writer.create_database(DATABASE)
        self.frames.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.log.stop()
        self.pipeline.close()

    def _on_durable(self, frames: list[DurableFrame]) -> None:
        for durable in frames:
            self.state.apply(durable)
            self.frames.append(durable)

    def write(self, body: bytes, **settings: Any) -> "asyncio.Task[object]":
        """Start a write; its result is what the client would hear."""
        request = WriteRequest(database=DATABASE, body=body, **settings)
        return asyncio.create_task(self._answer(request))

    async def _answer(self, request: WriteRequest) -> object:
        try:
            await self.pipeline.write(request)
        except PartialWriteError as error:
            return (type(error), error.message, error.hint, error.lines, error.stored)
        except EngineError as error:
            return (type(error), error.message, error.hint)
        return None

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of every table in the order of the log."""
        database = self.state.store.database(DATABASE)
        assert database is not None
        found: dict[str, list[dict[str, Any]]] = {}
        for name in database.table_names():
            snapshot = database.snapshot(name)
            assert snapshot is not None
            batches: tuple[Any, ...] = snapshot.batches
            found[name] = [row for batch in batches for row in batch.rows()]
        return found

    def columns(self) -> dict[str, Any]:
        """Columns of every table."""
        database = self.state.store.database(DATABASE)
        assert database is not None
        return {name: database.columns(name) for name in database.schema.tables()}

    def overlap_ranges(self, table: str) -> tuple[tuple[int, int], ...]:
        """Where rows of `table` may have been overwritten."""
        database = self.state.store.database(DATABASE)
        assert database is not None
        snapshot = database.snapshot(table)
        assert snapshot is not None
        return snapshot.overlap_ranges

    def counters(self) -> dict[str, str]:
        """Counters of writes."""
        lines = self.metrics.render().splitlines()
        return dict(line.split(" ") for line in lines if line.startswith("headrace_write"))
