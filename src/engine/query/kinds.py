# Owns the little type system that the translation of queries needs: enough to know time from text
# from whole numbers. The names of column types as the reference system shows them live here too.
"""Kinds of values in a query."""

from enum import StrEnum

from lp_core.enums import ColumnType


class Kind(StrEnum):
    """What a value is, as far as it matters for translation."""

    TAG = "tag"
    TEXT = "text"
    INTEGER = "integer"
    UNSIGNED = "unsigned"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TIME = "time"
    DATE = "date"
    INTERVAL = "interval"
    OTHER = "other"

    @property
    def is_text(self) -> bool:
        """Whether values are text."""
        return self in (Kind.TAG, Kind.TEXT)

    @property
    def is_whole(self) -> bool:
        """Whether values are whole numbers."""
        return self in (Kind.INTEGER, Kind.UNSIGNED)

    @property
    def is_number(self) -> bool:
        """Whether values are numbers."""
        return self in (Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT)


KIND_OF_COLUMN = {
    ColumnType.TAG: Kind.TAG,
    ColumnType.INT64: Kind.INTEGER,
    ColumnType.UINT64: Kind.UNSIGNED,
    ColumnType.FLOAT64: Kind.FLOAT,
    ColumnType.BOOL: Kind.BOOLEAN,
    ColumnType.STRING: Kind.TEXT,
    ColumnType.TIME: Kind.TIME,
}

ARROW_NAME_OF_COLUMN = {
    ColumnType.TAG: "Dictionary(Int32, Utf8)",
    ColumnType.INT64: "Int64",
    ColumnType.UINT64: "UInt64",
    ColumnType.FLOAT64: "Float64",
    ColumnType.BOOL: "Boolean",
    ColumnType.STRING: "Utf8",
    ColumnType.TIME: "Timestamp(ns)",
}

ARROW_NAME_OF_KIND = {
    Kind.TAG: "Dictionary(Int32, Utf8)",
    Kind.TEXT: "Utf8",
    Kind.INTEGER: "Int64",
    Kind.UNSIGNED: "UInt64",
    Kind.FLOAT: "Float64",
    Kind.BOOLEAN: "Boolean",
    Kind.TIME: "Timestamp(ns)",
    Kind.DATE: "Date32",
    Kind.INTERVAL: "Interval(MonthDayNano)",
}
