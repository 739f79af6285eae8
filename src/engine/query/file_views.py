# Owns the SQL under which a table with Parquet files is visible to a query: its files and its live
# rows as one, each row once. Rows are folded only where files say that they may repeat each other,
# or live rows may repeat those of files; DuckDB pushes the conditions of the query below the fold.
"""Tables with files as DuckDB views."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow

from engine.query.doubts import Doubts, doubts_of, slices_of
from engine.query.literals import TIME_NS_MAX, TIME_NS_MIN, at_least_sql, between_sql
from engine.query.scans import (
    Column,
    Register,
    RepeatedRows,
    Scans,
    key_columns,
    name_of_field,
    quoted,
    scanned_columns,
    select_sql,
    unquoted,
)
from engine.store.manifest import FileEntry
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, common
from lp_core.enums import ColumnType

# Names within the SQL of a fold.
_LATER, _KEYS, _ROWS = "headrace_later", "headrace_keys", "headrace_rows"


class Repeats(NamedTuple):
    """What is known of the rows of files that later rows may repeat.

    Attributes:
        rows: By path, of each file that is in doubt and repeats none before it.
        register: Makes what is to be left out visible to the query.
        left_out: Numbers of files of which the query knows by other means what stands: all but
            these rows.
        folded: What these rows become with the later ones, with columns named by `name_of_field`;
            None where they are to be folded.
    """

    rows: Mapping[str, RepeatedRows]
    register: Register
    left_out: Collection[int] = ()
    folded: Any | None = None


class Streaming(NamedTuple):
    """How to fold more rows than memory holds.

    Attributes:
        register: Makes the rows of some SELECTs visible to the query, which are run one after the
            other when it comes to them; returns a name, quoted.
        times: Other rows do not matter.
        memory_bytes_max: What may be used at once; so many rows as that holds need no slices.
    """

    register: Callable[[Sequence[str]], str]
    times: TimeRange
    memory_bytes_max: int


def view_sql(
    snapshot: TableSnapshot,
    renamed: dict[str, str],
    directory: Path,
    live_view: str | None,
    wanted: frozenset[str] | None = None,
    repeats: Repeats | None = None,
    streaming: Streaming | None = None,
) -> str:
    """The SELECT that gives the rows of `snapshot`.

    Args:
        snapshot: The table.
        renamed: Names that columns have in DuckDB, where they differ.
        directory: Where the files are.
        live_view: Name under which the live rows are visible, without duplicates among themselves;
            None when there are none.
        wanted: Names, in lower case, of columns that are of use; None for all of them.
        repeats: The rows that later ones repeat, where they were looked up.
        streaming: How many rows that are to be folded go through the query slice by slice; None to
            fold them at once.
    """
    known = scanned_columns(snapshot, renamed)
    live = None if live_view is None else quoted(live_view)
    return _View(snapshot, known, directory, live, wanted).sql(repeats, streaming)


def standing_sql(
    snapshot: TableSnapshot,
    renamed: dict[str, str],
    directory: Path,
    wanted: frozenset[str] | None,
    repeats: Repeats,
) -> str:
    """The SELECT of the rows of files that no later ones repeat, as `view_sql` has it."""
    known = scanned_columns(snapshot, renamed)
    return _View(snapshot, known, directory, None, wanted).standing(snapshot.files, repeats)


def folded_sql(
    snapshot: TableSnapshot,
    doubts: Doubts,
    renamed: dict[str, str],
    directory: Path,
    live_view: str | None,
    repeats: Repeats,
) -> str:
    """The SELECT of what rows that are repeated become, with those that repeat them."""
    known = scanned_columns(snapshot, renamed)
    view = _View(snapshot, known, directory, None if live_view is None else quoted(live_view), None)
    names = ", ".join(one.name for one in known)
    return view.fold(doubts, known, names).looked_up(doubts, repeats)


def later_sql(
    snapshot: TableSnapshot,
    doubts: Doubts,
    renamed: dict[str, str],
    directory: Path,
    live_view: str | None,
    columns: Callable[[Sequence[Column]], Sequence[Column]],
) -> str:
    """The SELECT of some `columns` of the rows that may repeat those of earlier files."""
    known = scanned_columns(snapshot, renamed)
    chosen = list(columns(known))
    view = _View(snapshot, known, directory, None if live_view is None else quoted(live_view), None)
    return view.fold(doubts, chosen, ", ".join(one.name for one in chosen)).later_rows(doubts)


class _View:
    """The rows of a snapshot, with the columns that are of use."""

    def __init__(
        self,
        snapshot: TableSnapshot,
        known: Sequence[Column],
        directory: Path,
        live: str | None,
        wanted: frozenset[str] | None,
    ) -> None:
        self._snapshot = snapshot
        self._known = known
        self._live = live
        self._shown = [
            column
            for column in known
            if wanted is None
            or column.original.lower() in wanted
            or column.column_type is ColumnType.TIME
        ]
        self._names = ", ".join(column.name for column in self._shown)
        self._time = next(one.name for one in known if one.column_type is ColumnType.TIME)
        self._scans = Scans(known, self._shown, directory, snapshot.deletes)
        least_ns = snapshot.least_time_ns
        self._kept = [] if least_ns is None else [at_least_sql(self._time, least_ns)]

    def sql(self, repeats: Repeats | None, streaming: Streaming | None) -> str:
        doubts = doubts_of(self._snapshot, has_live=self._live is not None)
        outside = self._kept
        if doubts.ranges:
            outside = [*self._kept, f"NOT {self._inside(doubts.ranges)}"]
        is_looked_up = repeats is not None and bool(doubts.touched)
        are_few = is_looked_up or doubts.are_later_few
        left_out = () if repeats is None else repeats.left_out
        clean = [entry for entry in doubts.clean if entry.number not in left_out]
        parts = self._selects(self._scans.grouped(clean), self._kept)
        scanned = self._scans.grouped(doubts.later if are_few else doubts.touched)
        parts += self._selects(scanned, outside)
        if self._live is not None:
            parts.append(select_sql(self._names, self._live, outside))
        if doubts.touched:
            # The whole identity is needed, whatever of it is shown.
            columns = [one for one in self._known if one.is_key or one in self._shown]
            if is_looked_up:
                assert repeats is not None
                earlier = [one for one in doubts.earlier if one.number not in left_out]
                if earlier:
                    parts.append(self.standing(earlier, repeats))
                parts.append(self._looked_up(doubts, columns, repeats))
            else:
                parts += self._folded(doubts, columns, streaming)
        return " UNION ALL ".join(parts)

    def _looked_up(self, doubts: Doubts, columns: Sequence[Column], repeats: Repeats) -> str:
        """What is folded, once the rows of earlier files are known."""
        if repeats.folded is None:
            return self.fold(doubts, columns, self._names).looked_up(doubts, repeats)
        shown = [repeats.folded.column(name_of_field(one)) for one in self._shown]
        rows = pyarrow.table(shown, [unquoted(one.name) for one in self._shown])
        return select_sql(self._names, repeats.register(rows), self._kept)

    def _folded(
        self, doubts: Doubts, columns: Sequence[Column], streaming: Streaming | None
    ) -> list[str]:
        """What is folded, and all other rows of earlier files if later ones are few."""
        slices = [((TIME_NS_MIN, TIME_NS_MAX), doubts)]
        if streaming is not None:
            slices = slices_of(doubts, streaming.memory_bytes_max)
        if len(slices) == 1 or streaming is None:
            return self._slice(*slices[0], columns, are_few=doubts.are_later_few)
        selects = [
            select
            for span, part in slices
            if common(span, streaming.times) is not None
            for select in self._slice(span, part, columns, are_few=doubts.are_later_few)
        ]
        return [select_sql(self._names, streaming.register(selects))] if selects else []

    def _slice(
        self, span: TimeRange, doubts: Doubts, columns: Sequence[Column], *, are_few: bool
    ) -> list[str]:
        """As `_folded`, of one slice of time."""
        kept = self._kept
        earlier = doubts.earlier if are_few else []
        if any(common(one.times, span) != one.times for one in earlier):
            kept = [*kept, between_sql(self._time, *span)]
        if not doubts.ranges:
            return self._selects(self._scans.grouped(earlier), kept) if earlier else []
        inside = self._inside(doubts.ranges)
        fold = _Fold(self._scans, columns, self._names, kept, inside, self._live)
        return [fold.few_later(doubts) if are_few else fold.whole(doubts)]

    def standing(self, files: Sequence[FileEntry], repeats: Repeats) -> str:
        scans = self._scans.without(files, repeats.rows, repeats.register)
        return " UNION ALL ".join(self._selects(scans, self._kept))

    def fold(self, doubts: Doubts, columns: Sequence[Column], names: str) -> "_Fold":
        inside = self._inside(doubts.ranges)
        return _Fold(self._scans, columns, names, self._kept, inside, self._live)

    def _inside(self, ranges: Sequence[TimeRange]) -> str:
        return f"({' OR '.join(between_sql(self._time, low, high) for low, high in ranges)})"

    def _selects(
        self, scans: Sequence[tuple[str, list[str]]], conditions: Sequence[str]
    ) -> list[str]:
        return [select_sql(self._names, source, [*conditions, *more]) for source, more in scans]


class _Fold:
    """The rows in doubt, each once."""

    def __init__(
        self,
        scans: Scans,
        columns: Sequence[Column],
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

    def whole(self, doubts: Doubts) -> str:
        """The SELECT of the rows in doubt of files, and of live rows."""
        files = doubts.touched
        ranked = self._ranked(list(enumerate(files)), self._inside)
        return self._folded([*ranked, *self._live_rows(len(files))])

    def later_rows(self, doubts: Doubts) -> str:
        """The SELECT of the rows in doubt of later files, and of live rows, with their order."""
        files = doubts.touched
        later = [(rank, entry) for rank, entry in enumerate(files) if entry.overlaps]
        return " UNION ALL ".join(
            [*self._ranked(later, self._inside), *self._live_rows(len(files))]
        )

    def looked_up(self, doubts: Doubts, repeats: Repeats) -> str:
        """As `whole`, of earlier files only the rows that were looked up.

        All others of theirs stand, for no later row is of their identity.
        """
        found = self._scans.repeated(doubts.earlier, self._columns, repeats.rows, repeats.register)
        # No two earlier files have a row in common, and all that repeats these comes later.
        shared = [
            select_sql(self._with_order(-1), rows, [*self._kept, *more]) for rows, more in found
        ]
        return self._folded([*shared, self.later_rows(doubts)])

    def _live_rows(self, rank: int) -> list[str]:
        if self._live is None:
            return []
        return [select_sql(self._with_order(rank), self._live, self._inside)]

    def _ranked(
        self, files: Sequence[tuple[int, FileEntry]], conditions: Sequence[str], join: str = ""
    ) -> list[str]:
        if not files:
            return []
        return [
            select_sql(self._with_order(rank), f"{scan}{join}", [*conditions, *more])
            for rank, scan, more in self._scans.ranked(files, self._columns)
        ]

    def _with_order(self, rank: object) -> str:
        return f"{self._columns_sql}, {rank} AS {self._order}"

    def _folded(self, sources: Sequence[str]) -> str:
        rows = _folded(self._columns, self._order, " UNION ALL ".join(sources))
        return select_sql(self._names, f"({rows})")

    def few_later(self, doubts: Doubts) -> str:
        """As `whole`, with all rows of those files that repeat none before them.

        Of these only rows that a later one may repeat are folded. They are told by time and few
        tags, which is quick; some that are none do not matter. So many rows are better looked up
        among few than compared with ranges of time.
        """
        earlier = [(rank, entry) for rank, entry in enumerate(doubts.touched) if not entry.overlaps]
        told_by = key_columns(self._columns)
        keys = ", ".join(column.name for column in told_by)
        on = " AND ".join(
            f"{_ROWS}.{column.name} IS NOT DISTINCT FROM {_KEYS}.{column.name}"
            for column in told_by
        )
        alone = [
            select_sql(self._names, f"{scan} AS {_ROWS} ANTI JOIN {_KEYS} ON {on}",
                       [*self._kept, *more])
            for _, scan, more in self._scans.ranked(earlier, self._columns)
        ]  # fmt: skip
        shared = self._ranked(earlier, self._kept, f" AS {_ROWS} SEMI JOIN {_KEYS} ON {on}")
        made = " UNION ALL ".join([*alone, self._folded([*shared, select_sql("*", _LATER)])])
        keys_sql = f"SELECT DISTINCT {keys} FROM {_LATER}"  # noqa: S608 names are quoted
        return select_sql(
            self._names,
            f"(WITH {_LATER} AS MATERIALIZED ({self.later_rows(doubts)}), "
            f"{_KEYS} AS MATERIALIZED ({keys_sql}) {made})",
        )


def within(snapshot: TableSnapshot, times: TimeRange) -> TableSnapshot:
    """`snapshot` without the files that have no rows of these times."""
    files = tuple(entry for entry in snapshot.files if common(entry.times, times) is not None)
    if len(files) == len(snapshot.files):
        return snapshot
    return msgspec.structs.replace(snapshot, files=files)


def _free_name(columns: Sequence[Column]) -> str:
    """A name that no column has, quoted."""
    taken = {column.name.lower() for column in columns}
    name = "rank"
    while quoted(name) in taken:
        name += "_"
    return quoted(name)


def _folded(columns: Sequence[Column], order: str, source: str) -> str:
    """One row for each identity: of each field, the value of the latest source that has one."""
    values = ", ".join(
        column.name if column.is_key else f"arg_max({column.name}, {order}) AS {column.name}"
        for column in columns
    )
    keys = ", ".join(column.name for column in columns if column.is_key)
    return f"SELECT {values} FROM ({source}) GROUP BY {keys}"  # noqa: S608 names are quoted
