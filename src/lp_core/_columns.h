/* Columns and tables while a body is parsed. A column has room for as many rows as its table has
 * reserved, so a value goes to its place by row number, and becomes part of the column only when the
 * table's rows pass it: a line is given up by leaving their number where it was. Tags are not written
 * row by row at all: a row notes the number of its series, and the codes follow when the table is
 * finished. No Python API. */
#ifndef LP_COLUMNS_H
#define LP_COLUMNS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "_hash_index.h"
#include "_memory.h"
#include "_status.h"

/* ColumnType, for C code; _batch.pxd has the same numbers for Cython. */
enum {
    LP_TYPE_TAG = 1,
    LP_TYPE_INT64 = 2,
    LP_TYPE_UINT64 = 3,
    LP_TYPE_FLOAT64 = 4,
    LP_TYPE_BOOL = 5,
    LP_TYPE_STRING = 6,
};

#define LP_ROWS_RESERVED_MIN 8
#define LP_STRING_BYTES_MIN 128
#define LP_SHAPES_MAX 8
#define LP_SHAPE_NONE (-1)

typedef struct lp_column_builder {
    lp_buffer values; /* STRING: utf8, `used` of it committed; BOOL: bitmap; else 8 bytes each */
    int64_t length; /* rows written; rows after it are null and not written yet */
    int64_t null_count; /* among the rows written */
    int64_t validity_length; /* rows whose bit is in `validity`; those up to `length` have values */
    int64_t line_seen; /* the last line that names this column, accepted or not */
    lp_buffer validity; /* not used while null_count == 0 */
    lp_buffer offsets; /* STRING: length + 1; TAG: dictionary entries + 1 */
    const char *name;
    int32_t name_bytes;
    int32_t type; /* ColumnType */
    uint64_t name_hash;
    lp_buffer dict_bytes; /* TAG */
    lp_hash_index dictionary; /* TAG: value -> code; see _tag_dictionary.h */
    int64_t values_indexed; /* TAG: entries that are in `dictionary` */
    int64_t values_alone; /* TAG: entries that came as the only tag of a series */
} lp_column_builder;

typedef struct lp_tag_code {
    int32_t column;
    int32_t code;
} lp_tag_code;

/* The tags of one series of a table, in the order of its first line. */
typedef struct lp_table_series {
    lp_tag_code *tags;
    int64_t tag_count;
} lp_table_series;

/* One field of a shape: what stands in the text between the value before it and its own value, and
 * where the value goes. The text takes in the end of the value before (`i`, `u`, `"`), the comma, the
 * key, `=`, and the opening quote of a string, so that one comparison proves all of them. */
typedef struct lp_lane {
    uint8_t text[32]; /* the first bytes of the text, filled up with zeros */
    uint32_t mask; /* a bit for each byte of `text` in use */
    int32_t text_bytes;
    int32_t column; /* number */
    int32_t type; /* ColumnType */
    uint8_t *values; /* of the column, while the shape is open */
    const uint8_t *rest; /* the text from byte 32 on */
} lp_lane;

/* The fields of a line that was accepted, in its order: most lines are like one before. */
typedef struct lp_shape {
    lp_buffer lane_buffer; /* lp_lane, `lane_count` in use */
    int32_t lane_count;
    int32_t last_type; /* of the last lane */
    int64_t bytes_min; /* of the fields of a line of this shape */
} lp_shape;

typedef struct lp_table_builder {
    int64_t num_rows;
    int64_t rows_reserved; /* every column has room for so many */
    int64_t row_bits; /* what a further row takes in all columns, dense */
    int64_t min_time_ns;
    int64_t max_time_ns;
    lp_column_builder *columns; /* moves when a column is added: hold numbers, not pointers */
    lp_buffer times; /* int64, one a row */
    lp_buffer row_series; /* int32, one a row: index into `series` */
    /* While a shape is open, the columns of its lanes have `num_rows` rows, whatever their `length`
     * says; lp_table_settle() brings that up to date. */
    int32_t open_shape; /* or LP_SHAPE_NONE */
    int32_t num_columns; /* columns of a line that is not accepted yet included */
    const char *name;
    int32_t name_bytes;
    lp_buffer series; /* lp_table_series */
    lp_shape shapes[LP_SHAPES_MAX];
    int32_t shape_count;
    int32_t shape_replaced; /* the next to be replaced when all places are taken */
    int32_t last_shape; /* that of the newest accepted line, or -1 */
    uint64_t name_hash;
    int64_t column_capacity;
    lp_hash_index by_name;
    lp_buffer predicted; /* int32 column number of each field of the line before, by ordinal */
} lp_table_builder;

/* Sets bits `from` up to `to`, whatever stood there before. */
static inline void lp_set_bits(uint8_t *bitmap, int64_t from, int64_t to, bool bit)
{
    for (; from < to && from % 8 != 0; from++) {
        uint8_t place = (uint8_t)(1 << from % 8);
        bitmap[from / 8] = (uint8_t)(bit ? bitmap[from / 8] | place : bitmap[from / 8] & ~place);
    }
    if (from < to) {
        /* Bits behind `to` in the last byte are not in use yet. */
        memset(bitmap + from / 8, bit ? 0xFF : 0, (size_t)((to - from + 7) / 8));
    }
}

static inline lp_status lp_column_reserve(lp_column_builder *column, int64_t rows)
{
    switch (column->type) {
    case LP_TYPE_TAG:
        return LP_OK; /* written when the table is finished */
    case LP_TYPE_STRING: {
        lp_status status = lp_buffer_resize(&column->values, LP_STRING_BYTES_MIN);
        return status != LP_OK
            ? status
            : lp_buffer_resize(&column->offsets, (rows + 1) * (int64_t)sizeof(int32_t));
    }
    case LP_TYPE_BOOL:
        return lp_buffer_resize(&column->values, (rows + 7) / 8);
    default:
        return lp_buffer_resize(&column->values, rows * 8);
    }
}

/* Closes the open shape, if there is one. */
static inline void lp_table_settle(lp_table_builder *table)
{
    if (table->open_shape == LP_SHAPE_NONE) {
        return;
    }
    const lp_shape *shape = &table->shapes[table->open_shape];
    const lp_lane *lanes = (const lp_lane *)shape->lane_buffer.bytes;
    for (int32_t i = 0; i < shape->lane_count; i++) {
        lp_column_builder *column = &table->columns[lanes[i].column];
        column->length = table->num_rows;
        if (column->type == LP_TYPE_STRING) {
            column->values.used = ((const int32_t *)column->offsets.bytes)[table->num_rows];
        }
    }
    table->open_shape = LP_SHAPE_NONE;
}

/* Makes room for `rows` rows in every column. */
static inline lp_status lp_table_reserve(lp_table_builder *table, int64_t rows)
{
    lp_table_settle(table);
    lp_status status = lp_buffer_resize(&table->times, rows * (int64_t)sizeof(int64_t));
    if (status == LP_OK) {
        status = lp_buffer_resize(&table->row_series, rows * (int64_t)sizeof(int32_t));
    }
    for (int32_t i = 0; status == LP_OK && i < table->num_columns; i++) {
        status = lp_column_reserve(&table->columns[i], rows);
    }
    if (status == LP_OK) {
        table->rows_reserved = rows;
    }
    return status;
}

/* Appends nulls up to `length` rows, which are reserved. */
static inline lp_status lp_column_pad(lp_column_builder *column, int64_t length)
{
    int64_t missing = length - column->length;
    if (missing <= 0) {
        return LP_OK;
    }
    lp_status status = lp_buffer_resize(&column->validity, (length + 7) / 8);
    if (status != LP_OK) {
        return status;
    }
    lp_set_bits(column->validity.bytes, column->validity_length, column->length, true);
    lp_set_bits(column->validity.bytes, column->length, length, false);
    column->validity_length = length;
    if (column->type == LP_TYPE_BOOL) {
        lp_set_bits(column->values.bytes, column->length, length, false);
    } else if (column->type == LP_TYPE_STRING) {
        int32_t *offsets = (int32_t *)column->offsets.bytes;
        for (int64_t i = column->length; i < length; i++) {
            offsets[i + 1] = (int32_t)column->values.used;
        }
    } else {
        memset(column->values.bytes + column->length * 8, 0, (size_t)missing * 8);
    }
    column->null_count += missing;
    column->length = length;
    return LP_OK;
}

/* Opens a shape: from now on a row is one value in each of its lanes. Room is reserved. */
static inline lp_status lp_table_open(lp_table_builder *table, int32_t shape_number)
{
    lp_table_settle(table);
    lp_shape *shape = &table->shapes[shape_number];
    lp_lane *lanes = (lp_lane *)shape->lane_buffer.bytes;
    for (int32_t i = 0; i < shape->lane_count; i++) {
        lp_column_builder *column = &table->columns[lanes[i].column];
        lp_status status = lp_column_pad(column, table->num_rows);
        if (status != LP_OK) {
            return status;
        }
        lanes[i].values = column->values.bytes;
    }
    table->open_shape = shape_number;
    return LP_OK;
}

/* Puts a number (its 8 bytes) or a bool at `row`, which is the column's length. */
static inline void lp_column_put_bits(lp_column_builder *column, int64_t row, uint64_t bits)
{
    if (column->type == LP_TYPE_BOOL) {
        lp_set_bits(column->values.bytes, row, row + 1, bits != 0);
    } else {
        memcpy(column->values.bytes + row * 8, &bits, sizeof(bits));
    }
    column->length = row + 1;
}

/* Puts a string at `row`, which is the column's length. The body is shorter than 2 GiB, so the
 * offsets cannot overflow. */
static inline lp_status lp_column_put_string(
    lp_column_builder *column, int64_t row, const uint8_t *text, int64_t text_bytes)
{
    lp_status status = lp_buffer_append(&column->values, text, text_bytes);
    if (status == LP_OK) {
        ((int32_t *)column->offsets.bytes)[row + 1] = (int32_t)column->values.used;
        column->length = row + 1;
    }
    return status;
}

#endif
