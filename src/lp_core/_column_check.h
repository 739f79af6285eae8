/* Checks of column buffers whose bytes come from outside, one pass each. They read only the range that
   they are given; callers have compared that range with the buffer before. All return 1 when it holds. */
#ifndef LP_COLUMN_CHECK_H
#define LP_COLUMN_CHECK_H

#include <stdint.h>
#include <string.h>

static inline int lp_bit(const uint8_t* bitmap, int64_t index) {
    return (bitmap[index >> 3] >> (index & 7)) & 1;
}

/* Number of set bits among the first `count`. */
static int64_t lp_count_bits(const uint8_t* bitmap, int64_t count) {
    int64_t set = 0, bytes = count >> 3, index = 0;
    for (; index + 8 <= bytes; index += 8) {
        uint64_t word;
        memcpy(&word, bitmap + index, 8);
        set += __builtin_popcountll(word);
    }
    for (; index < bytes; ++index)
        set += __builtin_popcount(bitmap[index]);
    if (count & 7)
        set += __builtin_popcount(bitmap[bytes] & ((1u << (count & 7)) - 1));
    return set;
}

/* Length of the well-formed UTF-8 sequence at `bytes`, or 0. */
static inline int lp_utf8_sequence(const uint8_t* bytes, int64_t left) {
    uint8_t lead = bytes[0];
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || left < 2 || (bytes[1] & 0xC0) != 0x80)
        return 0;
    if (lead < 0xE0)
        return 2;
    if (left < 3 || (bytes[2] & 0xC0) != 0x80)
        return 0;
    if (lead < 0xF0) {
        if ((lead == 0xE0 && bytes[1] < 0xA0) || (lead == 0xED && bytes[1] > 0x9F))
            return 0;
        return 3;
    }
    if (lead > 0xF4 || left < 4 || (bytes[3] & 0xC0) != 0x80)
        return 0;
    if ((lead == 0xF0 && bytes[1] < 0x90) || (lead == 0xF4 && bytes[1] > 0x8F))
        return 0;
    return 4;
}

static int lp_is_utf8(const uint8_t* bytes, int64_t count) {
    int64_t index = 0;
    while (index < count) {
        uint64_t word;
        if (index + 8 <= count) {
            memcpy(&word, bytes + index, 8);
            if ((word & 0x8080808080808080u) == 0) {
                index += 8;
                continue;
            }
        }
        int length = lp_utf8_sequence(bytes + index, count - index);
        if (length == 0)
            return 0;
        index += length;
    }
    return 1;
}

/* Offsets of `count` texts start at 0, never fall, end at `bytes_count` and cut no UTF-8 sequence. */
static int lp_are_text_offsets(const int32_t* offsets, int64_t count, const uint8_t* bytes,
                               int64_t bytes_count) {
    if (offsets[0] != 0 || offsets[count] != bytes_count)
        return 0;
    for (int64_t index = 0; index < count; ++index) {
        if (offsets[index + 1] < offsets[index] || offsets[index + 1] > bytes_count)
            return 0;
        if (offsets[index] < bytes_count && (bytes[offsets[index]] & 0xC0) == 0x80)
            return 0;
    }
    return 1;
}

/* Codes of rows with a value lie inside the dictionary; those of rows without are 0. */
static int lp_are_codes(const int32_t* codes, const uint8_t* validity, int64_t rows, int64_t dict_count) {
    for (int64_t row = 0; row < rows; ++row) {
        if ((uint32_t)codes[row] < (uint64_t)dict_count)
            continue;
        if (validity == NULL || lp_bit(validity, row) || codes[row] != 0)
            return 0;
    }
    return 1;
}

static int lp_is_time_range(const int64_t* times, int64_t rows, int64_t least, int64_t greatest) {
    int64_t found_least = times[0], found_greatest = times[0];
    for (int64_t row = 1; row < rows; ++row) {
        found_least = times[row] < found_least ? times[row] : found_least;
        found_greatest = times[row] > found_greatest ? times[row] : found_greatest;
    }
    return found_least == least && found_greatest == greatest;
}

#endif
