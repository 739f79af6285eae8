# Text of finite floats; see the header.

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "_float_text.h" nogil:
    const int LP_FLOAT_BYTES_MAX
    enum:
        LP_FLOAT_POWERS

    ctypedef struct lp_float_power:
        uint64_t high
        uint64_t low

    uint8_t* lp_write_double(uint8_t* out, double number, const lp_float_power* powers)
