# Builders of columns and tables, and the owner of their memory once they are finished. What is
# called per field is inline here; the rest stands in _columns.pyx.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from lp_core._batch cimport LP_BOOL, lp_column, lp_table
from lp_core._hash_index cimport lp_hash_index
from lp_core._memory cimport lp_arena, lp_buffer, lp_buffer_append, lp_buffer_reserve
from lp_core._status cimport LP_OK, lp_status


cdef struct lp_column_builder:
    const char* name
    int32_t name_bytes
    int32_t type                # ColumnType
    uint64_t name_hash
    int64_t length              # rows written; rows after it are null and not written yet
    int64_t null_count          # among the rows written
    int64_t line_seen           # the last line that names this column, accepted or not
    lp_buffer validity          # empty while null_count == 0
    lp_buffer values            # STRING: utf8; TAG: int32 codes; BOOL: bitmap; else 8 bytes each
    lp_buffer offsets           # STRING: length + 1; TAG: dictionary entries + 1
    lp_buffer dict_bytes        # TAG
    lp_hash_index dictionary    # TAG: value -> code


cdef struct lp_table_builder:
    const char* name
    int32_t name_bytes
    int32_t num_columns         # columns of a line that is not accepted yet included
    uint64_t name_hash
    int64_t column_capacity
    lp_column_builder* columns  # moves when a column is added: hold numbers, not pointers
    lp_hash_index by_name
    lp_buffer predicted         # int32 column number of each field of the line before, by ordinal
    lp_buffer times
    int64_t num_rows
    int64_t row_bits            # what a further row takes in all columns, dense
    int64_t min_time_ns
    int64_t max_time_ns


cdef class ColumnMemory:
    """Owner of finished tables: everything an lp_table of one parse points to."""

    cdef lp_arena arena
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
    lp_table_builder* builder, lp_table* table, lp_arena* arena
) noexcept nogil
cdef lp_status column_pad(lp_column_builder* column, int64_t length) noexcept nogil
cdef lp_status column_code(
    lp_column_builder* column, const uint8_t* value, int64_t value_bytes, uint64_t seed,
    int32_t* code
) noexcept nogil


cdef inline lp_status column_begin_value(lp_column_builder* column, int64_t row) noexcept nogil:
    """Write the nulls before `row` and mark `row` as valid; the value itself comes next."""
    cdef lp_status status
    if column.length < row:
        status = column_pad(column, row)
        if status != LP_OK:
            return status
    if column.null_count > 0:
        if row % 8 == 0:
            status = lp_buffer_reserve(&column.validity, 1)
            if status != LP_OK:
                return status
            column.validity.bytes[row // 8] = 0
            column.validity.used += 1
        column.validity.bytes[row // 8] |= <uint8_t> (1 << (row % 8))
    column.length = row + 1
    return LP_OK


cdef inline lp_status column_append_bits(
    lp_column_builder* column, int64_t row, uint64_t bits
) noexcept nogil:
    """Append a number (its 8 bytes) or a bool."""
    cdef lp_status status = column_begin_value(column, row)
    if status != LP_OK:
        return status
    if column.type != LP_BOOL:
        return lp_buffer_append(&column.values, &bits, sizeof(bits))
    if row % 8 == 0:
        status = lp_buffer_reserve(&column.values, 1)
        if status != LP_OK:
            return status
        column.values.bytes[row // 8] = 0
        column.values.used += 1
    column.values.bytes[row // 8] |= <uint8_t> (bits << (row % 8))
    return LP_OK


cdef inline lp_status column_append_code(
    lp_column_builder* column, int64_t row, int32_t code
) noexcept nogil:
    """Append a tag value by its number in the dictionary."""
    cdef lp_status status = column_begin_value(column, row)
    if status != LP_OK:
        return status
    return lp_buffer_append(&column.values, &code, sizeof(code))


cdef inline lp_status column_append_string(
    lp_column_builder* column, int64_t row, const uint8_t* text, int64_t text_bytes
) noexcept nogil:
    """Append a string. The body is shorter than 2 GiB, so the offsets cannot overflow."""
    cdef int32_t offset
    cdef lp_status status = column_begin_value(column, row)
    if status != LP_OK:
        return status
    status = lp_buffer_append(&column.values, text, text_bytes)
    if status != LP_OK:
        return status
    offset = <int32_t> column.values.used
    return lp_buffer_append(&column.offsets, &offset, sizeof(offset))
