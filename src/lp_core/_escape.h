/* Names, tag values and strings as a line spells them, and what no line can spell. All bytes that need
 * a look are ASCII, so UTF-8 is treated byte by byte. Wide compares are GCC vector extensions: SSE2 on
 * x86-64, NEON on aarch64. No Python API. */
#ifndef LP_ESCAPE_H
#define LP_ESCAPE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The parser's limit for one unescaped name or string. */
#define LP_TEXT_BYTES_MAX (INT64_C(1) << 20)

/* Writers of short texts copy in steps of this, so they may write as far as that beyond the text. */
#define LP_COPY_STEP 32

typedef uint8_t lp_bytes16 __attribute__((vector_size(16)));
typedef int8_t lp_signed16 __attribute__((vector_size(16)));
typedef uint64_t lp_words2 __attribute__((vector_size(16)));

typedef enum lp_text_fault {
    LP_TEXT_FINE = 0,
    LP_TEXT_EMPTY,
    LP_TEXT_CONTROL, /* a tab, line feed or (in a table's name) NUL without a backslash before it */
    LP_TEXT_BACKSLASH, /* as the last character */
    LP_TEXT_COMMENT, /* "#" as the first character of a table's name */
    LP_TEXT_LONG
} lp_text_fault;

typedef enum lp_text_place {
    LP_IN_TABLE_NAME,
    LP_IN_NAME, /* a key or a tag value */
    LP_IN_STRING
} lp_text_place;

/* Bit 1 << place: the byte gets a backslash there. */
static const uint8_t lp_escaped_in[256] = {
    [' '] = 1 << LP_IN_TABLE_NAME | 1 << LP_IN_NAME,
    [','] = 1 << LP_IN_TABLE_NAME | 1 << LP_IN_NAME,
    ['='] = 1 << LP_IN_NAME,
    ['"'] = 1 << LP_IN_STRING,
};

/* Copies a short text; `from` is readable and `out` writable up to the next multiple of the step. */
static inline uint8_t *lp_copy_padded(uint8_t *out, const uint8_t *from, int64_t count)
{
    memcpy(out, from, LP_COPY_STEP);
    if (count > LP_COPY_STEP) {
        memcpy(out + LP_COPY_STEP, from + LP_COPY_STEP, (size_t)(count - LP_COPY_STEP));
    }
    return out + count;
}

static inline bool lp_any(lp_bytes16 mask)
{
#ifdef __SSE2__
    return _mm_movemask_epi8((__m128i)mask) != 0;
#else
    lp_words2 words = (lp_words2)mask;
    return (words[0] | words[1]) != 0;
#endif
}

/* Tells whether a byte may not stand there as it is: escapes, control bytes (the few that matter and
 * the others) and whatever is not ASCII. */
static inline bool lp_is_special(lp_bytes16 bytes, lp_text_place place)
{
    lp_signed16 as_signed = (lp_signed16)bytes;
    if (place == LP_IN_STRING) {
        return lp_any((lp_bytes16)(bytes == '"') | (lp_bytes16)(bytes == '\\')
                      | (lp_bytes16)(as_signed < 0));
    }
    return lp_any((lp_bytes16)(as_signed <= ' ') | (lp_bytes16)(bytes == ',')
                  | (lp_bytes16)(bytes == '=') | (lp_bytes16)(bytes == '\\'));
}

/* Copies the text; true when each byte may stand there as it is. Reads and writes `count` bytes only. */
static inline bool lp_copy_if_plain(
    uint8_t *out, const uint8_t *text, int64_t count, lp_text_place place)
{
    lp_bytes16 bytes;
    uint64_t words[2];
    if (count >= 16) {
        bool is_special = false;
        for (int64_t index = 0; index + 16 < count; index += 16) {
            memcpy(&bytes, text + index, 16);
            memcpy(out + index, &bytes, 16);
            is_special |= lp_is_special(bytes, place);
        }
        memcpy(&bytes, text + count - 16, 16);
        memcpy(out + count - 16, &bytes, 16);
        return !(is_special | lp_is_special(bytes, place));
    }
    if (count >= 8) {
        memcpy(&words[0], text, 8);
        memcpy(&words[1], text + count - 8, 8);
        memcpy(out, &words[0], 8);
        memcpy(out + count - 8, &words[1], 8);
    } else if (count >= 4) {
        uint32_t first, last;
        memcpy(&first, text, 4);
        memcpy(&last, text + count - 4, 4);
        memcpy(out, &first, 4);
        memcpy(out + count - 4, &last, 4);
        words[0] = words[1] = first | (uint64_t)last << 32;
    } else if (count > 0) {
        uint64_t first = text[0], middle = text[count >> 1], last = text[count - 1];
        out[0] = (uint8_t)first;
        out[count >> 1] = (uint8_t)middle;
        out[count - 1] = (uint8_t)last;
        words[0] = words[1] = (first | middle << 8 | last << 16) | UINT64_C(0x6161616161000000);
    } else {
        return true;
    }
    memcpy(&bytes, words, 16);
    return !lp_is_special(bytes, place);
}

/* The same for the value of a tag that is ASCII; an empty one is not plain. Eight bytes before `text` can
 * be read, and eight from `out` on be written. */
static inline bool lp_copy_ascii_if_plain(uint8_t *out, const uint8_t *text, int64_t count)
{
    uint64_t first, last;
    if ((uint64_t)count - 1 < 8) {
        memcpy(&first, text + count - 8, 8);
        first >>= -8 * count & 63;
        last = 0;
        memcpy(out, &first, 8);
    } else if ((uint64_t)count - 9 < 8) {
        memcpy(&first, text, 8);
        memcpy(&last, text + count - 8, 8);
        memcpy(out, &first, 8);
        memcpy(out + count - 8, &last, 8);
    } else {
        return count > 16 && count <= LP_TEXT_BYTES_MAX && lp_copy_if_plain(out, text, count, LP_IN_NAME);
    }
    lp_bytes16 bytes = (lp_bytes16)(lp_words2){first, last};
    /* 1 to 32 become the greatest. NUL may stand there as it is. */
    lp_signed16 control = (lp_signed16)(bytes + (uint8_t)(INT8_MAX - ' '));
    return !lp_any((lp_bytes16)(control > INT8_MAX - ' ') | (lp_bytes16)(bytes == ',')
                   | (lp_bytes16)(bytes == '=') | (lp_bytes16)(bytes == '\\'));
}

/* Writes the text with its escapes, at most twice as long. In names a backslash is doubled only where a
 * single one would be read as an escape: before another one and before a byte that is escaped. */
static inline uint8_t *lp_write_escaped(
    uint8_t *out, const uint8_t *text, int64_t count, lp_text_place place)
{
    uint8_t wanted = (uint8_t)(1 << place);
    for (int64_t index = 0; index < count; index++) {
        uint8_t byte = text[index];
        bool gets_backslash = lp_escaped_in[byte] & wanted;
        if (byte == '\\') {
            uint8_t next = index + 1 < count ? text[index + 1] : '\\';
            gets_backslash = place == LP_IN_STRING || next == '\\' || (lp_escaped_in[next] & wanted);
        }
        *out = '\\';
        out += gets_backslash;
        *out++ = byte;
    }
    return out;
}

/* Writes an ASCII tag value with its escapes; NULL when it has a control byte or a backslash, which take
 * a closer look. */
static inline uint8_t *lp_write_spaced(uint8_t *out, const uint8_t *text, int64_t count)
{
    for (int64_t index = 0; index < count; index++) {
        uint8_t byte = text[index];
        if (byte < ' ' || byte == '\\') {
            return NULL;
        }
        *out = '\\';
        out += lp_escaped_in[byte] >> LP_IN_NAME & 1;
        *out++ = byte;
    }
    return out;
}

/* Removes the escapes of a name as lp_write_escaped wrote them. */
static inline uint8_t *lp_write_unescaped(
    uint8_t *out, const uint8_t *text, int64_t count, lp_text_place place)
{
    uint8_t wanted = (uint8_t)(1 << place);
    for (int64_t index = 0; index < count; index++) {
        if (text[index] == '\\' && index + 1 < count
            && (text[index + 1] == '\\' || (lp_escaped_in[text[index + 1]] & wanted))) {
            index++;
        }
        *out++ = text[index];
    }
    return out;
}

/* Tells why no line can carry the text there. Tabs and line feeds end a name unless a backslash stands
 * before them, which then belongs to the name; NUL does so in a table's name. */
static inline lp_text_fault lp_text_fault_of(
    const uint8_t *text, int64_t count, lp_text_place place)
{
    if (count > LP_TEXT_BYTES_MAX) {
        return LP_TEXT_LONG;
    }
    if (place == LP_IN_STRING) {
        return LP_TEXT_FINE;
    }
    if (count == 0) {
        return LP_TEXT_EMPTY;
    }
    for (int64_t index = 0; index < count; index++) {
        bool ends_name = text[index] == '\t' || text[index] == '\n'
                         || (text[index] == '\0' && place == LP_IN_TABLE_NAME);
        if (ends_name && (index == 0 || text[index - 1] != '\\')) {
            return LP_TEXT_CONTROL;
        }
    }
    if (text[count - 1] == '\\') {
        return LP_TEXT_BACKSLASH;
    }
    return place == LP_IN_TABLE_NAME && text[0] == '#' ? LP_TEXT_COMMENT : LP_TEXT_FINE;
}

#endif
