# Rows as JSON; see the header.

from libc.stdint cimport int32_t, int64_t, uint8_t

from lp_core._float_text cimport lp_float_power
from lp_core._memory cimport lp_buffer
from lp_core._status cimport lp_status


cdef extern from "_json_writer.h" nogil:
    ctypedef enum lp_json_kind:
        LP_JSON_FOREIGN
        LP_JSON_INT64
        LP_JSON_UINT64
        LP_JSON_DOUBLE
        LP_JSON_BOOL
        LP_JSON_TIME
        LP_JSON_TEXT
        LP_JSON_LONG_TEXT
        LP_JSON_CODES
        LP_JSON_READY

    ctypedef struct lp_json_column:
        lp_json_kind kind
        const uint8_t* key
        int64_t key_count
        const uint8_t* validity
        const void* values
        const uint8_t* bytes
        int64_t offset
        const int32_t* text_offsets
        const uint8_t* text_validity
        int64_t text_offset

    bint lp_json_is_plain(const lp_json_column* column, int64_t row_count)
    lp_status lp_json_write_rows(
        lp_buffer* buffer, const lp_json_column* columns, int64_t column_count, int64_t row_count,
        uint8_t separator, const lp_float_power* powers
    )
