/* Numbers of line protocol: [-]digits with an optional fraction and exponent, ASCII only. Floats round
 * correctly at any length. No Python API, no locale: strtod only ever sees digits and an exponent. */
#ifndef LP_NUMBER_H
#define LP_NUMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_status.h"

/* No double, and no point half way between two, needs more significant digits than 767: digits after
 * these only matter by being zero or not. */
#define LP_DIGITS_KEPT 800
#define LP_EXPONENT_MAX INT64_C(1000000000000000)
#define LP_POWERS_EXACT 22

#define LP_UNIT_AUTO 0 /* the unit of a time is guessed from its size */

typedef struct lp_decimal {
    bool is_negative;
    const uint8_t *digits; /* first digit */
    const uint8_t *digits_end; /* after the last digit before fraction and exponent */
    const uint8_t *fraction_end; /* after the fraction; digits_end when there is none */
    int64_t exponent; /* as written, clamped */
} lp_decimal;

static inline const uint8_t *lp_skip_digits(const uint8_t *start, const uint8_t *end)
{
    while (start < end && (uint8_t)(*start - '0') < 10) {
        start++;
    }
    return start;
}

/* Matches [-]digits. Returns the byte after, or NULL when there is no digit. */
static inline const uint8_t *lp_match_integer(
    const uint8_t *start, const uint8_t *end, lp_decimal *number)
{
    number->is_negative = start < end && *start == '-';
    number->digits = start + number->is_negative;
    number->digits_end = lp_skip_digits(number->digits, end);
    number->fraction_end = number->digits_end;
    number->exponent = 0;
    return number->digits_end > number->digits ? number->digits_end : NULL;
}

/* Matches what may follow the digits of a float; returns the byte after the float. */
static inline const uint8_t *lp_match_float_rest(
    const uint8_t *start, const uint8_t *end, lp_decimal *number)
{
    if (end - start >= 2 && *start == '.' && (uint8_t)(start[1] - '0') < 10) {
        start = lp_skip_digits(start + 1, end);
        number->fraction_end = start;
    }
    if (start == end || (*start | 0x20) != 'e') {
        return start;
    }
    const uint8_t *digit = start + 1;
    bool is_negative = digit < end && *digit == '-';
    digit += digit < end && (*digit == '-' || *digit == '+');
    const uint8_t *exponent_end = lp_skip_digits(digit, end);
    if (exponent_end == digit) {
        return start; /* an "e" without digits does not belong to the number */
    }
    int64_t exponent = 0;
    for (; digit < exponent_end; digit++) {
        exponent = exponent * 10 + (*digit - '0');
        if (exponent > LP_EXPONENT_MAX) {
            exponent = LP_EXPONENT_MAX;
        }
    }
    number->exponent = is_negative ? -exponent : exponent;
    return exponent_end;
}

/* The digits as an unsigned number; false when it needs more than 64 bits. */
static inline bool lp_magnitude(const lp_decimal *number, uint64_t *magnitude)
{
    const uint8_t *digit = number->digits;
    while (digit < number->digits_end && *digit == '0') {
        digit++;
    }
    if (number->digits_end - digit > 20) {
        return false;
    }
    uint64_t value = 0;
    for (; digit < number->digits_end; digit++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value)
            || __builtin_add_overflow(value, (uint64_t)(*digit - '0'), &value)) {
            return false;
        }
    }
    *magnitude = value;
    return true;
}

static inline bool lp_int64(const lp_decimal *number, int64_t *value)
{
    uint64_t magnitude;
    if (!lp_magnitude(number, &magnitude)) {
        return false;
    }
    if (magnitude > (uint64_t)INT64_MAX + number->is_negative) {
        return false;
    }
    *value = (int64_t)(number->is_negative ? 0 - magnitude : magnitude);
    return true;
}

/* The decimal, whatever its length: its digits go to strtod as one integer with an exponent. */
static inline double lp_double_exact(const lp_decimal *number)
{
    char text[LP_DIGITS_KEPT + 32];
    int used = 0;
    int64_t exponent = number->exponent;
    bool lost_nonzero = false;
    for (const uint8_t *byte = number->digits; byte < number->fraction_end; byte++) {
        if (*byte == '.') {
            continue;
        }
        exponent -= byte >= number->digits_end;
        if (used < LP_DIGITS_KEPT) {
            if (used > 0 || *byte != '0') {
                text[used++] = (char)*byte;
            }
        } else {
            lost_nonzero |= *byte != '0';
            exponent += 1;
        }
    }
    if (used == 0) {
        return 0.0;
    }
    if (lost_nonzero) {
        text[used++] = '1';
        exponent -= 1;
    }
    if (exponent > 100000) {
        exponent = 100000;
    } else if (exponent < -100000) {
        exponent = -100000;
    }
    text[used++] = 'e';
    text[used++] = exponent < 0 ? '-' : '+';
    uint64_t rest = (uint64_t)(exponent < 0 ? -exponent : exponent);
    for (uint64_t power = 100000; power > 0; power /= 10) {
        text[used++] = (char)('0' + rest / power % 10);
    }
    text[used] = '\0';
    return strtod(text, NULL);
}

static const double lp_powers_of_ten[LP_POWERS_EXACT + 1] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

static const uint64_t lp_integer_powers[20] = {
    UINT64_C(1), UINT64_C(10), UINT64_C(100), UINT64_C(1000), UINT64_C(10000), UINT64_C(100000),
    UINT64_C(1000000), UINT64_C(10000000), UINT64_C(100000000), UINT64_C(1000000000),
    UINT64_C(10000000000), UINT64_C(100000000000), UINT64_C(1000000000000),
    UINT64_C(10000000000000), UINT64_C(100000000000000), UINT64_C(1000000000000000),
    UINT64_C(10000000000000000), UINT64_C(100000000000000000), UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000),
};

/* (high, low) / divisor, where high < divisor and the divisor's top bit is set. */
static inline uint64_t lp_divide_wide(uint64_t high, uint64_t low, uint64_t divisor, uint64_t *rest)
{
#if defined(__x86_64__)
    uint64_t quotient;
    __asm__("divq %4" : "=a"(quotient), "=d"(*rest) : "a"(low), "d"(high), "r"(divisor) : "cc");
    return quotient;
#else
    unsigned __int128 dividend = (unsigned __int128)high << 64 | low;
    *rest = (uint64_t)(dividend % divisor);
    return (uint64_t)(dividend / divisor);
#endif
}

/* 2^127 over 10^n shifted until its top bit is set, rounded down (for n = 0 to what fits). */
static const uint64_t lp_reciprocals[20] = {
    UINT64_C(0xffffffffffffffff), UINT64_C(0xcccccccccccccccc), UINT64_C(0xa3d70a3d70a3d70a), UINT64_C(0x83126e978d4fdf3b),
    UINT64_C(0xd1b71758e219652b), UINT64_C(0xa7c5ac471b478423), UINT64_C(0x8637bd05af6c69b5), UINT64_C(0xd6bf94d5e57a42bc),
    UINT64_C(0xabcc77118461cefc), UINT64_C(0x89705f4136b4a597), UINT64_C(0xdbe6fecebdedd5be), UINT64_C(0xafebff0bcb24aafe),
    UINT64_C(0x8cbccc096f5088cb), UINT64_C(0xe12e13424bb40e13), UINT64_C(0xb424dc35095cd80f), UINT64_C(0x901d7cf73ab0acd9),
    UINT64_C(0xe69594bec44de15b), UINT64_C(0xb877aa3236a4b449), UINT64_C(0x9392ee8e921d5d07), UINT64_C(0xec1e4a7db69561a5),
};

/* 63 or 64 bits of dividend * 2^63 / divisor, where both have their top bits set, and in *rest not 0
 * when there is more. */
static __attribute__((noinline)) uint64_t lp_exact_quotient(
    uint64_t dividend, uint64_t divisor, uint64_t *rest)
{
    return lp_divide_wide(dividend >> 1, dividend << 63, divisor, rest);
}

/* digits / 10^power, correctly rounded, for digits > 0 and power from 1 to 19; the result is at least
 * 1e-19, hence normal. Digits and power of ten are shifted until their top bits are set, so that
 * their quotient has 63 or 64 bits: 53 to keep, the rest to round by. Multiplying by the reciprocal
 * gives a quotient that is too small by less than 2; only where this could change the rounding is
 * there a division. */
static inline double lp_quotient_by_power(uint64_t digits, int power)
{
    uint64_t divisor = lp_integer_powers[power];
    int digits_shift = __builtin_clzll(digits);
    int divisor_shift = __builtin_clzll(divisor);
    uint64_t dividend = digits << digits_shift;
    uint64_t quotient = (uint64_t)(
        (unsigned __int128)dividend * lp_reciprocals[power] >> 64);
    uint64_t rest = 1; /* more than the quotient says */
    int lead = __builtin_clzll(quotient); /* 0 or 1 */
    uint64_t half = UINT64_C(0x400) >> lead;
    uint64_t cut = quotient & (2 * half - 1);
    if (__builtin_expect(cut - (half - 2) <= 2, 0)) {
        quotient = lp_exact_quotient(dividend, divisor << divisor_shift, &rest);
        lead = __builtin_clzll(quotient);
        half = UINT64_C(0x400) >> lead;
        cut = quotient & (2 * half - 1);
    }
    uint64_t kept = quotient >> (11 - lead);
    kept += (cut > half) | ((cut == half) & ((rest != 0) | (kept & 1)));
    /* The quotient's top bit stands for 2^-lead and the two shifts. */
    int exponent = divisor_shift - digits_shift - lead;
    uint64_t bits = ((uint64_t)(exponent + 1023) << 52) + (kept - (UINT64_C(1) << 52));
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* digits / 10^power, correctly rounded, for power up to 19. */
static inline double lp_divided_by_power(uint64_t digits, int power)
{
    return digits == 0 || power == 0 ? (double)digits : lp_quotient_by_power(digits, power);
}

/* digits / 10^power, correctly rounded, for power up to 19: in hardware where both are exact. */
static inline double lp_scaled_down(uint64_t digits, int power)
{
    if (digits <= UINT64_C(1) << 53) {
        return (double)digits / lp_powers_of_ten[power];
    }
    return lp_divided_by_power(digits, power);
}

/* Correctly rounded. Digits that fit 53 bits, times or over a power of ten that a double holds exactly,
 * round once in hardware; the rest takes an exact way. */
static inline double lp_double(const lp_decimal *number)
{
    bool has_fraction = number->fraction_end > number->digits_end;
    int64_t fraction_digits = has_fraction ? number->fraction_end - number->digits_end - 1 : 0;
    int64_t digit_count = number->digits_end - number->digits + fraction_digits;
    int64_t exponent = number->exponent - fraction_digits;
    double value;
    if (digit_count > 19) {
        value = lp_double_exact(number);
    } else {
        uint64_t digits = 0;
        for (const uint8_t *byte = number->digits; byte < number->digits_end; byte++) {
            digits = digits * 10 + (uint64_t)(*byte - '0');
        }
        for (const uint8_t *byte = number->fraction_end - fraction_digits;
             byte < number->fraction_end; byte++) {
            digits = digits * 10 + (uint64_t)(*byte - '0');
        }
        if (exponent <= 0 && exponent >= -19) {
            value = lp_scaled_down(digits, (int)-exponent);
        } else if (digits <= UINT64_C(1) << 53 && exponent >= -LP_POWERS_EXACT
                   && exponent <= LP_POWERS_EXACT) {
            value = (double)digits;
            value = exponent < 0 ? value / lp_powers_of_ten[-exponent]
                                 : value * lp_powers_of_ten[exponent];
        } else {
            value = lp_double_exact(number);
        }
    }
    return number->is_negative ? -value : value;
}

/* A time of that unit in nanoseconds; false when it leaves the 64 bits. */
static inline bool lp_scale_time(int64_t time, int64_t unit_ns, int64_t *time_ns)
{
    uint64_t magnitude = time >= 0 ? (uint64_t)time : 0 - (uint64_t)time;
    if (unit_ns == LP_UNIT_AUTO) {
        if (magnitude < UINT64_C(5000000000)) {
            unit_ns = 1000000000;
        } else if (magnitude < UINT64_C(5000000000000)) {
            unit_ns = 1000000;
        } else if (magnitude < UINT64_C(5000000000000000)) {
            unit_ns = 1000;
        } else {
            unit_ns = 1;
        }
    }
    return !__builtin_mul_overflow(time, unit_ns, time_ns);
}

#endif
