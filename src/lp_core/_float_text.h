/* Finite doubles as the shortest text that reads back as the same double; among equally short ones the
 * nearest. Equal to Python's repr(), but that integral values are written out, "1e22" as
 * "10000000000000000000000.0". No Python API.
 *
 * The digits come from the Schubfach algorithm (Raffaello Giulietti, "The Schubfach way to render
 * doubles", 2020), which needs powers of ten cut to 128 bits: _float_powers.pyx makes that table. */
#ifndef LP_FLOAT_TEXT_H
#define LP_FLOAT_TEXT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "_digits.h"

/* The sign, 309 digits of the greatest integral double and ".0". */
#define LP_FLOAT_BYTES_MAX 312

/* Numbers with a fraction are below 2^53, so only powers with an exponent from 0 on are needed. */
#define LP_FLOAT_POWERS 325

/* 10^i = (high * 2^64 + low) * 2^s, rounded up to 128 bits, the highest of which is set. */
typedef struct lp_float_power {
    uint64_t high;
    uint64_t low;
} lp_float_power;

static const uint64_t lp_powers_of_ten[20] = {
    1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u,
    100000000000u, 1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u,
    10000000000000000u, 100000000000000000u, 1000000000000000000u, 10000000000000000000u,
};

/* (power * factor) / 2^128, rounded to odd: the lowest bit also stands for all bits that were cut. */
static inline uint64_t lp_multiply_to_odd(lp_float_power power, uint64_t factor)
{
    unsigned __int128 low = (unsigned __int128)power.low * factor;
    unsigned __int128 high = (unsigned __int128)power.high * factor + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

typedef struct lp_shortest {
    uint64_t digits; /* not 0; may end in zeros */
    int32_t exponent; /* of ten */
} lp_shortest;

/* The shortest decimal of a positive double with a fraction, by the bits of the double. */
static inline lp_shortest lp_shortest_of(uint64_t bits, const lp_float_power *powers)
{
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    int32_t biased = (int32_t)(bits >> 52);
    uint64_t significand = biased != 0 ? fraction | (UINT64_C(1) << 52) : fraction;
    int32_t exponent = (biased != 0 ? biased : 1) - 1075;
    bool is_odd = significand & 1; /* the bounds of an even one round to it as well */
    bool is_lower_closer = fraction == 0 && biased > 1;

    /* floor(log10(2^exponent)), of three quarters of it where the lower neighbour is closer */
    int32_t k = (exponent * 1262611 - (is_lower_closer ? 524031 : 0)) >> 22;
    /* exponent + floor(log2(10^-k)) + 1 */
    int32_t shift = exponent + ((-k * 1741647) >> 19) + 1;
    lp_float_power power = powers[-k];
    uint64_t value4 = significand * 4;
    uint64_t lower = lp_multiply_to_odd(power, (value4 - 2 + is_lower_closer) << shift) + is_odd;
    uint64_t middle = lp_multiply_to_odd(power, value4 << shift);
    uint64_t upper = lp_multiply_to_odd(power, (value4 + 2) << shift) - is_odd;

    uint64_t floor_digits = middle / 4;
    if (floor_digits >= 10) {
        uint64_t shorter = floor_digits / 10;
        bool is_below_inside = lower <= 40 * shorter;
        bool is_above_inside = 40 * shorter + 40 <= upper;
        if (is_below_inside != is_above_inside) {
            return (lp_shortest){shorter + is_above_inside, k + 1};
        }
    }
    bool is_below_inside = lower <= 4 * floor_digits;
    bool is_above_inside = 4 * floor_digits + 4 <= upper;
    if (is_below_inside != is_above_inside) {
        return (lp_shortest){floor_digits + is_above_inside, k};
    }
    uint64_t half = 4 * floor_digits + 2;
    bool rounds_up = middle > half || (middle == half && (floor_digits & 1));
    return (lp_shortest){floor_digits + rounds_up, k};
}

/* Removes trailing zeros; `digits` is not 0. */
static inline lp_shortest lp_without_zeros(lp_shortest decimal)
{
    if (decimal.digits % 100000000 == 0) {
        decimal.digits /= 100000000;
        decimal.exponent += 8;
    }
    if (decimal.digits % 10000 == 0) {
        decimal.digits /= 10000;
        decimal.exponent += 4;
    }
    if (decimal.digits % 100 == 0) {
        decimal.digits /= 100;
        decimal.exponent += 2;
    }
    if (decimal.digits % 10 == 0) {
        decimal.digits /= 10;
        decimal.exponent += 1;
    }
    return decimal;
}

/* "1.2e-05": positive and below 10^-4. */
static inline uint8_t *lp_write_tiny(uint8_t *out, lp_shortest decimal)
{
    uint8_t *end = lp_write_uint64(out + 1, decimal.digits);
    uint32_t magnitude = (uint32_t)(1 - (int32_t)(end - out - 1) - decimal.exponent);
    out[0] = out[1];
    out[1] = '.';
    out = end - out > 2 ? end : out + 1;
    *out++ = 'e';
    *out++ = '-';
    if (magnitude >= 100) {
        *out++ = (uint8_t)('0' + magnitude / 100);
    }
    lp_write_2_digits(out, magnitude % 100);
    return out + 2;
}

/* A number below 10^11 that is a decimal of at most four places; NULL for others. The quotient is rounded
 * correctly, so that the decimal reads back as the number. It has at most 15 digits, and no two such
 * decimals read as the same double: a shorter or nearer one, which would have as few, is the same. */
static inline uint8_t *lp_write_short_decimal(uint8_t *out, double number)
{
    uint64_t scaled = (uint64_t)(number * 10000.0 + 0.5);
    if ((double)scaled / 10000.0 != number) {
        return NULL;
    }
    uint32_t fraction = (uint32_t)(scaled % 10000);
    out = lp_write_uint64(out, scaled / 10000);
    *out = '.';
    lp_write_4_digits(out + 1, fraction);
    if (fraction % 100 == 0) {
        return out + 3 - (fraction % 1000 == 0);
    }
    return out + 5 - (fraction % 10 == 0);
}

/* Positive, with a fraction: "0.00012", "12.5" or, below 10^-4, "1.2e-05". */
static inline uint8_t *lp_write_fractional(
    uint8_t *out, uint64_t bits, double number, uint64_t integral, const lp_float_power *powers)
{
    uint8_t *short_end = number < 1e11 ? lp_write_short_decimal(out, number) : NULL;
    if (short_end != NULL) {
        return short_end;
    }
    lp_shortest decimal = lp_without_zeros(lp_shortest_of(bits, powers));
    if (number < 1e-4) {
        return lp_write_tiny(out, decimal);
    }
    int32_t places = -decimal.exponent;
    if (places > 19) { /* 20: 17 digits after "0.000" */
        memcpy(out, "0.000", 5);
        return lp_write_uint64(out + 5, decimal.digits);
    }
    /* A one before the fraction keeps its leading zeros, and the point takes the place of the one. */
    uint64_t scale = lp_powers_of_ten[places];
    out = lp_write_uint64(out, integral);
    uint8_t *end = lp_write_uint64(out, scale + (decimal.digits - integral * scale));
    *out = '.';
    return end;
}

/* All digits of an integral double from 2^64 on, by dividing its bits by 10^9 again and again. */
static inline uint8_t *lp_write_great_integral(uint8_t *out, uint64_t bits)
{
    uint32_t limbs[32] = {0}; /* the lowest first: 1,024 bits */
    uint32_t groups[35]; /* of nine digits, the lowest first */
    int32_t group_count = 0;
    int32_t exponent = (int32_t)(bits >> 52) - 1075;
    uint64_t significand = (bits & ((UINT64_C(1) << 52) - 1)) | (UINT64_C(1) << 52);
    int32_t first = exponent / 32;
    unsigned __int128 shifted = (unsigned __int128)significand << exponent % 32;
    for (int32_t i = 0; i < 3 && first + i < 32; i++) {
        limbs[first + i] = (uint32_t)(shifted >> 32 * i);
    }
    int32_t limb_count = first + 3 < 32 ? first + 3 : 32;
    while (limb_count > 0) {
        uint64_t rest = 0;
        for (int32_t i = limb_count - 1; i >= 0; i--) {
            rest = rest << 32 | limbs[i];
            limbs[i] = (uint32_t)(rest / 1000000000);
            rest %= 1000000000;
        }
        groups[group_count++] = (uint32_t)rest;
        while (limb_count > 0 && limbs[limb_count - 1] == 0) {
            limb_count--;
        }
    }
    out = lp_write_uint64(out, groups[--group_count]);
    while (group_count > 0) {
        uint32_t group = groups[--group_count];
        *out = (uint8_t)('0' + group / 100000000);
        lp_write_8_digits(out + 1, group % 100000000);
        out += 9;
    }
    return out;
}

/* A finite number; writes within LP_FLOAT_BYTES_MAX bytes. */
static inline uint8_t *lp_write_double(uint8_t *out, double number, const lp_float_power *powers)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    if (bits >> 63) {
        *out++ = '-';
        bits &= ~(UINT64_C(1) << 63);
        number = -number;
    }
    if (number < 18446744073709551616.0) {
        uint64_t integral = (uint64_t)number;
        if ((double)integral != number) {
            return lp_write_fractional(out, bits, number, integral, powers);
        }
        out = lp_write_uint64(out, integral);
    } else {
        out = lp_write_great_integral(out, bits);
    }
    memcpy(out, ".0", 2);
    return out + 2;
}

#endif
