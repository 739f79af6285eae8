# Owns the SQL that reads the Parquet files of a table: the names and types of its columns, scans of
# files with the conditions that deletes of rows put on them, and scans that leave single rows out.
"""Scans of Parquet files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy
import pyarrow

from engine.query.delete_sql import kept_sql
from engine.query.views import columns_of
from engine.store.manifest import FileEntry
from engine.store.parquet_file import field_ids
from engine.store.row_deletes import RowDelete, columns_named
from engine.store.snapshot import TableSnapshot
from lp_core.enums import ColumnType

_SQL_TYPES = {
    ColumnType.TAG: "VARCHAR",
    ColumnType.INT64: "BIGINT",
    ColumnType.UINT64: "UBIGINT",
    ColumnType.FLOAT64: "DOUBLE",
    ColumnType.BOOL: "BOOLEAN",
    ColumnType.STRING: "VARCHAR",
    ColumnType.TIME: "TIMESTAMP_NS",
}
# Columns that DuckDB adds to a scan, unless the file has one of that name.
FILE_INDEX, FILE_ROW_NUMBER = "file_index", "file_row_number"
# So many tags tell, with the time, whether a row may be a later one's.
_KEY_TAGS = 2

# Makes rows visible to the query; returns the name, quoted.
Register = Callable[[Any], str]


class Column(msgspec.Struct, frozen=True):
    """A column with the name that DuckDB knows it by, quoted."""

    original: str
    name: str
    column_type: ColumnType
    field_id: int

    @property
    def is_key(self) -> bool:
        """Whether it is part of a row's identity."""
        return self.column_type in (ColumnType.TAG, ColumnType.TIME)


class RepeatedRows(NamedTuple):
    """The rows of one file that later rows may repeat; others may be among them.

    Attributes:
        numbers: Which these are, as a numpy array.
        rows: They, as the file has them; columns are named by `name_of_field`.
        mark: Tells sets of numbers apart; empty for none.
    """

    numbers: Any
    rows: Any
    mark: bytes


def name_of_field(column: Column) -> str:
    """A name that a column has whatever it is called."""
    return f"c{column.field_id}"


def scanned_columns(snapshot: TableSnapshot, renamed: Mapping[str, str]) -> list[Column]:
    """The columns in the order of ``SELECT *``, that of live rows."""
    ids = field_ids(snapshot.columns)
    return [
        Column(name, quoted(renamed.get(name, name)), column_type, ids[name])
        for name, column_type in columns_of(snapshot)
    ]


def key_columns(columns: Sequence[Column]) -> list[Column]:
    """The columns that tell, as good as all tags would, whether a row may be another one's."""
    time = next(one for one in columns if one.column_type is ColumnType.TIME)
    tags = [one for one in columns if one.column_type is ColumnType.TAG]
    # Those that writers name first are those that tell most, as a rule.
    return [*sorted(tags, key=lambda one: one.field_id)[:_KEY_TAGS], time]


class Scans:
    """Files as sources of SQL, each with the conditions that deletes of rows put on it."""

    def __init__(
        self,
        known: Sequence[Column],
        shown: Sequence[Column],
        directory: Path,
        deletes: Sequence[RowDelete],
    ) -> None:
        """Scan the columns `shown`, and of those `known` what deletes ask for."""
        self._shown = shown
        self._directory = directory
        self._deletes = deletes
        self._names = {column.original: column.name for column in known}
        named = frozenset[str]().union(*(columns_named(one.condition) for one in deletes))
        self._asked = [column for column in known if column.original in named]

    def grouped(self, files: Sequence[FileEntry]) -> list[tuple[str, list[str]]]:
        """Scans of the files, as few as conditions allow."""
        return [
            (self._scan(entries, self._shown, pending), self._conditions(pending))
            for pending, entries in self._by_pending(files)
        ]

    def without(
        self,
        files: Sequence[FileEntry],
        repeated: Mapping[str, RepeatedRows],
        register: Register,
    ) -> list[tuple[str, list[str]]]:
        """As `grouped`, less the rows that are `repeated`, by path of the file."""
        has_some = [bool(entry.path in repeated and repeated[entry.path].mark) for entry in files]
        parts = self.grouped([one for one, has in zip(files, has_some, strict=True) if not has])
        rest = [one for one, has in zip(files, has_some, strict=True) if has]
        for pending, entries in self._by_pending(rest):
            numbers = [repeated[entry.path].numbers for entry in entries]
            counts = list(map(len, numbers))
            left_out = {
                "file": numpy.repeat(numpy.arange(len(entries), dtype=numpy.uint64), counts),
                "row": numpy.concatenate(numbers),
            }
            source = (
                f"{self._scan(entries, self._shown, pending)} AS headrace_file ANTI JOIN "
                f"{register(pyarrow.table(left_out))} AS headrace_out ON "
                f"headrace_file.{FILE_INDEX} = headrace_out.file AND "
                f"headrace_file.{FILE_ROW_NUMBER} = headrace_out.row"
            )
            parts.append((source, self._conditions(pending)))
        return parts

    def repeated(
        self,
        files: Sequence[FileEntry],
        columns: Sequence[Column],
        repeated: Mapping[str, RepeatedRows],
        register: Register,
    ) -> list[tuple[str, list[str]]]:
        """The rows that `without` leaves out, with `columns` and what deletes ask for."""
        parts = []
        for pending, entries in self._by_pending(files):
            wanted = {one.name: one for one in (*columns, *(self._asked if pending else ()))}
            rows = [
                repeated[entry.path].rows
                for entry in entries
                if entry.path in repeated and repeated[entry.path].mark
            ]
            if not rows:
                continue
            joined = pyarrow.concat_tables(rows)
            shown = {
                unquoted(name): joined.column(name_of_field(one)) for name, one in wanted.items()
            }
            parts.append((register(pyarrow.table(shown)), self._conditions(pending)))
        return parts

    def ranked(
        self, files: Sequence[tuple[int, FileEntry]], columns: Sequence[Column]
    ) -> list[tuple[str, str, list[str]]]:
        """Scans of the files, each after an expression that gives the number beside its file."""
        entries = [entry for _, entry in files]
        # A column of that name hides DuckDB's own.
        is_hidden = any(column.name.lower() == quoted(FILE_INDEX) for column in columns)
        if is_hidden or any(self._pending(entry) for entry in entries):
            return [
                (
                    str(rank),
                    self._scan([entry], columns, self._pending(entry)),
                    self._conditions(self._pending(entry)),
                )
                for rank, entry in files
            ]
        ranks = [rank for rank, _ in files]
        rank = f"CAST({FILE_INDEX} AS BIGINT)"
        if ranks != list(range(len(ranks))):
            rank = f"CAST({ranks}[CAST({FILE_INDEX} AS BIGINT) + 1] AS BIGINT)"
        return [(rank, self._scan(entries, columns, ()), [])]

    def _by_pending(
        self, files: Sequence[FileEntry]
    ) -> list[tuple[tuple[RowDelete, ...], list[FileEntry]]]:
        groups: dict[tuple[RowDelete, ...], list[FileEntry]] = {}
        for entry in files:
            groups.setdefault(self._pending(entry), []).append(entry)
        return list(groups.items())

    def _pending(self, entry: FileEntry) -> tuple[RowDelete, ...]:
        return tuple(delete for delete in self._deletes if delete.concerns(entry))

    def _scan(
        self,
        files: Sequence[FileEntry],
        columns: Sequence[Column],
        pending: tuple[RowDelete, ...],
    ) -> str:
        more = [column for column in self._asked if column not in columns] if pending else []
        return scan_sql(files, [*columns, *more], self._directory)

    def _conditions(self, pending: tuple[RowDelete, ...]) -> list[str]:
        return [kept_sql(delete, self._names) for delete in pending]


def select_sql(names: str, source: str, conditions: Sequence[str] = ()) -> str:
    """A SELECT of rows that meet all conditions."""
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {names} FROM {source}{where}"  # noqa: S608 names are quoted


def scan_sql(files: Sequence[FileEntry], columns: Sequence[Column], directory: Path) -> str:
    """The files as a table function; columns go by field id, so a file may lack some."""
    paths = ", ".join(_text(str(directory / entry.path)) for entry in files)
    schema = ", ".join(
        f"{column.field_id}: {{name: {_text(unquoted(column.name))}, "
        f"type: '{_SQL_TYPES[column.column_type]}', default_value: NULL}}"
        for column in columns
    )
    return f"read_parquet([{paths}], schema = MAP {{{schema}}})"


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def unquoted(name: str) -> str:
    """The name that `quoted` was given."""
    return name[1:-1].replace('""', '"')


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
