# Owns what a query may see: the tables of the live store, and the system tables made of catalog and
# plugin log. Queries ask from their own threads, so everything here copies what it reads.
"""The query executor's view of the server."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from engine.catalog.catalog import Catalog
from engine.catalog.model import INTERNAL_DATABASE, Trigger
from engine.clock import Clock
from engine.damage import Damage
from engine.query import system_tables
from engine.query.caches_tables import distinct_caches_table, last_caches_table
from engine.query.damage_table import damage_table
from engine.query.dead_letters_table import dead_letters_table
from engine.query.files_table import files_table
from engine.query.structure_tables import databases_table, tables_table
from engine.query.system_tables import LogRecord, PluginFileRecord, QueryRecord, StatusRecord
from engine.query.tokens_table import tokens_table
from engine.store.dead_letters import DeadLetterTable
from engine.store.live import LiveStore
from engine.store.parquet_file import field_ids
from engine.store.readers import Readers
from engine.store.snapshot import TableSnapshot


class LiveQueryCatalog:
    """Databases and tables as they are at the moment of asking."""

    def __init__(
        self,
        catalog: Catalog,
        store: LiveStore,
        dead_letters: DeadLetterTable,
        readers: Readers,
        clock: Clock,
        plugin_log: Callable[[str], Iterable[LogRecord]],
        queries: Callable[[str], Iterable[QueryRecord]],
        status: Callable[[Trigger], StatusRecord],
        plugin_files: Callable[[str], Iterable[PluginFileRecord]],
        damage: Callable[[], Iterable[Damage]],
    ) -> None:
        """Show what the first three hold; the functions give what a database has of the rest.

        `readers` keeps files while they are read, `clock` tells what is past retention.
        """
        self._catalog = catalog
        self._store = store
        self._dead_letters = dead_letters
        self._readers = readers
        self._clock = clock
        self._plugin_log = plugin_log
        self._queries = queries
        self._status = status
        self._plugin_files = plugin_files
        self._damage = damage

    def has_database(self, name: str) -> bool:
        """Whether there is a database of that name, or the internal one."""
        return name == INTERNAL_DATABASE or self._catalog.has_database(name)

    def retention_ns(self, database: str) -> int | None:
        """How long the rows of a database are kept; None for ever."""
        if not self._catalog.has_database(database):
            return None  # the internal one
        return self._catalog.database(database).retention_ns

    def table_names(self, database: str) -> list[str]:
        """The user tables of a database."""
        found = self._store.database(database)
        return [] if found is None else found.table_names()

    def snapshot(self, database: str, table: str) -> TableSnapshot | None:
        """The rows of a table as they are now, or None when there is no such table."""
        found = self._store.database(database)
        snapshot = None if found is None else found.snapshot(table)
        if snapshot is None or not self._catalog.has_database(database):
            return snapshot
        retention_ns = self._catalog.database(database).retention_of(table)
        if retention_ns is None:
            return snapshot
        return msgspec.structs.replace(snapshot, least_time_ns=self._clock.now_ns() - retention_ns)

    def reading(self) -> AbstractContextManager[None]:
        """Keep the files of snapshots that are taken inside of the block, until its end."""
        return self._readers.reading()

    def system_table(self, database: str, name: str) -> Any | None:
        """A table of the ``system`` schema as a ``pyarrow.Table``, or None."""
        match name:
            case "processing_engine_logs":
                return system_tables.logs_table(self._plugin_log(database), database)
            case "processing_engine_triggers":
                return system_tables.triggers_table(
                    (trigger, self._status(trigger)) for trigger in self._catalog.triggers(database)
                )
            case "processing_engine_trigger_arguments":
                return system_tables.trigger_arguments_table(self._catalog.triggers(database))
            case "plugin_files":
                return system_tables.plugin_files_table(self._plugin_files(database))
            case "processing_engine_dead_letters":
                return dead_letters_table(
                    (trigger.name, letter)
                    for trigger in self._catalog.triggers(database)
                    for letter in self._dead_letters.of(trigger.id)
                )
            case "parquet_files":
                found = self._store.database(database)
                tables = [] if found is None else found.tables()
                return files_table((table.name, entry) for table in tables for entry in table.files)
            case "damage":
                return damage_table(
                    damage
                    for damage in self._damage()
                    if damage.database in ("", database) or database == INTERNAL_DATABASE
                )
            case "last_caches" | "distinct_caches":
                return self._caches_table(database, name)
            case "queries":
                return system_tables.queries_table(self._queries(database))
            case "databases" if database == INTERNAL_DATABASE:
                return databases_table(self._catalog)
            case "tables" if database == INTERNAL_DATABASE:
                return tables_table(self._catalog, self._store)
            case "tokens" if database == INTERNAL_DATABASE:
                return tokens_table(self._catalog.tokens.all())
            case _:
                return None

    def _caches_table(self, database: str, name: str) -> Any:
        caches, found = self._catalog.caches, self._store.database(database)
        is_known = found is not None and self._catalog.has_database(database)

        def ids(table: str) -> dict[str, int]:
            known = found is not None and table in found.table_names()
            return field_ids(self._store.columns(database, table)) if known else {}

        if name == "last_caches":
            last = caches.last(self._catalog.database(database).id) if is_known else []
            return last_caches_table(last, ids)
        distinct = caches.distinct(self._catalog.database(database).id) if is_known else []
        return distinct_caches_table(distinct, ids)
