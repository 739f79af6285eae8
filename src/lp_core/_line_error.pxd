# Refused lines: as the parser notes them without the GIL, and as Python sees them.

from libc.stdint cimport int64_t, uint8_t
from lp_core._memory cimport lp_arena, lp_buffer
from lp_core._status cimport lp_failure, lp_status


cdef struct lp_refused_line:
    int64_t line_number         # physical, from 1
    int64_t nth                 # among lines that are neither blank nor comment, from 1
    int64_t byte_offset
    const uint8_t* text         # of the logical line
    int64_t text_bytes
    int64_t time                # as written, for a time that cannot be scaled
    lp_failure failure


cdef class LineError:
    cdef readonly int64_t line_number
    cdef readonly int64_t nth
    cdef readonly int64_t byte_offset
    cdef readonly str code
    cdef readonly str message
    cdef readonly str line


cdef class RefusedLines:
    """The lines of one body that were refused, with copies of their texts."""

    cdef lp_arena arena
    cdef lp_buffer lines        # lp_refused_line, the first LINE_ERRORS_MAX
    cdef int64_t count          # those beyond included

    cdef lp_status note(self, const lp_refused_line* refused) noexcept nogil
    cdef list errors(self, str precision)
