/* Rows of columns as lines of line protocol, straight into one buffer. The columns are those of the
 * Arrow C data interface; what the interface cannot promise (finite floats, texts that a line can
 * carry, codes inside their dictionary) is checked here. No Python API. */
#ifndef LP_LINE_WRITER_H
#define LP_LINE_WRITER_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "_column_check.h"
#include "_digits.h"
#include "_escape.h"
#include "_float_text.h"

typedef enum lp_cell {
    LP_CELL_INT8 = 1,
    LP_CELL_INT16,
    LP_CELL_INT32,
    LP_CELL_INT64,
    LP_CELL_UINT8,
    LP_CELL_UINT16,
    LP_CELL_UINT32,
    LP_CELL_UINT64,
    LP_CELL_FLOAT32,
    LP_CELL_FLOAT64,
    LP_CELL_BOOL,
    LP_CELL_TEXT32, /* int32 offsets */
    LP_CELL_TEXT64,
    LP_CELL_TEXT_VIEW
} lp_cell;

typedef enum lp_row_fault {
    LP_ROW_FINE = 0,
    LP_ROW_TEXT_EMPTY, /* these five as lp_text_fault */
    LP_ROW_TEXT_CONTROL,
    LP_ROW_TEXT_BACKSLASH,
    LP_ROW_TEXT_COMMENT,
    LP_ROW_TEXT_LONG,
    LP_ROW_NO_ROOM, /* no fault: the same row goes on in a greater buffer */
    LP_ROW_TEXT_OUTSIDE,
    LP_ROW_TEXT_NOT_UTF8,
    LP_ROW_CODE_OUTSIDE,
    LP_ROW_NOT_FINITE,
    LP_ROW_TIME_NULL,
    LP_ROW_TIME_RANGE,
    LP_ROW_NO_FIELD
} lp_row_fault;

typedef struct lp_cells {
    lp_cell cell; /* 0: all null */
    int64_t offset; /* of the first cell in validity and values */
    const uint8_t *validity; /* NULL: all valid */
    const uint8_t *values; /* numbers, bits, offsets or views */
    const uint8_t *texts; /* what the offsets delimit */
    const uint8_t *const *view_buffers; /* of views, with their sizes */
    const int64_t *view_sizes;
    int64_t view_buffer_count;
    int64_t count;
} lp_cells;

/* An entry of a dictionary as it stands in the line, key included. */
typedef struct lp_line_entry {
    int64_t start;
    int32_t bytes; /* 0: null, or not acceptable */
    lp_row_fault fault;
} lp_line_entry;

typedef struct lp_line_column {
    bool is_tag;
    const uint8_t *key; /* ",key=", readable in whole copy steps */
    int64_t key_bytes;
    lp_cells cells;
    bool has_dictionary; /* `cells` are codes then */
    lp_cells dictionary; /* the texts that codes stand for */
    const lp_line_entry *entries; /* NULL: spell the texts row by row */
    const uint8_t *entry_bytes; /* readable in whole copy steps */
} lp_line_column;

typedef struct lp_line_plan {
    const uint8_t *table; /* as a line spells it, readable in whole copy steps */
    int64_t table_bytes;
    lp_line_column *columns; /* tags first */
    int64_t column_count;
    int64_t tag_count;
    bool has_time;
    lp_cells times;
    int64_t time_unit_ns;
    int64_t row_bytes_max; /* of one row without the texts that are spelled row by row */
    int64_t row_count;
    const lp_float_power *powers;
} lp_line_plan;

typedef struct lp_line_output {
    uint8_t *bytes;
    int64_t used;
    int64_t capacity;
    int64_t wanted; /* after LP_ROW_NO_ROOM: what must be free */
    int64_t row; /* the next one, or the one with the fault */
    int64_t column; /* of the fault */
} lp_line_output;

typedef struct lp_text {
    const uint8_t *bytes;
    int64_t count; /* -1: lies outside its buffers */
} lp_text;

static inline bool lp_is_null(const lp_cells *cells, int64_t index)
{
    return cells->validity != NULL && !lp_bit(cells->validity, cells->offset + index);
}

static inline lp_text lp_text_at(const lp_cells *cells, int64_t index)
{
    const lp_text outside = {NULL, -1};
    index += cells->offset;
    if (cells->cell == LP_CELL_TEXT_VIEW) {
        const uint8_t *view = cells->values + 16 * index;
        int32_t parts[4]; /* length, prefix, number of the buffer, offset */
        memcpy(parts, view, sizeof(parts));
        if (parts[0] <= 12) {
            return parts[0] < 0 ? outside : (lp_text){view + 4, parts[0]};
        }
        if (parts[2] < 0 || parts[2] >= cells->view_buffer_count || parts[3] < 0
            || (int64_t)parts[3] + parts[0] > cells->view_sizes[parts[2]]) {
            return outside;
        }
        return (lp_text){cells->view_buffers[parts[2]] + parts[3], parts[0]};
    }
    int64_t start, end;
    if (cells->cell == LP_CELL_TEXT32) {
        start = ((const int32_t *)cells->values)[index];
        end = ((const int32_t *)cells->values)[index + 1];
    } else {
        start = ((const int64_t *)cells->values)[index];
        end = ((const int64_t *)cells->values)[index + 1];
    }
    return start < 0 || end < start ? outside : (lp_text){cells->texts + start, end - start};
}

/* Writes a text as a tag value or a string, within twice its bytes and 2, and a copy step. */
static inline lp_row_fault lp_write_text(uint8_t **out, lp_text text, bool is_tag)
{
    uint8_t *to = *out;
    if (text.count < 0) {
        return LP_ROW_TEXT_OUTSIDE;
    }
    lp_text_place place = is_tag ? LP_IN_NAME : LP_IN_STRING;
    *to = '"';
    to += !is_tag;
    if (text.count > LP_TEXT_BYTES_MAX) {
        return LP_ROW_TEXT_LONG;
    }
    if (lp_copy_if_plain(to, text.bytes, text.count, place)) {
        if (is_tag && text.count == 0) {
            return LP_ROW_TEXT_EMPTY;
        }
        to += text.count;
    } else {
        lp_text_fault fault = lp_text_fault_of(text.bytes, text.count, place);
        if (fault != LP_TEXT_FINE) {
            return (lp_row_fault)fault;
        }
        if (!lp_is_utf8(text.bytes, text.count)) {
            return LP_ROW_TEXT_NOT_UTF8;
        }
        to = lp_write_escaped(to, text.bytes, text.count, place);
    }
    *to = '"';
    *out = to + !is_tag;
    return LP_ROW_FINE;
}

/* What an entry takes at most in the buffer of lp_write_entry. */
static inline int64_t lp_entry_bytes_max(const lp_line_column *column, lp_text text)
{
    return column->key_bytes + (text.count > 0 && text.count <= LP_TEXT_BYTES_MAX ? 2 * text.count : 0)
           + 2;
}

static inline uint8_t *lp_write_entry(
    uint8_t *out, lp_line_entry *entry, const lp_line_column *column, int64_t index)
{
    uint8_t *start = out;
    entry->bytes = 0;
    entry->fault = LP_ROW_FINE;
    if (lp_is_null(&column->dictionary, index)) {
        return out;
    }
    memcpy(out, column->key, (size_t)column->key_bytes);
    out += column->key_bytes;
    entry->fault = lp_write_text(&out, lp_text_at(&column->dictionary, index), column->is_tag);
    if (entry->fault != LP_ROW_FINE) {
        return start;
    }
    entry->bytes = (int32_t)(out - start);
    return out;
}

/* The code of a row, by its bits: a negative one lies outside every dictionary as well. */
static inline uint64_t lp_code_at(const lp_cells *cells, int64_t row)
{
    row += cells->offset;
    switch (cells->cell) {
    case LP_CELL_INT8:
    case LP_CELL_UINT8:
        return cells->values[row];
    case LP_CELL_INT16:
    case LP_CELL_UINT16:
        return ((const uint16_t *)cells->values)[row];
    case LP_CELL_INT32:
    case LP_CELL_UINT32:
        return ((const uint32_t *)cells->values)[row];
    default:
        return ((const uint64_t *)cells->values)[row];
    }
}

static inline int64_t lp_signed_at(const lp_cells *cells, int64_t row)
{
    row += cells->offset;
    switch (cells->cell) {
    case LP_CELL_INT8:
        return ((const int8_t *)cells->values)[row];
    case LP_CELL_INT16:
        return ((const int16_t *)cells->values)[row];
    case LP_CELL_INT32:
        return ((const int32_t *)cells->values)[row];
    default:
        return ((const int64_t *)cells->values)[row];
    }
}

/* A number or truth value, within LP_FLOAT_BYTES_MAX bytes. Tags get the bare text, as str() gives it. */
static inline lp_row_fault lp_write_number(
    uint8_t **out, const lp_line_column *column, int64_t row, const lp_float_power *powers)
{
    const lp_cells *cells = &column->cells;
    double number;
    switch (cells->cell) {
    case LP_CELL_INT8:
    case LP_CELL_INT16:
    case LP_CELL_INT32:
    case LP_CELL_INT64:
        *out = lp_write_int64(*out, lp_signed_at(cells, row));
        **out = 'i';
        *out += !column->is_tag;
        return LP_ROW_FINE;
    case LP_CELL_UINT8:
    case LP_CELL_UINT16:
    case LP_CELL_UINT32:
    case LP_CELL_UINT64:
        *out = lp_write_uint64(*out, lp_code_at(cells, row));
        **out = 'u';
        *out += !column->is_tag;
        return LP_ROW_FINE;
    case LP_CELL_BOOL: {
        bool is_true = lp_bit(cells->values, cells->offset + row);
        if (column->is_tag) {
            memcpy(*out, is_true ? "True\0" : "False", 5);
            *out += is_true ? 4 : 5;
        } else {
            *(*out)++ = is_true ? 't' : 'f';
        }
        return LP_ROW_FINE;
    }
    case LP_CELL_FLOAT32:
        number = ((const float *)cells->values)[cells->offset + row];
        break;
    default:
        number = ((const double *)cells->values)[cells->offset + row];
    }
    if (!isfinite(number)) {
        return LP_ROW_NOT_FINITE;
    }
    *out = lp_write_double(*out, number, powers);
    return LP_ROW_FINE;
}

/* The text of a row by its own spelling, key included. Its room is checked here. */
static inline lp_row_fault lp_write_text_item(
    uint8_t **out, const lp_line_plan *plan, const lp_line_column *column, int64_t row,
    lp_line_output *output)
{
    const lp_cells *cells = &column->cells;
    if (column->has_dictionary) {
        uint64_t code = lp_code_at(cells, row);
        cells = &column->dictionary;
        if (code >= (uint64_t)cells->count) {
            return LP_ROW_CODE_OUTSIDE;
        }
        row = (int64_t)code;
        if (lp_is_null(cells, row)) {
            return LP_ROW_FINE;
        }
    }
    lp_text text = lp_text_at(cells, row);
    if (text.count > 0 && text.count <= LP_TEXT_BYTES_MAX) {
        int64_t wanted = *out - (output->bytes + output->used) + plan->row_bytes_max + 2 * text.count;
        if (output->capacity - output->used < wanted) {
            output->wanted = wanted;
            return LP_ROW_NO_ROOM;
        }
    }
    *out = lp_copy_padded(*out, column->key, column->key_bytes);
    return lp_write_text(out, text, column->is_tag);
}

static inline lp_row_fault lp_write_item(
    uint8_t **out, const lp_line_plan *plan, const lp_line_column *column, int64_t row,
    lp_line_output *output)
{
    if (lp_is_null(&column->cells, row)) {
        return LP_ROW_FINE;
    }
    if (column->entries != NULL) {
        uint64_t code = lp_code_at(&column->cells, row);
        if (code >= (uint64_t)column->dictionary.count) {
            return LP_ROW_CODE_OUTSIDE;
        }
        const lp_line_entry *entry = &column->entries[code];
        if (entry->bytes == 0) {
            return entry->fault;
        }
        *out = lp_copy_padded(*out, column->entry_bytes + entry->start, entry->bytes);
        return LP_ROW_FINE;
    }
    if (column->has_dictionary || column->cells.cell >= LP_CELL_TEXT32) {
        return lp_write_text_item(out, plan, column, row, output);
    }
    *out = lp_copy_padded(*out, column->key, column->key_bytes);
    return lp_write_number(out, column, row, plan->powers);
}

static inline lp_row_fault lp_write_time(uint8_t **out, const lp_line_plan *plan, int64_t row)
{
    int64_t time_ns;
    if (lp_is_null(&plan->times, row)) {
        return LP_ROW_TIME_NULL;
    }
    if (__builtin_mul_overflow(lp_signed_at(&plan->times, row), plan->time_unit_ns, &time_ns)) {
        return LP_ROW_TIME_RANGE;
    }
    *(*out)++ = ' ';
    *out = lp_write_int64(*out, time_ns);
    return LP_ROW_FINE;
}

static inline lp_row_fault lp_write_row(
    uint8_t **out, const lp_line_plan *plan, int64_t row, lp_line_output *output)
{
    lp_row_fault fault;
    uint8_t *fields = NULL;
    *out = lp_copy_padded(*out, plan->table, plan->table_bytes);
    for (int64_t number = 0; number < plan->column_count; number++) {
        if (number == plan->tag_count) {
            fields = *out;
        }
        fault = lp_write_item(out, plan, &plan->columns[number], row, output);
        if (fault != LP_ROW_FINE) {
            output->column = number;
            return fault;
        }
    }
    if (fields == NULL || *out == fields) {
        return LP_ROW_NO_FIELD;
    }
    *fields = ' '; /* in place of the first field's comma */
    if (plan->has_time) {
        fault = lp_write_time(out, plan, row);
        if (fault != LP_ROW_FINE) {
            return fault;
        }
    }
    *(*out)++ = '\n';
    return LP_ROW_FINE;
}

/* Writes the rows from output->row on. After LP_ROW_NO_ROOM the caller frees output->wanted bytes and
 * calls again. */
static lp_row_fault lp_write_rows(const lp_line_plan *plan, lp_line_output *output)
{
    for (; output->row < plan->row_count; output->row++) {
        uint8_t *out = output->bytes + output->used;
        lp_row_fault fault = LP_ROW_NO_ROOM;
        output->wanted = plan->row_bytes_max;
        if (output->capacity - output->used >= plan->row_bytes_max) {
            fault = lp_write_row(&out, plan, output->row, output);
        }
        if (fault != LP_ROW_FINE) {
            return fault;
        }
        output->used = out - output->bytes;
    }
    return LP_ROW_FINE;
}

#endif
