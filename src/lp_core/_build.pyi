from typing import Any, Self, SupportsFloat, SupportsIndex

class LineBuilder:
    """Builds one line of line protocol, step by step; every setter returns the builder.

    Attributes:
        measurement: Name of the table.
        tags: Tag values as plain text, in order of first setting.
        fields: Field values as they stand in the line, in order of first setting.
    """

    measurement: str
    tags: dict[str, str]
    fields: dict[str, str]
    _timestamp_ns: int | None

    def __init__(self, measurement: str) -> None: ...
    def tag(self, key: str, value: Any) -> Self:
        """Set a tag; the value is stored as ``str(value)``."""
    def uint64_field(self, key: str, value: SupportsIndex) -> Self:
        """Set an unsigned integer field."""
    def int64_field(self, key: str, value: SupportsIndex) -> Self:
        """Set a signed integer field."""
    def float64_field(self, key: str, value: SupportsFloat | SupportsIndex) -> Self:
        """Set a float field; the value must be finite."""
    def string_field(self, key: str, value: str) -> Self:
        """Set a string field."""
    def bool_field(self, key: str, value: object) -> Self:
        """Set a boolean field to the truth value of ``value``."""
    def time_ns(self, timestamp_ns: SupportsIndex | None) -> Self:
        """Set the timestamp in nanoseconds since the epoch; None leaves it to the server."""
    def build(self) -> str:
        """Return the line. May be called any number of times and changes nothing."""
