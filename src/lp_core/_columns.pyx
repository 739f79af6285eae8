# cython: auto_pickle=False
# Owns the growth of columns and tables while a body is parsed, and ColumnMemory, which owns their
# memory after that. Builders are never exported: table_finish() moves their buffers into an
# lp_table that is immutable from then on. Called by the assembler; knows nothing of text.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memset

from lp_core._batch cimport LP_BOOL, LP_STRING, LP_TAG, LP_TIME, lp_column, lp_table
from lp_core._buffer_pool cimport lp_pool_connect, lp_pool_shared
from lp_core._hash_index cimport (
    lp_index_add,
    lp_index_first,
    lp_index_free,
    lp_index_next,
    lp_index_remove,
)
from lp_core._memory cimport (
    lp_arena,
    lp_arena_copy_padded,
    lp_arena_free,
    lp_arena_take,
    lp_buffer,
    lp_buffer_append_zeros,
    lp_buffer_free,
    lp_buffer_reserve,
    lp_buffer_resize,
)
from lp_core._status cimport LP_NO_MEMORY, LP_OK, lp_status

lp_pool_connect(lp_pool_shared())

cdef enum:
    COLUMN_CAPACITY_MIN = 4
    CODE_NONE = -1              # of a series without that tag


cdef class ColumnMemory:
    def __dealloc__(self) -> None:
        cdef int64_t i
        cdef int64_t j
        for i in range(self.table_count):
            for j in range(self.buffers[i].count):
                lp_buffer_free(&self.buffers[i].buffers[j])
        lp_arena_free(&self.arena)


cdef int64_t column_bits(int32_t type) noexcept nogil:
    """What one row takes in a dense column of that type, validity included, text apart."""
    if type == LP_BOOL:
        return 2
    if type == LP_TAG or type == LP_STRING:
        return 33
    return 65


cdef int64_t table_find_column(
    const lp_table_builder* table, const uint8_t* name, int64_t name_bytes, uint64_t name_hash
) noexcept nogil:
    """Return the number of the column of that name, or -1."""
    cdef int64_t slot = 0
    cdef const lp_column_builder* column
    cdef int64_t number = lp_index_first(&table.by_name, name_hash, &slot)
    while number >= 0:
        column = &table.columns[number]
        if column.name_bytes == name_bytes and memcmp(column.name, name, name_bytes) == 0:
            return number
        number = lp_index_next(&table.by_name, name_hash, &slot)
    return -1


cdef lp_status table_add_column(
    lp_table_builder* table,
    const uint8_t* name,
    int64_t name_bytes,
    uint64_t name_hash,
    int32_t type,
    lp_arena* arena,
) noexcept nogil:
    """Add an empty column as the last one. The caller has looked: the name is new."""
    cdef int64_t capacity = table.column_capacity
    cdef lp_column_builder* columns
    cdef lp_column_builder* column
    if table.num_columns == capacity:
        capacity = capacity * 2 if capacity > 0 else COLUMN_CAPACITY_MIN
        columns = <lp_column_builder*> realloc(
            table.columns, capacity * sizeof(lp_column_builder)
        )
        if columns is NULL:
            return LP_NO_MEMORY
        table.columns = columns
        table.column_capacity = capacity
    column = &table.columns[table.num_columns]
    memset(column, 0, sizeof(lp_column_builder))
    column.name = <const char*> lp_arena_copy_padded(arena, name, name_bytes)
    if column.name is NULL:
        return LP_NO_MEMORY
    column.name_bytes = <int32_t> name_bytes
    column.name_hash = name_hash
    column.type = type
    cdef lp_status status = LP_OK
    if type == LP_TAG or type == LP_STRING:
        status = lp_buffer_append_zeros(&column.offsets, sizeof(int32_t))
    if status == LP_OK:
        status = lp_column_reserve(column, table.rows_reserved)
    if status == LP_OK:
        status = lp_index_add(&table.by_name, name_hash, table.num_columns)
    if status == LP_OK:
        table.num_columns += 1
    else:
        column_free(column)
    return status


cdef void column_free(lp_column_builder* column) noexcept nogil:
    lp_buffer_free(&column.validity)
    lp_buffer_free(&column.values)
    lp_buffer_free(&column.offsets)
    lp_buffer_free(&column.dict_bytes)
    lp_index_free(&column.dictionary)


cdef void table_drop_columns(lp_table_builder* table, int32_t kept) noexcept nogil:
    """Undo table_add_column for all but the first `kept` columns."""
    cdef lp_column_builder* column
    while table.num_columns > kept:
        table.num_columns -= 1
        column = &table.columns[table.num_columns]
        lp_index_remove(&table.by_name, column.name_hash, table.num_columns)
        column_free(column)


cdef void table_free(lp_table_builder* table) noexcept nogil:
    cdef int32_t i
    for i in range(table.num_columns):
        column_free(&table.columns[i])
    for i in range(LP_SHAPES_MAX):
        lp_buffer_free(&table.shapes[i].lane_buffer)
    free(table.columns)
    lp_index_free(&table.by_name)
    lp_buffer_free(&table.predicted)
    lp_buffer_free(&table.times)
    lp_buffer_free(&table.row_series)
    lp_buffer_free(&table.series)
    memset(table, 0, sizeof(lp_table_builder))


cdef lp_status tag_column_mark_gaps(lp_column_builder* column) noexcept nogil:
    """Make nulls of the rows whose series has no such tag."""
    cdef int32_t* values = <int32_t*> column.values.bytes
    cdef int64_t i
    if lp_buffer_resize(&column.validity, (column.length + 7) // 8) != LP_OK:
        return LP_NO_MEMORY
    memset(column.validity.bytes, 0, (column.length + 7) // 8)
    for i in range(column.length):
        column.validity.bytes[i // 8] |= <uint8_t> ((values[i] != CODE_NONE) << (i % 8))
        column.null_count += values[i] == CODE_NONE
        values[i] = max(values[i], 0)
    column.validity_length = column.length
    return LP_OK


cdef int64_t values_bytes_of(const lp_column_builder* column) noexcept nogil:
    if column.type == LP_STRING:
        return column.values.used
    if column.type == LP_BOOL:
        return (column.length + 7) // 8
    return column.length * (sizeof(int32_t) if column.type == LP_TAG else sizeof(int64_t))


cdef inline void clear_last_bits(uint8_t* bitmap, int64_t length) noexcept nogil:
    lp_set_bits(bitmap, length, (length + 7) // 8 * 8, False)


cdef inline void own(lp_table_buffers* owned, const lp_buffer* buffer) noexcept nogil:
    if buffer.bytes is not NULL:
        owned.buffers[owned.count] = buffer[0]
        owned.count += 1


cdef lp_status column_finish(
    lp_column_builder* builder, lp_column* column, lp_table_buffers* owned, int64_t num_rows
) noexcept nogil:
    """Move the buffers of a builder into `column`, and to their owner."""
    cdef lp_status status = lp_column_pad(builder, num_rows)
    if status == LP_OK:
        status = lp_buffer_reserve(&builder.values, 0)
    if status == LP_OK and builder.type == LP_TAG:
        status = lp_buffer_reserve(&builder.dict_bytes, 0)
    if status == LP_OK and builder.null_count > 0:
        status = lp_buffer_resize(&builder.validity, (num_rows + 7) // 8)
    if status != LP_OK:
        return status
    if builder.null_count > 0:
        lp_set_bits(builder.validity.bytes, builder.validity_length, num_rows, True)
        clear_last_bits(builder.validity.bytes, num_rows)
        column.validity = builder.validity.bytes
    else:
        lp_buffer_free(&builder.validity)
    if builder.type == LP_BOOL:
        clear_last_bits(builder.values.bytes, num_rows)
    column.name = builder.name
    column.name_bytes = builder.name_bytes
    column.type = builder.type
    column.null_count = builder.null_count
    column.values = builder.values.bytes
    column.values_bytes = values_bytes_of(builder)
    column.offsets = <const int32_t*> builder.offsets.bytes
    column.dict_bytes = builder.dict_bytes.bytes
    if builder.type == LP_TAG:
        column.dict_count = builder.offsets.used // sizeof(int32_t) - 1
    own(owned, &builder.validity)
    own(owned, &builder.values)
    own(owned, &builder.offsets)
    own(owned, &builder.dict_bytes)
    lp_index_free(&builder.dictionary)
    memset(builder, 0, sizeof(lp_column_builder))
    return LP_OK


cdef struct lp_series_code:
    int32_t series
    int32_t code


cdef lp_status sort_tags(
    const lp_table_builder* table, lp_buffer* starts_buffer, lp_buffer* sorted_buffer
) noexcept nogil:
    """Bring the tags of all series in the order of their columns; those of column i stand from
    starts[i] to starts[i + 1]."""
    cdef const lp_table_series* series = <const lp_table_series*> table.series.bytes
    cdef int64_t series_count = table.series.used // sizeof(lp_table_series)
    cdef int64_t* starts
    cdef lp_series_code* sorted_tags
    cdef int64_t i
    cdef int64_t j
    cdef int64_t place
    if lp_buffer_append_zeros(starts_buffer, (table.num_columns + 2) * sizeof(int64_t)) != LP_OK:
        return LP_NO_MEMORY
    starts = <int64_t*> starts_buffer.bytes
    # Counted one further than they belong: when all are placed, every start is where it should be.
    for i in range(series_count):
        for j in range(series[i].tag_count):
            starts[series[i].tags[j].column + 2] += 1
    for i in range(table.num_columns):
        starts[i + 2] += starts[i + 1]
    place = starts[table.num_columns + 1]
    if lp_buffer_resize(sorted_buffer, place * sizeof(lp_series_code)) != LP_OK:
        return LP_NO_MEMORY
    sorted_tags = <lp_series_code*> sorted_buffer.bytes
    for i in range(series_count):
        for j in range(series[i].tag_count):
            place = starts[series[i].tags[j].column + 1]
            starts[series[i].tags[j].column + 1] = place + 1
            sorted_tags[place].series = <int32_t> i
            sorted_tags[place].code = series[i].tags[j].code
    return LP_OK


cdef lp_status fill_tag_column(
    lp_table_builder* table,
    lp_column_builder* column,
    const lp_series_code* tags,
    int64_t tag_count,
    int32_t* codes,
) noexcept nogil:
    """Write the codes of one tag column, row by row. `codes` has CODE_NONE for every series, also
    afterwards."""
    cdef const int32_t* row_series = <const int32_t*> table.row_series.bytes
    cdef int64_t series_count = table.series.used // sizeof(lp_table_series)
    cdef int32_t* values
    cdef int64_t i
    if lp_buffer_resize(&column.values, table.num_rows * sizeof(int32_t)) != LP_OK:
        return LP_NO_MEMORY
    values = <int32_t*> column.values.bytes
    for i in range(tag_count):
        codes[tags[i].series] = tags[i].code
    for i in range(table.num_rows):
        values[i] = codes[row_series[i]]
    for i in range(tag_count):
        codes[tags[i].series] = CODE_NONE
    column.length = table.num_rows
    return tag_column_mark_gaps(column) if tag_count < series_count else LP_OK


cdef lp_status fill_tag_columns(lp_table_builder* table) noexcept nogil:
    """Write the codes of all tag columns, in the time that the tags and the columns are long."""
    cdef lp_buffer starts
    cdef lp_buffer sorted_tags
    cdef lp_buffer codes
    cdef int64_t codes_bytes = table.series.used // sizeof(lp_table_series) * sizeof(int32_t)
    cdef int64_t* start
    cdef lp_status status
    cdef int32_t i
    memset(&starts, 0, sizeof(starts))
    memset(&sorted_tags, 0, sizeof(sorted_tags))
    memset(&codes, 0, sizeof(codes))
    status = sort_tags(table, &starts, &sorted_tags)
    if status == LP_OK:
        status = lp_buffer_resize(&codes, codes_bytes)
    if status == LP_OK:
        memset(codes.bytes, 0xFF, codes_bytes)  # CODE_NONE
    start = <int64_t*> starts.bytes
    for i in range(table.num_columns):
        if status == LP_OK and table.columns[i].type == LP_TAG:
            status = fill_tag_column(
                table,
                &table.columns[i],
                <const lp_series_code*> sorted_tags.bytes + start[i],
                start[i + 1] - start[i],
                <int32_t*> codes.bytes,
            )
    lp_buffer_free(&starts)
    lp_buffer_free(&sorted_tags)
    lp_buffer_free(&codes)
    return status


cdef lp_status table_finish(
    lp_table_builder* builder, lp_table* table, lp_table_buffers* owned, lp_arena* arena
) noexcept nogil:
    """Move a builder with at least one row into `table`; column structs lie in `arena`."""
    lp_table_settle(builder)
    cdef int32_t i
    cdef int32_t num_columns = builder.num_columns + 1
    cdef lp_column* columns = <lp_column*> lp_arena_take(arena, num_columns * sizeof(lp_column))
    owned.buffers = <lp_buffer*> lp_arena_take(arena, num_columns * 4 * sizeof(lp_buffer))
    if columns is NULL or owned.buffers is NULL or fill_tag_columns(builder) != LP_OK:
        return LP_NO_MEMORY
    memset(columns, 0, num_columns * sizeof(lp_column))
    table.columns = columns
    table.num_columns = num_columns
    table.name = builder.name
    table.name_bytes = builder.name_bytes
    table.num_rows = builder.num_rows
    table.min_time_ns = builder.min_time_ns
    table.max_time_ns = builder.max_time_ns
    for i in range(builder.num_columns):
        if column_finish(&builder.columns[i], &columns[i], owned, builder.num_rows) != LP_OK:
            return LP_NO_MEMORY
    columns[num_columns - 1].name = b"time"
    columns[num_columns - 1].name_bytes = 4
    columns[num_columns - 1].type = LP_TIME
    columns[num_columns - 1].values = builder.times.bytes
    columns[num_columns - 1].values_bytes = builder.num_rows * sizeof(int64_t)
    own(owned, &builder.times)
    memset(&builder.times, 0, sizeof(lp_buffer))
    return LP_OK
