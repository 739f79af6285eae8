# Owns the storage of a server without the server: log, state, persisting and queries of one
# process, step by step in one thread, so that a test decides what happens when.
"""Storage, step by step."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow

from engine.caches.table_caches import TableCaches
from engine.catalog.changes import CatalogChange, encode_change
from engine.catalog.model import Trigger
from engine.damage import DamageBook
from engine.filesystem import FileSystem
from engine.ids import DatabaseId, Position, TriggerId
from engine.ingest.state import ServerState
from engine.metrics import MetricsRegistry
from engine.paths import DataPaths
from engine.persist.ports import Laggard
from engine.persist.thread import PersistConfig, PersistThread
from engine.plugins.flush_index import FlushIndex
from engine.plugins.past_rows import PastRow, pieces_of
from engine.query.delete_conditions import parse_condition
from engine.query.executor import QueryConfig, QueryExecutor
from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN
from engine.query.live_catalog import LiveQueryCatalog
from engine.query.past import PastReader
from engine.storage import Recovered, recover_state, remove_orphans
from engine.storage_ports import StateAccess
from engine.store.file_faults import FileFaults
from engine.store.manifest import FilesRecord, encode_files
from engine.store.past import PastKey, PastRequest
from engine.store.readers import Readers
from engine.store.row_deletes import DeleteRowsRecord, encode_delete
from engine.store.run_records import RunRecord, Step, encode_record
from engine.wal.log import DurableFrame
from engine.wal.segment_series import Segment
from lp_core import FrameKind, Section, SegmentWriter, encode_frame, parse

_Result = TypeVar("_Result")


class HandClock:
    """Stands until somebody moves it."""

    def __init__(self, time_ns: int = 0) -> None:
        self.time_ns = time_ns

    def now_ns(self) -> int:
        """Time of the wall."""
        return self.time_ns

    def monotonic_s(self) -> float:
        """Time that does not go back."""
        return self.time_ns / 1e9


class Storage:
    """The storage of one server; `restart` gives the one that finds its files."""

    def __init__(
        self,
        directory: Path,
        config: PersistConfig,
        *,
        clock: HandClock | None = None,
        filesystem: FileSystem | None = None,
    ) -> None:
        self.directory = directory
        self.config = config
        self.clock = clock or HandClock()
        self.filesystem = filesystem or FileSystem()
        self.paths = DataPaths(directory, "node0")
        for path in (self.paths.wal_dir, self.paths.checkpoint_dir, self.paths.parquet_dir):
            self.filesystem.make_directory(path)
        self.state = ServerState()
        self.index = FlushIndex()
        self.readers = Readers()
        self.lost: list[tuple[Trigger, Position, Position]] = []
        # Raised by the next record about files, before it is stored.
        self.failure: Exception | None = None
        self.damage = DamageBook(self.paths, self.filesystem, self.clock)
        self.faults = FileFaults(self.paths, self.filesystem, self.damage)
        self.recovered: Recovered = recover_state(
            self.paths, self.filesystem, self.state, self.index.add, self.damage
        )
        remove_orphans(self.paths, self.filesystem, self.state, self.damage, self.recovered)
        self.index.begin_at(self.recovered.read_from)
        self._position = self.recovered.report.last_position
        self._segment: Path | None = None
        self._bytes = self.recovered.report.bytes
        self.persist = PersistThread(
            config,
            self.paths,
            self.filesystem,
            self.clock,
            StateAccess(self.state, self.index),
            self,
            self.readers,
            self.faults,
            MetricsRegistry(),
            on_persisted=self._release,
            on_removed=self._files_removed,
        )
        if self.recovered.checkpoint:
            found = self.recovered
            self.persist.checkpointer.found(found.checkpoint, found.read_from)
        self.past = PastReader(
            self.state.store,
            self.state.catalog,
            self.readers,
            self.clock,
            self.state.created,
            self.paths.parquet_dir.resolve(),
        )
        # Without its thread: what is in caches is looked at when a query wants it.
        self.caches = TableCaches(
            self.state.catalog,
            self.state.store,
            self.readers.reading,
            self.clock.now_ns,
            self.faults,
        )

    @functools.cached_property
    def executor(self) -> QueryExecutor:
        """Answers SQL; made when it is first asked, for a database of DuckDB takes its time."""
        return QueryExecutor(
            QueryConfig(threads=1, files_directory=self.paths.parquet_dir.resolve()),
            LiveQueryCatalog(
                self.state.catalog,
                self.state.store,
                self.state.dead_letters,
                self.readers,
                self.clock,
                lambda database: [],
                lambda database: [],
                lambda trigger: None,  # type: ignore[arg-type, return-value]
                lambda database: [],
                self.damage.entries,
            ),
            self.clock.now_ns,
            faults=self.faults,
            caches=self.caches,
        )

    def _release(self) -> None:
        if "executor" in self.__dict__:
            self.executor.release()

    def _files_removed(self, count: int) -> None:
        if "executor" in self.__dict__:
            self.executor.files_removed(count)

    def close(self) -> None:
        """End, as a crash would; files stay."""
        if "executor" in self.__dict__:
            self.executor.close()

    def restart(self) -> "Storage":
        """The storage after a crash."""
        self.close()
        return Storage(self.directory, self.config, clock=self.clock, filesystem=self.filesystem)

    # What a server takes in.

    def change(self, change: CatalogChange) -> None:
        """Make a catalog change durable."""
        self._frame(FrameKind.CATALOG, [], encode_change(change))
        self.caches.note_change(change)

    def create_database(self, name: str = "db", retention_ns: int | None = None) -> None:
        """Create a database."""
        self.change(self.state.catalog.new_database(name, created_ns=0, retention_ns=retention_ns))

    def write(self, lines: str, database: str = "db") -> None:
        """Make rows durable and visible."""
        found = self.state.store.database(database)
        assert found is not None
        result = parse(lines.encode(), precision="ns", now_ns=1, schema=found.schema)
        assert not result.errors
        self._frame(FrameKind.WRITE, [Section(database, result.batch)], b"")

    def create_trigger(self, name: str, spec: str = "all_tables", **settings: Any) -> Trigger:
        """Create a trigger; what it sees is the test's affair."""
        draft = Trigger(
            id=TriggerId(0),
            database_id=DatabaseId(0),
            database="db",
            name=name,
            plugin_filename="p.py",
            spec=spec,
            **settings,
        )
        self.change(self.state.catalog.new_trigger(draft))
        return self.state.catalog.trigger("db", name)

    def past_rows(
        self,
        before: Position,
        table: str | None = None,
        span: tuple[int, int] = (-(2**63), 2**63),
        after: PastKey | None = None,
        **sizes: int,
    ) -> list[PastRow]:
        """Rows of the past, slice by slice."""
        found: list[PastRow] = []
        start: int | None = span[0] if after is None else after[0]
        while start is not None:
            request = PastRequest(
                database="db",
                table=table,
                before=before,
                start_ns=start,
                end_ns=span[1],
                after=after,
                **sizes,
            )
            one = self.past.slice(request)
            found += [row for piece in pieces_of(one) for row in piece]
            assert (start, after) != (one.next_ns, one.after), "no step forward"
            start, after = one.next_ns, one.after
        return found

    def delete_rows(
        self,
        table: str,
        *,
        where: str | None = None,
        low_ns: int = TIME_NS_MIN,
        high_ns: int = TIME_NS_MAX,
        database: str = "db",
    ) -> None:
        """Delete rows between two times, both inclusive."""
        live = self.state.store.database(database)
        assert live is not None
        found = live.table(table)
        assert found is not None
        condition = None if where is None else parse_condition(where, dict(live.columns(table)))
        record = DeleteRowsRecord(
            database_id=live.id,
            table=table,
            began=found.began,
            times=(low_ns, high_ns),
            condition=condition,
        )
        self._frame(FrameKind.COMMIT, [], encode_delete(record))

    def seal(self) -> None:
        """Let the next frame begin a file of the log."""
        self._segment = None

    def persist_all(self) -> None:
        """Put all rows there are into files, and leave the files as they are."""
        self.seal()
        # The file that is written to last is never taken: this frame begins a new one.
        self.append(FilesRecord())
        while (through := self.persist.due()) is not None:
            self.persist.persister.persist(through)

    def query(self, sql: str, database: str = "db", **params: object) -> list[dict[str, Any]]:
        """Rows that SQL answers with; times are nanoseconds."""
        answer = self.executor.run(database, sql, params)
        fields = [
            pyarrow.field(field.name, pyarrow.int64())
            if pyarrow.types.is_timestamp(field.type)
            else field
            for field in answer.schema
        ]
        rows: list[dict[str, Any]] = answer.cast(pyarrow.schema(fields)).to_pylist()
        return rows

    # What the persist thread wants of the log.

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Run `work`."""
        return work()

    def append(self, record: FilesRecord) -> None:
        """Store a record about files."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self._frame(FrameKind.COMMIT, [], encode_files(record))

    def skip(self, laggard: Laggard, through: Position) -> None:
        """Let a trigger lose a range."""
        self.commit(RunRecord(trigger_id=laggard.trigger.id, step=Step(laggard.passed, through)))
        self.lost.append((laggard.trigger, laggard.passed, through))

    def commit(self, record: RunRecord) -> None:
        """Store the record of a run."""
        self._frame(FrameKind.COMMIT, [], encode_record(record))

    def written_bytes(self) -> int:
        """Bytes of the log."""
        return self._bytes

    def is_stopping(self) -> bool:
        """Never."""
        return False

    def _frame(self, kind: FrameKind, sections: list[Section], control: bytes) -> None:
        self._position = Position(self._position + 1)
        frame = encode_frame(kind, sections, control)
        frame.seal(self._position)
        if self._segment is None:
            self._segment = self.paths.segment(self._position)
            writer = SegmentWriter(first_position=self._position, node_id="node0", created_ns=0)
            self._segment.write_bytes(writer.header)
        offset = self._segment.stat().st_size
        with self._segment.open("ab") as file:
            file.write(frame)
        self._bytes += frame.nbytes
        segment = Segment(self._segment, self._segment.stat().st_size)
        durable = DurableFrame(segment, segment.reader.frame(offset, verify=False))
        self.state.apply(durable)
        self.index.add(durable)
