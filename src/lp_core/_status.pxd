# Status codes of nogil code, and why a line was refused; see the header.

from libc.stdint cimport int32_t, int64_t, uint8_t


cdef extern from "_status.h" nogil:
    ctypedef enum lp_status:
        LP_OK
        LP_NO_MATCH
        LP_LINE_REFUSED
        LP_NO_MEMORY
        LP_BATCH_LIMIT
        LP_NOT_UTF8

    ctypedef enum lp_fault:
        LP_FAULT_NONE
        LP_FAULT_MEASUREMENT
        LP_FAULT_MISSING_SPACE
        LP_FAULT_NO_FIELDS
        LP_FAULT_TRAILING
        LP_FAULT_TRAILING_BACKSLASH
        LP_FAULT_TAG_KEY
        LP_FAULT_TAG_VALUE
        LP_FAULT_TAG_MALFORMED
        LP_FAULT_INT_RANGE
        LP_FAULT_UINT_RANGE
        LP_FAULT_TIME_RANGE
        LP_FAULT_TOO_LONG
        LP_FAULT_TIME_SCALE
        LP_FAULT_DUPLICATE_FIELD
        LP_FAULT_DUPLICATE_TAG
        LP_FAULT_RESERVED_COLUMN
        LP_FAULT_TYPE_CONFLICT

    ctypedef struct lp_failure:
        lp_fault fault
        const uint8_t* text
        int64_t text_bytes
        int32_t expected
        int32_t got

    lp_status lp_refuse(
        lp_failure* failure, lp_fault fault, const uint8_t* text, int64_t text_bytes
    )
