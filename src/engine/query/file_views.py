# Owns the SQL under which a table with Parquet files is visible to a query: its files and its live
# rows as one, each row once. Rows are folded only where files say that they may repeat each other,
# or live rows may repeat those of files; DuckDB pushes the conditions of the query below the fold.
"""Tables with files as DuckDB views."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.query.delete_sql import kept_sql
from engine.query.literals import at_least_sql, between_sql
from engine.query.views import columns_of
from engine.store.manifest import FileEntry
from engine.store.parquet_file import field_ids
from engine.store.row_deletes import RowDelete, columns_named
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, common, union
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
_FILE_INDEX = "file_index"
# Later rows are few when earlier ones are so many times as many.
_FEW_SHARE = 4
# So many tags tell, with the time, whether a row may be a later one's.
_KEY_TAGS = 2
# Names within the SQL of a fold.
_LATER, _KEYS, _ROWS = "headrace_later", "headrace_keys", "headrace_rows"


class _Column(msgspec.Struct, frozen=True):
    """A column with the name that DuckDB knows it by, quoted."""

    original: str
    name: str
    column_type: ColumnType
    field_id: int

    @property
    def is_key(self) -> bool:
        """Whether it is part of a row's identity."""
        return self.column_type in (ColumnType.TAG, ColumnType.TIME)


def view_sql(
    snapshot: TableSnapshot,
    renamed: dict[str, str],
    directory: Path,
    live_view: str | None,
    wanted: frozenset[str] | None = None,
) -> str:
    """The SELECT that gives the rows of `snapshot`.

    Args:
        snapshot: The table.
        renamed: Names that columns have in DuckDB, where they differ.
        directory: Where the files are.
        live_view: Name under which the live rows are visible, without duplicates among themselves;
            None when there are none.
        wanted: Names, in lower case, of columns that are of use; None for all of them.
    """
    known = _columns(snapshot, renamed)
    shown = [
        column
        for column in known
        if wanted is None
        or column.original.lower() in wanted
        or column.column_type is ColumnType.TIME
    ]
    names = ", ".join(column.name for column in shown)
    live = None if live_view is None else _quoted(live_view)
    time = next(column.name for column in known if column.column_type is ColumnType.TIME)
    scans = _Scans(known, shown, directory, snapshot.deletes)
    ranges = doubtful_ranges(snapshot)
    touched = [entry for entry in snapshot.files if _touches(entry, ranges)]
    clean = [entry for entry in snapshot.files if not _touches(entry, ranges)]
    later = [entry for entry in touched if entry.overlaps]
    if live is None and not later:
        # Live rows were in doubt that are not asked for: those of a moment before them, say.
        ranges, touched, clean = (), [], list(snapshot.files)
    live_rows = sum(batch.num_rows for batch in snapshot.batches)  # type: ignore[attr-defined]
    are_later_few = _are_few(touched, later, live_rows)
    least_ns = snapshot.least_time_ns
    kept = [] if least_ns is None else [at_least_sql(time, least_ns)]
    inside = " OR ".join(between_sql(time, low, high) for low, high in ranges)
    outside = [*kept, f"NOT ({inside})"] if ranges else kept
    parts = []
    for source, conditions in scans.grouped(clean):
        parts.append(_select(names, source, [*kept, *conditions]))
    for source, conditions in scans.grouped(later if are_later_few else touched):
        parts.append(_select(names, source, [*outside, *conditions]))
    if live is not None:
        parts.append(_select(names, live, outside))
    if touched:
        # The whole identity is needed, whatever of it is shown.
        folded = [column for column in known if column.is_key or column in shown]
        fold = _Fold(scans, folded, names, kept, f"({inside})", live)
        parts.append(fold.few_later(touched) if are_later_few else fold.whole(touched))
    return " UNION ALL ".join(parts)


class _Scans:
    """Files as sources of SQL, each with the conditions that deletes of rows put on it."""

    def __init__(
        self,
        known: Sequence[_Column],
        shown: Sequence[_Column],
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
        groups: dict[tuple[RowDelete, ...], list[FileEntry]] = {}
        for entry in files:
            groups.setdefault(self._pending(entry), []).append(entry)
        return [
            (self._scan(entries, self._shown, pending), self._conditions(pending))
            for pending, entries in groups.items()
        ]

    def ranked(
        self, files: Sequence[tuple[int, FileEntry]], columns: Sequence[_Column]
    ) -> list[tuple[str, str, list[str]]]:
        """Scans of the files, each after an expression that gives the number beside its file."""
        entries = [entry for _, entry in files]
        # A column of that name hides DuckDB's own.
        is_hidden = any(column.name.lower() == _quoted(_FILE_INDEX) for column in columns)
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
        rank = f"CAST({_FILE_INDEX} AS BIGINT)"
        if ranks != list(range(len(ranks))):
            rank = f"CAST({ranks}[CAST({_FILE_INDEX} AS BIGINT) + 1] AS BIGINT)"
        return [(rank, self._scan(entries, columns, ()), [])]

    def _pending(self, entry: FileEntry) -> tuple[RowDelete, ...]:
        return tuple(delete for delete in self._deletes if delete.concerns(entry))

    def _scan(
        self,
        files: Sequence[FileEntry],
        columns: Sequence[_Column],
        pending: tuple[RowDelete, ...],
    ) -> str:
        more = [column for column in self._asked if column not in columns] if pending else []
        return _scan(files, [*columns, *more], self._directory)

    def _conditions(self, pending: tuple[RowDelete, ...]) -> list[str]:
        return [kept_sql(delete, self._names) for delete in pending]


class _Fold:
    """The rows in doubt, each once."""

    def __init__(
        self,
        scans: _Scans,
        columns: Sequence[_Column],
        names: str,
        kept: Sequence[str],
        inside: str,
        live: str | None,
    ) -> None:
        """Fold `columns`, of which `names` are shown, of rows for which the conditions `kept` hold.

        They are in doubt where `inside` holds.
        """
        self._scans = scans
        self._columns = columns
        self._names = names
        self._kept = list(kept)
        self._inside = [*kept, inside]
        self._live = live
        self._order = _free_name(columns)
        self._columns_sql = ", ".join(column.name for column in columns)

    def whole(self, files: Sequence[FileEntry]) -> str:
        """The SELECT of the rows in doubt of `files`, oldest first, and of live rows."""
        ranked = self._ranked(list(enumerate(files)), self._inside)
        return self._folded([*ranked, *self._live_rows(len(files))])

    def _live_rows(self, rank: int) -> list[str]:
        if self._live is None:
            return []
        return [_select(self._with_order(rank), self._live, self._inside)]

    def _ranked(
        self, files: Sequence[tuple[int, FileEntry]], conditions: Sequence[str], join: str = ""
    ) -> list[str]:
        if not files:
            return []
        return [
            _select(self._with_order(rank), f"{scan}{join}", [*conditions, *more])
            for rank, scan, more in self._scans.ranked(files, self._columns)
        ]

    def _with_order(self, rank: object) -> str:
        return f"{self._columns_sql}, {rank} AS {self._order}"

    def _folded(self, sources: Sequence[str]) -> str:
        rows = _folded(self._columns, self._order, " UNION ALL ".join(sources))
        return _select(self._names, f"({rows})", [])

    def few_later(self, files: Sequence[FileEntry]) -> str:
        """As `whole`, with all rows of those `files` that have no overlaps.

        Of these only rows that a later one may repeat are folded. They are told by time and few
        tags, which is quick; some that are none do not matter. So many rows are better looked up
        among few than compared with ranges of time.
        """
        numbered = list(enumerate(files))
        earlier = [(rank, entry) for rank, entry in numbered if not entry.overlaps]
        later = [(rank, entry) for rank, entry in numbered if entry.overlaps]
        time = next(one for one in self._columns if one.column_type is ColumnType.TIME)
        tags = [one for one in self._columns if one.column_type is ColumnType.TAG]
        # Those that writers name first are those that tell most, as a rule.
        tags = sorted(tags, key=lambda one: one.field_id)[:_KEY_TAGS]
        keys = ", ".join(column.name for column in (*tags, time))
        on = " AND ".join(
            f"{_ROWS}.{column.name} IS NOT DISTINCT FROM {_KEYS}.{column.name}"
            for column in (*tags, time)
        )
        alone = [
            _select(self._names, f"{scan} AS {_ROWS} ANTI JOIN {_KEYS} ON {on}",
                    [*self._kept, *more])
            for _, scan, more in self._scans.ranked(earlier, self._columns)
        ]  # fmt: skip
        shared = self._ranked(earlier, self._kept, f" AS {_ROWS} SEMI JOIN {_KEYS} ON {on}")
        made = " UNION ALL ".join([*alone, self._folded([*shared, _select("*", _LATER, [])])])
        later_sql = " UNION ALL ".join(
            [*self._ranked(later, self._inside), *self._live_rows(len(files))]
        )
        keys_sql = f"SELECT DISTINCT {keys} FROM {_LATER}"  # noqa: S608 names are quoted
        return _select(
            self._names,
            f"(WITH {_LATER} AS MATERIALIZED ({later_sql}), {_KEYS} AS MATERIALIZED ({keys_sql}) "
            f"{made})",
            [],
        )


def _are_few(touched: Sequence[FileEntry], later: Sequence[FileEntry], live_rows: int) -> bool:
    """Whether rows of `later` files and live ones are few beside the others of `touched`."""
    later_rows = sum(entry.rows for entry in later)
    earlier_rows = sum(entry.rows for entry in touched) - later_rows
    return bool(earlier_rows) and (later_rows + live_rows) * _FEW_SHARE <= earlier_rows


def within(snapshot: TableSnapshot, times: TimeRange) -> TableSnapshot:
    """`snapshot` without the files that have no rows of these times."""
    files = tuple(entry for entry in snapshot.files if common(entry.times, times) is not None)
    if len(files) == len(snapshot.files):
        return snapshot
    return msgspec.structs.replace(snapshot, files=files)


def _columns(snapshot: TableSnapshot, renamed: dict[str, str]) -> list[_Column]:
    """The columns in the order of ``SELECT *``, that of live rows."""
    ids = field_ids(snapshot.columns)
    return [
        _Column(name, _quoted(renamed.get(name, name)), column_type, ids[name])
        for name, column_type in columns_of(snapshot)
    ]


def _free_name(columns: Sequence[_Column]) -> str:
    """A name that no column has, quoted."""
    taken = {column.name.lower() for column in columns}
    name = "rank"
    while _quoted(name) in taken:
        name += "_"
    return _quoted(name)


def doubtful_ranges(snapshot: TableSnapshot) -> tuple[TimeRange, ...]:
    """Times in which a row of a file may be repeated, by a later file or a live row."""
    files = snapshot.files
    doubts = [
        (doubt, files[:index]) for index, later in enumerate(files) for doubt in later.overlaps
    ]
    doubts += [(doubt, files) for doubt in snapshot.overlap_ranges]
    parts = (common(doubt, entry.times) for doubt, earlier in doubts for entry in earlier)
    return union(part for part in parts if part is not None)


def _touches(entry: FileEntry, ranges: Sequence[TimeRange]) -> bool:
    return any(common(one, entry.times) is not None for one in ranges)


def _folded(columns: Sequence[_Column], order: str, source: str) -> str:
    """One row for each identity: of each field, the value of the latest source that has one."""
    values = ", ".join(
        column.name if column.is_key else f"arg_max({column.name}, {order}) AS {column.name}"
        for column in columns
    )
    keys = ", ".join(column.name for column in columns if column.is_key)
    return f"SELECT {values} FROM ({source}) GROUP BY {keys}"  # noqa: S608 names are quoted


def _select(names: str, source: str, conditions: Sequence[str]) -> str:
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {names} FROM {source}{where}"  # noqa: S608 names are quoted


def _scan(files: Sequence[FileEntry], columns: Sequence[_Column], directory: Path) -> str:
    """The files as a table function; columns go by field id, so a file may lack some."""
    paths = ", ".join(_text(str(directory / entry.path)) for entry in files)
    schema = ", ".join(
        f"{column.field_id}: {{name: {_text(_unquoted(column.name))}, "
        f"type: '{_SQL_TYPES[column.column_type]}', default_value: NULL}}"
        for column in columns
    )
    return f"read_parquet([{paths}], schema = MAP {{{schema}}})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"')


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
