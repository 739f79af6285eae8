# One logical line, taken apart into slices; see the header.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from lp_core._memory cimport lp_buffer
from lp_core._status cimport lp_failure, lp_status


cdef extern from "_line.h" nogil:
    const int64_t LP_TEXT_BYTES_MAX

    ctypedef struct lp_text:
        const uint8_t* bytes
        int64_t count

    ctypedef struct lp_tag:
        lp_text key
        lp_text value

    ctypedef struct lp_field:
        lp_text key
        int32_t type
        int32_t column
        uint64_t bits
        lp_text text

    ctypedef struct lp_line:
        const uint8_t* start
        const uint8_t* cursor
        const uint8_t* end
        bint has_backslash
        lp_text measurement
        lp_tag* tags
        lp_field* fields
        int64_t tag_count
        int64_t field_count
        bint has_time
        int64_t time
        lp_failure failure
        lp_buffer tag_buffer
        lp_buffer field_buffer
        lp_buffer unescaped


cdef lp_status line_begin(lp_line* line, const uint8_t* start, const uint8_t* end) noexcept nogil
cdef lp_status line_take_series(lp_line* line) noexcept nogil
cdef lp_status line_take_fields(lp_line* line) noexcept nogil
cdef void line_free(lp_line* line) noexcept nogil
