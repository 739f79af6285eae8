# Owns every exception that lp_core raises on purpose. Each carries data, not only text.
"""Exceptions of lp_core."""


class LpCoreError(Exception):
    """Base of all errors raised by lp_core."""


class LineProtocolError(LpCoreError, ValueError):
    """A body, or in all-or-nothing mode one line of it, is not acceptable line protocol.

    Attributes:
        line_number: 1-based physical line, 0 when the whole body was refused.
        byte_offset: Offset in the body at which the line (or the bad byte) starts.
        code: Stable category, such as ``"no-fields"`` or ``"utf8"``.
        message: What is wrong, for people.
        line: Text of the line, empty when the whole body was refused.
    """

    def __init__(
        self, message: str, *, line_number: int, byte_offset: int, code: str, line: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.line_number = line_number
        self.byte_offset = byte_offset
        self.code = code
        self.line = line


class BatchLimitError(LpCoreError, ValueError):
    """A batch would pass a limit of its format (rows, columns or bytes of one column)."""


class SchemaConflictError(LpCoreError, ValueError):
    """A column already exists with another type."""

    def __init__(self, table: str, column: str, expected: str, got: str) -> None:
        super().__init__(
            f"invalid column type for column '{column}', expected {expected}, got {got}"
        )
        self.table = table
        self.column = column
        self.expected = expected
        self.got = got


class FrameCorruptError(LpCoreError):
    """Bytes of a log segment are not a whole, intact frame.

    Attributes:
        offset_bytes: Offset of the frame in the buffer.
        reason: What does not hold, for people.
    """

    def __init__(self, offset_bytes: int, reason: str) -> None:
        super().__init__(f"corrupt frame at byte {offset_bytes}: {reason}")
        self.offset_bytes = offset_bytes
        self.reason = reason


class FormatVersionError(LpCoreError):
    """A segment was written in a format version that this build does not read."""

    def __init__(self, found: int, supported: int) -> None:
        super().__init__(
            f"segment format version {found} is not supported (this build: {supported})"
        )
        self.found = found
        self.supported = supported


class SeriesCorruptError(LpCoreError):
    """Bytes are not a dump of series that this build reads."""


class InfluxDBError(LpCoreError):
    """Base of the LineBuilder errors, named as plugins know it."""


class InvalidMeasurementError(InfluxDBError):
    """The measurement (table) name cannot be written as line protocol."""


class InvalidKeyError(InfluxDBError):
    """A tag or field key cannot be written as line protocol."""


class InvalidLineError(InfluxDBError):
    """The line as a whole cannot be written as line protocol."""
