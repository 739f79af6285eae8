/* The primitives of _fast_lines.h in plain C: for machines without a path of their own, and the
 * plain reading of what the others do. Each may read up to LP_SLACK bytes from its first argument,
 * whatever they are. No Python API. */
#ifndef LP_PATH_PORTABLE_H
#define LP_PATH_PORTABLE_H

#include "_columns.h"
#include "_number.h"

static inline bool lp_is_key_portable(const uint8_t *text, const uint8_t *key, int64_t key_bytes)
{
    return memcmp(text, key, (size_t)key_bytes) == 0;
}

static inline bool lp_is_lane_portable(const uint8_t *text, const lp_lane *lane)
{
    int64_t first = lane->text_bytes < 32 ? lane->text_bytes : 32;
    return memcmp(text, lane->text, (size_t)first) == 0;
}

/* Number of digits at `text`, 32 when there are more. */
static inline int lp_count_digits_portable(const uint8_t *text)
{
    int count = 0;
    while (count < 32 && (uint8_t)(text[count] - '0') < 10) {
        count++;
    }
    return count;
}

/* Value of up to 19 digits that end at `end`. */
static inline uint64_t lp_digits_value_portable(const uint8_t *end, int count)
{
    uint64_t value = 0;
    for (const uint8_t *digit = end - count; digit < end; digit++) {
        value = value * 10 + (uint64_t)(*digit - '0');
    }
    return value;
}

/* Matches digits "." digits with at most 15 digits in all; the byte after them, or NULL. */
static inline const uint8_t *lp_short_decimal_portable(
    const uint8_t *text, uint64_t *digits, int *fraction_digits)
{
    int whole = lp_count_digits_portable(text);
    if (whole == 0 || whole > 14 || text[whole] != '.') {
        return NULL;
    }
    int fraction = lp_count_digits_portable(text + whole + 1);
    if (fraction == 0 || whole + fraction > 15) {
        return NULL;
    }
    *digits = lp_digits_value_portable(text + whole, whole);
    for (int i = 0; i < fraction; i++) {
        *digits = *digits * 10 + (uint64_t)(text[whole + 1 + i] - '0');
    }
    *fraction_digits = fraction;
    return text + whole + 1 + fraction;
}

/* Where the digits end, and where the digits after a point do; 32: not within 32 bytes. */
static inline void lp_decimal_ends_portable(const uint8_t *text, int *whole, int *stop)
{
    *whole = lp_count_digits_portable(text);
    *stop = *whole;
    if (*whole < 32 && text[*whole] == '.') {
        *stop += 1;
        while (*stop < 32 && (uint8_t)(text[*stop] - '0') < 10) {
            *stop += 1;
        }
    }
}

/* Copies `count` bytes, or more, but not beyond 64. */
static inline void lp_copy_up_to_64_portable(uint8_t *output, const uint8_t *text, int count)
{
    memcpy(output, text, 32);
    if (count > 32) {
        memcpy(output + 32, text + 32, 32);
    }
}

/* A bit for each quote and backslash among 64 bytes, and for each backslash. */
static inline uint64_t lp_find_specials_portable(const uint8_t *text, uint64_t *backslashes)
{
    uint64_t quotes = 0;
    *backslashes = 0;
    for (int i = 0; i < 64; i++) {
        *backslashes |= (uint64_t)(text[i] == '\\') << i;
        quotes |= (uint64_t)(text[i] == '"') << i;
    }
    return quotes | *backslashes;
}

/* Place of the first space, backslash or line feed among 32 bytes; 32: none. */
static inline int lp_find_key_end_portable(const uint8_t *text)
{
    int count = 0;
    while (count < 32 && text[count] != ' ' && text[count] != '\\' && text[count] != '\n') {
        count++;
    }
    return count;
}

/* Whether 64 bytes are ASCII. */
static inline bool lp_is_ascii_portable(const uint8_t *text)
{
    uint64_t words[8];
    memcpy(words, text, sizeof(words));
    uint64_t all = words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7];
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

/* Place of the first comma, space or tab among 32 bytes; 32: none. */
static inline int lp_find_value_end_portable(const uint8_t *text)
{
    int count = 0;
    while (count < 32 && text[count] != ',' && text[count] != ' ' && text[count] != '\t') {
        count++;
    }
    return count;
}

/* Place of the first line feed among 32 bytes; 32: none. */
static inline int lp_find_line_feed_portable(const uint8_t *text)
{
    int count = 0;
    while (count < 32 && text[count] != '\n') {
        count++;
    }
    return count;
}

#endif
