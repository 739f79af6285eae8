# Owns the way of one line into the tables of a batch: syntax (_line), then every check against the
# columns known so far (_line_check), and only then the builders (_columns). A refused line leaves
# no trace. Called by parse() once per logical line; touches no Python object.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from lp_core._batch cimport LP_STRING, lp_table
from lp_core._buffer_pool cimport lp_pool_connect, lp_pool_shared
from lp_core._columns cimport (
    lp_column_builder,
    lp_column_pad,
    lp_column_put_bits,
    lp_column_put_string,
    lp_table_buffers,
    lp_table_builder,
    lp_table_settle,
    lp_tag_code,
    table_finish,
    table_free,
)
from lp_core._hash_index cimport (
    lp_hash_bytes,
    lp_index_first,
    lp_index_free,
    lp_index_next,
)
from lp_core._line cimport (
    line_begin,
    line_free,
    line_take_fields,
    line_take_series,
    lp_field,
    lp_line,
    lp_tag,
    lp_text,
)
from lp_core._line_check cimport check_line, open_row_tags, place_series, same_bytes
from lp_core._memory cimport lp_arena_free, lp_buffer_free
from lp_core._scan cimport lp_find_byte, lp_unescaped_space
from lp_core._shape cimport note_shape
from lp_core._status cimport LP_NO_MEMORY, LP_OK, lp_status
from lp_core._tag_dictionary cimport (
    lp_append_value_alone,
    lp_code_of_value,
    lp_is_new_value,
)

lp_pool_connect(lp_pool_shared())


cdef lp_series_entry* find_series(
    lp_assembler* assembler, const uint8_t* key, int64_t key_bytes, uint64_t key_hash
) noexcept nogil:
    cdef int64_t slot = 0
    cdef int64_t number = lp_index_first(&assembler.series_by_key, key_hash, &slot)
    cdef lp_series_entry* entry
    while number >= 0:
        entry = lp_series_at(assembler, number)
        if same_bytes(entry.key, entry.key_bytes, key, key_bytes):
            return entry
        number = lp_index_next(&assembler.series_by_key, key_hash, &slot)
    return NULL


cdef lp_status code_tag(
    lp_assembler* assembler, lp_table_builder* table, int64_t key_bytes, const lp_tag* tag,
    lp_tag_code* code
) noexcept nogil:
    """Give the value of a tag of a new series, of that key, its code."""
    cdef lp_column_builder* column = &table.columns[code.column]
    cdef const lp_text* value = &tag.value
    # All that is in the key then: the name, a comma, the tag as it is, and the space.
    cdef bint is_alone = table.name_bytes + column.name_bytes + value.count + 3 == key_bytes
    if is_alone and lp_is_new_value(column):
        return lp_append_value_alone(column, value.bytes, value.count, &code.code)
    return lp_code_of_value(
        column,
        value.bytes,
        value.count,
        lp_hash_bytes(value.bytes, value.count, assembler.seed),
        assembler.seed,
        &code.code,
    )


cdef lp_status add_series(
    lp_assembler* assembler, const uint8_t* key, int64_t key_bytes, uint64_t key_hash,
    int32_t table_number, lp_tag_code* tags, lp_series_entry** added
) noexcept nogil:
    """Give the tag values of an accepted line their codes, and remember its series."""
    cdef lp_table_builder* table = lp_table_at(assembler, table_number)
    cdef lp_status status = LP_OK
    cdef int64_t i
    for i in range(assembler.line.tag_count):
        status = code_tag(assembler, table, key_bytes, &assembler.line.tags[i], &tags[i])
        if status != LP_OK:
            return status
    added[0] = lp_add_series(
        assembler, key, key_bytes, key_hash, table_number, tags, assembler.line.tag_count
    )
    return LP_OK if added[0] is not NULL else LP_NO_MEMORY


cdef lp_status put_fields(lp_assembler* assembler, lp_table_builder* table) noexcept nogil:
    """Put the fields of the line, which has passed every check, at the next row."""
    cdef int64_t row = table.num_rows
    cdef lp_column_builder* column
    cdef lp_field* field
    cdef lp_status status = lp_reserve_row(assembler, table, assembler.line.end)
    cdef int64_t i
    lp_table_settle(table)
    for i in range(assembler.line.field_count):
        field = &assembler.line.fields[i]
        column = &table.columns[field.column]
        if status == LP_OK:
            status = lp_column_pad(column, row)
        if status != LP_OK:
            return status
        if field.type == LP_STRING:
            status = lp_column_put_string(column, row, field.text.bytes, field.text.count)
        else:
            lp_column_put_bits(column, row, field.bits)
    return status


cdef void follow_series(lp_assembler* assembler, lp_series_entry* entry) noexcept nogil:
    """Note that this series came after the last one: it may do so again."""
    if assembler.last_series != LP_SERIES_NONE:
        lp_series_at(assembler, assembler.last_series).next = lp_series_place(
            assembler, entry
        )


cdef inline int64_t key_bytes_of(const lp_line* line) noexcept nogil:
    """Bytes up to the first unescaped space, which decide the series, and this space; 0: none."""
    cdef const uint8_t* space
    if line.has_backslash:
        space = lp_unescaped_space(line.start, line.end)
    else:
        space = lp_find_byte(line.start, line.end, c" ")
    return space + 1 - line.start if space < line.end else 0


cdef lp_status assembler_take_line(
    lp_assembler* assembler, const uint8_t* start, const uint8_t* end
) noexcept nogil:
    """Take one logical line. LP_LINE_REFUSED: `line.failure` tells why, nothing has changed."""
    cdef lp_series_entry* series = NULL
    cdef lp_tag_code* tags = NULL
    cdef int32_t table_number = 0
    cdef int64_t key_bytes
    cdef uint64_t key_hash = 0
    cdef int64_t time_ns = 0
    cdef lp_table_builder* table
    cdef lp_status status = line_begin(&assembler.line, start, end)
    if status != LP_OK:
        return status
    assembler.lines_taken += 1
    assembler.mark += 1
    key_bytes = key_bytes_of(&assembler.line)
    if key_bytes > 0:
        key_hash = lp_hash_bytes(start, key_bytes, assembler.seed)
        series = find_series(assembler, start, key_bytes, key_hash)
    if series is NULL:
        status = line_take_series(&assembler.line)
    else:
        assembler.line.cursor = start + key_bytes - 1
        table_number = series.table
    if status == LP_OK:
        status = line_take_fields(&assembler.line)
    if status == LP_OK and series is NULL:
        status = place_series(assembler, &table_number, &tags)
    if status == LP_OK:
        status = check_line(assembler, table_number, tags, series is not NULL, &time_ns)
    if status == LP_OK and series is NULL:
        status = add_series(
            assembler, start, key_bytes, key_hash, table_number, tags, &series
        )
    if status != LP_OK:
        if series is not NULL:
            # The line counts for nothing, but for what series may come next.
            assembler.last_series = lp_series_place(assembler, series)
        return status
    table = lp_table_at(assembler, table_number)
    status = put_fields(assembler, table)
    if status == LP_OK:
        status = note_shape(
            &assembler.scratch, table, &assembler.line, &series.shape
        )
    if status == LP_OK:
        follow_series(assembler, series)
        lp_commit_row(assembler, table, series, time_ns)
    return status


cdef lp_status assembler_close_row(lp_assembler* assembler) noexcept nogil:
    """Make the open row a row. LP_LINE_REFUSED: not yet, the line is still to be taken."""
    cdef lp_open_row* row = &assembler.open_row
    cdef lp_table_builder* table = lp_table_at(assembler, row.table)
    cdef lp_series_entry* series = NULL
    cdef lp_tag_code* tags = NULL
    cdef lp_status status = line_begin(&assembler.line, row.start, row.end)
    assembler.mark += 1
    if status == LP_OK:
        status = open_row_tags(assembler, table, &tags)
    if status == LP_OK:
        status = add_series(
            assembler, row.start, row.key_bytes, row.key_hash, row.table, tags, &series
        )
    if status == LP_OK:
        series.shape = row.shape
        assembler.lines_taken += 1
        follow_series(assembler, series)
        lp_commit_row(assembler, table, series, row.time_ns)
    return status


cdef lp_status assembler_finish(
    lp_assembler* assembler, lp_table* tables, lp_table_buffers* owned
) noexcept nogil:
    """Move all tables out; both have room for `table_count`, filled with zeros."""
    cdef lp_status status = LP_OK
    cdef int32_t i
    for i in range(assembler.table_count):
        status = table_finish(
            lp_table_at(assembler, i), &tables[i], &owned[i], assembler.kept
        )
        if status != LP_OK:
            break
    return status


cdef void assembler_free(lp_assembler* assembler) noexcept nogil:
    cdef int32_t i
    for i in range(assembler.table_count):
        table_free(lp_table_at(assembler, i))
    line_free(&assembler.line)
    lp_arena_free(&assembler.scratch)
    lp_buffer_free(&assembler.tables)
    lp_buffer_free(&assembler.series)
    lp_index_free(&assembler.tables_by_name)
    lp_index_free(&assembler.series_by_key)
