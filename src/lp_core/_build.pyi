from typing import Any, Self, SupportsFloat, SupportsIndex

class LineBuilder:
    """Builds one line of line protocol, step by step; every setter returns the builder.

    A key set twice keeps its first place and gets the last value. Whatever is not refused is built
    as one line that parses back to the values given.

    Attributes:
        measurement: Name of the table.
        tags: Tag values as plain text, in order of first setting.
        fields: Field values as they stand in the line, in order of first setting.
    """

    measurement: str
    tags: dict[str, str]
    fields: dict[str, str]
    _timestamp_ns: int | None

    def __init__(self, measurement: str) -> None:
        """Start a line.

        Args:
            measurement: Name of the table.

        Raises:
            InvalidMeasurementError: No line can carry the name.
        """
    def tag(self, key: str, value: Any) -> Self:
        """Set a tag; the value is stored as ``str(value)``.

        Raises:
            InvalidKeyError: No line can carry the key.
            InvalidLineError: No line can carry the value.
        """
    def uint64_field(self, key: str, value: SupportsIndex) -> Self:
        """Set an unsigned integer field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not an integer.
            ValueError: The value is negative or needs more than 64 bits.
        """
    def int64_field(self, key: str, value: SupportsIndex) -> Self:
        """Set a signed integer field.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not an integer.
            ValueError: The value needs more than 64 bits.
        """
    def float64_field(self, key: str, value: SupportsFloat | SupportsIndex) -> Self:
        """Set a float field.

        The text is the shortest that reads back as the same float; integral values are written out
        with ``.0`` at their end.

        Raises:
            InvalidKeyError: No line can carry the key.
            TypeError: The value is not a number.
            ValueError: The value is not finite.
            OverflowError: The value is an integer beyond the range of a float.
        """
    def string_field(self, key: str, value: str) -> Self:
        """Set a string field.

        Raises:
            InvalidKeyError: No line can carry the key.
            InvalidLineError: The value is longer than a line can carry.
            TypeError: The value is not a str.
        """
    def bool_field(self, key: str, value: object) -> Self:
        """Set a boolean field to the truth value of ``value``.

        Raises:
            InvalidKeyError: No line can carry the key.
        """
    def time_ns(self, timestamp_ns: SupportsIndex | None) -> Self:
        """Set the timestamp in nanoseconds since the epoch; None leaves it to the server.

        Raises:
            TypeError: The timestamp is not an integer.
            ValueError: The timestamp needs more than 64 bits.
        """
    def build(self) -> str:
        """Return the line. May be called any number of times and changes nothing.

        Raises:
            InvalidKeyError: A key is a tag and a field.
            InvalidLineError: The line has no field.
        """
