# Owns how stretches of the log become the `table_batches` of a writes run. Segment files are mapped
# read-only, so table data reaches the plugin without passing through the server.
"""Rows of log segments for plugins."""

import mmap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from engine.plugins.channel import WritesRun
from lp_core import FrameCorruptError, SegmentReader

TableBatches = list[dict[str, Any]]


class SectionTable(Protocol):
    """One table of a section."""

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


def delivery_for(run: WritesRun) -> Delivery:
    """Collects the rows of a run.

    Raises:
        FrameCorruptError: An extent is not made of whole, intact frames.
    """
    if run.inline is not None:
        batches: TableBatches = [
            {"table_name": table, "rows": [dict(row) for row in rows]} for table, rows in run.inline
        ]
        merged = Delivery(batches, _count(batches), 0)
    else:
        merged = merged_sections(_sections(run), run)
    if run.row_start or run.row_end is not None:
        cut = _cut(merged.table_batches, run.row_start, run.row_end)
        return Delivery(cut, _count(cut), merged.hops_max)
    return merged


def merged_sections(sections: Iterable[Section], run: WritesRun) -> Delivery:
    """Merges the sections that a run wants: tables by first appearance, rows in write order."""
    wanted = None if run.tables is None else frozenset(run.tables)
    rows_of: dict[str, list[dict[str, Any]]] = {}
    hops_max = 0
    for section in sections:
        if section.database != run.database:
            continue
        if run.skip_origin is not None and section.origin == run.skip_origin:
            continue
        for table, batch in section.batch.items():
            if wanted is None or table in wanted:
                rows_of.setdefault(table, []).extend(batch.rows())
                hops_max = max(hops_max, section.hops)
    batches: TableBatches = [
        {"table_name": table, "rows": rows} for table, rows in rows_of.items() if rows
    ]
    return Delivery(batches, _count(batches), hops_max)


def _count(batches: TableBatches) -> int:
    return sum(len(batch["rows"]) for batch in batches)


def _cut(batches: TableBatches, start: int, end: int | None) -> TableBatches:
    kept: TableBatches = []
    offset = 0
    for batch in batches:
        rows = batch["rows"]
        upper = len(rows) if end is None else max(0, end - offset)
        part = rows[max(0, start - offset) : upper]
        if part:
            kept.append({"table_name": batch["table_name"], "rows": part})
        offset += len(rows)
    return kept


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
