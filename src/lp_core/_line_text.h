/* The text of one line while it is built: name of the table, tags, fields, each item as ",key=value".
 * Knows no Python; its owner, LineBuilder, guards it by the GIL. */
#ifndef LP_LINE_TEXT_H
#define LP_LINE_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_digits.h"
#include "_escape.h"
#include "_float_text.h"
#include "_line_steps.h"

#define LP_LINE_BYTES_MIN 1024
#define LP_KEYS_SEEN_BITS 256
#define LP_KEY_TAGS 64
/* Beyond, dicts hold the line: to search it for each key would take the square of its length. */
#define LP_KEYS_MAX 256

typedef struct lp_line_text {
    uint8_t *bytes; /* NULL, with no capacity, while dicts hold the line */
    int64_t used;
    int64_t capacity;
    int64_t tags_at; /* after the name */
    int64_t fields_at; /* after the tags */
    bool is_ascii;
    lp_line_step *step; /* where the line is among those before; NULL: nowhere */
    /* What tells that a key is new, most often without a look at the text: a bit of each key's hash,
     * and 16 bits of the hashes of the first keys. Of the keys that led to `step` some may be missing. */
    int64_t key_count;
    uint64_t keys_seen[LP_KEYS_SEEN_BITS / 64];
    uint16_t key_tags[LP_KEY_TAGS];
} lp_line_text;

/* Makes room; false when memory is out or dicts hold the line. */
static __attribute__((noinline)) bool lp_line_grow(lp_line_text *line, int64_t more)
{
    int64_t capacity = line->capacity * 2;
    if (line->bytes == NULL) {
        return false;
    }
    if (capacity < line->used + more) {
        capacity = line->used + more;
    }
    uint8_t *bytes = (uint8_t *)realloc(line->bytes, (size_t)capacity);
    if (bytes == NULL) {
        return false;
    }
    line->bytes = bytes;
    line->capacity = capacity;
    return true;
}

static inline uint16_t lp_key_tag(const lp_line_key *key)
{
    return (uint16_t)(key->hash >> 32);
}

/* Whether ",key=" stands in the line: as a key or, by accident, in a string; or the line has too many keys
 * to tell. */
static __attribute__((noinline)) bool lp_line_has(const lp_line_text *line, const lp_line_key *key)
{
    if (line->key_count > LP_KEYS_MAX) {
        return true;
    }
    if (line->key_count <= LP_KEY_TAGS) {
        uint16_t tag = lp_key_tag(key);
        bool may_have = false;
        for (int64_t number = 0; number < line->key_count; number++) {
            may_have |= line->key_tags[number] == tag;
        }
        if (!may_have) {
            return false;
        }
    }
    return memmem(line->bytes + line->tags_at, (size_t)(line->used - line->tags_at), key->fragment,
                  (size_t)key->fragment_bytes) != NULL;
}

static inline void lp_line_note_key(lp_line_text *line, const lp_line_key *key)
{
    line->keys_seen[key->hash % LP_KEYS_SEEN_BITS / 64] |= UINT64_C(1) << key->hash % 64;
    line->key_tags[line->key_count % LP_KEY_TAGS] = lp_key_tag(key);
    line->key_count++;
}

/* Whether the key does not stand in the line yet. False also when dicts hold the line. */
static __attribute__((noinline)) bool lp_line_is_new(lp_line_text *line, const lp_line_key *key)
{
    if (line->bytes == NULL) {
        return false;
    }
    int64_t noted = line->key_count;
    for (const lp_line_step *step = line->step; step != NULL && step->depth > noted; step = step->before) {
        lp_line_note_key(line, &step->key);
    }
    return !(line->keys_seen[key->hash % LP_KEYS_SEEN_BITS / 64] >> key->hash % 64 & 1)
           || !lp_line_has(line, key);
}

static inline void lp_line_empty(
    lp_line_text *line, lp_line_steps *steps, int64_t name_bytes, lp_line_step *root)
{
    line->used = line->tags_at = line->fields_at = name_bytes;
    line->key_count = 0;
    memset(line->keys_seen, 0, sizeof(line->keys_seen));
    line->step = root;
    steps->lines += root != NULL;
}

/* Starts an empty line at the root of its table, or with NULL at none. There is room for the name. */
static inline void lp_line_start(
    lp_line_text *line, lp_line_steps *steps, const lp_line_key *name, lp_line_step *root)
{
    memcpy(line->bytes, name->fragment, (size_t)name->fragment_bytes);
    lp_line_empty(line, steps, name->fragment_bytes, root);
}

/* The same at the root of a table with a short name; there is room for a copy step. */
static inline void lp_line_start_short(lp_line_text *line, lp_line_steps *steps, lp_line_step *root)
{
    memcpy(line->bytes, root->fragment, LP_COPY_STEP);
    lp_line_empty(line, steps, root->short_bytes, root);
}

/* The line looks like no other from here on, or is none any more. */
static inline void lp_line_leave_steps(lp_line_text *line, lp_line_steps *steps)
{
    steps->lines -= line->step != NULL;
    line->step = NULL;
}

/* The step with this text, where lines like this one went on with it before. */
static inline lp_line_step *lp_line_next(const lp_line_text *line, const void *text)
{
    return line->step == NULL ? NULL : lp_step_after(line->step, text);
}

/* Starts an item and returns where its value goes, with room for `value_bytes` and a copy step. NULL
 * when memory is out. */
static inline __attribute__((always_inline)) uint8_t *lp_line_begin(
    lp_line_text *line, const lp_line_step *step, int64_t value_bytes)
{
    int64_t wanted = step->key.fragment_bytes + value_bytes + 2 * LP_COPY_STEP;
    if (line->capacity - line->used < wanted && !lp_line_grow(line, wanted)) {
        return NULL;
    }
    return lp_copy_padded(line->bytes + line->used, step->key.fragment, step->key.fragment_bytes);
}

/* Takes the step, at the end of its item. */
static inline void lp_line_take(lp_line_text *line, lp_line_steps *steps, lp_line_step *step)
{
    if (step->depth > 0) {
        line->step = step;
    } else {
        lp_line_leave_steps(line, steps);
        lp_line_note_key(line, &step->key);
    }
}

static inline void lp_line_end_field(
    lp_line_text *line, lp_line_steps *steps, lp_line_step *step, const uint8_t *end)
{
    line->used = end - line->bytes;
    lp_line_take(line, steps, step);
}

/* Moves the tag behind the fields, which ends at `used`, in front of them. */
static __attribute__((noinline)) bool lp_line_move_tag(lp_line_text *line, int64_t used)
{
    int64_t item_bytes = used - line->used;
    int64_t fields_bytes = line->used - line->fields_at;
    uint8_t *item = (uint8_t *)malloc((size_t)item_bytes);
    if (item == NULL) {
        return false;
    }
    uint8_t *fields = line->bytes + line->fields_at;
    memcpy(item, line->bytes + line->used, (size_t)item_bytes);
    memmove(fields + item_bytes, fields, (size_t)fields_bytes);
    memcpy(fields, item, (size_t)item_bytes);
    free(item);
    return true;
}

/* A tag set after a field moves in front of the fields; false where they are too many. */
static inline bool lp_line_end_tag(
    lp_line_text *line, lp_line_steps *steps, lp_line_step *step, const uint8_t *end)
{
    int64_t used = end - line->bytes;
    if (line->used > line->fields_at
        && (line->key_count > LP_KEYS_MAX || step->depth > LP_KEYS_MAX || !lp_line_move_tag(line, used))) {
        return false;
    }
    line->fields_at += used - line->used;
    line->used = used;
    lp_line_take(line, steps, step);
    return true;
}

/* Most items: of a line that goes on like one before, with a short key. These make no calls, so that the
 * compiler keeps all in registers. Where they return false they did nothing. */

/* A tag of plain ASCII, before any field. Eight bytes before `value` can be read. */
static inline bool lp_line_put_tag(lp_line_text *line, const void *key, const uint8_t *value, int64_t count)
{
    lp_line_step *step = lp_line_next(line, key);
    if (step == NULL) {
        return false;
    }
    int64_t used = line->used;
    int64_t value_at = used + step->short_bytes;
    int64_t end = value_at + count;
    uint8_t *bytes = line->bytes;
    if (end + LP_COPY_STEP > line->capacity || used != line->fields_at) {
        return false;
    }
    memcpy(bytes + used, step->fragment, LP_COPY_STEP);
    if (!lp_copy_ascii_if_plain(bytes + value_at, value, count)) {
        return false;
    }
    line->used = line->fields_at = end;
    line->step = step;
    return true;
}

/* An integer below 10^8, with its suffix. */
static inline bool lp_line_put_integer(
    lp_line_text *line, const lp_short_numbers *numbers, const void *key, uint32_t number, char suffix)
{
    lp_line_step *step = lp_line_next(line, key);
    if (step == NULL) {
        return false;
    }
    int64_t used = line->used;
    int64_t value_at = used + step->short_bytes;
    uint8_t *bytes = line->bytes;
    if (value_at + LP_COPY_STEP > line->capacity) {
        return false;
    }
    memcpy(bytes + used, step->fragment, LP_COPY_STEP);
    if (number <= LP_SHORT_NUMBER_MAX) {
        value_at += lp_write_short_number(bytes + value_at, numbers, number);
    } else if (number < 100000000) {
        value_at = lp_write_up_to_8_digits(bytes + value_at, number) - bytes;
    } else {
        return false;
    }
    bytes[value_at] = (uint8_t)suffix;
    line->used = value_at + 1;
    line->step = step;
    return true;
}

/* Where the key of the item at `start` ends: keys have no "=" of their own. */
static inline int64_t lp_line_key_end(const lp_line_text *line, int64_t start)
{
    const uint8_t *equals = (const uint8_t *)memchr(
        line->bytes + start, '=', (size_t)(line->used - start));
    return equals - line->bytes;
}

/* Where the value that starts at `start` ends; `end` is where the last one does. */
static inline int64_t lp_line_value_end(const lp_line_text *line, int64_t start, int64_t end)
{
    bool is_string = start < end && line->bytes[start] == '"' && start > line->fields_at;
    int64_t index = start + is_string;
    while (index < end && line->bytes[index] != (is_string ? '"' : ',')) {
        index += line->bytes[index] == '\\' ? 2 : 1;
    }
    return index + is_string;
}

#endif
