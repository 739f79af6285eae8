# The distinct values of a tag column; see the header.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from lp_core._columns cimport lp_column_builder
from lp_core._status cimport lp_status


cdef extern from "_tag_dictionary.h" nogil:
    bint lp_is_new_value(const lp_column_builder* column)
    lp_status lp_append_value_alone(
        lp_column_builder* column, const uint8_t* value, int64_t value_bytes, int32_t* code
    )
    lp_status lp_code_of_value(
        lp_column_builder* column, const uint8_t* value, int64_t value_bytes, uint64_t hash,
        uint64_t seed, int32_t* code
    )
