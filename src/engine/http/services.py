# Owns the list of what handlers may use. Built once, in server.py.
"""Services behind the routes."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from engine.catalog.catalog import Catalog
from engine.clock import Clock
from engine.http.bodies import BodyGate
from engine.http.http_config import HttpConfig
from engine.influxql.engine import InfluxqlEngine
from engine.ingest.catalog_writer import CatalogWriter
from engine.ingest.pipeline import IngestPipeline
from engine.ingest.row_deleter import RowDeleter
from engine.ingest.structure import StructureWriter
from engine.metrics import MetricsRegistry
from engine.persist.backups import Backups
from engine.plugins.dispatcher import Dispatcher
from engine.plugins.dry_run import DryRuns
from engine.plugins.environment import PluginPackages
from engine.plugins.plugin_files import PluginFiles
from engine.plugins.repository import PluginRepository
from engine.plugins.trigger_factory import TriggerFactory
from engine.query.service import QueryService
from engine.store.dead_letters import DeadLetterTable
from engine.store.live import LiveStore
from engine.store.secrets import SecretStore


class Health(Protocol):
    """What /health wants to know."""

    def failures(self) -> list[str]:
        """Reasons why the server is not healthy; empty when it is."""

    def damage(self) -> list[str]:
        """Damaged files; all but their rows is served."""


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a handler may call."""

    config: HttpConfig
    gate: BodyGate
    clock: Clock
    metrics: MetricsRegistry
    catalog: Catalog
    catalog_writer: CatalogWriter
    structure: StructureWriter
    row_deleter: RowDeleter
    store: LiveStore
    # Of the last frame that has taken effect.
    position: Callable[[], int]
    pipeline: IngestPipeline
    queries: QueryService
    influxql: InfluxqlEngine
    dispatcher: Dispatcher
    dead_letters: DeadLetterTable
    trigger_factory: TriggerFactory
    plugin_repository: PluginRepository
    plugin_files: PluginFiles
    packages: PluginPackages
    secrets: SecretStore
    dry_runs: DryRuns
    backups: Backups
    health: Health
    node_id: str
    # Names this server's data for good; every answer carries it.
    cluster_uuid: str
