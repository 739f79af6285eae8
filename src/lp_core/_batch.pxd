# The one in-memory shape of a table's columns, shared by parser, frame codec, rows and Arrow
# export. All pointers are borrowed: whoever holds an lp_table holds the owner of its memory, too.

from libc.stdint cimport int32_t, int64_t, uint8_t


cdef enum:                      # ColumnType, for nogil code
    LP_TAG = 1
    LP_INT64 = 2
    LP_UINT64 = 3
    LP_FLOAT64 = 4
    LP_BOOL = 5
    LP_STRING = 6
    LP_TIME = 7


cdef struct lp_column:
    const char* name            # UTF-8, not NUL-terminated
    int32_t name_bytes
    int32_t type                # ColumnType
    int64_t null_count
    const uint8_t* validity     # Arrow bitmap, (num_rows + 7) // 8 bytes; NULL when null_count == 0
    const uint8_t* values       # TAG: int32 codes; STRING: utf8; BOOL: bitmap; else 8 bytes each
    int64_t values_bytes        # bytes in use at `values`
    const int32_t* offsets      # STRING: num_rows + 1; TAG: dict_count + 1; else NULL
    const uint8_t* dict_bytes   # TAG: utf8 of the dictionary, offsets[dict_count] bytes; else NULL
    int64_t dict_count          # TAG: entries of the dictionary; else 0


cdef struct lp_table:
    const char* name            # UTF-8, not NUL-terminated
    int32_t name_bytes
    int32_t num_columns         # order of first appearance; the TIME column is always the last one
    int64_t num_rows            # >= 1
    int64_t min_time_ns
    int64_t max_time_ns
    lp_column* columns


cdef class TableBatch:
    cdef object owner           # keeps `table` and everything it points to alive
    cdef lp_table* table


cdef class WriteBatch:
    cdef dict tables            # str -> TableBatch, in order of first appearance


cdef TableBatch table_batch_wrap(object owner, lp_table* table)
cdef WriteBatch write_batch_wrap(list table_batches)
