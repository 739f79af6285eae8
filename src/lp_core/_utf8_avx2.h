/* Validation of UTF-8, 32 bytes at a time, after J. Keiser and D. Lemire, "Validating UTF-8 in less
 * than one instruction per byte" (2021): what may follow what is decided by three look-ups, of both
 * halves of a byte and of the upper half of the next one. Each bit of a table entry is one kind of
 * error that these halves allow; where all three agree on a kind, it is there. Included only where
 * the compiler targets AVX2. No Python API. */
#ifndef LP_UTF8_AVX2_H
#define LP_UTF8_AVX2_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    LP_UTF8_TOO_SHORT = 1, /* a lead byte without the bytes that it calls for */
    LP_UTF8_TOO_LONG = 2, /* ASCII and then a continuation */
    LP_UTF8_OVERLONG_3 = 4,
    LP_UTF8_TOO_LARGE = 8, /* above U+10FFFF */
    LP_UTF8_SURROGATE = 16,
    LP_UTF8_OVERLONG_2 = 32,
    LP_UTF8_FOUR_BYTES = 64, /* overlong, or far too large */
    LP_UTF8_CONTINUED = 128, /* two continuations, which only longer sequences have */
    LP_UTF8_ANY_LOW = LP_UTF8_TOO_SHORT | LP_UTF8_TOO_LONG | LP_UTF8_CONTINUED,
    LP_UTF8_HIGH_LOW = LP_UTF8_ANY_LOW | LP_UTF8_TOO_LARGE | LP_UTF8_FOUR_BYTES,
    LP_UTF8_NEXT_LOW = LP_UTF8_TOO_LONG | LP_UTF8_OVERLONG_2 | LP_UTF8_CONTINUED,
};

static const uint8_t lp_utf8_upper[16] = {
    LP_UTF8_TOO_LONG, LP_UTF8_TOO_LONG, LP_UTF8_TOO_LONG, LP_UTF8_TOO_LONG,
    LP_UTF8_TOO_LONG, LP_UTF8_TOO_LONG, LP_UTF8_TOO_LONG, LP_UTF8_TOO_LONG,
    LP_UTF8_CONTINUED, LP_UTF8_CONTINUED, LP_UTF8_CONTINUED, LP_UTF8_CONTINUED,
    LP_UTF8_TOO_SHORT | LP_UTF8_OVERLONG_2,
    LP_UTF8_TOO_SHORT,
    LP_UTF8_TOO_SHORT | LP_UTF8_OVERLONG_3 | LP_UTF8_SURROGATE,
    LP_UTF8_TOO_SHORT | LP_UTF8_TOO_LARGE | LP_UTF8_FOUR_BYTES,
};

static const uint8_t lp_utf8_lower[16] = {
    LP_UTF8_ANY_LOW | LP_UTF8_OVERLONG_3 | LP_UTF8_OVERLONG_2 | LP_UTF8_FOUR_BYTES,
    LP_UTF8_ANY_LOW | LP_UTF8_OVERLONG_2,
    LP_UTF8_ANY_LOW, LP_UTF8_ANY_LOW,
    LP_UTF8_ANY_LOW | LP_UTF8_TOO_LARGE,
    LP_UTF8_HIGH_LOW, LP_UTF8_HIGH_LOW, LP_UTF8_HIGH_LOW, LP_UTF8_HIGH_LOW, LP_UTF8_HIGH_LOW,
    LP_UTF8_HIGH_LOW, LP_UTF8_HIGH_LOW, LP_UTF8_HIGH_LOW,
    LP_UTF8_HIGH_LOW | LP_UTF8_SURROGATE,
    LP_UTF8_HIGH_LOW, LP_UTF8_HIGH_LOW,
};

static const uint8_t lp_utf8_next[16] = {
    LP_UTF8_TOO_SHORT, LP_UTF8_TOO_SHORT, LP_UTF8_TOO_SHORT, LP_UTF8_TOO_SHORT,
    LP_UTF8_TOO_SHORT, LP_UTF8_TOO_SHORT, LP_UTF8_TOO_SHORT, LP_UTF8_TOO_SHORT,
    LP_UTF8_NEXT_LOW | LP_UTF8_OVERLONG_3 | LP_UTF8_FOUR_BYTES,
    LP_UTF8_NEXT_LOW | LP_UTF8_OVERLONG_3 | LP_UTF8_TOO_LARGE,
    LP_UTF8_NEXT_LOW | LP_UTF8_SURROGATE | LP_UTF8_TOO_LARGE,
    LP_UTF8_NEXT_LOW | LP_UTF8_SURROGATE | LP_UTF8_TOO_LARGE,
    LP_UTF8_TOO_SHORT, LP_UTF8_TOO_SHORT, LP_UTF8_TOO_SHORT, LP_UTF8_TOO_SHORT,
};

static inline __m256i lp_utf8_look_up(const uint8_t table[16], __m256i halves)
{
    __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
    return _mm256_shuffle_epi8(both, halves);
}

static inline __m256i lp_upper_halves(__m256i bytes)
{
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0F));
}

/* Not zero where the bytes, which follow `before`, are no UTF-8. What the last bytes call for is seen
 * in the next block. */
static inline __m256i lp_utf8_errors(__m256i bytes, __m256i before)
{
    __m256i seam = _mm256_permute2x128_si256(before, bytes, 0x21);
    __m256i back_1 = _mm256_alignr_epi8(bytes, seam, 15);
    __m256i back_2 = _mm256_alignr_epi8(bytes, seam, 14);
    __m256i back_3 = _mm256_alignr_epi8(bytes, seam, 13);
    __m256i lower = _mm256_and_si256(back_1, _mm256_set1_epi8(0x0F));
    __m256i kinds = _mm256_and_si256(
        _mm256_and_si256(
            lp_utf8_look_up(lp_utf8_upper, lp_upper_halves(back_1)),
            lp_utf8_look_up(lp_utf8_lower, lower)),
        lp_utf8_look_up(lp_utf8_next, lp_upper_halves(bytes)));
    /* Third and fourth bytes: there, and only there, a continuation follows a continuation. */
    __m256i third = _mm256_subs_epu8(back_2, _mm256_set1_epi8((char)(0xE0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(back_3, _mm256_set1_epi8((char)(0xF0 - 0x80)));
    __m256i continued = _mm256_and_si256(
        _mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(continued, kinds);
}

static inline bool lp_is_utf8_avx2(const uint8_t *start, const uint8_t *end)
{
    __m256i before = _mm256_setzero_si256();
    __m256i errors = _mm256_setzero_si256();
    bool was_ascii = true; /* then a block of ASCII needs no look at its seam */
    while (end - start >= 64) {
        __m256i first = _mm256_loadu_si256((const __m256i *)start);
        __m256i second = _mm256_loadu_si256((const __m256i *)(start + 32));
        bool is_ascii = _mm256_movemask_epi8(_mm256_or_si256(first, second)) == 0;
        if (!is_ascii || !was_ascii) {
            errors = _mm256_or_si256(errors, lp_utf8_errors(first, before));
            errors = _mm256_or_si256(errors, lp_utf8_errors(second, first));
        }
        was_ascii = is_ascii;
        before = second;
        start += 64;
    }
    /* The rest, and zeros behind it, in which a sequence that is cut off shows. */
    uint8_t rest[96] = {0};
    memcpy(rest, start, (size_t)(end - start));
    for (int at = 0; at < 96; at += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(rest + at));
        errors = _mm256_or_si256(errors, lp_utf8_errors(bytes, before));
        before = bytes;
    }
    return _mm256_testz_si256(errors, errors);
}

#endif
