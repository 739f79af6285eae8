# Owns the way of batches into one frame of the log; the layout of its bytes stands in _frame.pxd.
# Copies and checksums run without the GIL. Opens no file; the log gives the frame its position.
"""Encoding of log frames."""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT32_MAX, UINT16_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from lp_core._batch cimport TableBatch, WriteBatch, lp_column, lp_table
from lp_core._buffer_pool cimport lp_pool_connect, lp_pool_give, lp_pool_shared, lp_pool_take
from lp_core._crc32c cimport lp_crc32c, lp_crc32c_copy, lp_crc32c_init, lp_crc32c_portable

from lp_core.enums import ColumnType, FrameKind
from lp_core.errors import BatchLimitError

assert sizeof(segment_head) == SEGMENT_HEAD_BYTES and sizeof(frame_head) == FRAME_HEAD_BYTES
assert sizeof(payload_head) == PAYLOAD_HEAD_BYTES and sizeof(section_head) == 64
assert sizeof(table_head) == 32 and sizeof(column_head) == 72
assert [int(kind) for kind in ColumnType] == [TAG, INT64, UINT64, FLOAT64, BOOL, STRING, TIME]
lp_crc32c_init()
lp_pool_connect(lp_pool_shared())


def crc32c(data, start=0, *, portable=False):
    """Return the CRC-32C of a buffer, continued from ``start``."""
    cdef const uint8_t[::1] view = memoryview(data).cast("B")
    cdef const void* bytes_start = &view[0] if view.shape[0] else NULL
    if portable:
        return lp_crc32c_portable(start, bytes_start, view.shape[0])
    return lp_crc32c(start, bytes_start, view.shape[0])


# Encoding: the same walk measures (without a place to write to) and writes, so both always agree.

cdef class Section:
    """The part of a frame that goes to, or came from, one database.

    Attributes:
        database: Name of the database.
        batch: The tables.
        origin: Empty for a client's write, else the identity of the trigger that wrote it.
        hops: How many triggers lie between the client's write and this one.
        ingest_time_ns: When the server took the write in.
    """

    def __init__(self, str database not None, WriteBatch batch not None, str origin not None="",
                 uint16_t hops=0, int64_t ingest_time_ns=0):
        self.database = database
        self.batch = batch
        self.origin = origin
        self.hops = hops
        self.ingest_time_ns = ingest_time_ns

    def __repr__(self):
        return f"<Section of {self.database!r}: {len(self.batch.tables)} tables>"


cdef struct section_plan:
    section_head head
    const char* database
    const char* origin
    lp_table** tables


cdef class FramePlan:
    """The C view of a frame's sections while it is encoded; holds the texts and batches alive."""

    cdef section_plan* sections
    cdef int section_count
    cdef list held

    def __cinit__(self, list sections):
        self.held = []
        self.section_count = len(sections)
        self.sections = <section_plan*>calloc(self.section_count or 1, sizeof(section_plan))
        if self.sections is NULL:
            raise MemoryError
        cdef Section section
        for index, section in enumerate(sections):
            self.take(section, &self.sections[index])

    def __dealloc__(self):
        if self.sections is not NULL:
            for index in range(self.section_count):
                free(self.sections[index].tables)
            free(self.sections)

    cdef int take(self, Section section, section_plan* plan) except -1:
        cdef bytes database = section.database.encode("utf-8")
        cdef bytes origin = section.origin.encode("utf-8")
        cdef TableBatch batch
        cdef const char* reason
        if not database:
            raise ValueError("a section needs the name of its database")
        plan.tables = <lp_table**>malloc((len(section.batch.tables) or 1) * sizeof(void*))
        if plan.tables is NULL:
            raise MemoryError
        for batch in section.batch.tables.values():
            reason = structure_fault(batch.table)
            if reason is not NULL:
                raise AssertionError(f"batch of table {batch.name!r}: {reason.decode()}")
            plan.tables[plan.head.table_count] = batch.table
            plan.head.table_count += 1
        plan.head.ingest_time_ns = section.ingest_time_ns
        plan.head.hops = section.hops
        plan.head.database_bytes = PyBytes_GET_SIZE(database)
        plan.head.origin_bytes = PyBytes_GET_SIZE(origin)
        plan.database = PyBytes_AS_STRING(database)
        plan.origin = PyBytes_AS_STRING(origin)
        self.held.append((database, origin, section.batch))
        return 0


cdef int64_t section_head_bytes(const section_plan* plan) noexcept nogil:
    cdef int64_t total = aligned(
        sizeof(section_head) + plan.head.database_bytes + plan.head.origin_bytes, 8)
    cdef const lp_table* table
    for table_index in range(plan.head.table_count):
        table = plan.tables[table_index]
        total += sizeof(table_head) + aligned(table.name_bytes, 8)
        for column_index in range(table.num_columns):
            total += sizeof(column_head) + aligned(table.columns[column_index].name_bytes, 8)
    return total


cdef struct data_sink:
    uint8_t* out                # NULL: only move the cursor
    int64_t cursor              # where the next buffer stands
    uint32_t crc                # of what was written; a block is summed up while it is in the cache


cdef uint64_t place_buffer(
    data_sink* sink, const void* source, int64_t size, uint8_t last_byte_mask
) noexcept nogil:
    """Copy one Arrow buffer to the cursor, fill up with zeros, and return where it stands."""
    cdef int64_t offset = sink.cursor
    cdef int64_t whole = size // ALIGNMENT * ALIGNMENT
    cdef uint8_t last[ALIGNMENT]
    sink.cursor = aligned(offset + size, ALIGNMENT)
    if sink.out is NULL or size == 0:
        return offset
    sink.crc = lp_crc32c_copy(sink.crc, sink.out + offset, source, whole)
    if size > whole:
        memset(last, 0, ALIGNMENT)
        memcpy(last, <const uint8_t*>source + whole, size - whole)
        last[size - whole - 1] &= last_byte_mask
        sink.crc = lp_crc32c_copy(sink.crc, sink.out + offset + whole, last, ALIGNMENT)
    return offset


cdef inline uint64_t place_bitmap(
    data_sink* sink, const uint8_t* source, int64_t rows
) noexcept nogil:
    return place_buffer(sink, source, (rows + 7) // 8, 0xFF >> (-rows & 7))


cdef column_head place_column(
    data_sink* sink, const lp_column* column, int64_t rows
) noexcept nogil:
    cdef column_head head
    cdef int64_t texts = texts_of(column, rows)
    memset(&head, 0, sizeof(head))
    head.type = column.type
    head.name_bytes = column.name_bytes
    head.null_count = column.null_count
    head.values_bytes = values_size(column, rows)
    if column.null_count > 0:
        head.validity_offset = place_bitmap(sink, column.validity, rows)
    if column.type == BOOL:
        head.values_offset = place_bitmap(sink, column.values, rows)
    else:
        head.values_offset = place_buffer(sink, column.values, head.values_bytes, 0xFF)
    if texts >= 0:
        head.offsets_offset = place_buffer(sink, column.offsets, (texts + 1) * 4, 0xFF)
    if column.type == TAG:
        head.dict_count = texts
        head.dict_bytes = column.offsets[texts]
        head.dict_offset = place_buffer(sink, column.dict_bytes, head.dict_bytes, 0xFF)
    return head


cdef inline void put(
    uint8_t* out, int64_t* cursor, const void* source, int64_t size
) noexcept nogil:
    if out is not NULL and size > 0:
        memcpy(out + cursor[0], source, size)
    cursor[0] += size


cdef int64_t place_heads(uint8_t* out, const section_plan* plan) noexcept nogil:
    """Write the heads of one section, or only measure it when `out` is NULL.

    Returns the bytes of the whole section, -1 when the heads take too many.
    """
    cdef int64_t head_bytes = section_head_bytes(plan)
    cdef int64_t cursor = sizeof(section_head)
    cdef data_sink sink = data_sink(NULL, aligned(head_bytes, ALIGNMENT), 0)
    cdef section_head head = plan.head
    cdef table_head table_start
    cdef column_head column_start
    cdef const lp_table* table
    if head_bytes > INT32_MAX:
        return -1
    if out is not NULL:
        memset(out, 0, sink.cursor)
    put(out, &cursor, plan.database, plan.head.database_bytes)
    put(out, &cursor, plan.origin, plan.head.origin_bytes)
    cursor = aligned(cursor, 8)
    for table_index in range(plan.head.table_count):
        table = plan.tables[table_index]
        table_start.num_rows = table.num_rows
        table_start.min_time_ns = table.min_time_ns
        table_start.max_time_ns = table.max_time_ns
        table_start.column_count = table.num_columns
        table_start.name_bytes = table.name_bytes
        put(out, &cursor, &table_start, sizeof(table_start))
        put(out, &cursor, table.name, table.name_bytes)
        cursor = aligned(cursor, 8)
        for column_index in range(table.num_columns):
            column_start = place_column(&sink, &table.columns[column_index], table.num_rows)
            put(out, &cursor, &column_start, sizeof(column_start))
            put(out, &cursor, table.columns[column_index].name, column_start.name_bytes)
            cursor = aligned(cursor, 8)
    head.section_bytes = sink.cursor
    head.head_bytes = head_bytes
    if out is not NULL:
        memcpy(out, &head, sizeof(head))
    return sink.cursor


cdef uint32_t place_section(uint8_t* out, const section_plan* plan, uint32_t crc) noexcept nogil:
    """Write one section; returns `crc` continued over its bytes."""
    cdef data_sink sink = data_sink(out, aligned(section_head_bytes(plan), ALIGNMENT), 0)
    cdef const lp_table* table
    place_heads(out, plan)
    sink.crc = lp_crc32c(crc, out, sink.cursor)
    for table_index in range(plan.head.table_count):
        table = plan.tables[table_index]
        for column_index in range(table.num_columns):
            place_column(&sink, &table.columns[column_index], table.num_rows)
    return sink.crc


cdef const char* structure_fault(const lp_table* table) noexcept nogil:
    """Say what is wrong with a table that a parser of this library should never have built."""
    cdef const lp_column* column
    if table.num_rows < 1 or table.num_columns < 1 or table.name_bytes < 1:
        return "no rows, no columns or no name"
    for index in range(table.num_columns):
        column = &table.columns[index]
        if column.type < TAG or column.type > TIME:
            return "unknown column type"
        if (column.type == TIME) != (index == table.num_columns - 1):
            return "the time column is not the last one"
        if (column.null_count > 0) != (column.validity is not NULL):
            return "null count and validity bitmap disagree"
        if texts_of(column, table.num_rows) >= 0:
            if column.offsets is NULL or column.offsets[0] != 0:
                return "text offsets do not start at 0"
    return NULL


def encode_frame(kind, sections, control=b""):
    """Encode a frame; it still lacks its position, which ``seal`` fills in.

    Args:
        kind: What the frame is, a FrameKind.
        sections: One Section per database, in order.
        control: Bytes that the log carries without looking at them.

    Returns:
        An EncodedFrame.

    Raises:
        BatchLimitError: More sections or control bytes than a frame has room for.
    """
    cdef FramePlan plan = FramePlan(list(sections))
    cdef bytes control_bytes = bytes(control)
    cdef int64_t control_size = PyBytes_GET_SIZE(control_bytes)
    cdef const char* control_start = PyBytes_AS_STRING(control_bytes)
    cdef uint16_t kind_number = FrameKind(kind)
    cdef int64_t payload_size, size
    if plan.section_count > UINT16_MAX or control_size > INT32_MAX:
        raise BatchLimitError("a frame holds at most 65535 sections and 2 GiB of control bytes")
    payload_size = PAYLOAD_HEAD_BYTES + control_size
    with nogil:
        for index in range(plan.section_count):
            size = place_heads(NULL, &plan.sections[index])
            payload_size = -1 if size < 0 else aligned(payload_size, ALIGNMENT) + size
            if size < 0:
                break
    if payload_size < 0:
        raise BatchLimitError("the names of one section take more than 2 GiB")
    cdef EncodedFrame frame = EncodedFrame.__new__(EncodedFrame, kind_number, payload_size)
    cdef payload_head head
    head.version = PAYLOAD_VERSION
    head.section_count = plan.section_count
    head.control_bytes = control_size
    with nogil:
        frame.payload_crc = write_payload(
            frame.memory + FRAME_HEAD_BYTES, payload_size, &head, control_start, plan.sections)
    return frame


cdef uint32_t write_payload(
    uint8_t* out,
    int64_t payload_size,
    const payload_head* head,
    const char* control,
    const section_plan* sections,
) noexcept nogil:
    """Write the payload and the zeros behind it; returns the CRC of the payload alone."""
    cdef int64_t cursor = aligned(PAYLOAD_HEAD_BYTES + <int64_t>head.control_bytes, ALIGNMENT)
    cdef uint32_t crc
    memset(out, 0, cursor)
    memcpy(out, head, PAYLOAD_HEAD_BYTES)
    memcpy(out + PAYLOAD_HEAD_BYTES, control, head.control_bytes)
    crc = lp_crc32c(0, out, min(cursor, payload_size))
    for index in range(head.section_count):
        crc = place_section(out + cursor, &sections[index], crc)
        cursor += (<const section_head*>(out + cursor)).section_bytes
    return crc


cdef class EncodedFrame:
    """A whole frame, header and padding included, as a read-only buffer once it is sealed.

    Attributes:
        nbytes: Bytes of the frame, a multiple of 64.
    """

    cdef uint8_t* memory
    cdef int64_t capacity
    cdef uint32_t payload_crc
    cdef bint is_sealed
    cdef readonly int64_t nbytes

    def __cinit__(self, uint16_t kind, int64_t payload_size):
        cdef frame_head head
        memset(&head, 0, sizeof(head))
        head.magic = LP_FRAME_MAGIC
        head.kind = kind
        head.length = payload_size
        self.nbytes = FRAME_HEAD_BYTES + aligned(payload_size, ALIGNMENT)
        self.memory = lp_pool_take(self.nbytes, &self.capacity)
        if self.memory is NULL:
            raise MemoryError
        memcpy(self.memory, &head, sizeof(head))

    def __init__(self):
        raise TypeError("frames come from encode_frame()")

    def __dealloc__(self):
        lp_pool_give(self.memory, self.capacity)

    @property
    def kind(self):
        """What the frame is."""
        return FrameKind((<frame_head*>self.memory).kind)

    def seal(self, uint64_t position):
        """Give the frame its position and its checksum."""
        cdef frame_head* head = <frame_head*>self.memory
        head.position = position
        head.crc32c = lp_crc32c(self.payload_crc, head, CHECKED_HEAD_BYTES)
        self.is_sealed = True

    def __len__(self):
        return self.nbytes

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        if not self.is_sealed:
            raise BufferError("the frame is not sealed: it has no position and no checksum yet")
        PyBuffer_FillInfo(buffer, self, self.memory, self.nbytes, 1, flags)

    def __repr__(self):
        return f"<EncodedFrame {self.kind.name}: {self.nbytes} bytes>"
