/* Rows of Arrow columns as JSON objects, into a growable buffer. Columns and what they point to come
 * from an Arrow producer and are trusted as Arrow's own kernels trust them. No Python API. */
#ifndef LP_JSON_WRITER_H
#define LP_JSON_WRITER_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "_arrow_abi.h"
#include "_digits.h"
#include "_float_text.h"
#include "_memory.h"

/* Floats from the first up to below the second are written with a point and no exponent. */
#define LP_JSON_PLAIN_MIN 1e-4
#define LP_JSON_PLAIN_MAX 1e10
/* Room for any value but a text: "2262-04-11T23:47:16.854775807" with its quotes is the longest. */
#define LP_JSON_VALUE_BYTES_MAX 48

typedef enum lp_json_kind {
    LP_JSON_FOREIGN, /* somebody else makes its JSON */
    LP_JSON_INT64,
    LP_JSON_UINT64,
    LP_JSON_DOUBLE,
    LP_JSON_BOOL,
    LP_JSON_TIME, /* nanoseconds without a zone */
    LP_JSON_TEXT, /* 32-bit offsets */
    LP_JSON_LONG_TEXT, /* 64-bit offsets */
    LP_JSON_CODES, /* int32 codes of texts with 32-bit offsets */
    LP_JSON_READY, /* JSON already, as texts with 64-bit offsets */
} lp_json_kind;

typedef struct lp_json_column {
    lp_json_kind kind;
    const uint8_t *key; /* quoted, with its colon */
    int64_t key_count;
    const uint8_t *validity; /* NULL when no value is null */
    const void *values; /* or offsets of texts */
    const uint8_t *bytes; /* of texts */
    int64_t offset; /* of the first row */
    /* Of codes: the dictionary. */
    const int32_t *text_offsets;
    const uint8_t *text_validity;
    int64_t text_offset;
} lp_json_column;

static inline bool lp_json_bit(const uint8_t *bits, int64_t place)
{
    return bits[place / 8] >> (place % 8) & 1;
}

static inline bool lp_json_is_null(const lp_json_column *column, int64_t place)
{
    return column->validity != NULL && !lp_json_bit(column->validity, place);
}

/* Whether each float of the column is written here as everywhere else in the server. */
static bool lp_json_is_plain(const lp_json_column *column, int64_t row_count)
{
    const double *values = (const double *)column->values + column->offset;
    for (int64_t row = 0; row < row_count; row++) {
        double magnitude = fabs(values[row]);
        bool is_plain = magnitude == 0 || !isfinite(magnitude)
            || (magnitude >= LP_JSON_PLAIN_MIN && magnitude < LP_JSON_PLAIN_MAX);
        if (!is_plain && !lp_json_is_null(column, column->offset + row)) {
            return false;
        }
    }
    return true;
}

/* 0 for bytes that stand for themselves in a JSON text, else the letter behind the backslash. */
static const uint8_t lp_json_escapes[256] = {
    [0] = 'u', [1] = 'u', [2] = 'u', [3] = 'u', [4] = 'u', [5] = 'u', [6] = 'u', [7] = 'u',
    [8] = 'b', [9] = 't', [10] = 'n', [11] = 'u', [12] = 'f', [13] = 'r', [14] = 'u', [15] = 'u',
    [16] = 'u', [17] = 'u', [18] = 'u', [19] = 'u', [20] = 'u', [21] = 'u', [22] = 'u', [23] = 'u',
    [24] = 'u', [25] = 'u', [26] = 'u', [27] = 'u', [28] = 'u', [29] = 'u', [30] = 'u', [31] = 'u',
    ['"'] = '"', ['\\'] = '\\',
};

/* Needs room for two quotes and six bytes for each of the text. */
static uint8_t *lp_json_write_text(uint8_t *out, const uint8_t *text, int64_t count)
{
    *out++ = '"';
    for (int64_t i = 0; i < count; i++) {
        uint8_t escape = lp_json_escapes[text[i]];
        if (escape == 0) {
            *out++ = text[i];
            continue;
        }
        *out++ = '\\';
        *out++ = escape;
        if (escape == 'u') {
            memcpy(out, text[i] < 16 ? "000" : "001", 3);
            out[3] = (uint8_t)"0123456789abcdef"[text[i] & 15];
            out += 4;
        }
    }
    *out++ = '"';
    return out;
}

/* The date of a day since 1970, "2026-01-31" (after Howard Hinnant's civil_from_days); the years are
 * those that nanoseconds reach. */
static inline uint8_t *lp_json_write_date(uint8_t *out, int64_t day)
{
    int64_t shifted = day + 719468; /* since 0000-03-01 */
    int64_t era = shifted / 146097;
    uint32_t of_era = (uint32_t)(shifted - era * 146097);
    uint32_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t shifted_month = (5 * of_year + 2) / 153;
    uint32_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    uint32_t year = year_of_era + (uint32_t)era * 400 + (month <= 2);
    lp_write_4_digits(out, year);
    out[4] = '-';
    lp_write_2_digits(out + 5, month);
    out[7] = '-';
    lp_write_2_digits(out + 8, of_year - (153 * shifted_month + 2) / 5 + 1);
    return out + 10;
}

/* "2026-01-31T12:10:00" with as many of 0, 3, 6 and 9 places as it needs, in quotes. */
static uint8_t *lp_json_write_time(uint8_t *out, int64_t time_ns)
{
    int64_t second = time_ns / 1000000000;
    int64_t rest = time_ns % 1000000000;
    if (rest < 0) {
        second -= 1;
        rest += 1000000000;
    }
    int64_t day = second / 86400;
    int64_t of_day = second % 86400;
    if (of_day < 0) {
        day -= 1;
        of_day += 86400;
    }
    *out++ = '"';
    out = lp_json_write_date(out, day);
    *out = 'T';
    lp_write_2_digits(out + 1, (uint32_t)(of_day / 3600));
    out[3] = ':';
    lp_write_2_digits(out + 4, (uint32_t)(of_day / 60 % 60));
    out[6] = ':';
    lp_write_2_digits(out + 7, (uint32_t)(of_day % 60));
    out += 9;
    if (rest != 0) {
        uint32_t fraction = (uint32_t)rest;
        *out = '.';
        /* The first digit takes the place before the eight others. */
        out[1] = (uint8_t)('0' + fraction / 100000000);
        lp_write_8_digits(out + 2, fraction % 100000000);
        out += fraction % 1000000 == 0 ? 4 : fraction % 1000 == 0 ? 7 : 10;
    }
    *out++ = '"';
    return out;
}

typedef struct lp_json_text {
    const uint8_t *bytes;
    int64_t count;
} lp_json_text;

/* The text at a place; of codes, of which `place` is the one. */
static inline lp_json_text lp_json_text_at(const lp_json_column *column, int64_t place)
{
    if (column->kind == LP_JSON_TEXT) {
        const int32_t *offsets = (const int32_t *)column->values + place;
        return (lp_json_text){column->bytes + offsets[0], offsets[1] - offsets[0]};
    }
    if (column->kind == LP_JSON_CODES) {
        int64_t code = ((const int32_t *)column->values)[place];
        const int32_t *offsets = column->text_offsets + column->text_offset + code;
        return (lp_json_text){column->bytes + offsets[0], offsets[1] - offsets[0]};
    }
    const int64_t *offsets = (const int64_t *)column->values + place;
    return (lp_json_text){column->bytes + offsets[0], offsets[1] - offsets[0]};
}

/* Null in its dictionary is null as well. */
static inline bool lp_json_has_null_code(const lp_json_column *column, int64_t place)
{
    if (column->kind != LP_JSON_CODES || column->text_validity == NULL) {
        return false;
    }
    int64_t code = ((const int32_t *)column->values)[place];
    return !lp_json_bit(column->text_validity, column->text_offset + code);
}

/* A value that is not null and no text. */
static inline uint8_t *lp_json_write_value(
    uint8_t *out, const lp_json_column *column, int64_t place, const lp_float_power *powers)
{
    switch (column->kind) {
    case LP_JSON_INT64:
        return lp_write_int64(out, ((const int64_t *)column->values)[place]);
    case LP_JSON_UINT64:
        return lp_write_uint64(out, ((const uint64_t *)column->values)[place]);
    case LP_JSON_DOUBLE: {
        double value = ((const double *)column->values)[place];
        if (!isfinite(value)) {
            memcpy(out, "null", 4);
            return out + 4;
        }
        return lp_write_double(out, value, powers);
    }
    case LP_JSON_BOOL:
        if (lp_json_bit((const uint8_t *)column->values, place)) {
            memcpy(out, "true", 4);
            return out + 4;
        }
        memcpy(out, "false", 5);
        return out + 5;
    default:
        return lp_json_write_time(out, ((const int64_t *)column->values)[place]);
    }
}

static inline lp_status lp_json_write_member(
    lp_buffer *buffer, const lp_json_column *column, int64_t place, const lp_float_power *powers)
{
    int64_t room = column->key_count + 1;
    if (column->kind < LP_JSON_TEXT) {
        lp_status status = lp_buffer_reserve(buffer, room + LP_JSON_VALUE_BYTES_MAX);
        if (status != LP_OK) {
            return status;
        }
        uint8_t *out = buffer->bytes + buffer->used;
        memcpy(out, column->key, (size_t)column->key_count);
        out = lp_json_write_value(out + column->key_count, column, place, powers);
        *out++ = ',';
        buffer->used = out - buffer->bytes;
        return LP_OK;
    }
    lp_json_text text = lp_json_text_at(column, place);
    bool is_ready = column->kind == LP_JSON_READY;
    lp_status status = lp_buffer_reserve(buffer, room + (is_ready ? text.count : 6 * text.count + 2));
    if (status != LP_OK) {
        return status;
    }
    uint8_t *out = buffer->bytes + buffer->used;
    memcpy(out, column->key, (size_t)column->key_count);
    out += column->key_count;
    if (is_ready) {
        memcpy(out, text.bytes, (size_t)text.count);
        out += text.count;
    } else {
        out = lp_json_write_text(out, text.bytes, text.count);
    }
    *out++ = ',';
    buffer->used = out - buffer->bytes;
    return LP_OK;
}

/* Appends all rows, each as an object without its nulls and with `separator` behind it. */
static lp_status lp_json_write_rows(
    lp_buffer *buffer, const lp_json_column *columns, int64_t column_count, int64_t row_count,
    uint8_t separator, const lp_float_power *powers)
{
    for (int64_t row = 0; row < row_count; row++) {
        lp_status status = lp_buffer_reserve(buffer, 1);
        if (status != LP_OK) {
            return status;
        }
        buffer->bytes[buffer->used++] = '{';
        int64_t begin = buffer->used;
        for (int64_t number = 0; number < column_count; number++) {
            const lp_json_column *column = &columns[number];
            int64_t place = column->offset + row;
            if (lp_json_is_null(column, place) || lp_json_has_null_code(column, place)) {
                continue;
            }
            status = lp_json_write_member(buffer, column, place, powers);
            if (status != LP_OK) {
                return status;
            }
        }
        /* The brace takes the place of the last comma. */
        buffer->used -= buffer->used > begin;
        status = lp_buffer_reserve(buffer, 2);
        if (status != LP_OK) {
            return status;
        }
        buffer->bytes[buffer->used++] = '}';
        buffer->bytes[buffer->used++] = separator;
    }
    return LP_OK;
}

#endif
