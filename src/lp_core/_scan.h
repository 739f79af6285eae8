/* Byte classes of line protocol, cutting a body into logical lines, UTF-8 validation. No Python API.
 * Every function stays inside [start, end) for any bytes whatsoever. */
#ifndef LP_SCAN_H
#define LP_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "_status.h"

#define LP_SPACE 1
#define LP_TAB_LF 2
#define LP_NUL 4
#define LP_COMMA 8
#define LP_EQUALS 16
#define LP_BACKSLASH 32
#define LP_QUOTE 64
#define LP_DIGIT 128

/* What ends an unescaped run, and what a backslash takes its meaning from. */
#define LP_ENDS_MEASUREMENT (LP_SPACE | LP_TAB_LF | LP_NUL | LP_COMMA)
#define LP_ENDS_KEY (LP_SPACE | LP_TAB_LF | LP_EQUALS)
#define LP_ENDS_TAG_VALUE (LP_SPACE | LP_TAB_LF | LP_COMMA)
#define LP_ESCAPABLE_IN_MEASUREMENT (LP_SPACE | LP_COMMA | LP_BACKSLASH)
#define LP_ESCAPABLE_IN_NAME (LP_SPACE | LP_COMMA | LP_BACKSLASH | LP_EQUALS)
#define LP_ESCAPABLE_IN_STRING (LP_QUOTE | LP_BACKSLASH)

static const uint8_t lp_byte_class[256] = {
    ['\0'] = LP_NUL, ['\t'] = LP_TAB_LF, ['\n'] = LP_TAB_LF, [' '] = LP_SPACE, ['"'] = LP_QUOTE,
    [','] = LP_COMMA, ['='] = LP_EQUALS, ['\\'] = LP_BACKSLASH,
    ['0'] = LP_DIGIT, ['1'] = LP_DIGIT, ['2'] = LP_DIGIT, ['3'] = LP_DIGIT, ['4'] = LP_DIGIT,
    ['5'] = LP_DIGIT, ['6'] = LP_DIGIT, ['7'] = LP_DIGIT, ['8'] = LP_DIGIT, ['9'] = LP_DIGIT,
};

/* Returns the first byte of one of the classes, or `end`. */
static inline const uint8_t *lp_scan_until(const uint8_t *start, const uint8_t *end, uint8_t classes)
{
    while (start < end && !(lp_byte_class[*start] & classes)) {
        start++;
    }
    return start;
}

/* Returns the first byte that is not of the classes, or `end`. */
static inline const uint8_t *lp_scan_while(const uint8_t *start, const uint8_t *end, uint8_t classes)
{
    while (start < end && (lp_byte_class[*start] & classes)) {
        start++;
    }
    return start;
}

static inline const uint8_t *lp_find_byte(const uint8_t *start, const uint8_t *end, uint8_t byte)
{
    const uint8_t *found = NULL;
    if (start < end) {
        found = (const uint8_t *)memchr(start, byte, (size_t)(end - start));
    }
    return found != NULL ? found : end;
}

static inline int64_t lp_count_line_feeds(const uint8_t *start, const uint8_t *end)
{
    int64_t count = 0;
    while (end - start >= 128) {
        uint8_t block_count = 0; /* of one byte, so that compilers count many bytes at once */
        for (int i = 0; i < 128; i++) {
            block_count += start[i] == '\n';
        }
        count += block_count;
        start += 128;
    }
    for (; start < end; start++) {
        count += *start == '\n';
    }
    return count;
}

/* Returns the first space without a backslash before it, or `end`. */
static inline const uint8_t *lp_unescaped_space(const uint8_t *start, const uint8_t *end)
{
    while (start < end) {
        start = lp_scan_until(start, end, LP_SPACE | LP_BACKSLASH);
        if (start == end || *start == ' ') {
            return start;
        }
        start += end - start > 1 ? 2 : 1;
    }
    return end;
}

/* The pass with five pieces of state: escaped, in fields, quoted, equals, commas. Returns the line feed
 * that ends the logical line, or `end`. */
static inline const uint8_t *lp_cut_quoted(const uint8_t *start, const uint8_t *end)
{
    bool in_fields = false;
    bool quoted = false;
    int64_t equals = 0;
    int64_t commas = 0;
    for (; start < end; start++) {
        switch (*start) {
        case '\\':
            if (end - start == 1) {
                return end;
            }
            start++; /* the next byte is inert */
            break;
        case '\n':
            if (!quoted) {
                return start;
            }
            break;
        case ' ':
            in_fields = true;
            break;
        case '"':
            if (in_fields && equals > commas) {
                quoted = !quoted;
            }
            break;
        case '=':
            equals += in_fields && !quoted;
            break;
        case ',':
            commas += in_fields && !quoted;
            break;
        }
    }
    return end;
}

/* Returns the line feed that ends the logical line starting at `start`, or `end`. Without backslash
 * and quote the first line feed cuts. */
static inline const uint8_t *lp_cut_line(const uint8_t *start, const uint8_t *end)
{
    const uint8_t *line_feed = lp_find_byte(start, end, '\n');
    if (lp_find_byte(start, line_feed, '"') == line_feed
        && lp_find_byte(start, line_feed, '\\') == line_feed) {
        return line_feed;
    }
    return lp_cut_quoted(start, end);
}

/* Returns where the text of a logical line starts: after blanks and comments. */
static inline const uint8_t *lp_skip_blanks_and_comments(const uint8_t *start, const uint8_t *end)
{
    start = lp_scan_while(start, end, LP_SPACE | LP_TAB_LF);
    while (start < end && *start == '#') {
        start = lp_find_byte(start, end, '\n');
        start = lp_scan_while(start, end, LP_SPACE | LP_TAB_LF);
    }
    return start;
}

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

#endif
