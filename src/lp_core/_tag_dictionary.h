/* The distinct values of a tag column, in order of first appearance: their numbers are the codes of the
 * column. An index finds a value by its hash, and is only built when it is needed. Of a table with one
 * tag it is not: as long as each value came with a series that has no other tag and spells it as it is,
 * the value of a series that is new is new as well. No Python API. */
#ifndef LP_TAG_DICTIONARY_H
#define LP_TAG_DICTIONARY_H

#include "_columns.h"
#include "_hash_index.h"

static inline int64_t lp_value_count(const lp_column_builder *column)
{
    return column->offsets.used / (int64_t)sizeof(int32_t) - 1;
}

/* Whether a value that is the only tag of a new series, spelled as it is, has no code yet. */
static inline bool lp_is_new_value(const lp_column_builder *column)
{
    return column->values_alone == lp_value_count(column);
}

static inline lp_status lp_append_value(
    lp_column_builder *column, const uint8_t *value, int64_t value_bytes, int32_t *code)
{
    *code = (int32_t)lp_value_count(column);
    lp_status status = lp_buffer_append(&column->dict_bytes, value, value_bytes);
    if (status == LP_OK) {
        int32_t offset = (int32_t)column->dict_bytes.used;
        status = lp_buffer_append(&column->offsets, &offset, sizeof(offset));
    }
    return status;
}

/* Adds a value that lp_is_new_value, and comes as that says. */
static inline lp_status lp_append_value_alone(
    lp_column_builder *column, const uint8_t *value, int64_t value_bytes, int32_t *code)
{
    column->values_alone += 1;
    return lp_append_value(column, value, value_bytes, code);
}

static __attribute__((noinline)) lp_status lp_index_values(lp_column_builder *column, uint64_t seed)
{
    const int32_t *offsets = (const int32_t *)column->offsets.bytes;
    int64_t count = lp_value_count(column);
    for (int64_t i = column->values_indexed; i < count; i++) {
        uint64_t hash = lp_hash_bytes(
            column->dict_bytes.bytes + offsets[i], offsets[i + 1] - offsets[i], seed);
        lp_status status = lp_index_add(&column->dictionary, hash, (int32_t)i);
        if (status != LP_OK) {
            return status;
        }
        column->values_indexed = i + 1;
    }
    return LP_OK;
}

/* Finds the code of a value, or adds it. `hash` is that of the value with the seed. */
static inline lp_status lp_code_of_value(
    lp_column_builder *column, const uint8_t *value, int64_t value_bytes, uint64_t hash,
    uint64_t seed, int32_t *code)
{
    if (column->values_indexed < lp_value_count(column)) {
        lp_status status = lp_index_values(column, seed);
        if (status != LP_OK) {
            return status;
        }
    }
    const int32_t *offsets = (const int32_t *)column->offsets.bytes;
    int64_t slot = 0;
    int64_t number = lp_index_first(&column->dictionary, hash, &slot);
    while (number >= 0) {
        if (offsets[number + 1] - offsets[number] == value_bytes
            && memcmp(column->dict_bytes.bytes + offsets[number], value, (size_t)value_bytes) == 0) {
            *code = (int32_t)number;
            return LP_OK;
        }
        number = lp_index_next(&column->dictionary, hash, &slot);
    }
    lp_status status = lp_append_value(column, value, value_bytes, code);
    if (status == LP_OK) {
        status = lp_index_add(&column->dictionary, hash, *code);
    }
    column->values_indexed += status == LP_OK;
    return status;
}

#endif
