# Tables and columns that a database knows already, readable without the GIL while they change.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from lp_core._hash_index cimport lp_hash_index


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_rwlock_t:
        pass


cdef struct lp_known_column:
    char* name
    int32_t name_bytes
    int32_t type                # ColumnType, never TIME: every table has its time column


cdef struct lp_known_table:
    char* name
    int32_t name_bytes
    int64_t num_columns
    int64_t column_capacity
    uint64_t name_hash
    lp_known_column* columns    # in order of first appearance
    lp_hash_index by_name


cdef struct lp_schema:
    pthread_rwlock_t lock       # held for one look-up or change, never while waiting for the GIL
    uint64_t seed
    int64_t num_tables
    int64_t table_capacity
    lp_known_table* tables
    lp_hash_index by_name


cdef enum:
    LP_COLUMN_UNKNOWN = 0
    LP_TABLE_UNKNOWN = -1


cdef class SchemaIndex:
    cdef lp_schema* schema
    cdef dict series_by_table   # str -> SeriesIndex


# What the reference system calls a ColumnType in its messages.
cdef str column_type_name(int32_t type)

# Returns the ColumnType, LP_COLUMN_UNKNOWN or LP_TABLE_UNKNOWN.
cdef int32_t schema_find(
    lp_schema* schema,
    const uint8_t* table,
    int64_t table_bytes,
    const uint8_t* column,
    int64_t column_bytes,
) noexcept nogil
