# Names that were found good, by identity; see the header.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from lp_core._line_steps cimport lp_line_key


cdef extern from "_known_texts.h" nogil:
    const int64_t LP_KNOWN_FRAGMENT_BYTES

    ctypedef struct lp_known_texts:
        pass

    lp_line_key* lp_find_known(lp_known_texts* known, const void* text)
    const void* lp_remember_known(
        lp_known_texts* known, const void* text, uint64_t hash, const uint8_t* fragment,
        int64_t count
    )
    void lp_forget_roots(lp_known_texts* known)
