# Byte classes, logical lines, UTF-8; see the header.

from libc.stdint cimport int64_t, uint8_t


cdef extern from "_scan.h" nogil:
    const uint8_t LP_SPACE
    const uint8_t LP_TAB_LF
    const uint8_t LP_BACKSLASH
    const uint8_t LP_QUOTE
    const uint8_t LP_ENDS_MEASUREMENT
    const uint8_t LP_ENDS_KEY
    const uint8_t LP_ENDS_TAG_VALUE
    const uint8_t LP_ESCAPABLE_IN_MEASUREMENT
    const uint8_t LP_ESCAPABLE_IN_NAME
    const uint8_t LP_ESCAPABLE_IN_STRING
    const uint8_t lp_byte_class[256]

    const uint8_t* lp_scan_until(const uint8_t* start, const uint8_t* end, uint8_t classes)
    const uint8_t* lp_scan_while(const uint8_t* start, const uint8_t* end, uint8_t classes)
    const uint8_t* lp_find_byte(const uint8_t* start, const uint8_t* end, uint8_t byte)
    int64_t lp_count_line_feeds(const uint8_t* start, const uint8_t* end)
    const uint8_t* lp_unescaped_space(const uint8_t* start, const uint8_t* end)
    const uint8_t* lp_cut_line(const uint8_t* start, const uint8_t* end)
    const uint8_t* lp_skip_blanks_and_comments(const uint8_t* start, const uint8_t* end)
