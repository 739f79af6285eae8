# Checks of column buffers whose bytes come from outside; see the header for what each promises.

from libc.stdint cimport int32_t, int64_t, uint8_t


cdef extern from "_column_check.h" nogil:
    bint lp_bit(const uint8_t* bitmap, int64_t index)
    int64_t lp_count_bits(const uint8_t* bitmap, int64_t count)
    bint lp_is_utf8(const uint8_t* bytes, int64_t count)
    bint lp_are_text_offsets(
        const int32_t* offsets, int64_t count, const uint8_t* bytes, int64_t bytes_count
    )
    bint lp_are_codes(
        const int32_t* codes, const uint8_t* validity, int64_t rows, int64_t dict_count
    )
    bint lp_is_time_range(const int64_t* times, int64_t rows, int64_t least, int64_t greatest)
