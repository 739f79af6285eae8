# Spelling of names, tag values and strings; see the header.

from libc.stdint cimport int64_t, uint8_t


cdef extern from "_escape.h" nogil:
    const int64_t LP_TEXT_BYTES_MAX
    const int64_t LP_COPY_STEP

    ctypedef enum lp_text_fault:
        LP_TEXT_FINE
        LP_TEXT_EMPTY
        LP_TEXT_CONTROL
        LP_TEXT_BACKSLASH
        LP_TEXT_COMMENT
        LP_TEXT_LONG

    ctypedef enum lp_text_place:
        LP_IN_TABLE_NAME
        LP_IN_NAME
        LP_IN_STRING

    bint lp_copy_if_plain(uint8_t* out, const uint8_t* text, int64_t count, lp_text_place place)
    uint8_t* lp_write_escaped(
        uint8_t* out, const uint8_t* text, int64_t count, lp_text_place place
    )
    uint8_t* lp_write_spaced(uint8_t* out, const uint8_t* text, int64_t count)
    uint8_t* lp_write_unescaped(
        uint8_t* out, const uint8_t* text, int64_t count, lp_text_place place
    )
    lp_text_fault lp_text_fault_of(const uint8_t* text, int64_t count, lp_text_place place)
