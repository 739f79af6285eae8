/* Validation of UTF-8: a plain way that tells where the text breaks, and a wide one that only tells
 * whether it does. No Python API. */
#ifndef LP_UTF8_H
#define LP_UTF8_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "_status.h"

/* Length of the valid UTF-8 sequence at `start`; else 0, with the number of bytes that belong to the
 * broken sequence in *broken, or 0 there when the text ends inside it. */
static inline int lp_utf8_sequence(const uint8_t *start, const uint8_t *end, int *broken)
{
    static const struct { uint8_t first, last, second_min, second_max, bytes; } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (int form = 0; form < 8; form++) {
        if (*start < forms[form].first || *start > forms[form].last) {
            continue;
        }
        for (int i = 1; i < forms[form].bytes; i++) {
            if (end - start <= i) {
                *broken = 0;
                return 0;
            }
            uint8_t least = i == 1 ? forms[form].second_min : 0x80;
            uint8_t greatest = i == 1 ? forms[form].second_max : 0xBF;
            if (start[i] < least || start[i] > greatest) {
                *broken = i;
                return 0;
            }
        }
        return forms[form].bytes;
    }
    *broken = 1;
    return 0;
}

static inline const uint8_t *lp_skip_ascii(const uint8_t *start, const uint8_t *end)
{
    while (end - start >= 32) {
        uint64_t words[4];
        memcpy(words, start, sizeof(words));
        if ((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080)) {
            break;
        }
        start += 32;
    }
    while (start < end && *start < 0x80) {
        start++;
    }
    return start;
}

/* LP_NOT_UTF8: *bad is the first byte of the broken sequence, *broken as in lp_utf8_sequence. */
static inline lp_status lp_validate_utf8(
    const uint8_t *start, const uint8_t *end, const uint8_t **bad, int *broken)
{
    for (;;) {
        start = lp_skip_ascii(start, end);
        if (start == end) {
            return LP_OK;
        }
        int sequence_bytes = lp_utf8_sequence(start, end, broken);
        if (sequence_bytes == 0) {
            *bad = start;
            return LP_NOT_UTF8;
        }
        start += sequence_bytes;
    }
}

/* The start of the character that `text`, which has three bytes before it, is in or before; of what is
 * no character, any byte. Both sides of a cut here are UTF-8 just when the whole is. */
static inline const uint8_t *lp_utf8_cut(const uint8_t *text)
{
    for (int i = 0; i < 3 && (*text & 0xC0) == 0x80; i++) {
        text--;
    }
    return text;
}

static inline bool lp_is_utf8_portable(const uint8_t *start, const uint8_t *end)
{
    const uint8_t *bad;
    int broken;
    return lp_validate_utf8(start, end, &bad, &broken) == LP_OK;
}

#endif
