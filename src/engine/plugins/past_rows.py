# Owns the rows from before a trigger began, in order of their times, as a backfill hands them over.
# What reads files runs in a thread. Times may be scattered over the log, so files are opened in the
# order of their least times and merged.
"""Rows of the past, in order of time."""

import asyncio
import heapq
import mmap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from engine.errors import PluginError
from engine.ids import Position
from engine.plugins.flush_index import NOTE_ROWS_MAX, Interest, Note
from engine.plugins.log_history import LogHistory
from engine.store.backfills import Span
from engine.store.run_records import RowKey
from lp_core import SegmentReader

# Rows of one call; they pass through the server as dicts.
ROWS_PER_CALL_MAX = 10_000
# Text in the rows of one call, about; a call ends with the row that exceeds it.
CHARACTERS_PER_CALL_MAX = 16 * 1024 * 1024
# Rows whose times are not reached yet, but whose part of the log is.
ROWS_HELD_MAX = 1_000_000


class PastRow(NamedTuple):
    """A row and its place in the order of the past, in which no two are alike."""

    key: RowKey
    table: str
    row: dict[str, Any]
    hops: int


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of the past.

    Attributes:
        before: Rows behind this position are not of the past.
        span: Their times.
        without: Times that are left out.
        after: Rows up to this key are dealt with already.
    """

    interest: Interest
    before: Position
    span: Span
    without: list[Span] = []
    after: RowKey | None = None

    def takes(self, time_ns: int) -> bool:
        """Whether rows of that time are wanted."""
        start, end = self.span
        return start <= time_ns < end and not any(
            first <= time_ns < last for first, last in self.without
        )


class Past(Protocol):
    """Rows of the past, wherever they are kept."""

    def rows(self, wanted: Wanted) -> AsyncIterator[list[PastRow]]:
        """The wanted rows in the order of their keys, in pieces of any size."""


class LogPast:
    """Rows of the past that the log holds."""

    def __init__(self, history: LogHistory) -> None:
        self._history = history

    async def rows(self, wanted: Wanted) -> AsyncIterator[list[PastRow]]:
        """The wanted rows in the order of their keys, in pieces of any size.

        Raises:
            PluginError: Times are so scattered over the log that too many rows would be held.
            HistoryClosedError: The server stops.
        """
        database = wanted.interest.database
        start = self._history.begin_of(database)
        notes = await self._history.notes(database, start, wanted.before, NOTE_ROWS_MAX)
        ordered = await asyncio.to_thread(self._ordered, notes, wanted)
        pieces = _pieces(_merged(ordered, wanted))
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            self._history.check_open()
            yield piece

    def _ordered(self, notes: list[Note], wanted: Wanted) -> list[tuple[int, Note]]:
        """The notes that matter by the least time in them."""
        ordered: list[tuple[int, Note]] = []
        for note in notes:
            self._history.check_open()
            if not wanted.interest.wants(note) or note.hops >= wanted.interest.hops_max:
                continue
            least, greatest = _times(note, wanted)
            floor = wanted.span[0] if wanted.after is None else wanted.after[0]
            if greatest >= floor and least < wanted.span[1]:
                ordered.append((least, note))
        return sorted(ordered, key=lambda item: (item[0], item[1].first_position))


def _pieces(rows: Iterator[PastRow]) -> Iterator[list[PastRow]]:
    piece: list[PastRow] = []
    for row in rows:
        piece.append(row)
        if len(piece) == NOTE_ROWS_MAX:
            yield piece
            piece = []
    if piece:
        yield piece


def _merged(ordered: list[tuple[int, Note]], wanted: Wanted) -> Iterator[PastRow]:
    heap: list[PastRow] = []
    waiting = list(reversed(ordered))
    while heap or waiting:
        while waiting and (not heap or waiting[-1][0] <= heap[0].key[0]):
            _, note = waiting.pop()
            for row in _rows_of(note, wanted):
                heapq.heappush(heap, row)
            if len(heap) > ROWS_HELD_MAX:
                raise PluginError(
                    f"the times of more than {ROWS_HELD_MAX} rows are scattered over the log",
                    hint="backfill shorter stretches of time, one after the other",
                )
        if heap:
            yield heapq.heappop(heap)


def _times(note: Note, wanted: Wanted) -> tuple[int, int]:
    """Least and greatest time of the tables that are wanted of a note."""
    times: list[int] = []
    for _, _, batches in _sections(note, wanted):
        for batch in batches.values():
            times += (batch.min_time_ns, batch.max_time_ns)
    return (min(times), max(times)) if times else (wanted.span[1], wanted.span[0] - 1)


def _rows_of(note: Note, wanted: Wanted) -> Iterator[PastRow]:
    for position, ordinal, batches in _sections(note, wanted):
        number = ordinal
        for table, batch in batches.items():
            for row in batch.rows():
                key = (row["time"], position, number)
                number += 1
                if wanted.takes(row["time"]) and (wanted.after is None or key > wanted.after):
                    yield PastRow(key, table, row, note.hops)


def _sections(note: Note, wanted: Wanted) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Position, number of the first row within the frame, and the wanted tables of each section."""
    with Path(note.path).open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    interest = wanted.interest
    for frame in SegmentReader(mapping, end=note.end_offset).scan(
        note.start_offset, note.end_offset
    ):
        if not note.first_position <= frame.position <= min(note.last_position, wanted.before):
            continue
        ordinal = 0
        for section in frame.sections:
            if (section.database, section.origin) == (interest.database, note.origin):
                tables = {
                    table: batch
                    for table, batch in section.batch.items()
                    if interest.table in (None, table)
                }
                yield frame.position, ordinal, tables
            ordinal += section.batch.num_rows
