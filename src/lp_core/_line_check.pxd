# The table and the columns that a line goes to.

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcmp
from lp_core._assembler cimport lp_assembler
from lp_core._columns cimport lp_table_builder, lp_tag_code
from lp_core._status cimport lp_status


cdef inline bint same_bytes(
    const void* left, int64_t left_bytes, const void* right, int64_t right_bytes
) noexcept nogil:
    return left_bytes == right_bytes and memcmp(left, right, left_bytes) == 0


cdef lp_status place_series(
    lp_assembler* assembler, int32_t* table_number, lp_tag_code** tags
) noexcept nogil
cdef lp_status check_line(
    lp_assembler* assembler, int32_t table_number, lp_tag_code* tags, bint is_known_series,
    int64_t* time_ns
) noexcept nogil
cdef lp_status open_row_tags(
    lp_assembler* assembler, lp_table_builder* table, lp_tag_code** tags
) noexcept nogil
