# The quick way for lines that are like a line before; see the header.

from libc.stdint cimport uint8_t
from lp_core._assembler cimport lp_assembler


cdef extern from "_fast_lines.h" nogil:
    ctypedef enum lp_fast_outcome:
        LP_FAST_LEFT
        LP_FAST_NEW_SERIES
        LP_FAST_NO_MEMORY
        LP_FAST_NOT_UTF8

    ctypedef lp_fast_outcome (*lp_fast_lines_function)(
        lp_assembler*, const uint8_t**
    ) noexcept nogil

    ctypedef struct lp_fast_path:
        const char* name
        lp_fast_lines_function take_lines
        bint (*is_utf8)(const uint8_t* start, const uint8_t* end) noexcept nogil

    enum:
        LP_FAST_PATHS_MAX

    int lp_fast_paths(lp_fast_path* paths)
