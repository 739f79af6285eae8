/* Integers as decimal text, two digits at a time. No Python API. Every writer returns the byte after
 * what it wrote and needs LP_INTEGER_BYTES_MAX bytes of room. */
#ifndef LP_DIGITS_H
#define LP_DIGITS_H

#include <stdint.h>
#include <string.h>

#define LP_INTEGER_BYTES_MAX 20 /* of -2^63 and of 2^64 - 1 */

static const char lp_digit_pairs[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
    "49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697"
    "9899";

static inline void lp_write_2_digits(uint8_t *out, uint32_t number)
{
    memcpy(out, lp_digit_pairs + 2 * number, 2);
}

static inline void lp_write_4_digits(uint8_t *out, uint32_t number)
{
    lp_write_2_digits(out, number / 100);
    lp_write_2_digits(out + 2, number % 100);
}

static inline void lp_write_8_digits(uint8_t *out, uint32_t number)
{
    lp_write_4_digits(out, number / 10000);
    lp_write_4_digits(out + 4, number % 10000);
}

/* A number below 10^4 without leading zeros. */
static inline uint8_t *lp_write_up_to_4_digits(uint8_t *out, uint32_t number)
{
    uint32_t upper = number;
    if (number >= 100) {
        upper = number / 100;
    }
    if (upper < 10) {
        *out++ = (uint8_t)('0' + upper);
    } else {
        lp_write_2_digits(out, upper);
        out += 2;
    }
    if (number >= 100) {
        lp_write_2_digits(out, number % 100);
        out += 2;
    }
    return out;
}

/* A number below 10^8 without leading zeros. */
static inline uint8_t *lp_write_up_to_8_digits(uint8_t *out, uint32_t number)
{
    if (number < 10000) {
        return lp_write_up_to_4_digits(out, number);
    }
    out = lp_write_up_to_4_digits(out, number / 10000);
    lp_write_4_digits(out, number % 10000);
    return out + 4;
}

/* A number from 10^8 on. */
static uint8_t *lp_write_long_uint64(uint8_t *out, uint64_t number)
{
    uint64_t upper = number / 100000000;
    if (upper < 100000000) {
        out = lp_write_up_to_8_digits(out, (uint32_t)upper);
    } else {
        out = lp_write_up_to_4_digits(out, (uint32_t)(upper / 100000000));
        lp_write_8_digits(out, (uint32_t)(upper % 100000000));
        out += 8;
    }
    lp_write_8_digits(out, (uint32_t)(number % 100000000));
    return out + 8;
}

static inline uint8_t *lp_write_uint64(uint8_t *out, uint64_t number)
{
    if (number < 100000000) {
        return lp_write_up_to_8_digits(out, (uint32_t)number);
    }
    return lp_write_long_uint64(out, number);
}

static inline uint8_t *lp_write_int64(uint8_t *out, int64_t number)
{
    if (number >= 0) {
        return lp_write_uint64(out, (uint64_t)number);
    }
    *out = '-';
    return lp_write_uint64(out + 1, 0 - (uint64_t)number);
}

#define LP_SHORT_NUMBER_MAX 999

/* The texts of short numbers, each with its length behind. */
typedef struct lp_short_numbers {
    uint8_t texts[LP_SHORT_NUMBER_MAX + 1][4];
} lp_short_numbers;

static inline void lp_fill_short_numbers(lp_short_numbers *numbers)
{
    for (uint32_t number = 0; number <= LP_SHORT_NUMBER_MAX; number++) {
        uint8_t *text = numbers->texts[number];
        text[3] = (uint8_t)(lp_write_up_to_4_digits(text, number) - text);
    }
}

/* Writes four bytes and returns how many of them are the number. */
static inline int64_t lp_write_short_number(
    uint8_t *out, const lp_short_numbers *numbers, uint32_t number)
{
    memcpy(out, numbers->texts[number], 4);
    return numbers->texts[number][3];
}

/* All but the last eight digits of a number, which the next ones may share, as times do. */
typedef struct lp_upper_digits {
    uint64_t least; /* number that begins with them; at first none */
    int64_t count;
    uint8_t digits[LP_INTEGER_BYTES_MAX];
} lp_upper_digits;

#define LP_LAST_DIGITS 100000000
#define LP_UPPER_DIGITS_STEP 12 /* no number of 64 bits has more */

static __attribute__((noinline)) void lp_note_upper_digits(lp_upper_digits *upper, uint64_t number)
{
    upper->least = number - number % LP_LAST_DIGITS;
    upper->count = lp_write_uint64(upper->digits, number / LP_LAST_DIGITS) - upper->digits;
}

/* Makes the digits those of the number; returns how many it has in all. */
static inline int64_t lp_digits_of(lp_upper_digits *upper, uint64_t number)
{
    if (number - upper->least >= LP_LAST_DIGITS) {
        lp_note_upper_digits(upper, number);
    }
    return upper->count + 8;
}

/* Writes such a number of LP_UPPER_DIGITS_STEP digits or more. */
static inline void lp_write_with_upper(uint8_t *out, const lp_upper_digits *upper, uint64_t number)
{
    memcpy(out, upper->digits, LP_UPPER_DIGITS_STEP);
    lp_write_8_digits(out + upper->count, (uint32_t)(number - upper->least));
}

#endif
