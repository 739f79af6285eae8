# Owns the rows of single series out of Parquet files, picked before DuckDB sees anything: of the
# row groups whose statistics allow for a tag's value, the rows that have it. DuckDB needs
# milliseconds to bind and scan files, whatever it finds in them. Rows are picked out of columns
# decoded before, for questions that come again; where these are not at hand, or rows would have to
# be folded or left out, DuckDB reads the files.
"""Rows of single series out of files."""

import itertools
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow

from engine.logs import keys
from engine.query.decoded_columns import DecodedColumns, Footer
from engine.query.doubts import doubtful_ranges
from engine.query.packed_column import PackedColumn, Places, count_of, joined, narrowed
from engine.query.views import Reach, columns_of
from engine.store.manifest import FileEntry
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import TimeRange, common
from lp_core.enums import ColumnType

logger = logging.getLogger(__name__)

# Row groups that one query looks into; of more, DuckDB is the better reader.
GROUPS_MAX = 256
# Columns of row groups that a query decodes itself.
COLUMNS_AT_ONCE = 9
# Questions that are remembered; what those need that come again is decoded.
_QUESTIONS_MAX = 1_024
# Rows that are picked at most: for more of them there is nothing to be gained.
ROWS_MAX = 1 << 17
# What a value takes, packed, to tell whether there is room; as good as a guess.
_VALUE_BYTES = 4


class _Wanted(NamedTuple):
    """Row groups of one file that may have rows of use, and the columns that are."""

    entry: FileEntry
    groups: list[int]
    names: list[str]


class Picked(NamedTuple):
    """Rows of files.

    Attributes:
        tables: They, as Arrow tables.
        left: Files that are to be read by other means.
    """

    tables: list[Any]
    left: tuple[FileEntry, ...]


class SeriesRows:
    """Picks rows by a tag; any thread may ask."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        """Pick from files in `directory`; what was decoded may take `bytes_max`."""
        self._decoded = DecodedColumns(directory, bytes_max)
        self._filler = ThreadPoolExecutor(1, thread_name_prefix="query-decoder")
        self._is_filling = False
        self._is_closed = False
        # Tables, each with the tag and the columns that were asked for.
        self._asked: set[tuple[str, ...]] = set()

    def files_removed(self) -> None:
        """Forget files that are gone."""
        self._decoded.kept.forget_removed()

    def close(self) -> None:
        """Decode nothing more."""
        self._is_closed = True
        self._filler.shutdown(wait=False, cancel_futures=True)

    def picked(self, snapshot: TableSnapshot, reach: Reach) -> Picked | None:
        """The rows that the files of `snapshot` have within `reach`.

        Others may be among them. None where all files are to be read by other means.
        """
        tag = _tag_of(snapshot, reach)
        if tag is None or len(snapshot.files) > GROUPS_MAX or doubtful_ranges(snapshot):
            return None
        if any(delete.concerns(entry) for delete in snapshot.deletes for entry in snapshot.files):
            return None
        try:
            return self._picked(snapshot, reach, tag)
        except (OSError, pyarrow.ArrowException):
            # DuckDB will come across the same, and then it is looked for and told.
            return None

    def _picked(self, snapshot: TableSnapshot, reach: Reach, tag: str) -> Picked | None:
        wanted = self._wanted(snapshot, reach, tag)
        if sum(len(one.groups) for one in wanted) > GROUPS_MAX:
            return None
        missed = [one for one in wanted if not self._decoded.has(*one)]
        is_again = bool(missed) and self._is_asked_again((snapshot.name, tag, *missed[0].names))
        ready, left = wanted, list[_Wanted]()
        if missed and not (is_again and self._is_little(missed)):
            ready = [one for one in wanted if one not in missed]
            left = [one for one in missed if self._may_have_rows(one, reach, tag)]
        is_any = len(left) < len(snapshot.files)
        found = self._cut(ready, reach, tag) if is_any else None
        if is_again:
            # Other row groups of these files are for other series.
            self._decode_later(missed, {tag, *reach.within.names})
        if found is None:
            return None
        return Picked(_tables(found), tuple(one.entry for one in left))

    def _may_have_rows(self, wanted: _Wanted, reach: Reach, tag: str) -> bool:
        """Whether a file of which columns are not at hand may have rows within `reach`."""
        looked_at = {tag, *reach.within.names}
        first = wanted._replace(names=[name for name in wanted.names if name in looked_at])
        return not self._decoded.has(*first) or self._cut([first], reach, tag) != []

    def _cut(
        self, wanted: Sequence[_Wanted], reach: Reach, tag: str
    ) -> list[tuple[dict[str, PackedColumn], Places]] | None:
        """Columns of row groups with the places of rows within `reach`; None for too many rows."""
        texts, within = reach.texts[tag], reach.within
        found: list[tuple[dict[str, PackedColumn], Places]] = []
        rows = 0
        for one in wanted:
            for columns in self._decoded.columns(*one):
                places = columns[tag].places_of(texts)
                if places is not None:
                    places = narrowed(columns, places, within)
                if places is not None:
                    found.append((columns, places))
                    rows += count_of(places)
                    if rows > ROWS_MAX:
                        return None
        return found

    def _wanted(self, snapshot: TableSnapshot, reach: Reach, tag: str) -> list[_Wanted]:
        columns = [
            name
            for name, _ in columns_of(snapshot)
            if name in ("time", tag) or reach.names is None or name.lower() in reach.names
        ]
        found = []
        for entry in snapshot.files:
            footer = self._decoded.footer(entry)
            # A file without the tag has no row with a value of it.
            if tag in footer.places:
                groups = _groups(footer, tag, reach.texts[tag], reach.times)
                found.append(_Wanted(entry, groups, [n for n in columns if n in footer.places]))
        return found

    def _is_asked_again(self, question: tuple[str, ...]) -> bool:
        if question in self._asked:
            return True
        if len(self._asked) >= _QUESTIONS_MAX:
            self._asked.clear()
        self._asked.add(question)
        return False

    def _is_little(self, missed: Sequence[_Wanted]) -> bool:
        """Whether what is not at hand is decoded in less time than DuckDB needs for the query."""
        count = size_bytes = 0
        for entry, groups, names in missed:
            lacking = [
                (group, name)
                for group in groups
                for name in names
                if not self._decoded.has(entry, [group], [name])
            ]
            count += len(lacking)
            rows = self._decoded.footer(entry).group_rows
            size_bytes += sum(rows[group] for group, _ in lacking) * _VALUE_BYTES
        return count <= COLUMNS_AT_ONCE and self._decoded.kept.has_room(size_bytes)

    def _decode_later(self, missed: Sequence[_Wanted], first: set[str]) -> None:
        """Have whole columns of files decoded, as far as there is room for them.

        Those `first` that tell whether a file has rows.
        """
        size_bytes = 0
        fitting = []
        for one in missed:
            size_bytes += one.entry.rows * len(one.names) * _VALUE_BYTES
            if self._decoded.kept.has_room(size_bytes):
                fitting.append(one)
        if self._is_filling or not fitting:
            return
        firsts = [one._replace(names=[n for n in one.names if n in first]) for one in fitting]
        self._is_filling = True
        try:
            self._filler.submit(self._decode, [*firsts, *fitting])
        except RuntimeError:
            # Closed meanwhile.
            self._is_filling = False

    def _decode(self, wanted: Sequence[_Wanted]) -> None:
        try:
            for one in wanted:
                groups = range(self._decoded.footer(one.entry).metadata.num_row_groups)
                for _ in self._decoded.columns(one.entry, groups, one.names):
                    if self._is_closed:
                        return
        except (OSError, pyarrow.ArrowException) as error:
            # A file may be gone by now. One that is damaged is told by the query that needs it.
            logger.debug("columns were not decoded", extra=keys(error=str(error)))
        finally:
            self._is_filling = False


def _tag_of(snapshot: TableSnapshot, reach: Reach) -> str | None:
    """The tag to pick by: files are sorted by the first one."""
    return next(
        (
            name
            for name, kind in snapshot.columns
            if kind is ColumnType.TAG and name in reach.texts and reach.texts[name]
        ),
        None,
    )


def _groups(footer: Footer, tag: str, texts: frozenset[str], times: TimeRange) -> list[int]:
    """Row groups that may have rows with one of the texts at these times."""
    return [
        group
        for group, (values, span) in enumerate(
            zip(footer.ranges(tag), footer.ranges("time"), strict=True)
        )
        if (values is None or any(values[0] <= text <= values[1] for text in texts))
        and (span is None or common(span, times) is not None)
    ]


def _tables(found: Sequence[tuple[dict[str, PackedColumn], Places]]) -> list[Any]:
    """One table for each run of pieces with the same columns."""
    tables = []
    for names, run in itertools.groupby(found, key=lambda piece: tuple(piece[0])):
        pieces = list(run)
        places = [place for _, place in pieces]
        columns = [joined([columns[name] for columns, _ in pieces], places) for name in names]
        tables.append(pyarrow.table(columns, names=names))
    return tables
