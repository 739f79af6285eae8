# Owns which caches have contents in memory, and that they are kept up: a thread looks at what
# became durable a moment ago, so that neither a write nor a query has much to wait for. Queries ask
# from their own threads. Whoever asks holds the files of tables (store/readers.py).
"""The caches of all tables."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from engine.caches.kept_rows import TIME_NS_MIN, KeptRows
from engine.catalog.catalog import Catalog
from engine.catalog.changes import (
    CatalogChange,
    CreateDistinctCache,
    CreateLastCache,
    DeleteDatabase,
    DeleteTable,
    HideDatabase,
    HideTable,
)
from engine.catalog.model import DistinctCache, LastCache
from engine.errors import EngineError, QueryError
from engine.logs import keys
from engine.store.file_faults import FileFaults
from engine.store.live import LiveStore
from lp_core import WriteBatch

logger = logging.getLogger(__name__)

# Between two looks at what became durable.
_INTERVAL_S = 0.2
# What cannot be kept up is not tried again for so long: all of its files may have to be read.
_PAUSE_S = 10.0
# Last points that no query asked for so long are dropped.
LAST_POINTS_IDLE_S = 900.0
# Of a table with more series, last points are not kept.
LAST_POINTS_SERIES_MAX = 1_000_000
# A query waits until so many rows are looked at; more are left to the thread.
LAST_POINTS_ROWS_AT_ONCE_MAX = 8_000_000

_Definition = LastCache | DistinctCache | None


class _Entry:
    """The contents of one cache, and of what it is one; None are the last points of a table."""

    def __init__(self, database: str, table: str, definition: _Definition) -> None:
        self.database = database
        self.table = table
        self.definition = definition
        self.used_at = time.monotonic()
        # Why the thread could not keep it up, and when it may try again.
        self.failure = ""
        self.pause_until = 0.0
        match definition:
            case LastCache():
                self.kept = KeptRows(
                    table,
                    keys=definition.key_columns,
                    values=definition.value_columns,
                    count=definition.count,
                )
            case DistinctCache():
                self.kept = KeptRows(
                    table,
                    keys=definition.columns,
                    values=(),
                    groups_max=definition.cardinality_max,
                )
            case None:
                self.kept = KeptRows(table, keys=None, values=None, has_last_fields=True)

    def since_ns(self, now_ns: int, least_ns: int | None) -> int:
        """Rows before this time are not in it."""
        spans = [] if least_ns is None else [least_ns]
        if isinstance(self.definition, LastCache):
            spans.append(now_ns - self.definition.ttl_ns)
        elif isinstance(self.definition, DistinctCache):
            spans.append(now_ns - self.definition.age_max_ns)
        return max([TIME_NS_MIN, *spans])


class TableCaches:
    """Contents of the caches that the catalog has, and last points of tables that queries want."""

    def __init__(
        self,
        catalog: Catalog,
        store: LiveStore,
        reading: Callable[[], AbstractContextManager[None]],
        now_ns: Callable[[], int],
        faults: FileFaults,
    ) -> None:
        """`reading` keeps files, which `faults` reads, while a block runs."""
        self._catalog = catalog
        self._store = store
        self._reading = reading
        self._now_ns = now_ns
        self._faults = faults
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, str], _Entry] = {}
        # Tables that have an entry, and those of them that got rows since the thread looked.
        self._watched: frozenset[tuple[str, str]] = frozenset()
        self._touched: set[tuple[str, str]] = set()
        self._wake = threading.Event()
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Fill the caches that the catalog has, and keep up what is in memory, in a thread."""
        for database in self._catalog.databases():
            caches = self._catalog.caches
            found: list[LastCache | DistinctCache] = [
                *caches.last(database.id),
                *caches.distinct(database.id),
            ]
            for cache in found:
                self._entry(database.name, cache.table, cache)
                self._touched.add((database.name, cache.table))
        self._thread = threading.Thread(target=self._run, name="caches", daemon=True)
        self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._is_closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def note_rows(self, database: str, batch: WriteBatch) -> None:
        """Rows became visible. Costs next to nothing where no table has a cache."""
        if self._watched:
            touched = [key for name in batch if (key := (database, name)) in self._watched]
            if touched:
                self._touched.update(touched)
                self._wake.set()

    def note_change(self, change: CatalogChange) -> None:
        """The catalog has changed: fill a new cache, drop what was of a deleted table."""
        match change:
            case CreateLastCache(cache=cache) | CreateDistinctCache(cache=cache):
                for one in self._catalog.databases():
                    if one.id == cache.database_id:
                        self._entry(one.name, cache.table, cache)
                        self._touched.add((one.name, cache.table))
                        self._wake.set()
            case DeleteDatabase(name=database):
                self.forget(database)
            case DeleteTable(database=database, table=table):
                self.forget(database, table)
            case HideDatabase(deleted=deleted) | HideTable(deleted=deleted):
                self.forget(deleted.database, deleted.table)
            case _:
                pass

    def forget(self, database: str, table: str | None = None) -> None:
        """Drop the contents for a database, or for one table of it.

        To be called when it is gone. Deletes of rows are seen in the table itself.
        """
        with self._lock:
            for key, entry in list(self._entries.items()):
                if entry.database == database and table in (None, entry.table):
                    del self._entries[key]
            self._watch()

    def last(self, database: str, table: str, name: str | None) -> Any:
        """The rows of a last cache as a ``pyarrow.Table``: keys, values and time.

        Raises:
            QueryError: There is no such cache, or it must be named.
            FileDamagedError, OSError: A file cannot be read.
        """
        cache = _named("last", self._of(database, table, "last"), table, name)
        entry = self._entry(database, table, cache)
        rows = self._rows(entry)
        if rows is None:
            raise QueryError(f"Error during planning: table '{table}' not found")
        assert isinstance(cache, LastCache)
        values = cache.value_columns
        if values is None:
            values = tuple(
                column for column in rows.column_names if column not in (*cache.key_columns, "time")
            )
        return rows.select([*cache.key_columns, *values, "time"])

    def distinct(self, database: str, table: str, name: str | None) -> Any:
        """The rows of a distinct cache as a ``pyarrow.Table``: its columns.

        Raises:
            QueryError: There is no such cache, or it must be named.
            FileDamagedError, OSError: A file cannot be read.
        """
        cache = _named("distinct", self._of(database, table, "distinct"), table, name)
        entry = self._entry(database, table, cache)
        rows = self._rows(entry)
        if rows is None:
            raise QueryError(f"Error during planning: table '{table}' not found")
        assert isinstance(cache, DistinctCache)
        return rows.select(list(cache.columns))

    def last_points(self, database: str, table: str) -> Any | None:
        """The rows that last values of series are in, or None when they are not at hand.

        That is of each series the latest row, and of each field of it the latest with a value; some
        of the fields of the others may lack what an older row has.
        """
        found = self._store.database(database)
        if found is None or table not in found.table_names():
            return None
        if found.schema.series_count(table) > LAST_POINTS_SERIES_MAX:
            return None
        entry = self._entry(database, table, None)
        if entry.kept.rows_to_read(found) > LAST_POINTS_ROWS_AT_ONCE_MAX:
            self._touched.add((database, table))
            self._wake.set()
            return None
        return entry.kept.rows_unless_busy(found, self._faults, self._span(entry))

    def _of(self, database: str, table: str, kind: str) -> list[LastCache] | list[DistinctCache]:
        if not self._catalog.has_database(database):
            return []
        database_id = self._catalog.database(database).id
        caches = self._catalog.caches
        return (
            caches.last(database_id, table)
            if kind == "last"
            else caches.distinct(database_id, table)
        )

    def _entry(self, database: str, table: str, definition: _Definition) -> _Entry:
        name = "" if definition is None else f"{type(definition).__name__} {definition.name}"
        key = (database, table, name)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.definition != definition:
                entry = self._entries[key] = _Entry(database, table, definition)
                self._watch()
            entry.used_at = time.monotonic()
            return entry

    def _watch(self) -> None:
        self._watched = frozenset((entry.database, entry.table) for entry in self._entries.values())

    def _rows(self, entry: _Entry) -> Any | None:
        database = self._store.database(entry.database)
        if database is None:
            return None
        return entry.kept.rows(database, self._faults, self._span(entry))

    def _span(self, entry: _Entry) -> tuple[int, int | None]:
        now_ns = self._now_ns()
        kept_ns = None
        if self._catalog.has_database(entry.database):
            kept_ns = self._catalog.database(entry.database).retention_of(entry.table)
        least_ns = None if kept_ns is None else now_ns - kept_ns
        return entry.since_ns(now_ns, least_ns), kept_ns

    def _run(self) -> None:
        while True:
            self._wake.wait()
            # What comes meanwhile is looked at together.
            if self._is_closed.wait(_INTERVAL_S):
                return
            self._wake.clear()
            if self._is_closed.is_set():
                return  # since the wait, and its call to wake up may be the one cleared
            # A table that is added to the old set too late is looked at with its next rows, or by
            # the query that wants them.
            touched, self._touched = self._touched, set()
            with self._lock:
                self._drop_idle()
                due = [
                    entry
                    for entry in self._entries.values()
                    if (entry.database, entry.table) in touched
                ]
            for entry in due:
                self._keep_up(entry)

    def _keep_up(self, entry: _Entry) -> None:
        if time.monotonic() < entry.pause_until:
            return
        try:
            with self._reading():
                self._rows(entry)
        except Exception as error:
            # The next query on it tells its client; without this thread all others would wait.
            entry.pause_until = time.monotonic() + _PAUSE_S
            if str(error) != entry.failure:
                entry.failure = str(error)
                logger.warning(
                    "a cache cannot be kept up",
                    exc_info=not isinstance(error, EngineError),
                    extra=keys(database=entry.database, table=entry.table, error=error),
                )
        else:
            entry.failure = ""

    def _drop_idle(self) -> None:
        """Let go of contents that nobody wants: those of deleted caches, and unused last points."""
        now = time.monotonic()
        for key, entry in list(self._entries.items()):
            if entry.definition is None:
                is_wanted = now - entry.used_at < LAST_POINTS_IDLE_S
            else:
                kind = "last" if isinstance(entry.definition, LastCache) else "distinct"
                is_wanted = entry.definition in self._of(entry.database, entry.table, kind)
            if not is_wanted:
                del self._entries[key]
        self._watch()


def _named(
    kind: str, caches: Iterable[LastCache | DistinctCache], table: str, name: str | None
) -> LastCache | DistinctCache:
    known = list(caches)
    for cache in known:
        if name == cache.name or (name is None and len(known) == 1):
            return cache
    names = ", ".join(f"'{cache.name}'" for cache in known)
    if name is None and known:
        raise QueryError(
            f"Error during planning: table '{table}' has several {kind} caches: name one",
            hint=f"it has {names}",
        )
    raise QueryError(
        f"Error during planning: {kind} cache not found"
        + ("" if name is None else f": '{name}'")
        + f" for table '{table}'",
        hint=f"it has {names}" if known else f"create one: headrace create {kind}_cache",
    )
