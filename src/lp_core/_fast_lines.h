/* The quick way for lines that are like a line before: a series that is known, or whose table is,
 * and the fields of a shape that is known. It takes whole lines only, and does nothing about errors:
 * whatever is out of the ordinary is left, untouched, to the complete parser (_line.pyx), which is
 * also what the quick way is tested against. Chosen at run time for the processor. No Python API. */
#ifndef LP_FAST_LINES_H
#define LP_FAST_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "_assembler.h"
#include "_number.h"
#include "_path_portable.h"
#include "_tag_dictionary.h"
#include "_utf8.h"

/* A pointer that is checked against the end of the body less this may be read from as far as one
 * lane goes: its text, a value, and the wide loads at their ends. */
#define LP_SLACK 160
#define LP_FAST_TAGS_MAX 64
/* How far ahead of what is read the text is asked for from memory; and how many bytes that are not all
 * ASCII are checked at once. */
#define LP_TEXT_AHEAD 2048
#define LP_CHECKED_BYTES 512
/* From here on the index of the series is too large for the nearer caches. */
#define LP_SERIES_OUT_OF_CACHE 4096

/* Keeps the branch that leads here a branch. A processor that foresees it reads on at once; without the
 * branch it would compute `pointer` first, and all that comes after has to wait for that. */
#define LP_KEEP_BRANCH(pointer) __asm__ volatile("" : "+r"(pointer))

/* The pointer beyond `count` bytes. Where that are as many as last time the processor, which foresees the
 * branch, need not wait for the count. */
static inline const uint8_t *lp_advance(const uint8_t *text, int count, int32_t *last_count)
{
    int64_t foreseen = *last_count;
    __asm__("" : "+r"(foreseen)); /* nor may the compiler take one for the other */
    if (count == *last_count) {
        text += foreseen;
        LP_KEEP_BRANCH(text);
    } else {
        text += count;
        LP_KEEP_BRANCH(text);
        *last_count = count;
    }
    return text;
}

typedef enum lp_fast_outcome {
    LP_FAST_LEFT, /* the line at the cursor is not taken */
    LP_FAST_NEW_SERIES, /* nor this one, but its fields are: see open_row */
    LP_FAST_NO_MEMORY,
    LP_FAST_NOT_UTF8 /* the text from `checked` on */
} lp_fast_outcome;

/* The tags of a line whose series is new. */
typedef struct lp_new_tags {
    lp_text values[LP_FAST_TAGS_MAX];
    uint64_t hashes[LP_FAST_TAGS_MAX]; /* not when is_alone */
    bool is_alone; /* one tag, whose value is new as well: see _tag_dictionary.h */
} lp_new_tags;

static inline const lp_table_series *lp_newest_series(const lp_table_builder *table)
{
    return (const lp_table_series *)(table->series.bytes + table->series.used) - 1;
}

/* A pointer beyond the value, or NULL. The plain code for the floats that a wide load cannot do:
 * exponents, more than 19 digits. */
static __attribute__((noinline)) const uint8_t *lp_any_float(
    const uint8_t *text, const uint8_t *end, double *value)
{
    lp_decimal number;
    const uint8_t *stop = lp_match_integer(text, end, &number);
    if (stop == NULL) {
        return NULL;
    }
    stop = lp_match_float_rest(stop, end, &number);
    *value = lp_double(&number);
    return stop;
}

static __attribute__((noinline)) bool lp_is_lane_rest(
    const uint8_t *text, const uint8_t *end, const lp_lane *lane)
{
    return end - text > lane->text_bytes + LP_SLACK
        && memcmp(text + 32, lane->rest, (size_t)(lane->text_bytes - 32)) == 0;
}

/* Whether a line, which has `fields` behind its key, may be of the shape. To open a shape costs as
 * much as it has lanes, so only a line that is long enough may ask for it. */
static inline bool lp_may_have_shape(
    const lp_assembler *assembler, const lp_shape *shape, const uint8_t *fields)
{
    return assembler->body_end - fields > shape->bytes_min
        && memchr(fields, '\n', (size_t)shape->bytes_min) == NULL;
}

/* Number of the table that the key, which ends with a space, names when it has no escapes, or -1. */
static __attribute__((noinline)) int32_t lp_find_plain_table(
    const lp_assembler *assembler, const uint8_t *key)
{
    int64_t name_bytes = 0;
    while (key[name_bytes] != ',' && key[name_bytes] != ' ') {
        name_bytes++;
    }
    int64_t slot = 0;
    uint64_t hash = lp_hash_bytes(key, name_bytes, assembler->seed);
    int64_t number = lp_index_first(&assembler->tables_by_name, hash, &slot);
    while (number >= 0) {
        const lp_table_builder *table = lp_table_at(assembler, (int32_t)number);
        if (table->name_bytes == name_bytes && memcmp(key, table->name, (size_t)name_bytes) == 0) {
            return (int32_t)number;
        }
        number = lp_index_next(&assembler->tables_by_name, hash, &slot);
    }
    return -1;
}

static inline const uint8_t *lp_fast_bool(const uint8_t *text, bool *value)
{
    uint8_t first = *text | 0x20;
    if (first != 't' && first != 'f') {
        return NULL;
    }
    *value = first == 't';
    if ((text[1] | 0x20) == (*value ? 'r' : 'a')) {
        /* The complete parser knows the spellings; here only the usual two. */
        int64_t word_bytes = *value ? 4 : 5;
        bool is_word = memcmp(text, *value ? "true" : "false", (size_t)word_bytes) == 0;
        return is_word ? text + word_bytes : NULL;
    }
    return text + 1;
}

/* Adds the series of a line by its tags; NULL when memory is out. */
static inline lp_series_entry *lp_add_new_series(
    lp_assembler *assembler, int32_t table_number, const uint8_t *key, int64_t key_bytes,
    uint64_t key_hash, const lp_new_tags *found)
{
    lp_table_builder *table = lp_table_at(assembler, table_number);
    const lp_table_series *like = lp_newest_series(table);
    int64_t tag_count = like->tag_count;
    lp_tag_code *tags = (lp_tag_code *)lp_arena_take(
        &assembler->scratch, tag_count * (int64_t)sizeof(lp_tag_code));
    if (tags == NULL) {
        return NULL;
    }
    for (int64_t i = 0; i < tag_count; i++) {
        tags[i].column = like->tags[i].column;
        lp_column_builder *column = &table->columns[tags[i].column];
        const lp_text *value = &found->values[i];
        if (lp_reserve_expected(assembler, &column->dict_bytes, value->count, key) != LP_OK
            || lp_reserve_expected(assembler, &column->offsets, (int64_t)sizeof(int32_t), key) != LP_OK) {
            return NULL;
        }
        lp_status status = found->is_alone
            ? lp_append_value_alone(column, value->bytes, value->count, &tags[i].code)
            : lp_code_of_value(
                column, value->bytes, value->count, found->hashes[i], assembler->seed,
                &tags[i].code);
        if (status != LP_OK) {
            return NULL;
        }
    }
    return lp_add_series(assembler, key, key_bytes, key_hash, table_number, tags, tag_count);
}

/* Counts how often guesses fail in a row; where they would come true again they are taken up. */
static inline void lp_note_guess(lp_assembler *assembler, const lp_series_entry *entry)
{
    if (assembler->last_series == LP_SERIES_NONE) {
        return;
    }
    lp_series_entry *last = lp_series_at(assembler, assembler->last_series);
    int32_t number = lp_series_place(assembler, entry);
    if (last->next == number) {
        assembler->surprises -= assembler->surprises > 0;
    } else {
        last->next = number;
        assembler->surprises += assembler->surprises < 2 * LP_GLANCES;
    }
}

#define LP_PATH(name) name##_portable
#include "_fast_lines_of_path.h"
#undef LP_PATH

#if defined(__x86_64__)
#define LP_HAS_AVX2_PATH 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#endif
#include "_path_avx2.h"
#include "_utf8_avx2.h"
#define LP_PATH(name) name##_avx2
#include "_fast_lines_of_path.h"
#undef LP_PATH
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#define LP_FAST_PATHS_MAX 2

typedef lp_fast_outcome (*lp_fast_lines_function)(lp_assembler *, const uint8_t **);

typedef struct lp_fast_path {
    const char *name;
    lp_fast_lines_function take_lines;
    bool (*is_utf8)(const uint8_t *start, const uint8_t *end);
} lp_fast_path;

/* The paths that this processor can take, the best one first; returns their number. Called once, at
 * import, before any other function of this file. */
static inline int lp_fast_paths(lp_fast_path paths[LP_FAST_PATHS_MAX])
{
    int count = 0;
#ifdef LP_HAS_AVX2_PATH
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")
        && __builtin_cpu_supports("bmi2")) {
        lp_fill_point_shuffles();
        paths[count++] = (lp_fast_path){"avx2", lp_fast_lines_avx2, lp_is_utf8_avx2};
    }
#endif
    paths[count++] = (lp_fast_path){
        "portable", lp_fast_lines_portable, lp_is_utf8_portable};
    return count;
}

#endif
