from collections.abc import Iterable

from typing_extensions import Buffer

from lp_core._batch import WriteBatch
from lp_core.enums import FrameKind

class Section:
    """The part of a frame that goes to, or came from, one database.

    Attributes:
        database: Name of the database.
        batch: The tables.
        origin: Empty for a client's write, else the identity of the trigger that wrote it.
        hops: How many triggers lie between the client's write and this one.
        ingest_time_ns: When the server took the write in.
    """

    def __init__(
        self,
        database: str,
        batch: WriteBatch,
        origin: str = "",
        hops: int = 0,
        ingest_time_ns: int = 0,
    ) -> None: ...
    @property
    def database(self) -> str: ...
    @property
    def batch(self) -> WriteBatch: ...
    @property
    def origin(self) -> str: ...
    @property
    def hops(self) -> int: ...
    @property
    def ingest_time_ns(self) -> int: ...

class EncodedFrame:
    """A whole frame, header and padding included, as a read-only buffer once it is sealed."""

    @property
    def kind(self) -> FrameKind:
        """What the frame is."""
    @property
    def nbytes(self) -> int:
        """Bytes of the frame, a multiple of 64."""
    def seal(self, position: int) -> None:
        """Give the frame its position and its checksum."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def encode_frame(
    kind: FrameKind, sections: Iterable[Section], control: Buffer = b""
) -> EncodedFrame:
    """Encode a frame; it still lacks its position, which ``seal`` fills in.

    Args:
        kind: What the frame is.
        sections: One Section per database, in order.
        control: Bytes that the log carries without looking at them.

    Raises:
        BatchLimitError: More sections or control bytes than a frame has room for.
    """

def crc32c(data: Buffer, start: int = 0, *, portable: bool = False) -> int:
    """Return the CRC-32C of a buffer, continued from ``start``."""
