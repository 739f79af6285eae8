# Matching and converting numbers; see the header.

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from "_number.h" nogil:
    const int64_t LP_UNIT_AUTO

    ctypedef struct lp_decimal:
        bint is_negative
        const uint8_t* digits
        const uint8_t* digits_end

    const uint8_t* lp_match_integer(
        const uint8_t* start, const uint8_t* end, lp_decimal* number
    )
    const uint8_t* lp_match_float_rest(
        const uint8_t* start, const uint8_t* end, lp_decimal* number
    )
    bint lp_magnitude(const lp_decimal* number, uint64_t* magnitude)
    bint lp_int64(const lp_decimal* number, int64_t* value)
    double lp_double(const lp_decimal* number)
    bint lp_scale_time(int64_t time, int64_t unit_ns, int64_t* time_ns)
