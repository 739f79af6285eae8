# What lines looked like before; see the header.

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from "_line_steps.h" nogil:
    const int64_t LP_STEPS_REFUSED_MAX

    ctypedef struct lp_line_key:
        uint64_t hash
        const uint8_t* fragment
        int64_t fragment_bytes
        lp_line_step* root

    ctypedef struct lp_line_step:
        const void* text
        int64_t depth
        lp_line_key key

    ctypedef struct lp_line_steps:
        lp_line_step* steps
        int64_t used
        int64_t lines
        int64_t refused

    lp_line_step* lp_add_step(
        lp_line_steps* steps, lp_line_step* before, const void* text, const lp_line_key* key
    )
    lp_line_step* lp_loose_step(lp_line_steps* steps, const lp_line_key* key)
    bint lp_is_root_of(const lp_line_step* step, const void* text, const lp_line_steps* steps)
