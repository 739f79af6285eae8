# The only place that wires the parts together; ordered start and ordered stop. Nothing here decides
# anything about data.
"""One server process: start, run, stop."""

import asyncio
import gc
import logging
import os
import signal
import uuid

import uvloop

import engine
from engine.allocator import keep_memory
from engine.caches.table_caches import TableCaches
from engine.catalog.changes import CatalogChange, database_that_lost
from engine.catalog.model import INTERNAL_DATABASE
from engine.clock import SystemClock
from engine.config import ServeConfig
from engine.damage import DamageBook
from engine.disk_reserve import DiskReserve
from engine.errors import ConfigError
from engine.filesystem import FileSystem
from engine.flight.desk import FlightDesk
from engine.flight.listener import FlightConfig, FlightListener
from engine.health import ServerHealth
from engine.http.app import App
from engine.http.bodies import BodyGate
from engine.http.connection_watch import places
from engine.http.http_config import HttpConfig
from engine.http.listener import TlsFiles
from engine.http.preset_token import PresetToken, apply_preset, check_address, read_preset
from engine.http.services import Services
from engine.http.unix_socket import UnixSocketConfig
from engine.ids import Position
from engine.influxql.engine import InfluxqlEngine
from engine.ingest.catalog_writer import CatalogWriter
from engine.ingest.live_limit import LiveLimit
from engine.ingest.pipeline import IngestConfig, IngestPipeline
from engine.ingest.row_deleter import RowDeleter
from engine.ingest.state import ServerState
from engine.ingest.structure import StructureWriter
from engine.ingest.token_copy import TokenCopy
from engine.listeners import Listeners
from engine.logs import keys
from engine.metrics import MetricsRegistry
from engine.paths import DataPaths
from engine.persist.backup_files import BackupDirectories
from engine.persist.backups import Backups
from engine.persist.checkpointer import Checkpointer
from engine.persist.thread import PersistConfig, PersistThread
from engine.plugin_side import PluginSide
from engine.plugins.dispatcher import Dispatcher
from engine.plugins.flush_index import NOTE_ROWS_MAX, FlushIndex
from engine.plugins.log_history import LogHistory
from engine.plugins.past_rows import Past
from engine.query.executor import QueryExecutor
from engine.query.live_catalog import LiveQueryCatalog
from engine.query.past import PastReader
from engine.query.service import QueryNote, QueryService
from engine.query_settings import executor_config, service_config
from engine.server_metrics import show_damage, show_log, show_process, show_tables
from engine.service_manager import ServiceManager
from engine.storage import Recovered, recover_state, remove_orphans
from engine.storage_ports import LogAccess, StateAccess
from engine.store.file_faults import FileFaults
from engine.store.readers import Readers
from engine.wal.log import DurableFrame, Log, LogConfig

logger = logging.getLogger(__name__)

# How often recovery forgets what triggers have passed, so that a long log needs little memory.
_PRUNE_EVERY_FRAMES = 10_000
# Objects made, less those dropped, between two looks of the garbage collector for cycles. A request
# makes dozens, and a hundred requests under way would be looked at again and again.
_GARBAGE_OBJECTS = 20_000


class Server:
    """A server from the reading of its log to the last reply."""

    def __init__(self, config: ServeConfig) -> None:
        self._config = config
        self._clock = SystemClock()
        self._filesystem = FileSystem()
        self._paths = DataPaths(config.data_dir, config.node_id)
        self._metrics = MetricsRegistry()
        self._state = ServerState()
        self._index = FlushIndex(min(NOTE_ROWS_MAX, config.plugin_batch_rows))
        self._access = StateAccess(self._state, self._index)
        self._plugins = PluginSide(
            config, self._paths, self._filesystem, self._clock, self._state, self._index
        )
        self._readers = Readers()
        self._reserve = DiskReserve(self._paths.data_dir, self._filesystem, config.disk_reserve)
        self._damage = DamageBook(self._paths, self._filesystem, self._clock)
        self._faults = FileFaults(self._paths, self._filesystem, self._damage)
        self._caches = TableCaches(
            self._state.catalog,
            self._state.store,
            self._readers.reading,
            self._clock.now_ns,
            self._faults,
        )
        self._stop = asyncio.Event()
        self._live_limit = LiveLimit(self._state.live_bytes, config.live_rows_max)
        self._dispatcher: Dispatcher | None = None
        self._queries: QueryService | None = None
        self._preset: PresetToken | None = None
        self._manager = ServiceManager(os.environ)
        self._lock = -1

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop.

        Raises:
            ConfigError, RecoveryError, OSError: The server cannot start.
        """
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._stop.set)
        keep_memory()
        self._preset = read_preset(self._config)
        self._open_directories()
        recovered = await loop.run_in_executor(None, self._recover)
        self._announce(recovered)
        if self._preset is None:
            check_address(self._config, self._state.catalog.tokens)
        log = self._build_log(recovered)
        log.start()
        # What is there now stays: the garbage collector need not look at it.
        gc.freeze()
        gc.set_threshold(_GARBAGE_OBJECTS)
        await self._serve(log, recovered)

    # Start.

    def _open_directories(self) -> None:
        for directory in (
            self._paths.wal_dir,
            self._paths.checkpoint_dir,
            self._paths.parquet_dir,
            self._paths.query_temp_dir,
            self._config.plugins_path,
        ):
            try:
                self._filesystem.make_directory(directory)
            except OSError as error:
                raise ConfigError(
                    f"cannot create {directory}: {error.strerror}",
                    hint="choose another --data-dir or --plugin-dir, or mend the permissions",
                ) from error
        self._lock = self._filesystem.lock(self._paths.lock_file)
        # Of queries that ended with their server.
        for path in self._paths.query_temp_dir.iterdir():
            self._filesystem.remove(path)

    def _recover(self) -> Recovered:
        self._plugins.load()

        def note(durable: DurableFrame) -> None:
            self._index.begin_at(Position(self._state.persisted))
            self._index.add(durable)
            if durable.position % _PRUNE_EVERY_FRAMES == 0:
                self._index.prune(self._state.passed_positions(), durable.position)

        recovered = recover_state(self._paths, self._filesystem, self._state, note, self._damage)
        remove_orphans(self._paths, self._filesystem, self._state, self._damage, recovered)
        self._plugins.restore_log()
        return recovered

    def _announce(self, recovered: Recovered) -> None:
        report = recovered.report
        logger.info(
            "log recovered",
            extra=keys(
                checkpoint=recovered.checkpoint,
                segments=report.segments,
                frames=report.frames,
                bytes=report.bytes,
                position=report.last_position,
                cut_bytes=report.cut_bytes,
                databases=len(self._state.catalog.databases()),
                triggers=len(self._state.catalog.triggers()),
            ),
        )

    def _cluster_uuid(self) -> str:
        """The name of the data in this directory, given at its first start."""
        path = self._paths.cluster_uuid_file
        try:
            return str(uuid.UUID(self._filesystem.read(path).decode().strip()))
        except (FileNotFoundError, ValueError):
            name = str(uuid.uuid4())
            self._filesystem.write_whole(path, f"{name}\n".encode())
            return name

    def _build_log(self, recovered: Recovered) -> Log:
        sync_seconds = self._metrics.histogram(
            "headrace_wal_commit_seconds", "Time of a group commit, write and sync."
        )
        log = Log(
            self._paths,
            self._config.node_id,
            LogConfig(segment_bytes_max=self._config.wal_segment_size),
            self._filesystem,
            self._clock,
            next_position=Position(recovered.report.last_position + 1),
            on_durable=self._on_durable,
            on_sync=sync_seconds.observe,
            on_refused=self._state.forget_refused,
        )
        show_log(self._metrics, log, self._paths)
        show_tables(self._metrics, self._state)
        show_process(self._metrics)
        show_damage(self._metrics, self._damage)
        return log

    def _on_durable(self, frames: list[DurableFrame]) -> None:
        changes: list[CatalogChange] = []
        for durable in frames:
            change = self._state.apply(durable)
            for section in durable.frame.sections:
                self._caches.note_rows(section.database, section.batch)
            if change is not None:
                changes.append(change)
                self._caches.note_change(change)
                gone = database_that_lost(change)
                if gone is not None and self._queries is not None:
                    self._queries.forget(gone)
        if self._dispatcher is not None:
            self._dispatcher.on_durable(frames, changes)

    # Run.

    async def _serve(self, log: Log, recovered: Recovered) -> None:
        config = self._config
        catalog = self._state.catalog
        tokens = TokenCopy(self._paths, self._filesystem)
        writer = CatalogWriter(catalog, log, self._clock, keep_tokens=tokens.keep)
        pipeline = IngestPipeline(
            IngestConfig(),
            log,
            self._state.store,
            self._clock,
            self._metrics,
            ensure_database=writer.ensure_database,
            holds=writer.holds,
            check_room=self._check_room,
        )
        structure = StructureWriter(writer, catalog, self._state.store, self._clock)
        visible = LiveQueryCatalog(
            catalog,
            self._state.store,
            self._state.dead_letters,
            self._readers,
            self._clock,
            self._plugins.log_lines,
            self._query_notes,
            self._plugins.status,
            self._plugins.file_records,
            self._damage.entries,
        )
        executor = QueryExecutor(
            executor_config(config, self._paths),
            visible,
            faults=self._faults,
            caches=self._caches,
        )
        queries = self._queries = QueryService(
            service_config(config),
            executor,
            self._clock,
            self._metrics,
        )
        history = LogHistory(
            self._paths,
            self._clock,
            durable=lambda: log.durable_position,
            created=self._state.created,
        )
        past = Past(
            PastReader(
                self._state.store,
                catalog,
                self._readers,
                self._clock,
                self._state.created,
                self._paths.parquet_dir.resolve(),
            )
        )
        dispatcher = self._dispatcher = self._plugins.dispatcher(
            pipeline, queries, writer, history, past, self._metrics
        )
        host = self._plugins.host(dispatcher)
        http = HttpConfig(
            host=config.http_bind[0],
            port=config.http_bind[1],
            body_bytes_max=config.max_http_request_size,
            json_bytes_max=config.http_json_size_max,
            receive_idle_s=config.http_receive_timeout,
            flight_bind=config.flight_bind,
            idle_s=config.http_idle_timeout,
            connections_per_address=config.http_connections_per_address,
            connections_max=places(),
            busy_poll_us=config.http_busy_poll_us,
            without_auth=config.without_auth,
            paths_without_token=frozenset(f"/{name}" for name in config.disable_authz),
        )
        access = LogAccess(log, recovered.report.bytes, dispatcher.lost)
        persist = self._build_persist_thread(access, queries)
        if recovered.checkpoint:
            persist.checkpointer.found(recovered.checkpoint, recovered.read_from)
        backups = self._build_backups(persist, access)
        app = App(
            Services(
                config=http,
                gate=BodyGate(http),
                clock=self._clock,
                metrics=self._metrics,
                catalog=catalog,
                catalog_writer=writer,
                structure=structure,
                row_deleter=RowDeleter(log, catalog, self._state.store, self._faults),
                store=self._state.store,
                position=lambda: self._state.position,
                pipeline=pipeline,
                queries=queries,
                influxql=InfluxqlEngine(executor, visible, self._clock.now_ns),
                dispatcher=dispatcher,
                dead_letters=self._state.dead_letters,
                trigger_factory=self._plugins.trigger_factory(history),
                secrets=self._plugins.secrets,
                plugin_repository=self._plugins.repository,
                plugin_files=self._plugins.files,
                packages=self._plugins.packages(host),
                dry_runs=self._plugins.dry_runs(host, queries, past),
                backups=backups,
                health=ServerHealth(log, self._damage, self._reserve),
                node_id=config.node_id,
                cluster_uuid=self._cluster_uuid(),
            )
        )
        flight = self._build_flight(app, visible)
        await host.start()
        await dispatcher.start(host, log.durable_position)
        persist.start()
        self._caches.start()
        deleting = asyncio.create_task(structure.keep_deleting())
        try:
            if self._preset is not None:
                await apply_preset(self._preset, catalog.tokens, writer)
            await self._listen(app, http, flight)
        finally:
            deleting.cancel()
            access.stop()
            backups.close()
            persist.ask_to_stop()
            await dispatcher.stop()
            await host.stop(grace_s=1.0)
            await asyncio.get_running_loop().run_in_executor(None, persist.join)
            await log.stop()
            await self._write_last_checkpoint(persist.checkpointer)
            pipeline.close()
            queries.close()
            await asyncio.to_thread(self._caches.close)
            await asyncio.to_thread(self._plugins.log_files.stop)
            self._filesystem.close(self._lock)
            logger.info("stopped", extra=keys(position=log.durable_position))

    def _build_persist_thread(self, access: LogAccess, queries: QueryService) -> PersistThread:
        config = self._config
        return PersistThread(
            PersistConfig(
                log_bytes=config.persist_log_size,
                checkpoint_log_bytes=config.checkpoint_log_size,
                log_kept_bytes_max=config.wal_kept_max,
                window_ns=int(config.persist_window * 1e9),
                memory_bytes_max=config.persist_memory_max,
            ),
            self._paths,
            self._filesystem,
            self._clock,
            self._access,
            access,
            self._readers,
            self._faults,
            self._metrics,
            on_persisted=queries.release,
            on_removed=queries.files_removed,
        )

    def _check_room(self) -> None:
        """Let rows pass, or raise BackPressureError."""
        self._reserve.check()
        self._live_limit.check()

    def _build_backups(self, persist: PersistThread, access: LogAccess) -> Backups:
        directories = BackupDirectories(self._paths, self._config.plugins_path)
        return Backups(directories, persist, self._access, access, self._readers, self._faults)

    async def _write_last_checkpoint(self, checkpointer: Checkpointer) -> None:
        """Spare the next start what it would read from the log otherwise."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, checkpointer.write)
        except OSError as error:
            # The one before it and the log are enough.
            logger.warning("the last checkpoint could not be written", extra=keys(error=error))

    def _query_notes(self, database: str) -> list[QueryNote]:
        notes = [] if self._queries is None else list(self._queries.remembered)
        return [note for note in notes if database in (INTERNAL_DATABASE, note.database)]

    @property
    def _tls(self) -> TlsFiles | None:
        certificate, key = self._config.tls_cert, self._config.tls_key
        if certificate is None or key is None:
            return None
        return TlsFiles(certificate, key, self._config.tls_minimum_version)

    def _build_flight(self, app: App, catalog: LiveQueryCatalog) -> FlightListener | None:
        if self._config.flight_bind is None:
            return None
        host, port = self._config.flight_bind
        config = FlightConfig(host=host, port=port, tls=self._tls)
        desk = FlightDesk(app.services, app.gatekeeper, catalog)
        return FlightListener(config, desk, self._metrics)

    async def _listen(self, app: App, http: HttpConfig, flight: FlightListener | None) -> None:
        config = self._config
        path, mode = config.http_socket, config.http_socket_mode
        unix_socket = None if path is None else UnixSocketConfig(path=path, mode=mode)
        listeners = Listeners(app, http, self._tls, unix_socket, flight)
        ready = asyncio.create_task(self._manager.notify_ready(http.host, http.port))
        try:
            await listeners.serve(
                self._stop,
                config.shutdown_timeout,
                on_serving=lambda: self._say_listening(listeners.places),
                on_stopping=lambda: self._manager.notify("STOPPING=1"),
            )
        finally:
            ready.cancel()

    def _say_listening(self, places: dict[str, object]) -> None:
        config = self._config
        logger.info(
            "listening",
            extra=keys(
                **places,
                version=engine.__version__,
                data_dir=config.data_dir,
                plugin_dir=config.plugins_path,
                pid=os.getpid(),
            ),
        )
        if config.without_auth:
            logger.warning("started without auth: everybody who reaches the address may do all")
        elif not self._state.catalog.tokens.has_admin:
            logger.warning(
                "no admin token exists: this machine alone may connect, and it may do everything; "
                "create one with 'headrace create token --admin'"
            )


def run(config: ServeConfig) -> None:
    """Serve with `config` until a signal ends it.

    Raises:
        ConfigError, RecoveryError, OSError: The server cannot start.
    """
    uvloop.run(Server(config).run())
