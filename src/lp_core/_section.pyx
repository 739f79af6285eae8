# Owns reading one section of a frame: tables over the mapped bytes, without copying a row. Nothing
# that stands in the bytes is believed: each length, offset, code and text is compared with the
# bytes at hand, since a checksum guards against accidents, not against intent.
"""Tables over the bytes of a log segment."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from lp_core._batch cimport lp_column, lp_table, table_batch_wrap, write_batch_wrap
from lp_core._column_check cimport (
    lp_are_codes,
    lp_are_text_offsets,
    lp_count_bits,
    lp_is_time_range,
    lp_is_utf8,
)
from lp_core._frame cimport (
    ALIGNMENT,
    TAG,
    TIME,
    Section,
    aligned,
    column_head,
    section_head,
    table_head,
    texts_of,
    values_size,
)

from lp_core.errors import FrameCorruptError


cdef class Source:
    """Holds the buffer of a segment for as long as anything points into it."""

    def __cinit__(self, buffer):
        PyObject_GetBuffer(buffer, &self.view, PyBUF_SIMPLE)
        self.is_held = True
        # An empty buffer may point anywhere; it is refused for its length.
        if self.view.len and <uintptr_t>self.view.buf % 8:
            raise ValueError("a segment must start at a multiple of 8 bytes in memory")

    def __dealloc__(self):
        if self.is_held:
            PyBuffer_Release(&self.view)


cdef class MappedTable:
    """Owns the C view of one table whose buffers lie in a segment."""

    cdef Source source
    cdef lp_table table

    def __dealloc__(self):
        free(self.table.columns)


cdef class SectionCursor:
    """Walks the heads of one section; a step gets what it asks for only if it is there."""

    cdef fault(self, str reason):
        raise FrameCorruptError(self.frame_offset, reason)

    cdef int take(self, void* target, int64_t size) except -1:
        if size > self.head.head_bytes - self.position:
            self.fault("a header reaches beyond its section")
        memcpy(target, self.base + self.position, size)
        self.position += size
        return 0

    cdef const char* take_text(self, int64_t size, str what) except NULL:
        cdef const uint8_t* start = self.base + self.position
        if size > INT32_MAX or size > self.head.head_bytes - self.position:
            self.fault(f"the {what} reaches beyond its section")
        if not lp_is_utf8(start, size):
            self.fault(f"the {what} is not UTF-8")
        self.position += size
        return <const char*>start

    cdef int align(self) except -1:
        # The heads' end is a multiple of 8, so this cannot pass it.
        self.position = aligned(self.position, 8)
        return 0

    cdef const uint8_t* buffer_at(self, uint64_t offset, int64_t size) except NULL:
        if offset % ALIGNMENT or offset < self.head.head_bytes or offset > self.head.section_bytes:
            self.fault("a buffer lies outside its section or is not aligned")
        if <uint64_t>size > self.head.section_bytes - offset:
            self.fault("a buffer reaches beyond its section")
        return self.base + offset

    cdef Section take_section(self, bint verify, int64_t available):
        if available < <int64_t>sizeof(section_head):
            self.fault("a section is cut off")
        memcpy(&self.head, self.base, sizeof(section_head))
        if self.head.section_bytes > <uint64_t>available or self.head.section_bytes % ALIGNMENT:
            self.fault("a section reaches beyond the payload")
        if (
            self.head.head_bytes > self.head.section_bytes
            or self.head.head_bytes < sizeof(section_head)
            or self.head.head_bytes % 8
        ):
            self.fault("the headers of a section reach beyond it")
        self.position = sizeof(section_head)
        database = self.text_of(self.head.database_bytes, "database name")
        origin = self.text_of(self.head.origin_bytes, "origin")
        self.align()
        # Each table takes at least its head, so a count beyond the bytes at hand ends in take().
        batches = []
        for _ in range(self.head.table_count):
            batches.append(self.take_table(verify))
        if len({batch.name for batch in batches}) != len(batches):
            self.fault("a table occurs twice in one section")
        return Section(
            database, write_batch_wrap(batches), origin, self.head.hops, self.head.ingest_time_ns)

    cdef str text_of(self, int64_t size, str what):
        return self.take_text(size, what)[:size].decode("utf-8")

    cdef take_table(self, bint verify):
        cdef MappedTable mapped = MappedTable.__new__(MappedTable)
        cdef lp_table* table = &mapped.table
        cdef table_head head
        cdef const char* reason
        mapped.source = self.source
        self.take(&head, sizeof(head))
        # Every table has a time column of 8 bytes a row, which bounds the rows before their use.
        if head.num_rows < 1 or <uint64_t>head.num_rows > self.head.section_bytes // 8:
            self.fault("a table has more rows than its section holds")
        if head.column_count < 1 or head.column_count > self.head.head_bytes // sizeof(column_head):
            self.fault("a table has more columns than its section holds")
        if head.name_bytes < 1 or head.min_time_ns > head.max_time_ns:
            self.fault("a table has no name or no time range")
        table.name_bytes = head.name_bytes if head.name_bytes <= INT32_MAX else INT32_MAX
        table.name = self.take_text(head.name_bytes, "table name")
        self.align()
        table.num_rows = head.num_rows
        table.min_time_ns = head.min_time_ns
        table.max_time_ns = head.max_time_ns
        table.columns = <lp_column*>calloc(head.column_count, sizeof(lp_column))
        if table.columns is NULL:
            raise MemoryError
        table.num_columns = head.column_count
        for index in range(table.num_columns):
            self.take_column(&table.columns[index], table.num_rows, index == table.num_columns - 1)
        if verify:
            with nogil:
                reason = content_fault(table)
            if reason is not NULL:
                self.fault(reason.decode())
            self.refuse_duplicate_columns(table)
        return table_batch_wrap(mapped, table)

    cdef int take_column(self, lp_column* column, int64_t rows, bint is_last) except -1:
        cdef column_head head
        cdef int64_t texts
        self.take(&head, sizeof(head))
        if head.type < TAG or head.type > TIME or (head.type == TIME) != is_last:
            self.fault("a column has an unknown type, or time is not the last column")
        if head.null_count < 0 or head.null_count > rows or (is_last and head.null_count):
            self.fault("a column has more nulls than rows, or the time column has nulls")
        if head.name_bytes < 1:
            self.fault("a column has no name")
        if head.values_bytes > self.head.section_bytes or head.dict_bytes > INT32_MAX:
            self.fault("a column is larger than its section")
        if head.dict_count > INT32_MAX or (
            head.type != TAG and (head.dict_count or head.dict_bytes)
        ):
            self.fault("a column has a dictionary that it cannot have")
        column.name = self.take_text(head.name_bytes, "column name")
        column.name_bytes = head.name_bytes
        self.align()
        column.type = head.type
        column.null_count = head.null_count
        column.values_bytes = head.values_bytes
        column.dict_count = head.dict_count
        if values_size(column, rows) != column.values_bytes:
            self.fault("a column has not as many values as its table has rows")
        if head.null_count:
            column.validity = self.buffer_at(head.validity_offset, (rows + 7) // 8)
        column.values = self.buffer_at(head.values_offset, column.values_bytes)
        texts = texts_of(column, rows)
        if texts >= 0:
            column.offsets = <const int32_t*>self.buffer_at(head.offsets_offset, (texts + 1) * 4)
            if column.type == TAG:
                column.dict_bytes = self.buffer_at(head.dict_offset, head.dict_bytes)
            if column.offsets[0] != 0 or column.offsets[texts] != <int64_t>(
                head.dict_bytes if column.type == TAG else head.values_bytes
            ):
                self.fault("the text offsets of a column do not match its bytes")
        return 0

    cdef int refuse_duplicate_columns(self, const lp_table* table) except -1:
        names = set()
        for index in range(table.num_columns):
            names.add(PyBytes_FromStringAndSize(
                table.columns[index].name, table.columns[index].name_bytes))
        if len(names) != table.num_columns:
            self.fault("a column occurs twice in one table")
        return 0


cdef const char* content_fault(const lp_table* table) noexcept nogil:
    """Check what only a look at every row can tell; returns NULL when all is well."""
    cdef const lp_column* column
    cdef int64_t rows = table.num_rows, texts, text_bytes
    cdef const uint8_t* text
    for index in range(table.num_columns):
        column = &table.columns[index]
        if column.validity is not NULL:
            if lp_count_bits(column.validity, rows) != rows - column.null_count:
                return "the null count of a column does not match its bitmap"
        texts = texts_of(column, rows)
        if texts >= 0:
            text = column.dict_bytes if column.type == TAG else column.values
            text_bytes = column.offsets[texts]
            if not lp_are_text_offsets(column.offsets, texts, text, text_bytes):
                return "the text offsets of a column are not in order"
            if not lp_is_utf8(text, text_bytes):
                return "the text of a column is not UTF-8"
        if column.type == TAG and not lp_are_codes(
            <const int32_t*>column.values, column.validity, rows, column.dict_count
        ):
            return "a tag code lies outside its dictionary"
        if column.type == TIME and not lp_is_time_range(
            <const int64_t*>column.values, rows, table.min_time_ns, table.max_time_ns
        ):
            return "the time range of a table does not match its rows"
    return NULL
