# The text of one line while it is built; see the header.

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from "_line_text.h" nogil:
    const int64_t LP_LINE_BYTES_MIN

    ctypedef struct lp_line_text:
        uint8_t* bytes
        int64_t used
        int64_t capacity
        int64_t tags_at
        int64_t fields_at
        int64_t key_count
        bint is_ascii
        uint64_t[4] keys_seen

    ctypedef struct lp_line_key:
        uint64_t hash
        const uint8_t* fragment
        int64_t fragment_bytes

    uint8_t* lp_line_begin(lp_line_text* line, const lp_line_key* key, int64_t value_bytes)
    void lp_line_end_field(lp_line_text* line, const lp_line_key* key, const uint8_t* end)
    bint lp_line_end_tag(lp_line_text* line, const lp_line_key* key, const uint8_t* end)
    int64_t lp_line_key_end(const lp_line_text* line, int64_t start)
    int64_t lp_line_value_end(const lp_line_text* line, int64_t start, int64_t end)


cdef extern from "_digits.h" nogil:
    const int64_t LP_INTEGER_BYTES_MAX
    uint8_t* lp_write_uint64(uint8_t* out, uint64_t number)
    uint8_t* lp_write_int64(uint8_t* out, int64_t number)
