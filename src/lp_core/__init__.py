# Re-exports the public names of lp_core; importing it needs nothing but CPython.
"""Line protocol to Arrow columns to log frames, and back."""

import lp_core._quick_builder  # noqa: F401 -- puts itself in front of LineBuilder's methods
from lp_core._batch import TableBatch, WriteBatch
from lp_core._build import LineBuilder
from lp_core._build_lines import build_lines
from lp_core._frame import EncodedFrame, Section, encode_frame
from lp_core._line_error import LINE_ERRORS_MAX, LineError
from lp_core._parse import BATCH_BYTES_MAX, BODY_BYTES_MAX, ParseResult, parse
from lp_core._schema import SchemaIndex
from lp_core._segment import Frame, FrameSection, SegmentReader, SegmentWriter
from lp_core.enums import ColumnType, FrameKind, Precision
from lp_core.errors import (
    BatchLimitError,
    FormatVersionError,
    FrameCorruptError,
    InfluxDBError,
    InvalidKeyError,
    InvalidLineError,
    InvalidMeasurementError,
    LineProtocolError,
    LpCoreError,
    SchemaConflictError,
    SeriesCorruptError,
)
from lp_core.schema import Schema

__all__ = [
    "BATCH_BYTES_MAX",
    "BODY_BYTES_MAX",
    "LINE_ERRORS_MAX",
    "BatchLimitError",
    "ColumnType",
    "EncodedFrame",
    "FormatVersionError",
    "Frame",
    "FrameCorruptError",
    "FrameKind",
    "FrameSection",
    "InfluxDBError",
    "InvalidKeyError",
    "InvalidLineError",
    "InvalidMeasurementError",
    "LineBuilder",
    "LineError",
    "LineProtocolError",
    "LpCoreError",
    "ParseResult",
    "Precision",
    "Schema",
    "SchemaConflictError",
    "SchemaIndex",
    "Section",
    "SegmentReader",
    "SegmentWriter",
    "SeriesCorruptError",
    "TableBatch",
    "WriteBatch",
    "build_lines",
    "encode_frame",
    "parse",
]
