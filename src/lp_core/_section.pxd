# What _segment needs to decode the sections of a frame.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from lp_core._batch cimport lp_column, lp_table
from lp_core._frame cimport Section, section_head


cdef class Source:
    cdef Py_buffer view
    cdef bint is_held


cdef class SectionCursor:
    cdef Source source              # holds what `base` points into
    cdef const uint8_t* base
    cdef section_head head
    cdef int64_t position           # in the section; never passes head.head_bytes
    cdef int64_t frame_offset       # for errors
    cdef fault(self, str reason)
    cdef int take(self, void* target, int64_t size) except -1
    cdef const char* take_text(self, int64_t size, str what) except NULL
    cdef int align(self) except -1
    cdef const uint8_t* buffer_at(self, uint64_t offset, int64_t size) except NULL
    cdef Section take_section(self, bint verify, int64_t available)
    cdef str text_of(self, int64_t size, str what)
    cdef take_table(self, bint verify)
    cdef int take_column(self, lp_column* column, int64_t rows, bint is_last) except -1
    cdef int refuse_duplicate_columns(self, const lp_table* table) except -1
