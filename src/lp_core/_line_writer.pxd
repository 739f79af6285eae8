# Rows of columns as lines; see the header.

from libc.stdint cimport int32_t, int64_t, uint8_t

from lp_core._float_text cimport lp_float_power


cdef extern from "_line_writer.h" nogil:
    ctypedef enum lp_cell:
        LP_CELL_INT8
        LP_CELL_INT16
        LP_CELL_INT32
        LP_CELL_INT64
        LP_CELL_UINT8
        LP_CELL_UINT16
        LP_CELL_UINT32
        LP_CELL_UINT64
        LP_CELL_FLOAT32
        LP_CELL_FLOAT64
        LP_CELL_BOOL
        LP_CELL_TEXT32
        LP_CELL_TEXT64
        LP_CELL_TEXT_VIEW

    ctypedef enum lp_row_fault:
        LP_ROW_FINE
        LP_ROW_TEXT_EMPTY
        LP_ROW_TEXT_CONTROL
        LP_ROW_TEXT_BACKSLASH
        LP_ROW_TEXT_COMMENT
        LP_ROW_TEXT_LONG
        LP_ROW_NO_ROOM
        LP_ROW_TEXT_OUTSIDE
        LP_ROW_TEXT_NOT_UTF8
        LP_ROW_CODE_OUTSIDE
        LP_ROW_NOT_FINITE
        LP_ROW_TIME_NULL
        LP_ROW_TIME_RANGE
        LP_ROW_NO_FIELD

    ctypedef struct lp_cells:
        lp_cell cell
        int64_t offset
        const uint8_t* validity
        const uint8_t* values
        const uint8_t* texts
        const uint8_t** view_buffers
        const int64_t* view_sizes
        int64_t view_buffer_count
        int64_t count

    ctypedef struct lp_line_entry:
        int64_t start
        int32_t bytes
        lp_row_fault fault

    ctypedef struct lp_line_column:
        bint is_tag
        const uint8_t* key
        int64_t key_bytes
        lp_cells cells
        bint has_dictionary
        lp_cells dictionary
        const lp_line_entry* entries
        const uint8_t* entry_bytes

    ctypedef struct lp_line_plan:
        const uint8_t* table
        int64_t table_bytes
        lp_line_column* columns
        int64_t column_count
        int64_t tag_count
        bint has_time
        lp_cells times
        int64_t time_unit_ns
        int64_t row_bytes_max
        int64_t row_count
        const lp_float_power* powers

    ctypedef struct lp_line_output:
        uint8_t* bytes
        int64_t used
        int64_t capacity
        int64_t wanted
        int64_t row
        int64_t column

    ctypedef struct lp_text:
        const uint8_t* bytes
        int64_t count

    lp_text lp_text_at(const lp_cells* cells, int64_t index)
    int64_t lp_entry_bytes_max(const lp_line_column* column, lp_text text)
    uint8_t* lp_write_entry(
        uint8_t* out, lp_line_entry* entry, const lp_line_column* column, int64_t index
    )
    lp_row_fault lp_write_rows(const lp_line_plan* plan, lp_line_output* output)
