# Owns reading a log file: its header and the walk from frame to frame; _section reads inside.
# Works on any buffer and opens no file. Lengths read are compared with the bytes at hand.
"""Reading and starting log segments."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from lp_core._crc32c cimport lp_crc32c, lp_crc32c_init
from lp_core._frame cimport (
    ALIGNMENT,
    CHECKED_HEAD_BYTES,
    FRAME_HEAD_BYTES,
    LP_FRAME_MAGIC,
    LP_SEGMENT_MAGIC,
    NODE_ID_BYTES_MAX,
    PAYLOAD_HEAD_BYTES,
    PAYLOAD_VERSION,
    SEGMENT_HEAD_BYTES,
    SEGMENT_VERSION,
    Section,
    aligned,
    frame_head,
    payload_head,
    segment_head,
)
from lp_core._section cimport SectionCursor, Source

from lp_core.enums import FrameKind
from lp_core.errors import FormatVersionError, FrameCorruptError

FrameSection = Section

cdef int KIND_MAX = max(FrameKind)
# By number: an enumeration's own look-up takes as long as the rest of an access.
cdef dict KINDS = {int(kind): kind for kind in FrameKind}

lp_crc32c_init()


cdef uint32_t segment_head_crc(const segment_head* head) noexcept nogil:
    cdef segment_head blank = head[0]
    blank.crc32c = 0
    return lp_crc32c(0, &blank, sizeof(blank))


class SegmentWriter:
    """The start of a segment.

    Attributes:
        header: The first 64 bytes of the file.
    """

    def __init__(self, *, first_position, node_id, created_ns):
        """Describe a segment.

        Args:
            first_position: Position of the first frame that the segment will hold.
            node_id: Node that writes it, at most 32 bytes of UTF-8.
            created_ns: Time of creation.
        """
        cdef segment_head head
        cdef bytes node = node_id.encode("utf-8")
        if not node or len(node) > NODE_ID_BYTES_MAX or b"\0" in node:
            raise ValueError(f"a node id is 1 to 32 bytes of text without NUL, not {node_id!r}")
        memset(&head, 0, sizeof(head))
        head.magic = LP_SEGMENT_MAGIC
        head.version = SEGMENT_VERSION
        head.first_position = first_position
        head.created_ns = created_ns
        memcpy(head.node_id, <const char*>node, len(node))
        head.crc32c = segment_head_crc(&head)
        self.header = PyBytes_FromStringAndSize(<char*>&head, sizeof(head))


cdef struct frame_info:
    frame_head head
    payload_head payload
    int64_t frame_bytes


cdef bint is_blank(const uint8_t* bytes, int64_t count) noexcept nogil:
    for index in range(count):
        if bytes[index]:
            return False
    return True


cdef const char* read_frame(
    const uint8_t* frame, int64_t available, bint verify, frame_info* info
) noexcept nogil:
    """Read the two headers; returns NULL when the frame is whole, else what is wrong with it."""
    cdef const uint8_t* payload = frame + FRAME_HEAD_BYTES
    cdef frame_head* head = &info.head
    cdef int64_t length
    if available < FRAME_HEAD_BYTES:
        return "the header is cut off"
    memcpy(head, frame, sizeof(head[0]))
    if head.magic != LP_FRAME_MAGIC:
        return "no frame starts here"
    if head.length < PAYLOAD_HEAD_BYTES:
        return "the payload is too short"
    if head.length > <uint64_t>(available - FRAME_HEAD_BYTES):
        return "the payload is cut off"
    length = <int64_t>head.length
    info.frame_bytes = FRAME_HEAD_BYTES + aligned(length, ALIGNMENT)
    if info.frame_bytes > available:
        return "the padding is cut off"
    if verify:
        if lp_crc32c(lp_crc32c(0, payload, length), frame, CHECKED_HEAD_BYTES) != head.crc32c:
            return "the checksum does not match"
        if not is_blank(payload + length, info.frame_bytes - FRAME_HEAD_BYTES - length):
            return "the padding is not zero"
        if not is_blank(head.reserved, sizeof(head.reserved)):
            return "the reserved bytes of the header are not zero"
    if head.kind < 1 or head.kind > KIND_MAX or head.flags != 0:
        return "the kind or the flags are unknown"
    memcpy(&info.payload, payload, sizeof(info.payload))
    if info.payload.version != PAYLOAD_VERSION:
        return NULL
    if info.payload.control_bytes > length - PAYLOAD_HEAD_BYTES:
        return "the control bytes reach beyond the payload"
    return NULL


cdef class Frame:
    """One frame of a segment; its tables are views of the segment's buffer.

    Attributes:
        offset: Where it starts in the segment.
        nbytes: Its size, header and padding included; the next frame starts behind it.
        position: The position that the log gave it.
    """

    cdef Source source
    cdef frame_info info
    cdef bint is_verified
    cdef list known_sections
    cdef readonly int64_t offset

    @property
    def kind(self):
        """What the frame is."""
        return KINDS[self.info.head.kind]

    @property
    def position(self):
        """The position that the log gave the frame."""
        return self.info.head.position

    @property
    def nbytes(self):
        """Bytes of the frame, header and padding included."""
        return self.info.frame_bytes

    cdef const uint8_t* payload(self) noexcept:
        return <const uint8_t*>self.source.view.buf + self.offset + FRAME_HEAD_BYTES

    @property
    def control(self):
        """The bytes that the engine gave with the frame."""
        return PyBytes_FromStringAndSize(
            <const char*>self.payload() + PAYLOAD_HEAD_BYTES, self.info.payload.control_bytes)

    @property
    def sections(self):
        """The sections, decoded at first use.

        Raises:
            FrameCorruptError: The payload does not hold what its headers say.
        """
        if self.known_sections is None:
            self.known_sections = self.decode()
        return list(self.known_sections)

    cdef list decode(self):
        cdef SectionCursor cursor
        cdef int64_t length = <int64_t>self.info.head.length
        cdef int64_t start = PAYLOAD_HEAD_BYTES + <int64_t>self.info.payload.control_bytes
        sections = []
        for _ in range(self.info.payload.section_count):
            start = aligned(start, ALIGNMENT)
            cursor = SectionCursor.__new__(SectionCursor)
            cursor.source = self.source
            cursor.base = self.payload() + start
            cursor.frame_offset = self.offset
            sections.append(cursor.take_section(self.is_verified, length - start))
            start += cursor.head.section_bytes
        if start != length:
            raise FrameCorruptError(self.offset, "the payload goes on behind its last section")
        return sections

    def __repr__(self):
        place = f"at {self.offset}: position {self.position}, {self.nbytes} bytes"
        return f"<Frame {self.kind.name} {place}>"


cdef class SegmentReader:
    """Reads a segment from a buffer, usually a mapped file.

    Attributes:
        first_position: Position of the first frame.
        node_id: Node that wrote the segment.
        created_ns: Time of creation.
        end_offset: After a scan: where the last whole frame ends.
        tail: After a scan: None when the frames end cleanly, else the FrameCorruptError.
    """

    cdef Source source
    cdef int64_t limit
    cdef readonly uint64_t first_position
    cdef readonly int64_t created_ns
    cdef readonly str node_id
    cdef readonly int64_t end_offset
    cdef readonly object tail

    def __init__(self, buffer, *, end=None):
        """Open a segment.

        Args:
            buffer: The bytes; they must not change, nor the file shrink, while they are in use.
            end: Bytes to look at; all when None.

        Raises:
            FormatVersionError: The segment is of a version that this build does not read.
            FrameCorruptError: The buffer does not start with the header of a segment.
        """
        cdef segment_head head
        self.source = Source(buffer)
        if self.source.view.len < SEGMENT_HEAD_BYTES:
            raise FrameCorruptError(0, "the segment header is cut off")
        self.limit = self.checked_end(end, self.source.view.len)
        memcpy(&head, self.source.view.buf, sizeof(head))
        if head.magic != LP_SEGMENT_MAGIC:
            raise FrameCorruptError(0, "this is not a log segment")
        if head.version != SEGMENT_VERSION:
            raise FormatVersionError(head.version, SEGMENT_VERSION)
        if head.crc32c != segment_head_crc(&head):
            raise FrameCorruptError(0, "the checksum of the segment header does not match")
        node = PyBytes_FromStringAndSize(head.node_id, sizeof(head.node_id)).rstrip(b"\0")
        try:
            self.node_id = node.decode("utf-8")
        except UnicodeDecodeError:
            raise FrameCorruptError(0, "the node id is not UTF-8") from None
        self.first_position = head.first_position
        self.created_ns = head.created_ns
        self.end_offset = SEGMENT_HEAD_BYTES

    cdef int64_t checked_end(self, end, int64_t default) except -1:
        cdef int64_t checked = default if end is None else end
        if not SEGMENT_HEAD_BYTES <= checked <= self.source.view.len:
            raise ValueError(f"end {checked} is not in a segment of {self.source.view.len} bytes")
        return checked

    cdef Frame frame_at(self, int64_t offset, int64_t end, bint verify):
        cdef Frame frame = Frame.__new__(Frame)
        cdef const uint8_t* start = <const uint8_t*>self.source.view.buf + offset
        cdef const char* reason
        with nogil:
            reason = read_frame(start, end - offset, verify, &frame.info)
        if reason is not NULL:
            raise FrameCorruptError(offset, reason.decode())
        if frame.info.payload.version != PAYLOAD_VERSION:
            raise FormatVersionError(frame.info.payload.version, PAYLOAD_VERSION)
        frame.source = self.source
        frame.offset = offset
        frame.is_verified = verify
        return frame

    cdef bint is_clean_end(self, int64_t offset, int64_t end) noexcept:
        # Segments are allocated ahead, so the bytes behind the last frame are zeros.
        cdef int64_t count = min(end - offset, <int64_t>FRAME_HEAD_BYTES)
        return is_blank(<const uint8_t*>self.source.view.buf + offset, count)

    def frame(self, offset, *, verify=True):
        """Return the frame that starts at ``offset``.

        Args:
            offset: Where the frame starts.
            verify: False leaves out the checksum and the look at every row, for frames whose bytes
                are known to be good. What the headers say is checked always.

        Raises:
            FrameCorruptError: No whole, intact frame starts there.
        """
        return self.frame_at(self.checked_offset(offset, self.limit), self.limit, verify)

    cdef int64_t checked_offset(self, offset, int64_t end) except -1:
        cdef int64_t checked = offset
        if checked < SEGMENT_HEAD_BYTES or checked % ALIGNMENT or checked > end:
            raise ValueError(f"no frame can start at byte {checked} of a segment of {end} bytes")
        return checked

    def scan(self, offset=SEGMENT_HEAD_BYTES, end=None, *, verify=True):
        """Yield the frames from ``offset`` on; stops where they end or at the first bad one.

        ``end_offset`` and ``tail`` tell how far it came and why it stopped.

        Args:
            offset: Where the first frame starts.
            end: Where to stop; the end given to the reader when None.
            verify: As for ``frame``.

        Yields:
            Frames with rising positions.
        """
        cdef int64_t limit = self.checked_end(end, self.limit)
        cdef int64_t at = self.checked_offset(offset, limit)
        cdef uint64_t next_position = self.first_position
        cdef Frame frame
        self.tail = None
        self.end_offset = at
        while not self.is_clean_end(at, limit):
            try:
                frame = self.frame_at(at, limit, verify)
                if frame.info.head.position < next_position:
                    raise FrameCorruptError(at, "the position does not rise")
            except FrameCorruptError as error:
                self.tail = error.with_traceback(None)
                return
            next_position = frame.info.head.position + 1
            at += frame.info.frame_bytes
            self.end_offset = at
            yield frame
