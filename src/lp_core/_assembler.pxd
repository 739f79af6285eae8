# The state in which lines become tables, from the first line of a body to the last.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from lp_core._batch cimport lp_table
from lp_core._hash_index cimport lp_hash_index
from lp_core._line cimport lp_line, lp_text
from lp_core._memory cimport lp_arena, lp_buffer
from lp_core._schema cimport lp_schema
from lp_core._status cimport lp_status


cdef struct lp_tag_code:
    int32_t column
    int32_t code


cdef struct lp_series_entry:
    lp_text key                 # the bytes of the body before the first unescaped space
    int32_t table
    int32_t tag_count
    lp_tag_code* tags


cdef struct lp_assembler:
    lp_schema* schema           # NULL: nothing is known before
    int64_t unit_ns             # of the timestamps, or LP_UNIT_AUTO (see _number.h)
    int64_t default_time_ns     # of a line without timestamp
    uint64_t seed
    lp_line line
    int64_t lines_taken         # refused ones included; the mark in lp_column_builder.line_seen
    lp_arena* kept              # for names, which go with the batch; borrowed
    lp_arena scratch
    lp_buffer tables            # lp_table_builder, in order of first appearance
    int32_t table_count
    lp_hash_index tables_by_name
    lp_buffer series            # lp_series_entry: a repeated series costs one look-up
    int32_t series_count
    lp_hash_index series_by_key
    int64_t taken_bits          # memory of the columns so far, as if all were dense
    int64_t taken_bits_max


cdef lp_status assembler_take_line(
    lp_assembler* assembler, const uint8_t* start, const uint8_t* end
) noexcept nogil
cdef lp_status assembler_finish(lp_assembler* assembler, lp_table* tables) noexcept nogil
cdef void assembler_free(lp_assembler* assembler) noexcept nogil
