/* The body of _fast_lines.h, included once for each path: LP_PATH(name) is the name of a function of
 * this path. Reading it, leave LP_PATH out. */

static inline const uint8_t *LP_PATH(lp_fast_integer)(const uint8_t *text, uint64_t *bits)
{
    uint64_t value = (uint8_t)(*text - '0');
    if (value > 9) {
        return NULL;
    }
    text++;
    /* Most integers are short, and then a loop beats wide loads. */
    for (int i = 0; i < 3; i++) {
        uint8_t digit = (uint8_t)(*text - '0');
        if (digit > 9) {
            *bits = value;
            return text;
        }
        value = value * 10 + digit;
        text++;
    }
    int more = LP_PATH(lp_count_digits)(text);
    if (more > 14) {
        return NULL; /* may need more than 64 bits */
    }
    *bits = value * lp_integer_powers[more] + LP_PATH(lp_digits_value)(text + more, more);
    return text + more;
}

/* Floats of up to 19 digits, whatever their shape. */
static inline const uint8_t *LP_PATH(lp_long_float)(
    const uint8_t *text, const uint8_t *end, double *value)
{
    int whole;
    int stop_at;
    LP_PATH(lp_decimal_ends)(text, &whole, &stop_at);
    if (whole == 0 || whole > 19 || stop_at >= 32 || (text[stop_at] | 0x20) == 'e') {
        return lp_any_float(text, end, value);
    }
    uint64_t digits = whole == 1 ? (uint64_t)(text[0] - '0')
                                 : LP_PATH(lp_digits_value)(text + whole, whole);
    int fraction = stop_at - whole - 1;
    if (fraction < 0) {
        *value = (double)digits; /* there is no point; this rounds once */
        return text + stop_at;
    }
    if (fraction == 0 || (digits != 0 ? whole : 0) + fraction > 19) {
        return lp_any_float(text, end, value);
    }
    digits = digits * lp_integer_powers[fraction]
        + LP_PATH(lp_digits_value)(text + stop_at, fraction);
    *value = lp_divided_by_power(digits, fraction);
    return text + stop_at;
}

static inline const uint8_t *LP_PATH(lp_fast_float)(
    const uint8_t *text, const uint8_t *end, uint64_t *bits)
{
    uint64_t digits;
    int fraction;
    double value;
    bool is_negative = *text == '-';
    if (is_negative) {
        text++;
        LP_KEEP_BRANCH(text);
    }
    const uint8_t *stop = LP_PATH(lp_short_decimal)(text, &digits, &fraction);
    if (stop != NULL && (*stop | 0x20) != 'e') {
        value = (double)digits / lp_powers_of_ten[fraction];
    } else {
        stop = LP_PATH(lp_long_float)(text, end, &value);
    }
    memcpy(bits, &value, sizeof(value));
    *bits ^= (uint64_t)is_negative << 63;
    return stop;
}

/* Copies a string without its escapes behind the column's text of `row` rows; the byte after it is the
 * quote. */
static inline const uint8_t *LP_PATH(lp_fast_string)(
    const lp_assembler *assembler, const uint8_t *text, lp_column_builder *column, int64_t row)
{
    const uint8_t *limit = assembler->body_end - LP_SLACK;
    lp_buffer *values = &column->values;
    int32_t *offsets = (int32_t *)column->offsets.bytes;
    const uint8_t *start = text;
    uint8_t *output = values->bytes + offsets[row];
    uint8_t *room_end = values->bytes + values->capacity - 2 * 64;
    for (;;) {
        if (text >= limit) {
            return NULL;
        }
        if (output > room_end) {
            int64_t written = output - values->bytes;
            int64_t committed = values->used;
            values->used = written; /* what the estimate starts from */
            lp_status status = lp_reserve_expected(assembler, values, values->capacity, text);
            values->used = committed;
            if (status != LP_OK) {
                return NULL; /* the complete parser meets this again, and reports it */
            }
            output = values->bytes + written;
            room_end = values->bytes + values->capacity - 2 * 64;
        }
        uint64_t backslashes;
        uint64_t specials = LP_PATH(lp_find_specials)(text, &backslashes);
        int taken = 0;
        int stop = 64;
        while (specials != 0) {
            int at = __builtin_ctzll(specials);
            if ((backslashes >> at & 1) == 0) {
                LP_PATH(lp_copy_up_to_64)(output, text + taken, at - taken);
                offsets[row + 1] = (int32_t)(output + at - taken - values->bytes);
                text += at;
                return text - start > LP_TEXT_BYTES_MAX ? NULL : text;
            }
            if (at == 63) {
                stop = 63; /* what it escapes comes with the next bytes */
                break;
            }
            specials &= specials - 1;
            if (text[at + 1] == '"' || text[at + 1] == '\\') {
                LP_PATH(lp_copy_up_to_64)(output, text + taken, at - taken);
                output += at - taken;
                taken = at + 1;
                specials &= specials - 1;
            }
        }
        LP_PATH(lp_copy_up_to_64)(output, text + taken, stop - taken);
        output += stop - taken;
        text += stop;
    }
}

/* Puts the fields of a line at the next row of the open shape; returns the byte after them, or NULL
 * when the line is not of this shape. */
static inline const uint8_t *LP_PATH(lp_fast_fields)(
    const lp_assembler *assembler, lp_table_builder *table, const lp_shape *shape,
    const uint8_t *text)
{
    const uint8_t *end = assembler->body_end;
    const uint8_t *limit = end - LP_SLACK;
    const lp_lane *lane = (const lp_lane *)shape->lane_buffer.bytes;
    const lp_lane *lane_end = lane + shape->lane_count;
    int64_t row = table->num_rows;
    for (; lane < lane_end; lane++) {
        if (text >= limit || !LP_PATH(lp_is_lane)(text, lane)
            || (lane->text_bytes > 32 && !lp_is_lane_rest(text, end, lane))) {
            return NULL;
        }
        text += lane->text_bytes;
        uint64_t bits = 0;
        bool is_true = false;
        if (lane->type == LP_TYPE_FLOAT64) {
            text = LP_PATH(lp_fast_float)(text, end, &bits);
            ((uint64_t *)lane->values)[row] = bits;
        } else if (lane->type == LP_TYPE_INT64) {
            bool is_negative = *text == '-';
            if (is_negative) {
                text++;
                LP_KEEP_BRANCH(text);
            }
            text = LP_PATH(lp_fast_integer)(text, &bits);
            ((uint64_t *)lane->values)[row] = is_negative ? 0 - bits : bits;
        } else if (lane->type == LP_TYPE_STRING) {
            text = LP_PATH(lp_fast_string)(
                assembler, text, &table->columns[lane->column], row);
        } else if (lane->type == LP_TYPE_BOOL) {
            text = lp_fast_bool(text, &is_true);
            lp_set_bits(lane->values, row, row + 1, is_true);
        } else {
            text = LP_PATH(lp_fast_integer)(text, &bits);
            ((uint64_t *)lane->values)[row] = bits;
        }
        if (text == NULL) {
            return NULL;
        }
    }
    if (text >= limit) {
        return NULL;
    }
    switch (shape->last_type) {
    case LP_TYPE_INT64:
        return *text == 'i' ? text + 1 : NULL;
    case LP_TYPE_UINT64:
        return *text == 'u' ? text + 1 : NULL;
    case LP_TYPE_STRING:
        return text + 1; /* the quote */
    default:
        return text;
    }
}

/* Reads the timestamp and the line end; returns the start of the next line, or NULL. */
static inline const uint8_t *LP_PATH(lp_fast_time)(
    lp_assembler *assembler, const uint8_t *text, int64_t *time_ns, const uint8_t **line_end)
{
    *time_ns = assembler->default_time_ns;
    if (*text == ' ') {
        text++;
        int count = LP_PATH(lp_count_digits)(text);
        if (count == 0 || count > 19) {
            return NULL;
        }
        text = lp_advance(text, count, &assembler->time_digits);
        uint64_t time = LP_PATH(lp_digits_value)(text, count);
        if (time > INT64_MAX || !lp_scale_time((int64_t)time, assembler->unit_ns, time_ns)) {
            return NULL;
        }
    }
    *line_end = text;
    text += *text == '\r';
    return *text == '\n' ? text + 1 : NULL;
}

/* Finds the key of the line and its hash; returns the bytes of the key with its space, 0: none that
 * is plain. */
static inline int64_t LP_PATH(lp_find_key)(
    const lp_assembler *assembler, const uint8_t *start, uint64_t *key_hash)
{
    const uint8_t *limit = assembler->body_end - LP_SLACK;
    const uint8_t *text = start;
    for (;;) {
        if (text >= limit) {
            return 0;
        }
        int count = LP_PATH(lp_find_key_end)(text);
        text += count;
        if (count < 32) {
            break;
        }
    }
    if (*text != ' ' || text == start) {
        return 0;
    }
    *key_hash = lp_hash_bytes(start, text + 1 - start, assembler->seed);
    return text + 1 - start;
}

/* Looks at the lines from `start` on, until there are LP_GLANCES of them, so that what belongs to
 * them is in the cache when it is their turn. */
static __attribute__((noinline)) void LP_PATH(lp_glance_ahead)(
    lp_assembler *assembler, const uint8_t *start)
{
    const uint8_t *limit = assembler->body_end - LP_SLACK;
    int32_t count = 0;
    const uint8_t *text = start;
    while (count < LP_GLANCES && text < limit) {
        lp_glance *glance = &assembler->glances[count];
        glance->start = text;
        __builtin_prefetch(text + LP_TEXT_AHEAD);
        __builtin_prefetch(text + LP_TEXT_AHEAD + 64);
        glance->key_bytes = LP_PATH(lp_find_key)(assembler, text, &glance->key_hash);
        if (glance->key_bytes == 0) {
            break;
        }
        lp_index_prefetch(&assembler->series_by_key, glance->key_hash);
        count++;
        text += glance->key_bytes;
        int ahead = 32;
        while (text < limit && (ahead = LP_PATH(lp_find_line_feed)(text)) == 32) {
            text += 32;
        }
        text += ahead + 1;
    }
    for (int32_t i = 0; i < count; i++) {
        int64_t slot;
        int64_t place = lp_index_first(
            &assembler->series_by_key, assembler->glances[i].key_hash, &slot);
        if (place >= 0) {
            __builtin_prefetch(lp_series_at(assembler, place));
        }
    }
    assembler->glance_count = count;
    assembler->glance_next = 0;
}

/* The entry of the line's series, or NULL; then *key_bytes is 0 when the key is not plain. */
static inline lp_series_entry *LP_PATH(lp_look_up)(
    lp_assembler *assembler, const uint8_t *text, int64_t *key_bytes, uint64_t *key_hash)
{
    int64_t number;
    int64_t slot = 0;
    if (assembler->glance_next >= assembler->glance_count && assembler->surprises >= LP_GLANCES
        && assembler->series_count >= LP_SERIES_OUT_OF_CACHE) {
        LP_PATH(lp_glance_ahead)(assembler, text);
    }
    const lp_glance *glance = &assembler->glances[assembler->glance_next];
    if (assembler->glance_next < assembler->glance_count && glance->start == text) {
        assembler->glance_next += 1;
        *key_bytes = glance->key_bytes;
        *key_hash = glance->key_hash;
    } else {
        assembler->glance_count = 0; /* they were of other lines */
        *key_bytes = LP_PATH(lp_find_key)(assembler, text, key_hash);
        if (*key_bytes == 0) {
            return NULL;
        }
    }
    number = lp_index_first(&assembler->series_by_key, *key_hash, &slot);
    while (number >= 0) {
        lp_series_entry *entry = lp_series_at(assembler, number);
        if (entry->key_bytes == *key_bytes && LP_PATH(lp_is_key)(text, entry->key, *key_bytes)) {
            return entry;
        }
        number = lp_index_next(&assembler->series_by_key, *key_hash, &slot);
    }
    return NULL;
}

/* The entry of the series that followed the last one before, when it does so again. */
static inline lp_series_entry *LP_PATH(lp_guessed_series)(
    const lp_assembler *assembler, const uint8_t *text)
{
    if (assembler->last_series == LP_SERIES_NONE || assembler->surprises >= LP_GLANCES) {
        return NULL;
    }
    int32_t next = lp_series_at(assembler, assembler->last_series)->next;
    if (next == LP_SERIES_NONE) {
        return NULL;
    }
    lp_series_entry *entry = lp_series_at(assembler, next);
    bool is_same = assembler->body_end - text > entry->key_bytes + LP_SLACK
        && LP_PATH(lp_is_key)(text, entry->key, entry->key_bytes);
    return is_same ? entry : NULL;
}

/* Number of the table that the key names when it has no escapes, or -1. */
static inline int32_t LP_PATH(lp_find_table)(
    const lp_assembler *assembler, const uint8_t *key, int64_t key_bytes)
{
    if (assembler->last_series != LP_SERIES_NONE) {
        int32_t guess = lp_series_at(assembler, assembler->last_series)->table;
        const lp_table_builder *table = lp_table_at(assembler, guess);
        if (table->name_bytes < key_bytes
            && LP_PATH(lp_is_key)(key, (const uint8_t *)table->name, table->name_bytes)
            && (key[table->name_bytes] == ',' || key[table->name_bytes] == ' ')) {
            return guess;
        }
    }
    return lp_find_plain_table(assembler, key);
}

/* Finds the tags of a line whose series is new, when they are those of the newest series of its table,
 * in the same order. The key is plain: without backslash, and ends with its only space. What the
 * dictionaries have of them is on its way to the cache afterwards. */
static inline bool LP_PATH(lp_find_new_tags)(
    const lp_assembler *assembler, const lp_table_builder *table, const uint8_t *key,
    const uint8_t *key_end, lp_new_tags *found)
{
    if (table->series.used == 0) {
        return false;
    }
    const lp_table_series *like = lp_newest_series(table);
    if (like->tag_count > LP_FAST_TAGS_MAX) {
        return false;
    }
    found->is_alone = like->tag_count == 1
        && lp_is_new_value(&table->columns[like->tags[0].column]);
    const uint8_t *text = key + table->name_bytes;
    for (int64_t i = 0; i < like->tag_count; i++) {
        const lp_column_builder *column = &table->columns[like->tags[i].column];
        if (*text != ',' || key_end - text < column->name_bytes + 3
            || !LP_PATH(lp_is_key)(text + 1, (const uint8_t *)column->name, column->name_bytes)
            || text[1 + column->name_bytes] != '=') {
            return false;
        }
        text += column->name_bytes + 2;
        const uint8_t *value = text;
        int ahead;
        while ((ahead = LP_PATH(lp_find_value_end)(text)) == 32) {
            text += 32;
        }
        text += ahead;
        if (*text == '\t' || text == value || text - value > LP_TEXT_BYTES_MAX) {
            return false;
        }
        found->values[i] = (lp_text){value, text - value};
        if (!found->is_alone) {
            found->hashes[i] = lp_hash_bytes(value, text - value, assembler->seed);
            lp_index_prefetch(&column->dictionary, found->hashes[i]);
        }
    }
    return *text == ' ';
}

/* Checks UTF-8 beyond 64 bytes that are not all ASCII, as many bytes as make that worth while. */
static __attribute__((noinline)) bool LP_PATH(lp_check_utf8)(lp_assembler *assembler)
{
    const uint8_t *end = assembler->body_end;
    if (end - assembler->checked > LP_CHECKED_BYTES) {
        end = lp_utf8_cut(assembler->checked + LP_CHECKED_BYTES);
    }
    if (!LP_PATH(lp_is_utf8)(assembler->checked, end)) {
        return false;
    }
    assembler->checked = end;
    return true;
}

/* Checks that the body is UTF-8 up to `text` at least, which is right behind a line: its bytes are in the
 * nearest cache now. */
static inline bool LP_PATH(lp_catch_up)(lp_assembler *assembler, const uint8_t *text)
{
    while (assembler->checked < text) {
        if (LP_PATH(lp_is_ascii)(assembler->checked)) {
            __builtin_prefetch(assembler->checked + LP_TEXT_AHEAD);
            assembler->checked += 64;
        } else if (!LP_PATH(lp_check_utf8)(assembler)) {
            return false;
        }
    }
    return true;
}

/* Takes lines from *at on until one is out of the ordinary, and moves *at there. */
static lp_fast_outcome LP_PATH(lp_fast_lines)(lp_assembler *assembler, const uint8_t **at)
{
    const uint8_t *limit = assembler->body_end - LP_SLACK;
    const uint8_t *text = *at;
    lp_new_tags new_tags;
    if (text - assembler->body_start < 32 || assembler->body_end - text < LP_SLACK) {
        return LP_FAST_LEFT; /* wide loads reach back as well */
    }
    while (text < limit) {
        uint64_t key_hash = 0;
        int64_t key_bytes = 0;
        lp_series_entry *entry = LP_PATH(lp_guessed_series)(assembler, text);
        if (entry != NULL) {
            key_bytes = entry->key_bytes;
        } else {
            entry = LP_PATH(lp_look_up)(assembler, text, &key_bytes, &key_hash);
        }
        int32_t table_number;
        if (entry != NULL) {
            table_number = entry->table;
        } else {
            table_number = key_bytes > 0 ? LP_PATH(lp_find_table)(assembler, text, key_bytes) : -1;
            if (table_number < 0) {
                break;
            }
        }
        lp_table_builder *table = lp_table_at(assembler, table_number);
        int32_t shape_number = entry != NULL ? entry->shape : table->last_shape;
        if (shape_number == LP_SHAPE_NONE
            || assembler->taken_bits + table->row_bits > assembler->taken_bits_max) {
            break;
        }
        if (lp_reserve_row(assembler, table, text) != LP_OK) {
            return LP_FAST_NO_MEMORY;
        }
        const lp_shape *shape = &table->shapes[shape_number];
        if (table->open_shape != shape_number) {
            if (!lp_may_have_shape(assembler, shape, text + key_bytes)) {
                break;
            }
            if (lp_table_open(table, shape_number) != LP_OK) {
                return LP_FAST_NO_MEMORY;
            }
        }
        bool has_new_tags = entry == NULL
            && LP_PATH(lp_find_new_tags)(
                assembler, table, text, text + key_bytes, &new_tags);
        const uint8_t *stop = LP_PATH(lp_fast_fields)(assembler, table, shape, text + key_bytes);
        if (stop == NULL) {
            break;
        }
        int64_t time_ns;
        const uint8_t *line_end;
        const uint8_t *next = LP_PATH(lp_fast_time)(assembler, stop, &time_ns, &line_end);
        if (next == NULL) {
            break;
        }
        if (has_new_tags) {
            entry = lp_add_new_series(
                assembler, table_number, text, key_bytes, key_hash, &new_tags);
            if (entry == NULL) {
                return LP_FAST_NO_MEMORY;
            }
        }
        if (entry == NULL) {
            assembler->open_row = (lp_open_row){
                text, line_end, key_bytes, key_hash, time_ns, table_number, shape_number};
            *at = text;
            return LP_FAST_NEW_SERIES;
        }
        entry->shape = shape_number;
        assembler->taken_bits += table->row_bits;
        assembler->lines_taken += 1;
        lp_note_guess(assembler, entry);
        lp_commit_row(assembler, table, entry, time_ns);
        text = next;
        if (!LP_PATH(lp_catch_up)(assembler, text)) {
            return LP_FAST_NOT_UTF8;
        }
    }
    *at = text;
    return LP_FAST_LEFT;
}
