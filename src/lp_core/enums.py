# Owns the small closed sets of lp_core's public interface: column types and timestamp precisions.
# Values of ColumnType are written to disk (docs/formats/wal.md): never renumber, only append.
"""Enumerations of lp_core's public interface."""

from enum import IntEnum, StrEnum


class ColumnType(IntEnum):
    """What a column holds; the numbers are part of the on-disk format."""

    TAG = 1  # dictionary<int32, utf8>
    INT64 = 2
    UINT64 = 3
    FLOAT64 = 4
    BOOL = 5
    STRING = 6  # utf8, int32 offsets
    TIME = 7  # timestamp[ns] without zone, UTC


class Precision(StrEnum):
    """Unit of the timestamps in a body; ``AUTO`` guesses the unit of each line by its size."""

    AUTO = "auto"
    NANOSECOND = "ns"
    MICROSECOND = "us"
    MILLISECOND = "ms"
    SECOND = "s"
    MINUTE = "m"
    HOUR = "h"


class FrameKind(IntEnum):
    """Kind of a log frame; the numbers are part of the on-disk format."""

    WRITE = 1
    COMMIT = 2
    CATALOG = 3
