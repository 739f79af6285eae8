# Owns the rows from before a trigger began, in the order of their keys, as a backfill hands them
# over: asks for slices of the past, merges their tables by time, and makes dicts of them a piece at
# a time. What reads or converts runs in threads of its own, few, for backfills are in no hurry.
"""Rows of the past, in order of time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy

from engine.errors import QueryCancelledError
from engine.ids import Position
from engine.plugins.log_history import HistoryClosedError
from engine.plugins.ports import PastSource
from engine.plugins.result_rows import rows_of_table
from engine.store.backfills import Span
from engine.store.past import PastKey, PastRequest, PastSlice, PastTable, tags_of_key

# Rows of one call; they pass through the server as dicts.
ROWS_PER_CALL_MAX = 10_000
# Text in the rows of one call, about; a call ends with the row that exceeds it.
CHARACTERS_PER_CALL_MAX = 16 * 1024 * 1024
# What all backfills together hold of the past as Arrow, about, and what one has at least.
SLICE_ROWS_MAX = 200_000
SLICE_ROWS_MIN = 10_000
SLICE_BYTES_MAX = 32 * 1024 * 1024
SLICE_BYTES_MIN = 2 * 1024 * 1024
# Rows that are dicts, of each backfill.
_PIECE_ROWS = 5_000
_THREADS = 2

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


class PastRow(NamedTuple):
    """A row and its table, of which the tags are named in order of first appearance."""

    table: str
    row: dict[str, Any]
    tags: tuple[str, ...]

    @property
    def key(self) -> PastKey:
        """Its place in the order of the past, in which no two are alike."""
        return (
            self.row["time"],
            self.table,
            tags_of_key([self.row.get(tag) for tag in self.tags]),
        )


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of the past.

    Attributes:
        table: Of which table; None for all of the database.
        before: Rows behind this position are not of the past.
        span: Their times.
        without: Times that are left out, in order.
        after: Rows up to this key are dealt with already.
    """

    database: str
    table: str | None
    before: Position
    span: Span
    without: list[Span] = []
    after: PastKey | None = None


class Past:
    """Rows of the past, wherever they are kept."""

    def __init__(self, source: PastSource) -> None:
        self._source = source
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="past")
        # Who reads now.
        self._readers = 0

    async def check(self, wanted: Wanted) -> None:
        """See whether the wanted rows can be told from later ones.

        Raises:
            PluginError: They cannot.
        """
        for span in spans_left(wanted.span, wanted.without):
            await self._run(self._source.check, self._request(wanted, span))

    async def rows(self, wanted: Wanted) -> AsyncGenerator[list[PastRow], None]:
        """The wanted rows in the order of their keys, in pieces of any size.

        Raises:
            PluginError: They cannot be told from later ones.
            QueryError: They cannot be read.
            HistoryClosedError: The server stops.
        """
        self._readers += 1
        try:
            for start, end in spans_left(wanted.span, wanted.without):
                start_ns: int | None = start
                after = wanted.after
                if after is not None and after[0] >= start:
                    if after[0] >= end:
                        continue
                    start_ns = after[0]
                else:
                    after = None
                while start_ns is not None:
                    request = self._request(wanted, (start_ns, end), after)
                    found = await self._run(self._source.slice, request)
                    pieces = pieces_of(found)
                    while (piece := await self._run(_next, pieces)) is not None:
                        yield piece
                    start_ns, after = found.next_ns, found.after
        finally:
            self._readers -= 1
            if not self._readers:
                with suppress(RuntimeError):  # the pool takes nothing any more
                    self._pool.submit(self._source.rest)

    def close(self) -> None:
        """Break off what is read: a stop does not wait for it."""
        self._source.close()
        self._pool.shutdown(wait=False)

    def _request(self, wanted: Wanted, span: Span, after: PastKey | None = None) -> PastRequest:
        share = max(1, self._readers)
        return PastRequest(
            database=wanted.database,
            table=wanted.table,
            before=wanted.before,
            start_ns=span[0],
            end_ns=span[1],
            after=after,
            rows_max=max(SLICE_ROWS_MIN, SLICE_ROWS_MAX // share),
            bytes_max=max(SLICE_BYTES_MIN, SLICE_BYTES_MAX // share),
        )

    async def _run(self, work: Callable[[_Argument], _Result], argument: _Argument) -> _Result:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, work, argument)
        except RuntimeError as error:
            # The pool takes nothing any more.
            raise HistoryClosedError("the server is shutting down") from error
        try:
            return await running
        except QueryCancelledError as error:
            raise HistoryClosedError(error.message) from error


def spans_left(span: Span, without: list[Span]) -> list[Span]:
    """What is left of `span` without other spans, which are in order and disjoint."""
    left: list[Span] = []
    start, end = span
    for first, last in without:
        if last <= start:
            continue
        if first >= end:
            break
        if first > start:
            left.append((start, first))
        start = last
    if start < end:
        left.append((start, end))
    return left


def pieces_of(found: PastSlice) -> Iterator[list[PastRow]]:
    """The rows of a slice in the order of their keys, in pieces."""
    tables = found.tables
    if not tables:
        return
    counts = [table.rows.num_rows for table in tables]
    times = numpy.concatenate([_times(table) for table in tables])
    numbers = numpy.repeat(numpy.arange(len(tables)), counts)
    # Within a table rows stand as they are to come; of one time, tables come by name.
    numbers = numbers[numpy.lexsort((numbers, times))]
    done = [0] * len(tables)
    for start in range(0, len(numbers), _PIECE_ROWS):
        chosen = numbers[start : start + _PIECE_ROWS]
        made: dict[int, Iterator[dict[str, Any]]] = {}
        for number, count in zip(*numpy.unique(chosen, return_counts=True), strict=True):
            made[number] = iter(_dicts(tables[number].rows.slice(done[number], count)))
            done[number] += int(count)
        yield [
            PastRow(tables[number].name, next(made[number]), tables[number].tags)
            for number in chosen.tolist()
        ]


def _next(pieces: Iterator[list[PastRow]]) -> list[PastRow] | None:
    return next(pieces, None)


def _times(table: PastTable) -> Any:
    return table.rows.column("time").cast("int64").to_numpy()


def _dicts(rows: Any) -> list[dict[str, Any]]:
    """Rows as a write trigger gets them: absent what is null."""
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in rows_of_table(rows)
    ]
