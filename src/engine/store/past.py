# Owns the shape in which rows of the past pass from the reader of tables to whoever hands them to a
# trigger: what is asked for, the order of rows, and slices of them. Values without behaviour of
# their own; the key is part of the on-disk format of run records.
"""Rows of the past, by time."""

from typing import Any

import msgspec

from engine.ids import Position
from lp_core.enums import ColumnType

# Place of a row in the order of the past: its time, its table, and the values of the table's tags
# in order of first appearance, without nulls at the end. It names the row: it stays the same when
# the row moves from the log to a file, when files are merged, and when the table gets more tags.
PastKey = tuple[int, str, tuple[str | None, ...]]

# As of this position a table is what it is now.
NOW = Position(2**63 - 1)


class PastRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of the past.

    Attributes:
        table: Of which table; None for all of the database.
        before: Rows written behind this position are not of the past.
        start_ns: Least time of a row.
        end_ns: Rows are before this time.
        after: Rows up to this key, which is not before `start_ns`, are dealt with already.
        rows_max: Rows of one slice, about.
        bytes_max: Arrow memory of one slice, about.
    """

    database: str
    table: str | None
    before: Position
    start_ns: int
    end_ns: int
    after: PastKey | None = None
    rows_max: int = 200_000
    bytes_max: int = 32 * 1024 * 1024


class PastTable(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Rows of one table in the order of their keys.

    Attributes:
        tags: Names of the tags in order of first appearance.
        rows: A ``pyarrow.Table``: tags, fields and ``time``, as a write has them. No rows are alike
            in tags and time.
    """

    name: str
    tags: tuple[str, ...]
    rows: Any


class PastSlice(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All rows that were asked for, up to some point.

    Attributes:
        tables: Those that have some, by name.
        next_ns: The next rows are not before this time; None when there are no more.
        after: They are behind this key; None when all of that time are to come.
    """

    tables: list[PastTable]
    next_ns: int | None
    after: PastKey | None = None


def order_of(key: PastKey) -> tuple[int, str, tuple[tuple[bool, str], ...]]:
    """What keys are sorted by: a row without a tag comes before those with one."""
    time_ns, table, tags = key
    return time_ns, table, tuple((value is not None, value or "") for value in tags)


def tags_of_key(values: list[str | None]) -> tuple[str | None, ...]:
    """The part of a key that tags are."""
    count = len(values)
    while count and values[count - 1] is None:
        count -= 1
    return tuple(values[:count])


def in_order_of_writes(
    columns: tuple[tuple[str, ColumnType], ...],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tags of a table, and its other columns."""
    tags = tuple(name for name, kind in columns if kind is ColumnType.TAG)
    return tags, tuple(name for name, kind in columns if kind is not ColumnType.TAG)
