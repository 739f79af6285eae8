from typing import final

from typing_extensions import Buffer

from lp_core._batch import WriteBatch
from lp_core._line_error import LineError
from lp_core._schema import SchemaIndex

BATCH_BYTES_MAX: int
BODY_BYTES_MAX: int

def simd_paths() -> list[str]:
    """Return the names of the SIMD paths that this processor can take, the best one first."""

def use_simd_path(name: str) -> None:
    """Let ``parse`` take that path from now on, in this process; it takes the best one by itself.

    Raises:
        ValueError: This processor does not have it.
    """

@final
class ParseResult:
    """What a body holds.

    Attributes:
        batch: The accepted lines, by table.
        errors: The refused lines in order, at most the first ``LINE_ERRORS_MAX``.
        num_errors: How many lines were refused, those not listed included.
    """

    @property
    def batch(self) -> WriteBatch: ...
    @property
    def errors(self) -> list[LineError]: ...
    @property
    def num_errors(self) -> int: ...

def parse(
    body: Buffer,
    *,
    precision: str = "auto",
    now_ns: int,
    accept_partial: bool = True,
    schema: SchemaIndex | None = None,
) -> ParseResult:
    """Parse a body of line protocol into columns, without the GIL.

    A refused line leaves no trace in the result. The body may not change meanwhile.

    Args:
        body: Line protocol as UTF-8, in any object with a contiguous buffer.
        precision: Unit of the timestamps; ``"auto"`` guesses it for each line.
        now_ns: Time of lines without timestamp, truncated to the unit.
        accept_partial: Whether lines that are refused leave the others standing.
        schema: Columns known before; a line that contradicts them is refused. It is not changed.

    Raises:
        LineProtocolError: The body is not UTF-8, or a line was refused without ``accept_partial``.
        BatchLimitError: The body or the columns made of it are too large.
    """
