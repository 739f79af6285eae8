# Owns how stretches of the log become the `table_batches` of a writes run. Segment files are mapped
# read-only, so table data reaches the plugin without passing through the server.
"""Rows of log segments for plugins."""

import mmap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from engine.plugins.channel import WritesRun
from lp_core import FrameCorruptError, SegmentReader

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


class Delivery(NamedTuple):
    """What a writes run gives to the plugin."""

    table_batches: TableBatches
    rows: int
    hops_max: int


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
    batches: TableBatches = []
    offset = 0
    for table, rows in run.inline:
        part = [dict(row) for row in _cut(rows, offset, run)]
        if part:
            batches.append({"table_name": table, "rows": part})
        offset += len(rows)
    return Delivery(batches, _count(batches), 0)


def merged_sections(sections: Iterable[Section], run: WritesRun) -> Delivery:
    """Merges the sections that a run wants: tables by first appearance, rows in write order."""
    return _merged(_select(sections, run), run)


def _merged(selected: _Selected, run: WritesRun) -> Delivery:
    batches: TableBatches = []
    offset = 0
    for table, parts in selected.parts.items():
        rows: list[dict[str, Any]] = []
        for part in parts:
            # A run over a few rows of many does not make the others.
            if offset + part.num_rows > run.row_start and not _is_behind(offset, run):
                rows += _cut(part.rows(), offset, run)
            offset += part.num_rows
        if rows:
            batches.append({"table_name": table, "rows": rows})
    return Delivery(batches, _count(batches), selected.hops_max)


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


def _count(batches: TableBatches) -> int:
    return sum(len(batch["rows"]) for batch in batches)


def _is_behind(offset: int, run: WritesRun) -> bool:
    return run.row_end is not None and offset >= run.row_end


def _cut(rows: list[dict[str, Any]], offset: int, run: WritesRun) -> list[dict[str, Any]]:
    """Those of `rows`, the first of which is row number `offset`, that the run asks for."""
    upper = None if run.row_end is None else max(0, run.row_end - offset)
    return rows[max(0, run.row_start - offset) : upper]


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
