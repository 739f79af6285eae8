/* The state in which lines become tables, from the first line of a body to the last. Owned by
 * _assembler.pyx; _fast_lines.h works on it as well. No Python API. */
#ifndef LP_ASSEMBLER_H
#define LP_ASSEMBLER_H

#include <stddef.h>

#include "_columns.h"
#include "_hash_index.h"
#include "_line.h"
#include "_memory.h"

#define LP_SERIES_NONE (-1)
#define LP_EXPECTED_BYTES_MIN 1024 /* what is reserved at first */

/* Series stand one behind the other; they are known by their place, in units of a cache line, which is
 * all that most of them take. */
#define LP_SERIES_UNIT 64
#define LP_SERIES_AHEAD 1024

typedef struct lp_series_entry {
    int32_t key_bytes; /* the space included */
    int32_t table;
    int32_t number; /* of the series in its table */
    int32_t shape; /* of its newest line, in its table; or LP_SHAPE_NONE */
    int32_t next; /* the series that followed last time, a guess */
    uint8_t key[]; /* a copy of the line up to the first unescaped space, and this space */
} lp_series_entry;

/* A line whose fields stand in their columns, but whose series is new. */
typedef struct lp_open_row {
    const uint8_t *start;
    const uint8_t *end; /* of the line, without its line end */
    int64_t key_bytes; /* the space included */
    uint64_t key_hash;
    int64_t time_ns;
    int32_t table;
    int32_t shape;
} lp_open_row;

/* A line that was looked at ahead of its turn, so that memory has time to arrive. */
typedef struct lp_glance {
    const uint8_t *start;
    int64_t key_bytes; /* the space included */
    uint64_t key_hash;
} lp_glance;

#define LP_GLANCES 16

typedef struct lp_assembler {
    void *schema; /* lp_schema; NULL: nothing is known before */
    int64_t unit_ns; /* of the timestamps, or LP_UNIT_AUTO (see _number.h) */
    int64_t default_time_ns; /* of a line without timestamp */
    uint64_t seed;
    const uint8_t *body_start;
    const uint8_t *body_end;
    const uint8_t *checked; /* up to here, the start of a character, the body is UTF-8 */
    lp_line line;
    int64_t lines_taken; /* refused ones included */
    int64_t mark; /* of the line at hand, in lp_column_builder.line_seen */
    lp_arena *kept; /* for names, which go with the batch; borrowed */
    lp_arena scratch;
    lp_buffer tables; /* lp_table_builder, in order of first appearance */
    int32_t table_count;
    lp_hash_index tables_by_name;
    lp_buffer series; /* lp_series_entry: a repeated series costs one comparison */
    int32_t series_count;
    lp_hash_index series_by_key;
    int32_t last_series; /* of the newest accepted line, or LP_SERIES_NONE */
    int64_t taken_bits; /* memory of the columns so far, as if all were dense */
    int64_t taken_bits_max;
    lp_open_row open_row;
    lp_glance glances[LP_GLANCES];
    int32_t glance_count;
    int32_t glance_next;
    int32_t time_digits; /* of the newest timestamp */
    int32_t surprises; /* lines in a row, up to a limit, whose series was not the guessed one */
} lp_assembler;

static inline lp_table_builder *lp_table_at(const lp_assembler *assembler, int32_t number)
{
    return (lp_table_builder *)assembler->tables.bytes + number;
}

static inline lp_series_entry *lp_series_at(const lp_assembler *assembler, int64_t place)
{
    return (lp_series_entry *)(assembler->series.bytes + place * LP_SERIES_UNIT);
}

static inline int32_t lp_series_place(const lp_assembler *assembler, const lp_series_entry *entry)
{
    return (int32_t)(((const uint8_t *)entry - assembler->series.bytes) / LP_SERIES_UNIT);
}

/* What will be of something at the end, if the rest of the body is like what was read of it. */
static inline int64_t lp_expected(
    const lp_assembler *assembler, int64_t count, const uint8_t *cursor)
{
    int64_t read_bytes = cursor - assembler->body_start;
    int64_t body_bytes = assembler->body_end - assembler->body_start;
    double ratio = (double)body_bytes / (double)(read_bytes > 0 ? read_bytes : 1);
    double expected = (double)count * ratio;
    return (int64_t)(expected + expected / 32);
}

/* Makes room for `more` bytes in a buffer that grows with the lines, up to `cursor`. */
static inline lp_status lp_reserve_expected(
    const lp_assembler *assembler, lp_buffer *buffer, int64_t more, const uint8_t *cursor)
{
    int64_t least = buffer->used + more;
    if (least <= buffer->capacity) {
        return LP_OK;
    }
    /* A few lines say little about the rest; and an estimate may have been too low. */
    int64_t bytes = lp_expected(assembler, buffer->used, cursor);
    int64_t most = buffer->used * 8 + LP_EXPECTED_BYTES_MIN;
    least += least / 2;
    bytes = bytes < most ? bytes : most;
    return lp_buffer_resize(buffer, bytes > least ? bytes : least);
}

/* Makes room for one more row at least. */
static inline lp_status lp_reserve_row(
    lp_assembler *assembler, lp_table_builder *table, const uint8_t *cursor)
{
    if (table->num_rows < table->rows_reserved) {
        return LP_OK;
    }
    int64_t rows = lp_expected(assembler, table->num_rows, cursor) + LP_ROWS_RESERVED_MIN;
    /* A few rows say little about the rest; and an estimate may have been too low. */
    int64_t least = table->num_rows + table->num_rows / 2 + LP_ROWS_RESERVED_MIN;
    int64_t most = table->num_rows * 8 + LP_ROWS_RESERVED_MIN;
    rows = rows < least ? least : rows > most ? most : rows;
    return lp_table_reserve(table, (rows + 7) / 8 * 8);
}

/* Remembers a series of a table by its key; its tags have their codes. NULL when memory is out. */
static inline lp_series_entry *lp_add_series(
    lp_assembler *assembler, const uint8_t *key, int64_t key_bytes, uint64_t key_hash,
    int32_t table_number, lp_tag_code *tags, int64_t tag_count)
{
    lp_table_builder *table = lp_table_at(assembler, table_number);
    lp_table_series series = {tags, tag_count};
    int64_t entry_bytes = (int64_t)offsetof(lp_series_entry, key) + key_bytes;
    entry_bytes = (entry_bytes + LP_SERIES_UNIT - 1) / LP_SERIES_UNIT * LP_SERIES_UNIT;
    if (lp_reserve_expected(
            assembler, &assembler->series, entry_bytes + LP_WIDE_BYTES, key) != LP_OK
        || lp_reserve_expected(assembler, &table->series, (int64_t)sizeof(series), key) != LP_OK) {
        return NULL;
    }
    int32_t place = (int32_t)(assembler->series.used / LP_SERIES_UNIT);
    lp_series_entry *entry = lp_series_at(assembler, place);
    __builtin_prefetch((uint8_t *)entry + LP_SERIES_AHEAD, 1); /* where later ones will stand */
    entry->key_bytes = (int32_t)key_bytes;
    entry->table = table_number;
    entry->number = (int32_t)(table->series.used / (int64_t)sizeof(lp_table_series));
    entry->shape = LP_SHAPE_NONE;
    entry->next = LP_SERIES_NONE;
    memcpy(entry->key, key, (size_t)key_bytes);
    if (lp_buffer_append(&table->series, &series, sizeof(series)) != LP_OK
        || lp_index_add(&assembler->series_by_key, key_hash, place) != LP_OK) {
        return NULL;
    }
    assembler->series.used += entry_bytes;
    assembler->series_count += 1;
    return entry;
}

/* Makes the line, whose values stand in their columns, a row. Nothing can fail any more. */
static inline void lp_commit_row(
    lp_assembler *assembler, lp_table_builder *table, const lp_series_entry *entry, int64_t time_ns)
{
    int64_t row = table->num_rows;
    ((int64_t *)table->times.bytes)[row] = time_ns;
    ((int32_t *)table->row_series.bytes)[row] = entry->number;
    if (time_ns < table->min_time_ns) {
        table->min_time_ns = time_ns;
    }
    if (time_ns > table->max_time_ns) {
        table->max_time_ns = time_ns;
    }
    table->num_rows = row + 1;
    assembler->last_series = lp_series_place(assembler, entry);
}

#endif
