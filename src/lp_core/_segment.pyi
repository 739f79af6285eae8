from collections.abc import Iterator

from typing_extensions import Buffer

from lp_core._frame import Section
from lp_core.enums import FrameKind
from lp_core.errors import FrameCorruptError

FrameSection = Section

class SegmentWriter:
    """The start of a segment.

    Attributes:
        header: The first 64 bytes of the file.
    """

    header: bytes

    def __init__(self, *, first_position: int, node_id: str, created_ns: int) -> None: ...

class Frame:
    """One frame of a segment; its tables are views of the segment's buffer."""

    @property
    def kind(self) -> FrameKind:
        """What the frame is."""
    @property
    def position(self) -> int:
        """The position that the log gave the frame."""
    @property
    def offset(self) -> int:
        """Where the frame starts in the segment."""
    @property
    def nbytes(self) -> int:
        """Bytes of the frame, header and padding included."""
    @property
    def control(self) -> bytes:
        """The bytes that the engine gave with the frame."""
    @property
    def sections(self) -> list[Section]:
        """The sections, decoded at first use.

        Raises:
            FrameCorruptError: The payload does not hold what its headers say.
        """

class SegmentReader:
    """Reads a segment from a buffer, usually a mapped file."""

    def __init__(self, buffer: Buffer, *, end: int | None = None) -> None:
        """Open a segment.

        Args:
            buffer: The bytes; they must not change, nor the file shrink, while they are in use.
            end: Bytes to look at; all when None.

        Raises:
            FormatVersionError: The segment is of a version that this build does not read.
            FrameCorruptError: The buffer does not start with the header of a segment.
        """
    @property
    def first_position(self) -> int:
        """Position of the first frame."""
    @property
    def node_id(self) -> str:
        """Node that wrote the segment."""
    @property
    def created_ns(self) -> int:
        """Time of creation."""
    @property
    def end_offset(self) -> int:
        """After a scan: where the last whole frame ends."""
    @property
    def tail(self) -> FrameCorruptError | None:
        """After a scan: None when the frames end cleanly, else why they do not."""
    def frame(self, offset: int, *, verify: bool = True) -> Frame:
        """Return the frame that starts at ``offset``.

        Args:
            offset: Where the frame starts.
            verify: False leaves out the checksum and the look at every row, for frames whose bytes
                are known to be good. What the headers say is checked always.

        Raises:
            FrameCorruptError: No whole, intact frame starts there.
        """
    def scan(
        self, offset: int = 64, end: int | None = None, *, verify: bool = True
    ) -> Iterator[Frame]:
        """Yield the frames from ``offset`` on; stops where they end or at the first bad one.

        ``end_offset`` and ``tail`` tell how far it came and why it stopped.
        """
