# Owns how stretches of the log become the rows of a writes run, as dicts or as Arrow tables.
# Segment files are mapped read-only, so table data reaches the plugin without passing through the
# server.
"""Rows of log segments for plugins."""

import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from engine.plugins.channel import WritesRun
from lp_core import ColumnType, FrameCorruptError, SegmentReader

TableBatches = list[dict[str, Any]]


class SectionTable(Protocol):
    """One table of a section."""

    @property
    def num_rows(self) -> int:
        """Number of rows."""

    def rows(self) -> list[dict[str, Any]]:
        """The rows as fresh dicts, in write order."""


class Section(Protocol):
    """One database's part of a log frame."""

    @property
    def database(self) -> str:
        """Database that was written to."""

    @property
    def origin(self) -> str:
        """Identity of the trigger that wrote it; empty for a client."""

    @property
    def hops(self) -> int:
        """How many triggers the data has passed through."""

    @property
    def batch(self) -> Mapping[str, SectionTable]:
        """The tables."""


class _InlineTable:
    """Rows that came with the run instead of lying in the log."""

    def __init__(self, rows: Sequence[dict[str, Any]], types: Mapping[str, int]) -> None:
        self._rows = rows
        self._types = types
        self.num_rows = len(rows)

    def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._rows]

    def arrow(self, pa: Any) -> Any:
        names = list(dict.fromkeys(name for row in self._rows for name in row if name != "time"))
        columns = {}
        for name in names:
            values = [row.get(name) for row in self._rows]
            columns[name] = _arrow_column(pa, values, self._types.get(name))
        times = pa.array([row["time"] for row in self._rows], pa.int64())
        columns["time"] = times.cast(pa.timestamp("ns"))
        fields = [
            pa.field(name, column.type, nullable=name != "time") for name, column in columns.items()
        ]
        return pa.table(list(columns.values()), schema=pa.schema(fields))


def _arrow_column(pa: Any, values: list[Any], column_type: int | None) -> Any:
    kinds: dict[int, tuple[type, Any]] = {
        ColumnType.TAG: (str, pa.utf8()),
        ColumnType.INT64: (int, pa.int64()),
        ColumnType.UINT64: (int, pa.uint64()),
        ColumnType.FLOAT64: (float, pa.float64()),
    }
    kind, wanted = (object, None) if column_type is None else kinds.get(column_type, (object, None))
    if not all(value is None or isinstance(value, kind) for value in values):
        # Rows of a table that was deleted; the type is that of a later one of its name.
        return pa.array(values)
    column = pa.array(values, wanted)
    return column.dictionary_encode() if column_type == ColumnType.TAG else column


class Delivery:
    """What a writes run gives to the plugin; made into dicts or Arrow when that is asked for.

    Attributes:
        rows: How many rows.
        hops_max: Greatest hop count of the sections that they come from.
    """

    def __init__(
        self,
        parts_of: Mapping[str, Sequence[SectionTable]],
        hops_max: int,
        row_start: int = 0,
        row_end: int | None = None,
    ) -> None:
        self.hops_max = hops_max
        # Per table its parts and the rows [start, end) to deliver of all of them together.
        self._parts: dict[str, tuple[Sequence[SectionTable], int, int]] = {}
        offset = 0
        for table, parts in parts_of.items():
            count = sum(part.num_rows for part in parts)
            start = min(max(0, row_start - offset), count)
            end = count if row_end is None else min(max(0, row_end - offset), count)
            if start < end:
                self._parts[table] = (parts, start, end)
            offset += count
        self.rows = sum(end - start for _, start, end in self._parts.values())

    def table_batches(self) -> TableBatches:
        """Fresh dicts, for ``process_writes``."""
        batches: TableBatches = []
        for table, (parts, start, end) in self._parts.items():
            rows: list[dict[str, Any]] = []
            for part, lower, upper in _overlapping(parts, start, end):
                made = part.rows()
                rows += made if upper - lower == len(made) else made[lower:upper]
            batches.append({"table_name": table, "rows": rows})
        return batches

    def arrow_tables(self) -> dict[str, Any]:
        """``pyarrow.Table`` by name, over the mapped log, for ``process_batches``."""
        import pyarrow as pa

        tables: dict[str, Any] = {}
        for table, (parts, start, end) in self._parts.items():
            pieces = [
                _arrow(pa, part).slice(lower, upper - lower)
                for part, lower, upper in _overlapping(parts, start, end)
            ]
            tables[table] = pieces[0] if len(pieces) == 1 else _joined(pa, pieces)
        return tables


class _Selected(NamedTuple):
    """Tables by first appearance, each with its parts in write order."""

    parts: dict[str, list[SectionTable]]
    hops_max: int


def count_rows(run: WritesRun) -> int:
    """Rows of a run, whatever range of them it asks for; makes none of them.

    Raises:
        FrameCorruptError: An extent is not made of whole, intact frames.
    """
    if run.inline is not None:
        return sum(len(rows) for _, rows in run.inline)
    selected = _select(_sections(run), run)
    return sum(part.num_rows for parts in selected.parts.values() for part in parts)


class Deliveries:
    """Makes deliveries; while the rows of a batch are searched, it is read from the log once."""

    def __init__(self) -> None:
        self._recent: tuple[WritesRun, _Selected] | None = None

    def deliver(self, run: WritesRun) -> Delivery:
        """What `run` gives to the plugin.

        Raises:
            FrameCorruptError: An extent is not made of whole, intact frames.
        """
        if run.inline is not None or not (run.row_start or run.row_end is not None):
            self._recent = None
            return delivery_for(run)
        whole = msgspec.structs.replace(run, run_id=0, batch_id="", row_start=0, row_end=None)
        recent = self._recent  # calls of an asynchronous trigger come from several threads
        if recent is None or recent[0] != whole:
            recent = self._recent = (whole, _select(_sections(run), run))
        return _merged(recent[1], run)


def delivery_for(run: WritesRun) -> Delivery:
    """Collects the rows of a run.

    Raises:
        FrameCorruptError: An extent is not made of whole, intact frames.
    """
    if run.inline is None:
        return merged_sections(_sections(run), run)
    inline: dict[str, list[SectionTable]] = {
        table: [_InlineTable(rows, run.inline_types.get(table, {}))] for table, rows in run.inline
    }
    return Delivery(inline, 0, run.row_start, run.row_end)


def merged_sections(sections: Iterable[Section], run: WritesRun) -> Delivery:
    """Merges the sections that a run wants: tables by first appearance, rows in write order."""
    return _merged(_select(sections, run), run)


def _merged(selected: _Selected, run: WritesRun) -> Delivery:
    return Delivery(selected.parts, selected.hops_max, run.row_start, run.row_end)


def _select(sections: Iterable[Section], run: WritesRun) -> _Selected:
    wanted = None if run.tables is None else frozenset(run.tables)
    parts: dict[str, list[SectionTable]] = {}
    hops_max = 0
    for section in sections:
        if section.database != run.database:
            continue
        if run.skip_origin is not None and section.origin == run.skip_origin:
            continue
        for table, batch in section.batch.items():
            if wanted is None or table in wanted:
                parts.setdefault(table, []).append(batch)
                hops_max = max(hops_max, section.hops)
    return _Selected(parts, hops_max)


def _overlapping(
    parts: Sequence[SectionTable], start: int, end: int
) -> Iterator[tuple[SectionTable, int, int]]:
    """Parts with rows in [start, end) of all of them together, and which of theirs these are."""
    offset = 0
    for part in parts:
        lower, upper = max(0, start - offset), min(part.num_rows, end - offset)
        if lower < upper:
            # A run over a few rows of many does not make the others.
            yield part, lower, upper
        offset += part.num_rows


def _arrow(pa: Any, part: SectionTable) -> Any:
    if isinstance(part, _InlineTable):
        return part.arrow(pa)
    return pa.Table.from_batches([pa.record_batch(part)])


def _joined(pa: Any, pieces: list[Any]) -> Any:
    """One table of pieces that may lack columns of each other; ``time`` stays the last column."""
    joined = pa.concat_tables(pieces, promote_options="default")
    names = [name for name in joined.column_names if name != "time"]
    return joined if joined.column_names[-1] == "time" else joined.select([*names, "time"])


def _sections(run: WritesRun) -> Iterator[Section]:
    delivered: dict[str, int] = {}  # extents in log order; a frame named twice counts once
    for extent in run.extents:
        start = max(extent.start_offset, delivered.get(extent.path, 0))
        if start >= extent.end_offset:
            continue
        delivered[extent.path] = extent.end_offset
        with Path(extent.path).open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        # Not closed by hand: batches point into the mapping, which ends with the last of them.
        reader = SegmentReader(mapping, end=extent.end_offset)
        for frame in reader.scan(start, extent.end_offset):
            if run.start < frame.position and (run.end is None or frame.position <= run.end):
                yield from frame.sections
        if reader.end_offset != extent.end_offset:
            raise FrameCorruptError(
                reader.end_offset, f"the extent should end at byte {extent.end_offset}"
            )
