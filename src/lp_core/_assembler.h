/* The state in which lines become tables, from the first line of a body to the last. Owned by
 * _assembler.pyx; _fast_lines.h works on it as well. No Python API. */
#ifndef LP_ASSEMBLER_H
#define LP_ASSEMBLER_H

#include "_columns.h"
#include "_hash_index.h"
#include "_line.h"
#include "_memory.h"

#define LP_SERIES_NONE (-1)
/* Bytes that may be read behind a series key; a wide load at its last byte stays inside. */
#define LP_KEY_PADDING 32

typedef struct lp_series_entry {
    const uint8_t *key; /* a copy of the line up to the first unescaped space, and this space */
    int32_t key_bytes; /* the space included */
    int32_t table;
    int32_t number; /* of the series in its table */
    int32_t shape; /* of its newest line, in its table; or LP_SHAPE_NONE */
    int32_t next; /* the series that followed last time, a guess */
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
    int32_t surprises; /* lines in a row, up to a limit, whose series was not the guessed one */
} lp_assembler;

static inline lp_table_builder *lp_table_at(const lp_assembler *assembler, int32_t number)
{
    return (lp_table_builder *)assembler->tables.bytes + number;
}

static inline lp_series_entry *lp_series_at(const lp_assembler *assembler, int64_t number)
{
    return (lp_series_entry *)assembler->series.bytes + number;
}

/* How many rows the table will have if the rest of the body is like what was read of it. */
static inline int64_t lp_rows_expected(
    const lp_assembler *assembler, const lp_table_builder *table, const uint8_t *cursor)
{
    int64_t read_bytes = cursor - assembler->body_start;
    int64_t body_bytes = assembler->body_end - assembler->body_start;
    double ratio = (double)body_bytes / (double)(read_bytes > 0 ? read_bytes : 1);
    double rows = (double)table->num_rows * ratio;
    return (int64_t)(rows + rows / 32) + LP_ROWS_RESERVED_MIN;
}

/* Makes room for one more row at least. */
static inline lp_status lp_reserve_row(
    lp_assembler *assembler, lp_table_builder *table, const uint8_t *cursor)
{
    if (table->num_rows < table->rows_reserved) {
        return LP_OK;
    }
    int64_t rows = lp_rows_expected(assembler, table, cursor);
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
    lp_series_entry entry = {
        NULL, (int32_t)key_bytes, table_number,
        (int32_t)(table->series.used / (int64_t)sizeof(lp_table_series)), LP_SHAPE_NONE,
        LP_SERIES_NONE};
    uint8_t *copy = (uint8_t *)lp_arena_take(&assembler->scratch, key_bytes + LP_KEY_PADDING);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, key, (size_t)key_bytes);
    memset(copy + key_bytes, 0, LP_KEY_PADDING);
    entry.key = copy;
    if (lp_buffer_append(&table->series, &series, sizeof(series)) != LP_OK
        || lp_buffer_append(&assembler->series, &entry, sizeof(entry)) != LP_OK
        || lp_index_add(&assembler->series_by_key, key_hash, assembler->series_count) != LP_OK) {
        return NULL;
    }
    assembler->series_count += 1;
    return lp_series_at(assembler, assembler->series_count - 1);
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
    assembler->last_series = (int32_t)(entry - (const lp_series_entry *)assembler->series.bytes);
}

#endif
