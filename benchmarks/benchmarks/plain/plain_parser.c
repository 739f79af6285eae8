// The yardstick of the benchmarks: line protocol to typed columns as an experienced C programmer writes it
// in a day. One pass over the bytes, hash tables for tables, columns and tag values, hand-written number
// loops, no SIMD and nothing remembered from one line to the next. It does less than lp_core does: no check
// of UTF-8, of duplicate keys or of reserved names, one precision, errors counted but not explained.

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TAG, INT64, UINT64, FLOAT64, BOOL, STRING };

typedef struct {
    const char *start;
    size_t length;
} text;

// Open addressing over entries of the owner, who compares the keys; 0 is an empty slot, else entry + 1.
typedef struct {
    uint32_t *slots;
    uint32_t *hashes;
    size_t mask;
    size_t count;
} index_table;

typedef struct {
    char *bytes;
    size_t length, capacity;
    int64_t *ends;
    size_t count, ends_capacity;
} string_list;

typedef struct {
    text name;
    int kind;
    size_t length, capacity;
    uint8_t *valid;
    union {
        int64_t *int64;
        uint64_t *uint64;
        double *float64;
        uint8_t *boolean;
        int32_t *codes;
        void *any;
    } values;
    string_list strings; // of a tag its distinct values, of a string field all values
    index_table dictionary;
} column;

typedef struct {
    text name;
    column *columns;
    size_t num_columns, columns_capacity;
    index_table column_index;
    int64_t *times;
    size_t num_rows, times_capacity;
} table;

typedef struct {
    table *tables;
    size_t num_tables, tables_capacity;
    index_table table_index;
    char *scratch; // an unescaped name or value, until it is stored
    size_t scratch_capacity;
    size_t num_rows, num_errors;
} plain_batch;

static void *grow(void *memory, size_t *capacity, size_t wanted, size_t item_size) {
    if (wanted <= *capacity) return memory;
    size_t next = *capacity ? *capacity * 2 : 64;
    if (next < wanted) next = wanted;
    memory = realloc(memory, next * item_size);
    if (memory == NULL) abort();
    *capacity = next;
    return memory;
}

static text keep(text source) {
    char *copy = malloc(source.length + 1);
    if (copy == NULL) abort();
    memcpy(copy, source.start, source.length);
    return (text){copy, source.length};
}

static bool same(text a, text b) {
    return a.length == b.length && memcmp(a.start, b.start, a.length) == 0;
}

static uint32_t hash_of(text key) {
    uint64_t hash = key.length * 0x9E3779B97F4A7C15u;
    const char *at = key.start;
    size_t left = key.length;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
        hash ^= hash >> 32;
    }
    uint64_t word = 0;
    for (size_t i = 0; i < left; i++) word = word << 8 | (uint8_t)at[i];
    hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
    return (uint32_t)(hash >> 32);
}

static void index_insert(index_table *index, uint32_t hash, uint32_t entry) {
    size_t slot = hash & index->mask;
    while (index->slots[slot]) slot = (slot + 1) & index->mask;
    index->slots[slot] = entry + 1;
    index->hashes[slot] = hash;
}

static void index_add(index_table *index, uint32_t hash, uint32_t entry) {
    if (index->slots == NULL || (index->count + 1) * 2 > index->mask + 1) {
        index_table bigger = {.mask = index->slots ? index->mask * 2 + 1 : 15, .count = index->count};
        bigger.slots = calloc(bigger.mask + 1, sizeof *bigger.slots);
        bigger.hashes = malloc((bigger.mask + 1) * sizeof *bigger.hashes);
        if (bigger.slots == NULL || bigger.hashes == NULL) abort();
        if (index->slots)
            for (size_t slot = 0; slot <= index->mask; slot++)
                if (index->slots[slot]) index_insert(&bigger, index->hashes[slot], index->slots[slot] - 1);
        free(index->slots);
        free(index->hashes);
        *index = bigger;
    }
    index_insert(index, hash, entry);
    index->count++;
}

static void string_list_add(string_list *list, text value) {
    list->bytes = grow(list->bytes, &list->capacity, list->length + value.length, 1);
    memcpy(list->bytes + list->length, value.start, value.length);
    list->length += value.length;
    list->ends = grow(list->ends, &list->ends_capacity, list->count + 1, sizeof *list->ends);
    list->ends[list->count++] = (int64_t)list->length;
}

static text string_at(const string_list *list, size_t i) {
    size_t start = i ? (size_t)list->ends[i - 1] : 0;
    return (text){list->bytes + start, (size_t)list->ends[i] - start};
}

static table *find_table(plain_batch *batch, text name) {
    uint32_t hash = hash_of(name);
    index_table *index = &batch->table_index;
    if (index->slots)
        for (size_t slot = hash & index->mask; index->slots[slot]; slot = (slot + 1) & index->mask)
            if (index->hashes[slot] == hash && same(batch->tables[index->slots[slot] - 1].name, name))
                return &batch->tables[index->slots[slot] - 1];
    batch->tables =
        grow(batch->tables, &batch->tables_capacity, batch->num_tables + 1, sizeof *batch->tables);
    table *made = &batch->tables[batch->num_tables];
    *made = (table){.name = keep(name)};
    index_add(index, hash, (uint32_t)batch->num_tables++);
    return made;
}

// NULL where the column exists with another type.
static column *find_column(table *of, text name, int kind) {
    uint32_t hash = hash_of(name);
    index_table *index = &of->column_index;
    if (index->slots)
        for (size_t slot = hash & index->mask; index->slots[slot]; slot = (slot + 1) & index->mask)
            if (index->hashes[slot] == hash && same(of->columns[index->slots[slot] - 1].name, name)) {
                column *found = &of->columns[index->slots[slot] - 1];
                return found->kind == kind ? found : NULL;
            }
    of->columns = grow(of->columns, &of->columns_capacity, of->num_columns + 1, sizeof *of->columns);
    column *made = &of->columns[of->num_columns];
    *made = (column){.name = keep(name), .kind = kind};
    index_add(index, hash, (uint32_t)of->num_columns++);
    return made;
}

static int32_t tag_code(column *of, text value) {
    uint32_t hash = hash_of(value);
    index_table *index = &of->dictionary;
    if (index->slots)
        for (size_t slot = hash & index->mask; index->slots[slot]; slot = (slot + 1) & index->mask)
            if (index->hashes[slot] == hash && same(string_at(&of->strings, index->slots[slot] - 1), value))
                return (int32_t)index->slots[slot] - 1;
    string_list_add(&of->strings, value);
    index_add(index, hash, (uint32_t)of->strings.count - 1);
    return (int32_t)of->strings.count - 1;
}

static const size_t VALUE_SIZE[] = {[TAG] = 4, [INT64] = 8, [UINT64] = 8, [FLOAT64] = 8, [BOOL] = 1, [STRING] = 0};

// Give the column `length` rows; those that had no value are null.
static void extend(column *of, size_t length) {
    if (length > of->capacity) {
        size_t capacity = of->capacity;
        of->valid = grow(of->valid, &capacity, length, 1);
        of->values.any = grow(of->values.any, &of->capacity, length, VALUE_SIZE[of->kind] ? VALUE_SIZE[of->kind] : 1);
    }
    for (size_t row = of->length; row < length; row++) {
        of->valid[row] = 0;
        if (of->kind == STRING) string_list_add(&of->strings, (text){"", 0});
        else memset((char *)of->values.any + row * VALUE_SIZE[of->kind], 0, VALUE_SIZE[of->kind]);
    }
    of->length = length;
}

// The row being read; NULL where it already has a value, or where the type differs.
static column *cell(table *of, text name, int kind) {
    column *found = find_column(of, name, kind);
    if (found == NULL || found->length > of->num_rows) return NULL;
    if (found->length < of->num_rows) extend(found, of->num_rows);
    size_t row = of->num_rows;
    if (row + 1 > found->capacity) {
        size_t capacity = found->capacity;
        found->valid = grow(found->valid, &capacity, row + 1, 1);
        found->values.any =
            grow(found->values.any, &found->capacity, row + 1, VALUE_SIZE[kind] ? VALUE_SIZE[kind] : 1);
    }
    found->valid[row] = 1;
    found->length = row + 1;
    return found;
}

static void undo_row(table *of) {
    for (size_t i = 0; i < of->num_columns; i++) {
        column *each = &of->columns[i];
        if (each->length <= of->num_rows) continue;
        each->length = of->num_rows;
        if (each->kind == STRING && each->strings.count > of->num_rows) {
            each->strings.count = of->num_rows;
            each->strings.length = of->num_rows ? (size_t)each->strings.ends[of->num_rows - 1] : 0;
        }
    }
}

// Read a name or tag value up to one of the two stops; unescape it into scratch where that is needed.
static const char *read_name(
    plain_batch *batch, const char *at, const char *end, char stop, char other_stop, text *name) {
    const char *start = at;
    while (at < end && *at != stop && *at != other_stop && *at != '\\' && *at != '\n') at++;
    if (at < end && *at == '\\') {
        const char *scan = at;
        for (; scan < end && *scan != stop && *scan != other_stop && *scan != '\n'; scan++)
            if (*scan == '\\' && scan + 1 < end) scan++;
        batch->scratch = grow(batch->scratch, &batch->scratch_capacity, (size_t)(scan - start), 1);
        size_t length = 0;
        for (const char *from = start; from < scan; from++) {
            if (*from == '\\' && from + 1 < scan &&
                (from[1] == ',' || from[1] == '=' || from[1] == ' ' || from[1] == '\\'))
                from++;
            batch->scratch[length++] = *from;
        }
        *name = (text){batch->scratch, length};
        at = scan;
    } else {
        *name = (text){start, (size_t)(at - start)};
    }
    return name->length ? at : NULL;
}

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const char *read_digits(const char *at, const char *end, uint64_t *value, bool *overflow) {
    const char *start = at;
    for (; at < end && (unsigned)(*at - '0') <= 9; at++) {
        // 19 digits always fit.
        if (at - start < 19) *value = *value * 10 + (uint64_t)(*at - '0');
        else if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *at - '0', value))
            *overflow = true;
    }
    return at;
}

// A number of any kind at `at`: its kind, its value in `whole` or `real`. NULL if it is none.
static const char *read_number(const char *at, const char *end, int *kind, uint64_t *whole, double *real) {
    const char *start = at;
    bool negative = at < end && *at == '-', overflow = false;
    at += negative;
    const char *digits = at;
    uint64_t mantissa = 0;
    at = read_digits(at, end, &mantissa, &overflow);
    if (at == digits) return NULL;
    if (at < end && (*at == 'i' || *at == 'u')) {
        bool is_signed = *at == 'i';
        if (overflow || (is_signed && mantissa > (uint64_t)INT64_MAX + negative) || (!is_signed && negative))
            return NULL;
        *kind = is_signed ? INT64 : UINT64;
        *whole = negative ? 0 - mantissa : mantissa;
        return at + 1;
    }
    int64_t exponent = 0;
    if (at < end && *at == '.') {
        const char *fraction = ++at;
        for (; at < end && (unsigned)(*at - '0') <= 9; at++)
            if (!overflow &&
                (__builtin_mul_overflow(mantissa, 10, &mantissa) ||
                 __builtin_add_overflow(mantissa, *at - '0', &mantissa)))
                overflow = true;
        if (at == fraction) return NULL;
        exponent = fraction - at;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        bool down = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        const char *power_digits = at;
        uint64_t power = 0;
        for (; at < end && (unsigned)(*at - '0') <= 9; at++)
            if (power < 100000) power = power * 10 + (uint64_t)(*at - '0');
        if (at == power_digits) return NULL;
        exponent += down ? -(int64_t)power : (int64_t)power;
    }
    *kind = FLOAT64;
    if (!overflow && mantissa <= (1ull << 53) && exponent >= -22 && exponent <= 22) {
        double exact = (double)mantissa;
        exact = exponent < 0 ? exact / POWERS[-exponent] : exact * POWERS[exponent];
        *real = negative ? -exact : exact;
    } else {
        *real = strtod(start, NULL);
    }
    return at;
}

// `at` is behind the opening quote; the value is unescaped into scratch where it has escapes.
static const char *read_string(plain_batch *batch, const char *at, const char *end, text *value) {
    const char *start = at;
    while (at < end && *at != '"' && *at != '\\') at++;
    if (at < end && *at == '"') {
        *value = (text){start, (size_t)(at - start)};
        return at + 1;
    }
    size_t length = (size_t)(at - start);
    batch->scratch = grow(batch->scratch, &batch->scratch_capacity, length + 1, 1);
    memcpy(batch->scratch, start, length);
    for (; at < end && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < end && (at[1] == '"' || at[1] == '\\')) at++;
        batch->scratch = grow(batch->scratch, &batch->scratch_capacity, length + 1, 1);
        batch->scratch[length++] = *at;
    }
    *value = (text){batch->scratch, length};
    return at < end ? at + 1 : NULL;
}

static const char *read_bool(const char *at, const char *end, bool *value) {
    static const char *const WORDS[] = {"true", "True", "TRUE", "t", "T", "false", "False", "FALSE", "f", "F"};
    for (int i = 0; i < 10; i++) {
        size_t length = strlen(WORDS[i]);
        if ((size_t)(end - at) >= length && memcmp(at, WORDS[i], length) == 0) {
            *value = i < 5;
            return at + length;
        }
    }
    return NULL;
}

static const char *read_field(plain_batch *batch, table *of, const char *at, const char *end) {
    text name;
    at = read_name(batch, at, end, '=', ' ', &name);
    if (at == NULL || at >= end || *at != '=' || ++at >= end) return NULL;
    column *into;
    // The scratch may be needed again for the value, so the column is looked up before it is read.
    if (*at == '"') {
        text value;
        if ((into = cell(of, name, STRING)) == NULL) return NULL;
        if ((at = read_string(batch, at + 1, end, &value)) == NULL) return NULL;
        string_list_add(&into->strings, value);
        return at;
    }
    if (*at == '-' || (unsigned)(*at - '0') <= 9) {
        int kind;
        uint64_t whole;
        double real;
        if ((at = read_number(at, end, &kind, &whole, &real)) == NULL) return NULL;
        if ((into = cell(of, name, kind)) == NULL) return NULL;
        if (kind == FLOAT64) into->values.float64[of->num_rows] = real;
        else into->values.uint64[of->num_rows] = whole;
        return at;
    }
    bool value;
    if ((at = read_bool(at, end, &value)) == NULL) return NULL;
    if ((into = cell(of, name, BOOL)) == NULL) return NULL;
    into->values.boolean[of->num_rows] = value;
    return at;
}

// Returns where the line went wrong or ended, and whether it is good.
static const char *read_line(plain_batch *batch, const char *at, const char *end, table **of, bool *good) {
    text name, value;
    const char *next = read_name(batch, at, end, ',', ' ', &name);
    if (next == NULL) return at;
    *of = find_table(batch, name);
    at = next;
    while (at < end && *at == ',') {
        if ((next = read_name(batch, at + 1, end, '=', ' ', &name)) == NULL) return at;
        if ((at = next) >= end || *at != '=') return at;
        column *into = cell(*of, name, TAG);
        if (into == NULL) return at;
        if ((next = read_name(batch, at + 1, end, ',', ' ', &value)) == NULL) return at;
        into->values.codes[(*of)->num_rows] = tag_code(into, value);
        at = next;
    }
    if (at >= end || *at != ' ') return at;
    while (at < end && *at == ' ') at++;
    while (true) {
        if ((next = read_field(batch, *of, at, end)) == NULL) return at;
        at = next;
        if (at >= end || *at != ',') break;
        at++;
    }
    while (at < end && *at == ' ') at++;
    int64_t time = 0;
    if (at < end && *at != '\n') {
        bool negative = *at == '-', overflow = false;
        uint64_t digits = 0;
        if ((next = read_digits(at + negative, end, &digits, &overflow)) == at + negative) return at;
        if (overflow || digits > INT64_MAX || (next < end && *next != '\n')) return at;
        time = negative ? -(int64_t)digits : (int64_t)digits;
        at = next;
    }
    table *row_of = *of;
    row_of->times =
        grow(row_of->times, &row_of->times_capacity, row_of->num_rows + 1, sizeof *row_of->times);
    row_of->times[row_of->num_rows++] = time;
    *good = true;
    return at;
}

// The byte behind the body must be readable and no digit, as that of a Python bytes object is.
plain_batch *plain_parse(const char *body, size_t length) {
    plain_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) abort();
    const char *at = body, *end = body + length;
    while (at < end) {
        if (*at == '\n' || *at == ' ') {
            at++;
            continue;
        }
        if (*at != '#') {
            table *of = NULL;
            bool good = false;
            at = read_line(batch, at, end, &of, &good);
            batch->num_rows += good;
            batch->num_errors += !good;
            if (good) continue;
            if (of != NULL) undo_row(of);
        }
        at = memchr(at, '\n', (size_t)(end - at));
        if (at == NULL) break;
    }
    for (size_t t = 0; t < batch->num_tables; t++)
        for (size_t c = 0; c < batch->tables[t].num_columns; c++)
            if (batch->tables[t].columns[c].length < batch->tables[t].num_rows)
                extend(&batch->tables[t].columns[c], batch->tables[t].num_rows);
    return batch;
}

void plain_free(plain_batch *batch) {
    for (size_t t = 0; t < batch->num_tables; t++) {
        table *each = &batch->tables[t];
        for (size_t c = 0; c < each->num_columns; c++) {
            column *one = &each->columns[c];
            free((void *)one->name.start);
            free(one->valid);
            free(one->values.any);
            free(one->strings.bytes);
            free(one->strings.ends);
            free(one->dictionary.slots);
            free(one->dictionary.hashes);
        }
        free((void *)each->name.start);
        free(each->columns);
        free(each->column_index.slots);
        free(each->column_index.hashes);
        free(each->times);
    }
    free(batch->tables);
    free(batch->table_index.slots);
    free(batch->table_index.hashes);
    free(batch->scratch);
    free(batch);
}

// What follows lets the tests compare; the benchmark does not call it.

size_t plain_num_rows(const plain_batch *batch) { return batch->num_rows; }

size_t plain_num_errors(const plain_batch *batch) { return batch->num_errors; }

static uint64_t checksum_of(text value) {
    uint64_t sum = 1;
    for (size_t i = 0; i < value.length; i++) sum += (i + 1) * (uint8_t)value.start[i];
    return sum;
}

static uint64_t checksum_of_cell(const column *of, size_t row) {
    switch (of->kind) {
        case TAG: return checksum_of(string_at(&of->strings, (size_t)of->values.codes[row]));
        case STRING: return checksum_of(string_at(&of->strings, row));
        case BOOL: return of->values.boolean[row];
        default: return of->values.uint64[row]; // of a double its bits
    }
}

// Sum over the rows that have a value; of "time" over all rows. False where there is no such column.
bool plain_column_sum(
    const plain_batch *batch, const char *table_name, const char *name, uint64_t *sum, uint64_t *count) {
    *sum = *count = 0;
    for (size_t t = 0; t < batch->num_tables; t++) {
        const table *each = &batch->tables[t];
        if (!same(each->name, (text){table_name, strlen(table_name)})) continue;
        if (strcmp(name, "time") == 0) {
            for (size_t row = 0; row < each->num_rows; row++) *sum += (uint64_t)each->times[row];
            *count = each->num_rows;
            return true;
        }
        for (size_t c = 0; c < each->num_columns; c++) {
            const column *one = &each->columns[c];
            if (!same(one->name, (text){name, strlen(name)})) continue;
            for (size_t row = 0; row < one->length; row++)
                if (one->valid[row]) {
                    *sum += checksum_of_cell(one, row);
                    ++*count;
                }
            return true;
        }
    }
    return false;
}
