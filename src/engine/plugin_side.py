# Owns the wiring of the parts about plugins, which server.py puts among the others: their files,
# logs and secrets, the dispatcher of triggers, and what system tables tell of them.
"""The plugin side of a server."""

from engine.catalog.model import INTERNAL_DATABASE, Trigger
from engine.clock import Clock
from engine.config import ServeConfig
from engine.errors import PluginError
from engine.filesystem import FileSystem
from engine.ingest.catalog_writer import CatalogWriter
from engine.ingest.pipeline import IngestPipeline
from engine.ingest.state import ServerState
from engine.metrics import MetricsRegistry
from engine.paths import DataPaths
from engine.plugin_ports import Committer, Switch
from engine.plugins.dispatcher import Dispatcher, DispatcherConfig, DispatcherPorts
from engine.plugins.dry_run import DryRuns
from engine.plugins.environment import PluginPackages
from engine.plugins.flush_index import FlushIndex
from engine.plugins.host import PluginConfig, PluginHost
from engine.plugins.log_files import LogFiles, LogRetention
from engine.plugins.log_history import LogHistory
from engine.plugins.past_rows import Past
from engine.plugins.plugin_files import PluginFile, PluginFiles, files_of
from engine.plugins.plugin_log import LogEntry, PluginLog
from engine.plugins.repository import DEFAULT_REPOSITORY_URL, PluginRepository
from engine.plugins.retry import RetryPolicy
from engine.plugins.trigger_factory import TriggerFactory
from engine.plugins.trigger_status import TriggerStatus
from engine.plugins.wal_runner import WalRunnerConfig
from engine.query.service import QueryService
from engine.store.secrets import SecretStore


class PluginSide:
    """The parts of one server that are about plugins."""

    def __init__(
        self,
        config: ServeConfig,
        paths: DataPaths,
        filesystem: FileSystem,
        clock: Clock,
        state: ServerState,
        index: FlushIndex,
    ) -> None:
        self._config = config
        self._clock = clock
        self._state = state
        self._index = index
        self._dispatcher: Dispatcher | None = None
        self.log_files = LogFiles(
            paths.plugin_logs_dir,
            filesystem,
            clock,
            LogRetention(
                age_s=config.plugin_log_retention, size_bytes_max=config.plugin_log_size_max
            ),
        )
        self._log = PluginLog(self.log_files)
        self.secrets = SecretStore(paths.secrets_dir, filesystem)
        self.repository = PluginRepository(
            config.plugins_path,
            paths.fetched_plugins_dir,
            filesystem,
            config.plugin_repo or DEFAULT_REPOSITORY_URL,
        )
        self.files = PluginFiles(config.plugins_path, filesystem)

    # Start.

    def load(self) -> None:
        """Read what is not in the log: files under way to their places, and secrets."""
        self.files.recover()
        self.secrets.load()

    def restore_log(self) -> None:
        """Take in the lines that plugins logged before; after the catalog."""
        created_ns = {
            database.name: database.created_ns for database in self._state.catalog.databases()
        }
        for entry in self.log_files.load():
            # Lines of a deleted database are not those of a later one of its name.
            if entry.time_ns >= created_ns.get(entry.database, entry.time_ns + 1):
                self._log.restore(entry)
        self.log_files.start()

    # Parts.

    def dispatcher(
        self,
        pipeline: IngestPipeline,
        queries: QueryService,
        writer: CatalogWriter,
        history: LogHistory,
        past: Past,
        metrics: MetricsRegistry,
    ) -> Dispatcher:
        """The dispatcher of triggers, of which there is one."""
        config, state = self._config, self._state
        self._dispatcher = Dispatcher(
            DispatcherConfig(
                flush_interval_s=config.wal_flush_interval,
                run_timeout_s=config.plugin_timeout,
                wal=WalRunnerConfig(
                    batch_rows_max=config.plugin_batch_rows,
                    async_runs_max=config.async_trigger_concurrency_limit,
                    retry=RetryPolicy(retries_max=config.plugin_retries),
                ),
            ),
            self.repository,
            DispatcherPorts(
                catalog=state.catalog,
                cursors=state.cursors,
                state=state.plugin_state,
                dead_letters=state.dead_letters,
                backfills=state.backfills,
                index=self._index,
                history=history,
                past=past,
                passed_positions=state.passed_positions,
                columns=state.store.columns,
                secrets=self.secrets,
                committer=Committer(pipeline),
                questioner=queries,
                switch=Switch(writer),
                clock=self._clock,
                metrics=metrics,
            ),
            self._log,
        )
        return self._dispatcher

    def host(self, dispatcher: Dispatcher) -> PluginHost:
        """The host of worker processes."""
        config = self._config
        return PluginHost(
            PluginConfig(
                plugin_dir=config.plugins_path,
                venv=config.venv_path,
                run_timeout_s=config.plugin_timeout,
                memory_bytes_max=config.plugin_memory_max,
                nice=config.plugin_nice,
                processes_max=config.plugin_processes_max,
            ),
            dispatcher,
        )

    def trigger_factory(self, history: LogHistory) -> TriggerFactory:
        """What makes triggers of what users ask for."""
        return TriggerFactory(
            self.repository,
            self._clock,
            history,
            self.secrets,
            self._config.plugin_batch_rows,
            is_own_only=self._config.trigger_rights == "own",
        )

    def packages(self, host: PluginHost) -> PluginPackages:
        """The packages that plugins may import."""
        config = self._config
        manager = "disabled" if config.disable_package_management else config.package_manager
        return PluginPackages(config.venv_path.absolute(), manager, on_change=host.renew_soon)

    def dry_runs(self, host: PluginHost, queries: QueryService, past: Past) -> DryRuns:
        """Runs of plugins that change nothing."""
        state = self._state
        return DryRuns(
            host,
            self.repository,
            state.catalog,
            state.store,
            state.plugin_state,
            self.secrets,
            queries,
            past,
            self._clock,
            is_own_only=self._config.trigger_rights == "own",
        )

    # What system tables tell.

    def log_lines(self, database: str) -> list[LogEntry]:
        """What the plugins of a database have logged; of all, in the internal one."""
        return self._log.entries(None if database == INTERNAL_DATABASE else database)

    def status(self, trigger: Trigger) -> TriggerStatus:
        """How a trigger fares."""
        if self._dispatcher is None:
            return TriggerStatus()
        return self._dispatcher.board.status(trigger)

    def file_records(self, database: str) -> list[PluginFile]:
        """The files of the plugins of a database; of all, in the internal one."""
        is_internal = database == INTERNAL_DATABASE
        records: list[PluginFile] = []
        for trigger in self._state.catalog.triggers(None if is_internal else database):
            try:
                path = self.repository.locate(trigger.plugin_filename, trigger.plugin_digest)
            except PluginError:
                continue  # the trigger's own runs say what is wrong with it
            records += files_of(trigger.name, trigger.database, path)
        return records
