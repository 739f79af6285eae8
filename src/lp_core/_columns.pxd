# Builders of columns and tables, and the owner of their memory once they are finished; see the
# header. What is called per value is inline there; the rest stands in _columns.pyx.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from lp_core._batch cimport lp_table
from lp_core._hash_index cimport lp_hash_index
from lp_core._memory cimport lp_arena, lp_buffer
from lp_core._status cimport lp_status


cdef extern from "_columns.h" nogil:
    enum:
        LP_SHAPES_MAX
        LP_SHAPE_NONE

    ctypedef struct lp_column_builder:
        lp_buffer values
        int64_t length
        int64_t null_count
        int64_t validity_length
        int64_t line_seen
        lp_buffer validity
        lp_buffer offsets
        const char* name
        int32_t name_bytes
        int32_t type
        uint64_t name_hash
        lp_buffer dict_bytes
        lp_hash_index dictionary

    ctypedef struct lp_tag_code:
        int32_t column
        int32_t code

    ctypedef struct lp_table_series:
        lp_tag_code* tags
        int64_t tag_count

    ctypedef struct lp_lane:
        uint8_t[32] text
        uint32_t mask
        int32_t text_bytes
        int32_t column
        int32_t type
        const uint8_t* rest

    ctypedef struct lp_shape:
        lp_buffer lane_buffer
        int32_t lane_count
        int32_t last_type
        int64_t bytes_min

    ctypedef struct lp_table_builder:
        int64_t num_rows
        int64_t rows_reserved
        int64_t row_bits
        int64_t min_time_ns
        int64_t max_time_ns
        lp_column_builder* columns
        lp_buffer times
        lp_buffer row_series
        int32_t open_shape
        int32_t num_columns
        const char* name
        int32_t name_bytes
        lp_buffer series
        lp_shape* shapes
        int32_t shape_count
        int32_t shape_replaced
        int32_t last_shape
        uint64_t name_hash
        int64_t column_capacity
        lp_hash_index by_name
        lp_buffer predicted

    void lp_set_bits(uint8_t* bitmap, int64_t start, int64_t stop, bint bit)
    lp_status lp_column_reserve(lp_column_builder* column, int64_t rows)
    void lp_table_settle(lp_table_builder* table)
    lp_status lp_column_pad(lp_column_builder* column, int64_t length)
    void lp_column_put_bits(lp_column_builder* column, int64_t row, uint64_t bits)
    lp_status lp_column_put_string(
        lp_column_builder* column, int64_t row, const uint8_t* text, int64_t text_bytes
    )


cdef struct lp_table_buffers:
    lp_buffer* buffers          # all that the columns of one finished table point to
    int64_t count


cdef class ColumnMemory:
    """Owner of finished tables: everything an lp_table of one parse points to."""

    cdef lp_arena arena
    cdef lp_table_buffers* buffers  # one for each table
    cdef lp_table* tables
    cdef int64_t table_count


cdef int64_t column_bits(int32_t type) noexcept nogil
cdef int64_t table_find_column(
    const lp_table_builder* table, const uint8_t* name, int64_t name_bytes, uint64_t name_hash
) noexcept nogil
cdef lp_status table_add_column(
    lp_table_builder* table,
    const uint8_t* name,
    int64_t name_bytes,
    uint64_t name_hash,
    int32_t type,
    lp_arena* arena,
) noexcept nogil
cdef void table_drop_columns(lp_table_builder* table, int32_t kept) noexcept nogil
cdef void table_free(lp_table_builder* table) noexcept nogil
cdef lp_status table_finish(
    lp_table_builder* builder, lp_table* table, lp_table_buffers* owned, lp_arena* arena
) noexcept nogil
