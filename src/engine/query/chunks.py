# Owns the pieces in which live rows are kept as Arrow tables, and what deletes of rows leave of
# them. The rows themselves stay in the pieces: which of them are gone is found once for each piece
# and set of deletes.
"""Chunks of live rows."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy
import pyarrow

from engine.query.packed_column import PackedColumn
from engine.query.tag_places import TagPlaces
from engine.store.row_deletes import RowDelete, meant
from engine.store.snapshot import TableSnapshot
from engine.store.time_ranges import common


class Chunk(NamedTuple):
    """Rows of batches that follow each other, as a ``pyarrow.Table``; times may be too wide.

    ``rows`` are those of the batches, be they deleted since or not. ``places`` tell where the
    values of tags are, and ``columns`` are those that rows were picked from, once somebody asked;
    not for chunks that will be merged.
    """

    table: Any
    rows: int
    min_time_ns: int
    max_time_ns: int
    places: dict[str, TagPlaces]
    columns: dict[str, PackedColumn]


# Deletes, each with how many rows at the beginning of a chunk were written before it.
_Cut = tuple[tuple[RowDelete, int], ...]


class KeptRows:
    """What is left of chunks; remembers the answer for those it was asked about last."""

    def __init__(self) -> None:
        # By the identity of the chunk's table, which is held here so that it stays unique.
        self._known: dict[int, tuple[Chunk, _Cut, Chunk]] = {}

    def of(self, chunks: Sequence[Chunk], snapshot: TableSnapshot) -> list[Chunk]:
        """`chunks` of the batches of `snapshot` without the rows that its deletes mean."""
        if not snapshot.deletes:
            self._known = {}
            return list(chunks)
        known: dict[int, tuple[Chunk, _Cut, Chunk]] = {}
        kept = []
        for chunk, cut in zip(chunks, _cuts(chunks, snapshot), strict=True):
            found = self._known.get(id(chunk.table))
            left = found[2] if found is not None and found[1] == cut else _left(chunk, cut)
            known[id(chunk.table)] = (chunk, cut, left)
            kept.append(left)
        self._known = known
        return kept


def _cuts(chunks: Sequence[Chunk], snapshot: TableSnapshot) -> list[_Cut]:
    rows_until = [0, *accumulate(batch.num_rows for batch in snapshot.batches)]  # type: ignore[attr-defined]
    befores = [
        rows_until[bisect_left(snapshot.positions, delete.position)] for delete in snapshot.deletes
    ]
    cuts, start = [], 0
    for chunk in chunks:
        times = (chunk.min_time_ns, chunk.max_time_ns)
        cuts.append(
            tuple(
                (delete, min(before - start, chunk.rows))
                for delete, before in zip(snapshot.deletes, befores, strict=True)
                if before > start and common(delete.times, times) is not None
            )
        )
        start += chunk.rows
    return cuts


def _left(chunk: Chunk, cut: _Cut) -> Chunk:
    is_kept = numpy.ones(chunk.table.num_rows, bool)
    for delete, count in cut:
        is_kept[:count] &= ~meant(chunk.table.slice(0, count), delete)
    if is_kept.all():
        return chunk
    return chunk._replace(table=chunk.table.filter(pyarrow.array(is_kept)), places={}, columns={})
