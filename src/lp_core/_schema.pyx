# cython: auto_pickle=False
# Owns SchemaIndex: what tables and columns a database has, and of which type. Parsers read it
# without the GIL, from several threads, while others change it; every look-up and every change is
# one short stay under the lock. Nothing that holds the lock ever waits for the GIL.
"""The known tables of one database."""

from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from lp_core._batch cimport LP_TIME, TableBatch, WriteBatch, lp_column, lp_table
from lp_core._hash_index cimport (
    lp_hash_bytes,
    lp_hash_index,
    lp_index_add,
    lp_index_first,
    lp_index_free,
    lp_index_next,
)
from lp_core._series cimport SeriesIndex
from lp_core._status cimport LP_NO_MEMORY, LP_OK, lp_status

import os

from lp_core.enums import ColumnType
from lp_core.errors import SchemaConflictError

cdef extern from "<pthread.h>" nogil:
    int pthread_rwlock_init(pthread_rwlock_t* lock, const void* attributes)
    int pthread_rwlock_rdlock(pthread_rwlock_t* lock)
    int pthread_rwlock_wrlock(pthread_rwlock_t* lock)
    int pthread_rwlock_unlock(pthread_rwlock_t* lock)
    int pthread_rwlock_destroy(pthread_rwlock_t* lock)

# How the reference system names column types in its messages.
cdef dict TYPE_NAMES = {
    ColumnType.TAG: "iox::column_type::tag",
    ColumnType.INT64: "iox::column_type::field::integer",
    ColumnType.UINT64: "iox::column_type::field::uinteger",
    ColumnType.FLOAT64: "iox::column_type::field::float",
    ColumnType.BOOL: "iox::column_type::field::boolean",
    ColumnType.STRING: "iox::column_type::field::string",
    ColumnType.TIME: "iox::column_type::timestamp",
}

cdef enum:
    CAPACITY_MIN = 4


cdef struct lp_conflict:
    const lp_column* column
    int32_t expected


cdef str column_type_name(int32_t type):
    return TYPE_NAMES[type]


cdef class SchemaIndex:
    def __cinit__(self):
        self.series_by_table = {}
        self.schema = <lp_schema*> calloc(1, sizeof(lp_schema))
        if self.schema is NULL:
            raise MemoryError
        pthread_rwlock_init(&self.schema.lock, NULL)
        self.schema.seed = int.from_bytes(os.urandom(8), "little")

    def __dealloc__(self):
        cdef int64_t i
        if self.schema is NULL:
            return
        for i in range(self.schema.num_tables):
            known_table_free(&self.schema.tables[i])
        free(self.schema.tables)
        lp_index_free(&self.schema.by_name)
        pthread_rwlock_destroy(&self.schema.lock)
        free(self.schema)

    # Every change happens with the GIL held from its check to its end, which makes it atomic for
    # Python code, and under the lock for parsers without the GIL. The GIL alone is enough to read.

    def tables(self):
        cdef int64_t i
        cdef list names = []
        for i in range(self.schema.num_tables):
            names.append(
                self.schema.tables[i].name[:self.schema.tables[i].name_bytes].decode("utf-8")
            )
        return names

    def columns(self, str table not None):
        cdef int64_t number = known_table_number(self.schema, table)
        cdef lp_known_table* known = &self.schema.tables[number]
        cdef list columns = []
        cdef int64_t i
        for i in range(known.num_columns):
            columns.append((
                known.columns[i].name[:known.columns[i].name_bytes].decode("utf-8"),
                ColumnType(known.columns[i].type),
            ))
        return tuple(columns)

    def conflict(self, WriteBatch batch not None):
        cdef TableBatch table
        cdef lp_conflict conflict
        for table in batch.tables.values():
            if find_conflict(self.schema, table.table, &conflict):
                return (
                    table.name,
                    conflict.column.name[:conflict.column.name_bytes].decode("utf-8"),
                    ColumnType(conflict.expected),
                    ColumnType(conflict.column.type),
                )
        return None

    def apply(self, WriteBatch batch not None):
        cdef TableBatch table
        cdef bint is_changed = False
        conflict = self.conflict(batch)
        if conflict is not None:
            table_name, column_name, expected, got = conflict
            raise SchemaConflictError(
                table_name, column_name, TYPE_NAMES[expected], TYPE_NAMES[got]
            )
        for table in batch.tables.values():
            is_changed |= add_table(self.schema, table.table)
        return is_changed

    def add_column(self, str table not None, str name not None, column_type):
        cdef int32_t type = ColumnType(column_type)
        if type == LP_TIME or name == "time":
            raise ValueError("every table has its time column already")
        cdef bytes table_bytes = table.encode("utf-8")
        cdef bytes name_bytes = name.encode("utf-8")
        cdef lp_column column
        cdef lp_table one_column
        memset(&column, 0, sizeof(column))
        memset(&one_column, 0, sizeof(one_column))
        column.name = name_bytes
        column.name_bytes = len(name_bytes)
        column.type = type
        one_column.name = table_bytes
        one_column.name_bytes = len(table_bytes)
        one_column.num_columns = 1
        one_column.columns = &column
        cdef lp_conflict conflict
        if find_conflict(self.schema, &one_column, &conflict):
            raise SchemaConflictError(
                table, name, TYPE_NAMES[conflict.expected], TYPE_NAMES[column_type]
            )
        add_table(self.schema, &one_column)

    def drop_table(self, str table not None):
        cdef int64_t number = known_table_number(self.schema, table)
        pthread_rwlock_wrlock(&self.schema.lock)
        cdef lp_status status = remove_table(self.schema, number)
        pthread_rwlock_unlock(&self.schema.lock)
        if status != LP_OK:
            raise MemoryError
        self.series_by_table.pop(table, None)

    def observe(self, WriteBatch batch not None):
        cdef SeriesIndex series
        cdef dict suspects = {}
        for name, table in batch.tables.items():
            series = self.series_by_table.get(name)
            if series is None:
                series = self.series_by_table[name] = SeriesIndex()
            suspect_range = series.observe(table)
            if suspect_range is not None:
                suspects[name] = suspect_range
        return suspects

    def series_count(self, str table not None):
        cdef SeriesIndex series = self.series_by_table.get(table)
        return 0 if series is None else series.count

    def knows_all_series(self, str table not None):
        cdef SeriesIndex series = self.series_by_table.get(table)
        return series is None or series.floor_ns == INT64_MIN

    def series(self, str table not None, dict tags not None):
        cdef SeriesIndex series = self.series_by_table.get(table)
        return None if series is None else series.find(tags)

    def dump_series(self, str table not None):
        cdef SeriesIndex series = self.series_by_table.get(table)
        return SeriesIndex().dump() if series is None else series.dump()

    def load_series(self, str table not None, bytes content not None):
        cdef SeriesIndex series = SeriesIndex()
        series.load(content)
        self.series_by_table[table] = series


cdef bint add_table(lp_schema* schema, const lp_table* table) except -1:
    """Add what is new of a table without conflicts; tell whether anything was."""
    cdef bint is_changed = False
    pthread_rwlock_wrlock(&schema.lock)
    cdef lp_status status = add_new_columns(schema, table, &is_changed)
    pthread_rwlock_unlock(&schema.lock)
    # What was added before memory ran out stays: a known column without rows does no harm.
    if status != LP_OK:
        raise MemoryError
    return is_changed


cdef int64_t known_table_number(lp_schema* schema, str name) except -1:
    cdef bytes name_bytes = name.encode("utf-8")
    cdef int64_t number = find_table(schema, name_bytes, len(name_bytes))
    if number < 0:
        raise KeyError(name)
    return number


cdef int64_t find_table(
    const lp_schema* schema, const uint8_t* name, int64_t name_bytes
) noexcept nogil:
    """Return the number of the table, or LP_TABLE_UNKNOWN."""
    cdef uint64_t name_hash = lp_hash_bytes(name, name_bytes, schema.seed)
    cdef int64_t slot = 0
    cdef int64_t number = lp_index_first(&schema.by_name, name_hash, &slot)
    while number >= 0:
        if (
            schema.tables[number].name_bytes == name_bytes
            and memcmp(schema.tables[number].name, name, name_bytes) == 0
        ):
            return number
        number = lp_index_next(&schema.by_name, name_hash, &slot)
    return LP_TABLE_UNKNOWN


cdef int32_t find_column(
    const lp_known_table* table, const uint8_t* name, int64_t name_bytes, uint64_t name_hash
) noexcept nogil:
    """Return the type of the column, or LP_COLUMN_UNKNOWN."""
    cdef int64_t slot = 0
    cdef int64_t number = lp_index_first(&table.by_name, name_hash, &slot)
    while number >= 0:
        if (
            table.columns[number].name_bytes == name_bytes
            and memcmp(table.columns[number].name, name, name_bytes) == 0
        ):
            return table.columns[number].type
        number = lp_index_next(&table.by_name, name_hash, &slot)
    return LP_COLUMN_UNKNOWN


cdef int32_t schema_find(
    lp_schema* schema,
    const uint8_t* table,
    int64_t table_bytes,
    const uint8_t* column,
    int64_t column_bytes,
) noexcept nogil:
    cdef int32_t found = LP_TABLE_UNKNOWN
    pthread_rwlock_rdlock(&schema.lock)
    cdef int64_t number = find_table(schema, table, table_bytes)
    if number >= 0:
        found = find_column(
            &schema.tables[number],
            column,
            column_bytes,
            lp_hash_bytes(column, column_bytes, schema.seed),
        )
    pthread_rwlock_unlock(&schema.lock)
    return found


cdef bint find_conflict(
    const lp_schema* schema, const lp_table* table, lp_conflict* conflict
) noexcept nogil:
    """Find the first column of a table that is known with another type."""
    cdef int64_t number = find_table(schema, <const uint8_t*> table.name, table.name_bytes)
    cdef const lp_column* column
    cdef int32_t known_type
    cdef int32_t i
    if number < 0:
        return False
    for i in range(table.num_columns):
        column = &table.columns[i]
        if column.type == LP_TIME:
            continue
        known_type = find_column(
            &schema.tables[number],
            <const uint8_t*> column.name,
            column.name_bytes,
            lp_hash_bytes(<const uint8_t*> column.name, column.name_bytes, schema.seed),
        )
        if known_type != LP_COLUMN_UNKNOWN and known_type != column.type:
            conflict.column = column
            conflict.expected = known_type
            return True
    return False


cdef char* copy_name(const char* name, int32_t name_bytes) noexcept nogil:
    cdef char* copy = <char*> malloc(name_bytes + 1)
    if copy is not NULL:
        memcpy(copy, name, name_bytes)
    return copy


cdef lp_status add_new_table(lp_schema* schema, const lp_table* table) noexcept nogil:
    cdef int64_t capacity = schema.table_capacity
    cdef lp_known_table* tables
    cdef lp_known_table* known
    if schema.num_tables == capacity:
        capacity = capacity * 2 if capacity > 0 else CAPACITY_MIN
        tables = <lp_known_table*> realloc(schema.tables, capacity * sizeof(lp_known_table))
        if tables is NULL:
            return LP_NO_MEMORY
        schema.tables = tables
        schema.table_capacity = capacity
    known = &schema.tables[schema.num_tables]
    memset(known, 0, sizeof(lp_known_table))
    known.name = copy_name(table.name, table.name_bytes)
    if known.name is NULL:
        return LP_NO_MEMORY
    known.name_bytes = table.name_bytes
    known.name_hash = lp_hash_bytes(
        <const uint8_t*> table.name, table.name_bytes, schema.seed
    )
    if lp_index_add(&schema.by_name, known.name_hash, <int32_t> schema.num_tables) != LP_OK:
        free(known.name)
        return LP_NO_MEMORY
    schema.num_tables += 1
    return LP_OK


cdef lp_status add_new_column(
    lp_known_table* table, const lp_column* column, uint64_t name_hash
) noexcept nogil:
    cdef int64_t capacity = table.column_capacity
    cdef lp_known_column* columns
    cdef lp_known_column* known
    if table.num_columns == capacity:
        capacity = capacity * 2 if capacity > 0 else CAPACITY_MIN
        columns = <lp_known_column*> realloc(table.columns, capacity * sizeof(lp_known_column))
        if columns is NULL:
            return LP_NO_MEMORY
        table.columns = columns
        table.column_capacity = capacity
    known = &table.columns[table.num_columns]
    known.name = copy_name(column.name, column.name_bytes)
    if known.name is NULL:
        return LP_NO_MEMORY
    known.name_bytes = column.name_bytes
    known.type = column.type
    if lp_index_add(&table.by_name, name_hash, <int32_t> table.num_columns) != LP_OK:
        free(known.name)
        return LP_NO_MEMORY
    table.num_columns += 1
    return LP_OK


cdef lp_status add_new_columns(
    lp_schema* schema, const lp_table* table, bint* is_changed
) noexcept nogil:
    cdef int64_t number = find_table(schema, <const uint8_t*> table.name, table.name_bytes)
    cdef const lp_column* column
    cdef uint64_t name_hash
    cdef int32_t i
    if number < 0:
        if add_new_table(schema, table) != LP_OK:
            return LP_NO_MEMORY
        is_changed[0] = True
        number = schema.num_tables - 1
    for i in range(table.num_columns):
        column = &table.columns[i]
        if column.type == LP_TIME:
            continue
        name_hash = lp_hash_bytes(
            <const uint8_t*> column.name, column.name_bytes, schema.seed
        )
        if find_column(
            &schema.tables[number], <const uint8_t*> column.name, column.name_bytes, name_hash
        ) != LP_COLUMN_UNKNOWN:
            continue
        if add_new_column(&schema.tables[number], column, name_hash) != LP_OK:
            return LP_NO_MEMORY
        is_changed[0] = True
    return LP_OK


cdef void known_table_free(lp_known_table* table) noexcept nogil:
    cdef int64_t i
    for i in range(table.num_columns):
        free(table.columns[i].name)
    free(table.columns)
    free(table.name)
    lp_index_free(&table.by_name)


cdef lp_status remove_table(lp_schema* schema, int64_t number) noexcept nogil:
    """Take one table out; the numbers of those after it change, so their index is built anew."""
    cdef lp_hash_index by_name
    cdef int64_t i
    cdef int32_t place = 0
    memset(&by_name, 0, sizeof(by_name))
    for i in range(schema.num_tables):
        if i == number:
            continue
        if lp_index_add(&by_name, schema.tables[i].name_hash, place) != LP_OK:
            lp_index_free(&by_name)
            return LP_NO_MEMORY
        place += 1
    lp_index_free(&schema.by_name)
    schema.by_name = by_name
    known_table_free(&schema.tables[number])
    memmove(
        &schema.tables[number],
        &schema.tables[number + 1],
        (schema.num_tables - number - 1) * sizeof(lp_known_table),
    )
    schema.num_tables -= 1
    return LP_OK
