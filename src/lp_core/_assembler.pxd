# The state in which lines become tables, from the first line of a body to the last; see the header.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from lp_core._batch cimport lp_table
from lp_core._columns cimport lp_table_buffers, lp_table_builder, lp_tag_code
from lp_core._hash_index cimport lp_hash_index
from lp_core._line cimport lp_line
from lp_core._memory cimport lp_arena, lp_buffer
from lp_core._status cimport lp_status


cdef extern from "_assembler.h" nogil:
    enum:
        LP_SERIES_NONE

    ctypedef struct lp_series_entry:
        int32_t key_bytes
        int32_t table
        int32_t number
        int32_t shape
        int32_t next
        const uint8_t* key

    ctypedef struct lp_open_row:
        const uint8_t* start
        const uint8_t* end
        int64_t key_bytes
        uint64_t key_hash
        int64_t time_ns
        int32_t table
        int32_t shape

    ctypedef struct lp_assembler:
        void* schema
        int64_t unit_ns
        int64_t default_time_ns
        uint64_t seed
        const uint8_t* body_start
        const uint8_t* body_end
        const uint8_t* checked
        lp_line line
        int64_t lines_taken
        int64_t mark
        lp_arena* kept
        lp_arena scratch
        lp_buffer tables
        int32_t table_count
        lp_hash_index tables_by_name
        lp_buffer series
        int32_t series_count
        lp_hash_index series_by_key
        int32_t last_series
        int64_t taken_bits
        int64_t taken_bits_max
        lp_open_row open_row

    lp_table_builder* lp_table_at(const lp_assembler* assembler, int32_t number)
    lp_series_entry* lp_series_at(const lp_assembler* assembler, int64_t place)
    int32_t lp_series_place(const lp_assembler* assembler, const lp_series_entry* entry)
    lp_status lp_reserve_row(
        lp_assembler* assembler, lp_table_builder* table, const uint8_t* cursor
    )
    lp_series_entry* lp_add_series(
        lp_assembler* assembler, const uint8_t* key, int64_t key_bytes, uint64_t key_hash,
        int32_t table_number, lp_tag_code* tags, int64_t tag_count
    )
    void lp_commit_row(
        lp_assembler* assembler, lp_table_builder* table, const lp_series_entry* entry,
        int64_t time_ns
    )


cdef lp_status assembler_take_line(
    lp_assembler* assembler, const uint8_t* start, const uint8_t* end
) noexcept nogil
cdef lp_status assembler_close_row(lp_assembler* assembler) noexcept nogil
cdef lp_status assembler_finish(
    lp_assembler* assembler, lp_table* tables, lp_table_buffers* owned
) noexcept nogil
cdef void assembler_free(lp_assembler* assembler) noexcept nogil
