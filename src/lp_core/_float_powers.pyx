# Owns the table of powers of ten that _float_text.h needs. Filled once, when first imported; other
# extensions take the pointer once, and no one changes the table.
"""Powers of ten, cut to 128 bits."""

from lp_core._float_text cimport LP_FLOAT_POWERS, lp_float_power

cdef lp_float_power POWERS[LP_FLOAT_POWERS]


cdef int fill_powers() except -1:
    cdef int exponent
    power = 1
    for exponent in range(LP_FLOAT_POWERS):
        surplus = power.bit_length() - 128
        rounded_up = power << -surplus if surplus <= 0 else -(-power >> surplus)
        POWERS[exponent].high = rounded_up >> 64
        POWERS[exponent].low = rounded_up & 0xFFFFFFFFFFFFFFFF
        power *= 10
    return 0


cdef const lp_float_power* float_powers() noexcept:
    return POWERS


fill_powers()
