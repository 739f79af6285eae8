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
#include "_utf8.h"

/* A pointer that is checked against the end of the body less this may be read from as far as one
 * lane goes: its text, a value, and the wide loads at their ends. */
#define LP_SLACK 160
#define LP_FAST_TAGS_MAX 64
/* From here on the index of the series is too large for the nearer caches. */
#define LP_SERIES_OUT_OF_CACHE 4096

typedef enum lp_fast_outcome {
    LP_FAST_LEFT, /* the line at the cursor is not taken */
    LP_FAST_NEW_SERIES, /* nor this one, but its fields are: see open_row */
    LP_FAST_NO_MEMORY
} lp_fast_outcome;

/* The tags of a line whose series is new. */
typedef struct lp_new_tags {
    lp_text values[LP_FAST_TAGS_MAX];
    uint64_t hashes[LP_FAST_TAGS_MAX];
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

/* Number of the table that the key names when it has no escapes, or -1. */
static inline int32_t lp_find_plain_table(
    const lp_assembler *assembler, const uint8_t *key, int64_t key_bytes)
{
    const lp_table_builder *table;
    if (assembler->last_series != LP_SERIES_NONE) {
        int32_t guess = lp_series_at(assembler, assembler->last_series)->table;
        table = lp_table_at(assembler, guess);
        if (table->name_bytes < key_bytes && memcmp(key, table->name, (size_t)table->name_bytes) == 0
            && (key[table->name_bytes] == ',' || key[table->name_bytes] == ' ')) {
            return guess;
        }
    }
    int64_t name_bytes = 0;
    while (key[name_bytes] != ',' && key[name_bytes] != ' ') {
        name_bytes++; /* the key ends with a space */
    }
    int64_t slot = 0;
    uint64_t hash = lp_hash_bytes(key, name_bytes, assembler->seed);
    int64_t number = lp_index_first(&assembler->tables_by_name, hash, &slot);
    while (number >= 0) {
        table = lp_table_at(assembler, (int32_t)number);
        if (table->name_bytes == name_bytes && memcmp(key, table->name, (size_t)name_bytes) == 0) {
            return (int32_t)number;
        }
        number = lp_index_next(&assembler->tables_by_name, hash, &slot);
    }
    return -1;
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
