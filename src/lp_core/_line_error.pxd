# Refused lines: as the parser notes them without the GIL, and as Python sees them.

from libc.stdint cimport int64_t, uint8_t
from lp_core._status cimport lp_failure


cdef struct lp_refused_line:
    int64_t line_number         # physical, from 1
    int64_t nth                 # among lines that are neither blank nor comment, from 1
    int64_t byte_offset
    const uint8_t* text         # of the logical line, in the body
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


cdef LineError line_error_from(const lp_refused_line* refused, str precision)
