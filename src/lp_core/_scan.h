/* Byte classes of line protocol, cutting a body into logical lines. No Python API.
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

#endif
