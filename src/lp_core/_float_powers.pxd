# The table of powers of ten for the text of floats; LP_FLOAT_POWERS entries that never change.

from lp_core._float_text cimport lp_float_power


cdef const lp_float_power* float_powers() noexcept
