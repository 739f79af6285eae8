# Owns the checks of one line against the columns known so far: which table and which columns its
# tags and fields go to, new ones among them, whether its time fits, and the memory that it takes.
# What a refused line added is taken back. Called by the assembler once per line; touches no Python
# object.

from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint64_t

from lp_core._assembler cimport lp_assembler, lp_table_at
from lp_core._batch cimport LP_TAG, LP_TIME
from lp_core._buffer_pool cimport lp_pool_connect, lp_pool_shared
from lp_core._columns cimport (
    LP_SHAPE_NONE,
    column_bits,
    lp_column_builder,
    lp_table_builder,
    lp_tag_code,
    table_add_column,
    table_drop_columns,
    table_find_column,
    table_free,
)
from lp_core._hash_index cimport (
    lp_hash_bytes,
    lp_index_add,
    lp_index_first,
    lp_index_next,
    lp_index_remove,
)
from lp_core._line cimport line_take_series, lp_field, lp_text
from lp_core._memory cimport lp_arena_copy_padded, lp_arena_take, lp_buffer_append_zeros
from lp_core._number cimport lp_scale_time
from lp_core._schema cimport LP_TABLE_UNKNOWN, lp_schema, schema_find
from lp_core._status cimport (
    LP_BATCH_LIMIT,
    LP_FAULT_DUPLICATE_FIELD,
    LP_FAULT_DUPLICATE_TAG,
    LP_FAULT_RESERVED_COLUMN,
    LP_FAULT_TIME_SCALE,
    LP_FAULT_TYPE_CONFLICT,
    LP_LINE_REFUSED,
    LP_NO_MEMORY,
    LP_OK,
    lp_fault,
    lp_refuse,
    lp_status,
)

lp_pool_connect(lp_pool_shared())

# What a table and a column take beside their rows, for the accounting of memory.
cdef enum:
    TABLE_OVERHEAD_BITS = 8 * 1024
    COLUMN_OVERHEAD_BITS = 8 * 512


cdef lp_status find_or_add_table(
    lp_assembler* assembler, const lp_text* name, int32_t* table_number
) noexcept nogil:
    cdef uint64_t name_hash = lp_hash_bytes(name.bytes, name.count, assembler.seed)
    cdef int64_t slot = 0
    cdef int64_t number = lp_index_first(&assembler.tables_by_name, name_hash, &slot)
    cdef lp_table_builder* table
    while number >= 0:
        table_number[0] = <int32_t> number
        table = lp_table_at(assembler, table_number[0])
        if same_bytes(table.name, table.name_bytes, name.bytes, name.count):
            return LP_OK
        number = lp_index_next(&assembler.tables_by_name, name_hash, &slot)
    assembler.tables.used = assembler.table_count * sizeof(lp_table_builder)
    cdef lp_status status = lp_buffer_append_zeros(&assembler.tables, sizeof(lp_table_builder))
    if status != LP_OK:
        return status
    table = lp_table_at(assembler, assembler.table_count)
    table.name = <const char*> lp_arena_copy_padded(assembler.kept, name.bytes, name.count)
    table.name_bytes = <int32_t> name.count
    table.name_hash = name_hash
    table.min_time_ns = INT64_MAX
    table.max_time_ns = INT64_MIN
    table.last_shape = LP_SHAPE_NONE
    table.open_shape = LP_SHAPE_NONE
    if table.name is NULL:
        return LP_NO_MEMORY
    table_number[0] = assembler.table_count
    status = lp_index_add(&assembler.tables_by_name, name_hash, assembler.table_count)
    assembler.table_count += status == LP_OK
    return status


cdef lp_tag_code* take_tag_codes(lp_assembler* assembler) noexcept nogil:
    return <lp_tag_code*> lp_arena_take(
        &assembler.scratch, assembler.line.tag_count * sizeof(lp_tag_code)
    )


cdef lp_status place_series(
    lp_assembler* assembler, int32_t* table_number, lp_tag_code** tags
) noexcept nogil:
    """Find or add the table of a line whose series is new, and make room for codes of its tags."""
    tags[0] = take_tag_codes(assembler)
    if tags[0] is NULL:
        return LP_NO_MEMORY
    return find_or_add_table(assembler, &assembler.line.measurement, table_number)


cdef void undo_line(
    lp_assembler* assembler, int32_t table_number, int32_t kept_columns
) noexcept nogil:
    """Take back the columns that a refused line would have added, and its table if it is new."""
    cdef lp_table_builder* table = lp_table_at(assembler, table_number)
    table_drop_columns(table, kept_columns)
    if table.num_rows == 0:
        assembler.table_count -= 1
        lp_index_remove(&assembler.tables_by_name, table.name_hash, table_number)
        table_free(table)


cdef lp_status refuse_type(
    lp_assembler* assembler, lp_fault fault, const lp_text* name, int32_t expected, int32_t got
) noexcept nogil:
    cdef lp_status status = lp_refuse(&assembler.line.failure, fault, name.bytes, name.count)
    assembler.line.failure.expected = expected
    assembler.line.failure.got = got
    return status


cdef lp_status add_column(
    lp_assembler* assembler,
    lp_table_builder* table,
    const lp_text* name,
    uint64_t name_hash,
    int32_t type,
) noexcept nogil:
    """Add a column that no earlier line of this body has."""
    cdef int32_t known = LP_TABLE_UNKNOWN
    if assembler.schema is not NULL:
        known = schema_find(
            <lp_schema*> assembler.schema,
            <const uint8_t*> table.name,
            table.name_bytes,
            name.bytes,
            name.count,
        )
    if same_bytes(name.bytes, name.count, b"time", 4):
        if known == LP_TABLE_UNKNOWN and table.num_rows == 0:
            return refuse_type(assembler, LP_FAULT_RESERVED_COLUMN, name, 0, type)
        return refuse_type(assembler, LP_FAULT_RESERVED_COLUMN, name, LP_TIME, type)
    if same_bytes(name.bytes, name.count, b"__chunk_order", 13):
        return refuse_type(assembler, LP_FAULT_RESERVED_COLUMN, name, 0, type)
    if known > 0 and known != type:
        return refuse_type(assembler, LP_FAULT_TYPE_CONFLICT, name, known, type)
    return table_add_column(table, name.bytes, name.count, name_hash, type, assembler.kept)


cdef lp_status resolve_column(
    lp_assembler* assembler, lp_table_builder* table, const lp_text* name, int32_t type,
    int32_t* column_number
) noexcept nogil:
    """Find the column that a tag or field of this line goes to, or add it."""
    cdef uint64_t name_hash = lp_hash_bytes(name.bytes, name.count, assembler.seed)
    cdef int64_t number = table_find_column(table, name.bytes, name.count, name_hash)
    cdef lp_column_builder* column
    cdef lp_status status = LP_OK
    if number < 0:
        status = add_column(assembler, table, name, name_hash, type)
        if status != LP_OK:
            return status
        number = table.num_columns - 1
    column = &table.columns[number]
    if column.type != type:
        return refuse_type(assembler, LP_FAULT_TYPE_CONFLICT, name, column.type, type)
    if column.line_seen == assembler.mark:
        return refuse_type(
            assembler,
            LP_FAULT_DUPLICATE_TAG if type == LP_TAG else LP_FAULT_DUPLICATE_FIELD,
            name,
            0,
            type,
        )
    column.line_seen = assembler.mark
    column_number[0] = <int32_t> number
    return LP_OK


cdef lp_status resolve_tags(
    lp_assembler* assembler, lp_table_builder* table, lp_tag_code* tags
) noexcept nogil:
    cdef lp_status status = LP_OK
    cdef int64_t i
    for i in range(assembler.line.tag_count):
        status = resolve_column(
            assembler, table, &assembler.line.tags[i].key, LP_TAG, &tags[i].column
        )
        if status != LP_OK:
            return status
    return status


cdef lp_status resolve_fields(lp_assembler* assembler, lp_table_builder* table) noexcept nogil:
    """Find the column of each field; most often it is that of the same place in the line before."""
    cdef int32_t* predicted
    cdef lp_column_builder* column
    cdef lp_field* field
    cdef lp_status status
    cdef int64_t i
    cdef int64_t missing = assembler.line.field_count * sizeof(int32_t) - table.predicted.used
    if missing > 0:
        status = lp_buffer_append_zeros(&table.predicted, missing)
        if status != LP_OK:
            return status
    predicted = <int32_t*> table.predicted.bytes
    for i in range(assembler.line.field_count):
        field = &assembler.line.fields[i]
        field.column = predicted[i]
        if field.column < table.num_columns:  # it may have been of a refused line
            column = &table.columns[field.column]
            if (
                column.type == field.type
                and column.line_seen != assembler.mark
                and same_bytes(column.name, column.name_bytes, field.key.bytes, field.key.count)
            ):
                column.line_seen = assembler.mark
                continue
        status = resolve_column(assembler, table, &field.key, field.type, &field.column)
        if status != LP_OK:
            return status
        predicted[i] = field.column
    return LP_OK


cdef lp_status scale_time(lp_assembler* assembler, int64_t* time_ns) noexcept nogil:
    if not assembler.line.has_time:
        time_ns[0] = assembler.default_time_ns
    elif not lp_scale_time(assembler.line.time, assembler.unit_ns, time_ns):
        return lp_refuse(&assembler.line.failure, LP_FAULT_TIME_SCALE, NULL, 0)
    return LP_OK


cdef lp_status take_memory(
    lp_assembler* assembler, lp_table_builder* table, int32_t known_columns
) noexcept nogil:
    """Account for one more row, and for the columns that it adds, as if all were dense."""
    cdef int64_t bits
    cdef int32_t i
    if table.num_rows == 0:
        table.row_bits = column_bits(LP_TIME)
        assembler.taken_bits += TABLE_OVERHEAD_BITS
    for i in range(known_columns, table.num_columns):
        bits = column_bits(table.columns[i].type)
        table.row_bits += bits
        assembler.taken_bits += table.num_rows * bits + COLUMN_OVERHEAD_BITS
    assembler.taken_bits += table.row_bits
    return LP_OK if assembler.taken_bits <= assembler.taken_bits_max else LP_BATCH_LIMIT


cdef lp_status check_line(
    lp_assembler* assembler, int32_t table_number, lp_tag_code* tags, bint is_known_series,
    int64_t* time_ns
) noexcept nogil:
    """Check what syntax cannot: columns of tags and fields, in this order, then the time."""
    cdef lp_table_builder* table = lp_table_at(assembler, table_number)
    cdef int32_t known_columns = table.num_columns
    cdef lp_status status = LP_OK
    if not is_known_series:
        status = resolve_tags(assembler, table, tags)
    if status == LP_OK:
        status = resolve_fields(assembler, table)
    if status == LP_OK:
        status = scale_time(assembler, time_ns)
    if status == LP_OK:
        return take_memory(assembler, table, known_columns)
    if status == LP_LINE_REFUSED:
        undo_line(assembler, table_number, known_columns)
    return status


cdef lp_status open_row_tags(
    lp_assembler* assembler, lp_table_builder* table, lp_tag_code** tags
) noexcept nogil:
    """Read the tags of the open row, and find or add their columns."""
    cdef int32_t known_columns = table.num_columns
    cdef lp_status status = line_take_series(&assembler.line)
    if status != LP_OK:
        return status
    if not same_bytes(
        table.name,
        table.name_bytes,
        assembler.line.measurement.bytes,
        assembler.line.measurement.count,
    ):
        return LP_LINE_REFUSED
    tags[0] = take_tag_codes(assembler)
    if tags[0] is NULL:
        return LP_NO_MEMORY
    status = resolve_tags(assembler, table, tags[0])
    if status == LP_OK:
        status = take_memory(assembler, table, known_columns)
    if status == LP_LINE_REFUSED:
        table_drop_columns(table, known_columns)
    return status
