# Owns translated queries: SQL text with slots for what differs from call to call (parameter values
# and the moment of now()). A translation is cached and bound many times, so it never changes.
"""Translated queries and the values that go into them."""

from collections.abc import Mapping

import msgspec

from engine.query.series_plans import SeriesPlan
from engine.query.slots import SLOT_MARK, Slot, bound


class GroupParts(msgspec.Struct, frozen=True):
    """A query that groups, in two steps: groups of some rows each, and groups of these.

    Attributes:
        inner: Groups of rows that meet the conditions.
        whole: The same without conditions: groups of all rows.
        outer: What the query gives, of groups that are rows of `PARTS_VIEW`.
        told: What each column of `inner` is, where files as a whole tell; else empty.
    """

    inner: "Template"
    whole: "Template"
    outer: "Template"
    told: tuple[str, ...] = ()


class Template(msgspec.Struct, frozen=True):
    """SQL text cut into pieces, with a slot between each two.

    Attributes:
        zones: The columns of the result that are times of a zone, with the zone.
        parts: The same in two steps, where there are such.
        plan: How it is answered without DuckDB, where it asks little of single series.
    """

    pieces: tuple[str, ...]
    slots: tuple[Slot, ...]
    zones: tuple[tuple[str, str], ...] = ()
    parts: GroupParts | None = None
    plan: SeriesPlan | None = None

    def bind(self, parameters: Mapping[str, object], now_ns: int) -> str:
        """The SQL text with all values in place.

        Raises:
            QueryError: A parameter is missing or has a value that does not fit.
        """
        parts = [self.pieces[0]]
        for slot, piece in zip(self.slots, self.pieces[1:], strict=True):
            parts.append(bound(slot, parameters, now_ns))
            parts.append(piece)
        return "".join(parts)


def cut(
    sql: str,
    slots: list[Slot],
    zones: tuple[tuple[str, str], ...] = (),
    parts: GroupParts | None = None,
    plan: SeriesPlan | None = None,
) -> Template:
    """Cut generated SQL at its slot marks."""
    pieces = SLOT_MARK.split(sql)
    own = tuple(slots[int(index)] for index in pieces[1::2])
    return Template(tuple(pieces[::2]), own, zones, parts, plan)
