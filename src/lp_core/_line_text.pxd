# The text of one line while it is built; see the header.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from lp_core._line_steps cimport lp_line_key, lp_line_step, lp_line_steps


cdef extern from "_digits.h" nogil:
    const int64_t LP_INTEGER_BYTES_MAX
    const int64_t LP_UPPER_DIGITS_STEP

    ctypedef struct lp_upper_digits:
        pass

    ctypedef struct lp_short_numbers:
        pass

    void lp_fill_short_numbers(lp_short_numbers* numbers)
    int64_t lp_digits_of(lp_upper_digits* upper, uint64_t number)
    void lp_write_with_upper(uint8_t* out, const lp_upper_digits* upper, uint64_t number)
    uint8_t* lp_write_int64(uint8_t* out, int64_t number)


cdef extern from "_line_text.h" nogil:
    const int64_t LP_LINE_BYTES_MIN

    ctypedef struct lp_line_text:
        uint8_t* bytes
        int64_t used
        int64_t capacity
        int64_t tags_at
        int64_t fields_at
        bint is_ascii
        lp_line_step* step

    bint lp_line_is_new(lp_line_text* line, const lp_line_key* key)
    void lp_line_start(
        lp_line_text* line, lp_line_steps* steps, const lp_line_key* name, lp_line_step* root
    )
    void lp_line_start_short(lp_line_text* line, lp_line_steps* steps, lp_line_step* root)
    void lp_line_leave_steps(lp_line_text* line, lp_line_steps* steps)
    lp_line_step* lp_line_next(const lp_line_text* line, const void* text)
    uint8_t* lp_line_begin(lp_line_text* line, const lp_line_step* step, int64_t value_bytes)
    void lp_line_end_field(
        lp_line_text* line, lp_line_steps* steps, lp_line_step* step, const uint8_t* end
    )
    bint lp_line_end_tag(
        lp_line_text* line, lp_line_steps* steps, lp_line_step* step, const uint8_t* end
    )
    bint lp_line_put_tag(
        lp_line_text* line, const void* key, const uint8_t* value, int64_t count
    )
    bint lp_line_put_integer(
        lp_line_text* line,
        const lp_short_numbers* numbers,
        const void* key,
        uint32_t number,
        char suffix,
    )
    int64_t lp_line_key_end(const lp_line_text* line, int64_t start)
    int64_t lp_line_value_end(const lp_line_text* line, int64_t start, int64_t end)
