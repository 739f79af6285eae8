/* The primitives of _fast_lines.h for AVX2; see _path_portable.h for what each does. Included only
 * where the compiler targets AVX2 (see _fast_lines.h). No Python API. */
#ifndef LP_PATH_AVX2_H
#define LP_PATH_AVX2_H

#include <immintrin.h>

#include "_columns.h"

static inline bool lp_is_key_avx2(const uint8_t *text, const uint8_t *key, int64_t key_bytes)
{
    /* The key is padded, and the text has its slack: whole vectors, and of the last one only the
     * bytes of the key. */
    __m256i differs = _mm256_setzero_si256();
    int64_t at = 0;
    for (; at + 32 <= key_bytes; at += 32) {
        __m256i left = _mm256_loadu_si256((const __m256i *)(text + at));
        __m256i right = _mm256_loadu_si256((const __m256i *)(key + at));
        differs = _mm256_or_si256(differs, _mm256_xor_si256(left, right));
    }
    __m256i left = _mm256_loadu_si256((const __m256i *)(text + at));
    __m256i right = _mm256_loadu_si256((const __m256i *)(key + at));
    uint32_t same = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(left, right));
    uint32_t wanted = (uint32_t)((UINT64_C(1) << (key_bytes - at)) - 1);
    return _mm256_testz_si256(differs, differs) && (same & wanted) == wanted;
}

static inline bool lp_is_lane_avx2(const uint8_t *text, const lp_lane *lane)
{
    __m256i left = _mm256_loadu_si256((const __m256i *)text);
    __m256i right = _mm256_loadu_si256((const __m256i *)lane->text);
    uint32_t same = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(left, right));
    return (same & lane->mask) == lane->mask;
}

/* A bit for each byte that is no digit. */
static inline uint32_t lp_no_digits_avx2(const uint8_t *text)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)text);
    __m256i digits = _mm256_sub_epi8(bytes, _mm256_set1_epi8('0'));
    __m256i capped = _mm256_min_epu8(digits, _mm256_set1_epi8(9));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(digits, capped));
}

static inline int lp_count_digits_avx2(const uint8_t *text)
{
    uint32_t others = lp_no_digits_avx2(text);
    return others != 0 ? __builtin_ctz(others) : 32;
}

/* The sixteen bytes are digits 0 to 9, the first one the highest. */
static inline uint64_t lp_sixteen_digits_avx2(__m128i digits)
{
    const __m128i tens = _mm_set_epi8(1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10);
    const __m128i hundreds = _mm_set_epi16(1, 100, 1, 100, 1, 100, 1, 100);
    const __m128i ten_thousands = _mm_set_epi16(1, 10000, 1, 10000, 1, 10000, 1, 10000);
    __m128i pairs = _mm_maddubs_epi16(digits, tens);
    __m128i fours = _mm_madd_epi16(pairs, hundreds);
    __m128i eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), ten_thousands);
    uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    return (both & UINT32_MAX) * 100000000 + (both >> 32);
}

/* Value of the last `count` of 16 bytes; 0 for a count below 1. */
static inline uint64_t lp_last_digits_avx2(const uint8_t *end, int count)
{
    const __m128i places = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m128i bytes = _mm_loadu_si128((const __m128i *)(end - 16));
    __m128i digits = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    __m128i in_use = _mm_cmpgt_epi8(_mm_set1_epi8((char)count), places);
    return lp_sixteen_digits_avx2(_mm_and_si128(digits, in_use));
}

/* Without a branch on `count`, which is hard to foresee; and with 32 bytes before `end`. */
static inline uint64_t lp_digits_value_avx2(const uint8_t *end, int count)
{
    return lp_last_digits_avx2(end - 16, count - 16) * UINT64_C(10000000000000000)
        + lp_last_digits_avx2(end, count);
}

/* For digits "." digits of 16 bytes at most, by the places of the point and of the end: how the bytes
 * move so that the digits stand at the right end without the point, zeros before them. */
static uint8_t lp_point_shuffles[16][16][16];

static inline void lp_fill_point_shuffles(void)
{
    for (int whole = 0; whole < 16; whole++) {
        for (int stop = 0; stop < 16; stop++) {
            int fraction = stop - whole - 1;
            for (int i = 0; i < 16; i++) {
                int from = i + stop - 16 - (i < 16 - fraction);
                lp_point_shuffles[whole][stop][i] = (uint8_t)(from < 0 ? 0x80 : from);
            }
        }
    }
}

static inline const uint8_t *lp_short_decimal_avx2(
    const uint8_t *text, uint64_t *digits, int *fraction_digits)
{
    __m128i values = _mm_sub_epi8(
        _mm_loadu_si128((const __m128i *)text), _mm_set1_epi8('0'));
    __m128i capped = _mm_min_epu8(values, _mm_set1_epi8(9));
    uint32_t others = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(values, capped)) ^ 0xFFFF;
    uint32_t after = _blsr_u32(others);
    if (after == 0) {
        return NULL;
    }
    uint32_t whole = _tzcnt_u32(others);
    uint32_t stop = _tzcnt_u32(after);
    if (text[whole] != '.' || whole == 0 || stop == whole + 1) {
        return NULL;
    }
    __m128i shuffle = _mm_loadu_si128((const __m128i *)lp_point_shuffles[whole][stop]);
    *digits = lp_sixteen_digits_avx2(_mm_shuffle_epi8(values, shuffle));
    *fraction_digits = (int)(stop - whole - 1);
    return text + stop;
}

static inline void lp_decimal_ends_avx2(const uint8_t *text, int *whole, int *stop)
{
    uint32_t others = lp_no_digits_avx2(text);
    *whole = others != 0 ? __builtin_ctz(others) : 32;
    *stop = *whole;
    if (*whole < 32 && text[*whole] == '.') {
        others &= others - 1;
        *stop = others != 0 ? __builtin_ctz(others) : 32;
    }
}

static inline void lp_copy_up_to_64_avx2(uint8_t *output, const uint8_t *text, int count)
{
    _mm256_storeu_si256((__m256i *)output, _mm256_loadu_si256((const __m256i *)text));
    if (count > 32) {
        _mm256_storeu_si256(
            (__m256i *)(output + 32), _mm256_loadu_si256((const __m256i *)(text + 32)));
    }
}

static inline uint64_t lp_places_avx2(__m256i first, __m256i second, char byte)
{
    __m256i wanted = _mm256_set1_epi8(byte);
    uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(first, wanted));
    uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(second, wanted));
    return (uint64_t)high << 32 | low;
}

static inline uint64_t lp_find_specials_avx2(const uint8_t *text, uint64_t *backslashes)
{
    __m256i first = _mm256_loadu_si256((const __m256i *)text);
    __m256i second = _mm256_loadu_si256((const __m256i *)(text + 32));
    *backslashes = lp_places_avx2(first, second, '\\');
    return *backslashes | lp_places_avx2(first, second, '"');
}

static inline int lp_find_key_end_avx2(const uint8_t *text)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)text);
    __m256i ends = _mm256_or_si256(
        _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(' ')),
        _mm256_or_si256(
            _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\')),
            _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\n'))));
    uint32_t found = (uint32_t)_mm256_movemask_epi8(ends);
    return found != 0 ? __builtin_ctz(found) : 32;
}

static inline bool lp_is_ascii_avx2(const uint8_t *text)
{
    __m256i bytes = _mm256_or_si256(
        _mm256_loadu_si256((const __m256i *)text), _mm256_loadu_si256((const __m256i *)(text + 32)));
    return _mm256_movemask_epi8(bytes) == 0;
}

static inline int lp_find_value_end_avx2(const uint8_t *text)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)text);
    __m256i ends = _mm256_or_si256(
        _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(',')),
        _mm256_or_si256(
            _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(' ')),
            _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\t'))));
    uint32_t found = (uint32_t)_mm256_movemask_epi8(ends);
    return found != 0 ? __builtin_ctz(found) : 32;
}

static inline int lp_find_line_feed_avx2(const uint8_t *text)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)text);
    uint32_t found = (uint32_t)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\n')));
    return found != 0 ? __builtin_ctz(found) : 32;
}

#endif
