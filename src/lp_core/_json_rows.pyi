from collections.abc import Collection, Sequence
from typing import Protocol

class _ArrowArrayExportable(Protocol):
    def __arrow_c_array__(
        self, requested_schema: object | None = None
    ) -> tuple[object, object]: ...

def foreign_columns(batch: _ArrowArrayExportable) -> list[int]:
    """Numbers of the columns whose JSON `json_rows` must be given.

    Those are columns of other types than 64-bit numbers, booleans, texts, dictionaries of texts and
    times in nanoseconds without a zone; and floats that need an exponent.

    Raises:
        TypeError: The source is no record batch.
    """

def json_rows(
    batch: _ArrowArrayExportable, keys: Sequence[bytes], ready: Collection[int], separator: bytes
) -> bytes:
    """Return the rows of a record batch as JSON objects, each with the separator behind it.

    Nulls are left out, floats that are no numbers are ``null``; times are ISO texts with as many
    of 0, 3, 6 and 9 places as they need. Written without the GIL.

    Args:
        batch: The rows, of a producer whose buffers can be trusted.
        keys: For each column its name as JSON, and a colon.
        ready: Numbers of the columns that hold JSON already, as large texts; `foreign_columns` must
            be among them.
        separator: One byte.

    Raises:
        TypeError: A column is of a type that it does not write, or the source no record batch.
        ValueError: There is not one key for each column.
    """
