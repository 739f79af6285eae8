# Owns which tables there are and their columns: per database its SchemaIndex and its tables, those
# of databases that are deleted and kept among them. Changed on the event loop (or by recovery
# before it runs); snapshots may be taken on any thread.
"""Databases and their tables."""

import contextlib
from collections.abc import Iterable

import msgspec

from engine.ids import DatabaseId, Position
from engine.store.former import Former
from engine.store.live_table import Columns, LiveTable, TableImage
from engine.store.manifest import FileEntry, TableFiles
from engine.store.row_deletes import RowDelete
from engine.store.snapshot import TableSnapshot
from lp_core import ColumnType, SchemaIndex, WriteBatch


class LiveDatabase:
    """Tables of one database and their schema."""

    def __init__(self, name: str, database_id: DatabaseId) -> None:
        self.name = name
        self.id = database_id
        # What rows on their way to the log have is in it too: those behind them must fit.
        self.schema = SchemaIndex()
        # Columns of rows that are in the log, in its order, so that they are the same after a
        # restart: files know columns by their number.
        self._stored = SchemaIndex()
        self._is_ahead = False
        # Of one that was deleted and is kept out of sight.
        self.former: Former | None = None
        self._tables: dict[str, LiveTable] = {}
        # Names of those that have deletes of rows, or had: few of many.
        self._deleted_from: dict[str, None] = {}

    def expect(self, batch: WriteBatch) -> None:
        """Rows that fit the schema are on their way to the log."""
        if self.schema.apply(batch):
            self._is_ahead = True

    def forget_refused(self) -> None:
        """Forget columns of rows that the log has refused; call while none are on their way."""
        if not self._is_ahead:
            return
        self._is_ahead = False
        for table in self.schema.tables():
            columns = self.columns(table)
            if tuple(self.schema.columns(table)) == columns:
                continue
            series = self.schema.dump_series(table)
            self.schema.drop_table(table)
            for column, column_type in columns:
                self.schema.add_column(table, column, column_type)
            self.schema.load_series(table, series)

    def add(self, batch: WriteBatch, position: Position) -> None:
        """Make the rows of a durable `batch` visible. Its columns must fit the schema."""
        self.schema.apply(batch)
        self._stored.apply(batch)
        overlaps = self.schema.observe(batch)
        for name, table_batch in batch.items():
            table = self._tables.get(name)
            if table is None:
                table = self._tables[name] = LiveTable(name, position)
            table.add(table_batch, position, overlaps.get(name))

    def add_known(self, batch: WriteBatch, position: Position) -> None:
        """Make rows visible of which a checkpoint knows everything but the values."""
        for name, table_batch in batch.items():
            table = self._tables.get(name)
            # Else they are of a table of that name that was deleted.
            if table is not None and position >= table.began:
                table.add(table_batch, position, None)

    def delete_rows(self, table: str, delete: RowDelete) -> None:
        """As LiveTable, of one table."""
        self._deleted_from[table] = None
        self._tables[table].delete_rows(delete)

    def declare(self, table: str, columns: Columns, position: Position) -> None:
        """Begin a table without rows, which must not exist."""
        self._add_columns(table, columns)
        self._tables[table] = LiveTable(table, position)

    def take_out(self, table: str) -> tuple[LiveTable, Columns] | None:
        """Take a table out, with its columns; None when there is none."""
        found = self._tables.get(table)
        if found is None:
            return None
        columns = self.columns(table)
        # In this order, so that the persist thread finds columns in one place or the other.
        found.last_columns = columns
        del self._tables[table]
        self._deleted_from.pop(table, None)
        for schema in (self.schema, self._stored):
            # One that was declared without columns is in neither.
            with contextlib.suppress(KeyError):
                schema.drop_table(table)
        return found, columns

    def put_in(self, table: LiveTable, columns: Columns) -> None:
        """Take over a table that was taken out of another database."""
        self._add_columns(table.name, columns)
        self._tables[table.name] = table
        if table.deletes:
            self._deleted_from[table.name] = None

    def restore(self, image: TableImage, position: Position) -> None:
        """Take over a table from a checkpoint of `position`."""
        self._add_columns(
            image.name, tuple((column, ColumnType(kind)) for column, kind in image.columns)
        )
        if image.series:
            self.schema.load_series(image.name, image.series)
        began = Position(0) if isinstance(image.began, msgspec.UnsetType) else image.began
        table = self._tables[image.name] = LiveTable(image.name, began)
        table.restore(image, position)
        if table.deletes:
            self._deleted_from[table.name] = None

    def images(self) -> list[TableImage]:
        """What a checkpoint keeps of the tables."""
        return [
            TableImage(
                name=name,
                columns=tuple((column, int(kind)) for column, kind in self.columns(name)),
                files=table.files,
                overlap_ranges=table.overlap_ranges,
                series=self.schema.dump_series(name),
                began=table.began,
                deletes=table.deletes or msgspec.UNSET,
            )
            for name, table in self._tables.items()
        ]

    def tables(self) -> list[LiveTable]:
        """All tables."""
        return list(self._tables.values())

    def tables_with_deletes(self) -> list[LiveTable]:
        """Those of whose deleted rows some may still be in the log or in files."""
        tables = [self._tables.get(name) for name in list(self._deleted_from)]
        return [table for table in tables if table is not None and table.deletes]

    def table(self, name: str) -> LiveTable | None:
        """The table of that name, or None."""
        return self._tables.get(name)

    def begin_lost(self, change: TableFiles) -> None:
        """Begin a table whose first rows, and with them its columns, the log has lost."""
        self._tables[change.table] = LiveTable(change.table, change.began)

    def is_about(self, change: TableFiles) -> bool:
        """Whether the files of `change` are those of a table here."""
        table = self._tables.get(change.table)
        if table is None:
            return False
        if change.began == 0:
            # Which one it was is not said, but its rows cannot be older than the table.
            return all(entry.last_position >= table.began for entry in change.added)
        return table.is_the_one_of(change.began)

    def change_files(self, change: TableFiles, *, are_live_too: bool) -> tuple[FileEntry, ...]:
        """As LiveTable, of one table."""
        return self._tables[change.table].change_files(change, are_live_too=are_live_too)

    def persist(self, through: Position, changes: Iterable[TableFiles]) -> None:
        """Replace the batches of all tables up to `through` by the files of `changes`."""
        by_table = {change.table: change for change in changes}
        for name in list(self._tables):
            self._tables[name].persist(through, by_table.pop(name, None))
        assert not by_table, "files of a table that is not here"

    def table_names(self) -> list[str]:
        """Names of the tables, sorted."""
        return sorted(self._tables)

    def columns(self, table: str) -> tuple[tuple[str, ColumnType], ...]:
        """Columns of `table` in order of first appearance, without ``time``."""
        try:
            return tuple(self._stored.columns(table))
        except KeyError:
            # The schema knows no table without columns; one may be declared so.
            return ()

    def columns_of(self, table: LiveTable) -> Columns:
        """Columns of a table that is here, or was a moment ago."""
        columns = self.columns(table.name)
        return columns if table.last_columns is None else table.last_columns

    def _add_columns(self, table: str, columns: Columns) -> None:
        for column, column_type in columns:
            self.schema.add_column(table, column, column_type)
            self._stored.add_column(table, column, column_type)

    def snapshot(self, table: str) -> TableSnapshot | None:
        """What `table` holds now, or None when there is none."""
        found = self._tables.get(table)
        return None if found is None else found.snapshot(lambda: self.columns_of(found))

    def as_of(self, table: str, position: Position) -> TableSnapshot | None:
        """What `table` held at a position, or None when it is not there; see LiveTable.as_of."""
        found = self._tables.get(table)
        return None if found is None else found.as_of(lambda: self.columns_of(found), position)

    @property
    def num_rows(self) -> int:
        """Live rows of all tables, overwritten ones included."""
        return sum(table.num_rows for table in list(self._tables.values()))


class LiveStore:
    """All databases; those that are deleted and kept have no name here."""

    def __init__(self) -> None:
        self._databases: dict[str, LiveDatabase] = {}
        self._hidden: dict[DatabaseId, LiveDatabase] = {}

    def create(self, name: str, database_id: DatabaseId) -> LiveDatabase:
        """Begin an empty database."""
        database = self._databases[name] = LiveDatabase(name, database_id)
        return database

    def drop(self, name: str) -> None:
        """Forget a database with its rows."""
        self._databases.pop(name, None)

    def hide(self, name: str, former: Former) -> None:
        """Take the name from a database."""
        database = self._databases.pop(name)
        database.name = _hidden_name(name, database.id)
        database.former = former
        self._hidden[database.id] = database

    def create_hidden(self, name: str, database_id: DatabaseId, former: Former) -> LiveDatabase:
        """Begin an empty database that is kept out of sight."""
        database = self._hidden[database_id] = LiveDatabase(
            _hidden_name(name, database_id), database_id
        )
        database.former = former
        return database

    def drop_hidden(self, database_id: DatabaseId) -> LiveDatabase | None:
        """Forget a hidden database with its rows; return it."""
        return self._hidden.pop(database_id, None)

    def hidden(self) -> list[LiveDatabase]:
        """Those that are deleted and kept."""
        return list(self._hidden.values())

    def database(self, name: str) -> LiveDatabase | None:
        """The database of that name, or None."""
        return self._databases.get(name)

    def columns(self, database: str, table: str) -> tuple[tuple[str, ColumnType], ...]:
        """Columns of a table as LiveDatabase.columns; none where there is no such database."""
        found = self._databases.get(database)
        return () if found is None else found.columns(table)

    def databases(self) -> list[LiveDatabase]:
        """All databases, hidden ones too."""
        return [*list(self._databases.values()), *list(self._hidden.values())]


def _hidden_name(name: str, database_id: DatabaseId) -> str:
    # No database can have such a name, and retention goes by names.
    return f"{name.split('//')[0]}//{database_id}"
