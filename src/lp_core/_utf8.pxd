# Validation of UTF-8; see the header.

from libc.stdint cimport uint8_t
from lp_core._status cimport lp_status


cdef extern from "_utf8.h" nogil:
    lp_status lp_validate_utf8(
        const uint8_t* start, const uint8_t* end, const uint8_t** bad, int* broken
    )
