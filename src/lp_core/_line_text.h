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
    int64_t key_count;
    bool is_ascii;
    /* What tells that a key is new, most often without a look at the text: a bit of each key's hash,
     * and 16 bits of the hashes of the first keys. */
    uint64_t keys_seen[LP_KEYS_SEEN_BITS / 64];
    uint16_t key_tags[LP_KEY_TAGS];
} lp_line_text;

/* A key that was found good, as it stands in a line. */
typedef struct lp_line_key {
    uint64_t hash;
    const uint8_t *fragment; /* ",key=", readable in whole copy steps */
    int64_t fragment_bytes;
} lp_line_key;

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

/* Starts an item and returns where its value goes, with room for `value_bytes` and a copy step. NULL
 * when dicts hold the line, when the key may be in the line already, or when memory is out. */
static inline __attribute__((always_inline)) uint8_t *lp_line_begin(
    lp_line_text *line, const lp_line_key *key, int64_t value_bytes)
{
    int64_t wanted = key->fragment_bytes + value_bytes + 2 * LP_COPY_STEP;
    if (line->capacity - line->used < wanted && !lp_line_grow(line, wanted)) {
        return NULL;
    }
    if ((line->keys_seen[key->hash % LP_KEYS_SEEN_BITS / 64] >> key->hash % 64 & 1)
        && lp_line_has(line, key)) {
        return NULL;
    }
    return lp_copy_padded(line->bytes + line->used, key->fragment, key->fragment_bytes);
}

static inline void lp_line_end_field(
    lp_line_text *line, const lp_line_key *key, const uint8_t *end)
{
    lp_line_note_key(line, key);
    line->used = end - line->bytes;
}

/* A tag set after a field moves in front of the fields, unless they are too many. */
static inline bool lp_line_end_tag(lp_line_text *line, const lp_line_key *key, const uint8_t *end)
{
    int64_t used = end - line->bytes;
    int64_t item_bytes = used - line->used;
    int64_t fields_bytes = line->used - line->fields_at;
    if (fields_bytes > 0) {
        if (line->key_count > LP_KEYS_MAX) {
            return false;
        }
        uint8_t *item = (uint8_t *)malloc((size_t)item_bytes);
        if (item == NULL) {
            return false;
        }
        uint8_t *fields = line->bytes + line->fields_at;
        memcpy(item, line->bytes + line->used, (size_t)item_bytes);
        memmove(fields + item_bytes, fields, (size_t)fields_bytes);
        memcpy(fields, item, (size_t)item_bytes);
        free(item);
    }
    lp_line_note_key(line, key);
    line->fields_at += item_bytes;
    line->used = used;
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
