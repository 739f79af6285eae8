# cython: auto_pickle=False
# Owns TableBatch and WriteBatch: immutable views of finished columns, made by the parser and by the
# frame reader, and their export as Arrow. A view never copies; it holds the owner of its memory.
"""Columnar batches of rows."""

from collections.abc import ItemsView, KeysView, Mapping, ValuesView

cimport cython
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from lp_core._arrow_abi cimport (
    ARROW_FLAG_NULLABLE,
    ArrowArray,
    ArrowSchema,
    lp_count_down,
    lp_count_up,
)

from lp_core.enums import ColumnType

cdef extern from "Python.h":
    bint Py_IsInitialized() noexcept nogil

cdef tuple COLUMN_TYPES = (None, *ColumnType)

# What `table` points to until table_batch_wrap() sets it, so that no TableBatch can read wild.
cdef lp_table EMPTY_TABLE
EMPTY_TABLE.name = b""
EMPTY_TABLE.name_bytes = 0
EMPTY_TABLE.num_columns = 0
EMPTY_TABLE.num_rows = 0
EMPTY_TABLE.min_time_ns = 0
EMPTY_TABLE.max_time_ns = 0
EMPTY_TABLE.columns = NULL


# The garbage collector may not clear `owner`: the pointers would outlive what they point to.
@cython.no_gc_clear
cdef class TableBatch:
    def __cinit__(self):
        self.table = &EMPTY_TABLE

    @property
    def name(self):
        return self.table.name[:self.table.name_bytes].decode("utf-8")

    @property
    def num_rows(self):
        return self.table.num_rows

    @property
    def min_time_ns(self):
        return self.table.min_time_ns

    @property
    def max_time_ns(self):
        return self.table.max_time_ns

    @property
    def schema(self):
        cdef int32_t i
        cdef list columns = []
        for i in range(self.table.num_columns):
            columns.append((
                self.table.columns[i].name[:self.table.columns[i].name_bytes].decode("utf-8"),
                COLUMN_TYPES[self.table.columns[i].type],
            ))
        return tuple(columns)

    def rows(self):
        from lp_core._rows import rows_of  # _rows imports this module

        return rows_of(self)

    def __len__(self):
        return self.table.num_rows

    def __arrow_c_schema__(self):
        return export_schema(self.table)

    def __arrow_c_array__(self, requested_schema=None):
        return export_schema(self.table), export_array(self.table, self.owner)

    def __repr__(self):
        return (
            f"<TableBatch {self.name!r}: {self.table.num_rows} rows, "
            f"{self.table.num_columns} columns>"
        )


cdef class WriteBatch:
    def __cinit__(self):
        self.tables = {}

    @property
    def num_rows(self):
        cdef TableBatch table
        cdef int64_t num_rows = 0
        for table in self.tables.values():
            num_rows += table.table.num_rows
        return num_rows

    def __getitem__(self, name):
        return self.tables[name]

    def get(self, key, default=None):
        return self.tables.get(key, default)

    def __contains__(self, name):
        return name in self.tables

    def __iter__(self):
        return iter(self.tables)

    def __len__(self):
        return len(self.tables)

    def keys(self):
        return KeysView(self)

    def values(self):
        return ValuesView(self)

    def items(self):
        return ItemsView(self)

    def __repr__(self):
        return f"<WriteBatch: {self.num_rows} rows, {len(self.tables)} tables>"


Mapping.register(WriteBatch)


cdef TableBatch table_batch_wrap(object owner, lp_table* table):
    """View `table`, which stays valid and unchanged as long as `owner` lives."""
    cdef TableBatch batch = TableBatch.__new__(TableBatch)
    batch.owner = owner
    batch.table = table
    return batch


cdef WriteBatch write_batch_wrap(list table_batches):
    """Group batches of different tables, in order of first appearance."""
    cdef WriteBatch batch = WriteBatch.__new__(WriteBatch)
    for table in table_batches:
        batch.tables[table.name] = table
    return batch


# Arrow export. One allocation holds everything that one capsule hands out: children, dictionaries,
# buffer lists, names. Consumers may move a child out and release it later and elsewhere, so each
# struct that is not yet released counts as a user, and the last one frees the block.

cdef struct lp_schema_block:
    int64_t users
    ArrowSchema* children       # one per column
    ArrowSchema* dictionaries   # one per column, used for tags
    ArrowSchema** child_list
    char* names                 # NUL-terminated, one after the other


cdef struct lp_array_block:
    int64_t users
    PyObject* owner             # of the column memory; a strong reference
    ArrowArray* children
    ArrowArray* dictionaries
    ArrowArray** child_list
    const void** buffers        # 1 for the struct, then per column 3 and for its dictionary 3


cdef const char* arrow_format(int32_t type) noexcept nogil:
    if type == LP_TAG:
        return b"i"
    if type == LP_INT64:
        return b"l"
    if type == LP_UINT64:
        return b"L"
    if type == LP_FLOAT64:
        return b"g"
    if type == LP_BOOL:
        return b"b"
    if type == LP_STRING:
        return b"u"
    return b"tsn:"


cdef void release_schema(ArrowSchema* schema) noexcept nogil:
    cdef lp_schema_block* block = <lp_schema_block*> schema.private_data
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i].release is not NULL:
            schema.children[i].release(schema.children[i])
    if schema.dictionary is not NULL and schema.dictionary.release is not NULL:
        schema.dictionary.release(schema.dictionary)
    schema.release = NULL
    if lp_count_down(&block.users) == 0:
        free(block.children)
        free(block.dictionaries)
        free(block.child_list)
        free(block.names)
        free(block)


cdef void release_array(ArrowArray* array) noexcept nogil:
    cdef lp_array_block* block = <lp_array_block*> array.private_data
    cdef int64_t i
    for i in range(array.n_children):
        if array.children[i].release is not NULL:
            array.children[i].release(array.children[i])
    if array.dictionary is not NULL and array.dictionary.release is not NULL:
        array.dictionary.release(array.dictionary)
    array.release = NULL
    if lp_count_down(&block.users) == 0:
        # Any thread may come here, with or without the GIL, even after the interpreter has ended.
        if Py_IsInitialized():
            with gil:
                Py_DECREF(<object> block.owner)
        free_array_block(block)


cdef void free_array_block(lp_array_block* block) noexcept nogil:
    free(block.children)
    free(block.dictionaries)
    free(block.child_list)
    free(block.buffers)
    free(block)


cdef void destroy_schema_capsule(object capsule) noexcept:
    cdef ArrowSchema* schema = <ArrowSchema*> PyCapsule_GetPointer(capsule, b"arrow_schema")
    if schema.release is not NULL:
        schema.release(schema)
    free(schema)


cdef void destroy_array_capsule(object capsule) noexcept:
    cdef ArrowArray* array = <ArrowArray*> PyCapsule_GetPointer(capsule, b"arrow_array")
    if array.release is not NULL:
        array.release(array)
    free(array)


cdef void set_schema(
    lp_schema_block* block, ArrowSchema* schema, const char* format, const char* name,
    int64_t flags
) noexcept nogil:
    schema.format = format
    schema.name = name
    schema.flags = flags
    schema.release = release_schema
    schema.private_data = block
    lp_count_up(&block.users, 1)


cdef lp_schema_block* schema_block_new(const lp_table* table) noexcept nogil:
    cdef lp_schema_block* block = <lp_schema_block*> calloc(1, sizeof(lp_schema_block))
    cdef int64_t names_bytes = 1
    cdef int32_t i
    if block is NULL:
        return NULL
    for i in range(table.num_columns):
        names_bytes += table.columns[i].name_bytes + 1
    block.children = <ArrowSchema*> calloc(table.num_columns + 1, sizeof(ArrowSchema))
    block.dictionaries = <ArrowSchema*> calloc(table.num_columns + 1, sizeof(ArrowSchema))
    block.child_list = <ArrowSchema**> calloc(table.num_columns + 1, sizeof(ArrowSchema*))
    block.names = <char*> calloc(names_bytes, 1)
    if (
        block.children is NULL
        or block.dictionaries is NULL
        or block.child_list is NULL
        or block.names is NULL
    ):
        free(block.children)
        free(block.dictionaries)
        free(block.child_list)
        free(block.names)
        free(block)
        return NULL
    return block


cdef void fill_schema(
    ArrowSchema* root, lp_schema_block* block, const lp_table* table
) noexcept nogil:
    cdef char* name = block.names
    cdef const lp_column* column
    cdef int64_t flags
    cdef int32_t i
    set_schema(block, root, b"+s", b"", 0)
    root.n_children = table.num_columns
    root.children = block.child_list
    for i in range(table.num_columns):
        column = &table.columns[i]
        memcpy(name, column.name, column.name_bytes)
        flags = 0 if column.type == LP_TIME else ARROW_FLAG_NULLABLE
        set_schema(block, &block.children[i], arrow_format(column.type), name, flags)
        block.child_list[i] = &block.children[i]
        if column.type == LP_TAG:
            set_schema(block, &block.dictionaries[i], b"u", b"", ARROW_FLAG_NULLABLE)
            block.children[i].dictionary = &block.dictionaries[i]
        name += column.name_bytes + 1


cdef object export_schema(const lp_table* table):
    cdef ArrowSchema* root = <ArrowSchema*> calloc(1, sizeof(ArrowSchema))
    if root is NULL:
        raise MemoryError
    cdef object capsule
    try:
        capsule = PyCapsule_New(root, b"arrow_schema", destroy_schema_capsule)
    except BaseException:
        free(root)
        raise
    cdef lp_schema_block* block = schema_block_new(table)
    if block is NULL:
        raise MemoryError
    fill_schema(root, block, table)
    return capsule


cdef lp_array_block* array_block_new(const lp_table* table) noexcept nogil:
    cdef lp_array_block* block = <lp_array_block*> calloc(1, sizeof(lp_array_block))
    cdef int64_t num_columns = table.num_columns
    if block is NULL:
        return NULL
    block.children = <ArrowArray*> calloc(num_columns + 1, sizeof(ArrowArray))
    block.dictionaries = <ArrowArray*> calloc(num_columns + 1, sizeof(ArrowArray))
    block.child_list = <ArrowArray**> calloc(num_columns + 1, sizeof(ArrowArray*))
    block.buffers = <const void**> calloc(1 + num_columns * 6, sizeof(void*))
    if (
        block.children is NULL
        or block.dictionaries is NULL
        or block.child_list is NULL
        or block.buffers is NULL
    ):
        free_array_block(block)
        return NULL
    return block


cdef void set_array(
    lp_array_block* block, ArrowArray* array, int64_t length, int64_t n_buffers,
    const void** buffers
) noexcept nogil:
    array.length = length
    array.n_buffers = n_buffers
    array.buffers = buffers
    array.release = release_array
    array.private_data = block
    lp_count_up(&block.users, 1)


cdef void fill_array(ArrowArray* root, lp_array_block* block, const lp_table* table) noexcept nogil:
    cdef const void** buffers = block.buffers
    cdef const lp_column* column
    cdef ArrowArray* child
    cdef int32_t i
    set_array(block, root, table.num_rows, 1, buffers)
    root.n_children = table.num_columns
    root.children = block.child_list
    buffers += 1
    for i in range(table.num_columns):
        column = &table.columns[i]
        child = &block.children[i]
        block.child_list[i] = child
        set_array(block, child, table.num_rows, 3 if column.type == LP_STRING else 2, buffers)
        child.null_count = column.null_count
        buffers[0] = column.validity
        buffers[1] = column.values
        if column.type == LP_STRING:
            buffers[1] = column.offsets
            buffers[2] = column.values
        elif column.type == LP_TAG:
            child.dictionary = &block.dictionaries[i]
            set_array(block, child.dictionary, column.dict_count, 3, buffers + 3)
            buffers[4] = column.offsets
            buffers[5] = column.dict_bytes
        buffers += 6


cdef object export_array(const lp_table* table, object owner):
    cdef ArrowArray* root = <ArrowArray*> calloc(1, sizeof(ArrowArray))
    if root is NULL:
        raise MemoryError
    cdef object capsule
    try:
        capsule = PyCapsule_New(root, b"arrow_array", destroy_array_capsule)
    except BaseException:
        free(root)
        raise
    cdef lp_array_block* block = array_block_new(table)
    if block is NULL:
        raise MemoryError
    Py_INCREF(owner)
    block.owner = <PyObject*> owner
    fill_array(root, block, table)
    return capsule
