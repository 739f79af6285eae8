# One logical line, taken apart into slices: the scratch area between text and columns.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from lp_core._memory cimport lp_buffer
from lp_core._status cimport lp_failure, lp_status


cdef enum:
    LP_TEXT_BYTES_MAX = 1 << 20     # of one unescaped name or string


cdef struct lp_text:
    const uint8_t* bytes        # into the body, or into lp_line.unescaped
    int64_t count


cdef struct lp_tag:
    lp_text key
    lp_text value


cdef struct lp_field:
    lp_text key
    int32_t type                # ColumnType
    int32_t column              # set by the parser when it knows the column
    uint64_t bits               # the value of a number or bool
    lp_text text                # the value of a STRING


cdef struct lp_line:
    const uint8_t* start        # first byte that is neither blank nor comment
    const uint8_t* cursor       # first byte that is not taken yet
    const uint8_t* end
    bint has_backslash
    lp_text measurement
    lp_tag* tags
    lp_field* fields
    int64_t tag_count
    int64_t field_count
    bint has_time
    int64_t time                # as written, in the unit of the body
    lp_failure failure          # filled with LP_LINE_REFUSED
    lp_buffer tag_buffer        # behind `tags`
    lp_buffer field_buffer      # behind `fields`
    lp_buffer unescaped         # room for the whole line before a slice points into it


cdef lp_status line_begin(lp_line* line, const uint8_t* start, const uint8_t* end) noexcept nogil
cdef lp_status line_take_series(lp_line* line) noexcept nogil
cdef lp_status line_take_fields(lp_line* line) noexcept nogil
cdef void line_free(lp_line* line) noexcept nogil
