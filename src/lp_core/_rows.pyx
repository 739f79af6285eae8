# cython: auto_pickle=False
# Owns the step from columns to rows, taken only for a plugin or client that wants dicts. Values are
# plain Python objects; rows share their keys and the texts of their tags, and nothing else. A row
# is a copy of a dict that has its keys, with the values put in: the table of keys is made once.
# (Copies that have the tags as well do not pay: they have left the cache when they come again.)
"""Rows of a batch as plain dicts."""

cimport cython
from cpython.dict cimport PyDict_Copy, PyDict_SetItem
from cpython.list cimport PyList_GET_ITEM, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_FromLongLong, PyLong_FromUnsignedLongLong
from cpython.ref cimport Py_INCREF, PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from lp_core._batch cimport TableBatch, lp_column, lp_table
from lp_core._column_check cimport lp_bit
from lp_core._frame cimport BOOL, FLOAT64, INT64, TAG, TIME, UINT64

from sys import intern

cdef extern from "Python.h":
    void PyObject_GC_Track(void* object)
    void PyObject_GC_UnTrack(void* object)

# Fewer rows than this are not worth a dict to copy from.
cdef int64_t COPIED_ROWS_MIN = 4
# More ways of lacking columns than this, in one table, are not remembered.
cdef Py_ssize_t SHAPES_MAX = 256


cdef struct row_column:
    const lp_column* column
    PyObject* key
    PyObject* texts             # of a tag: the list of its dictionary's entries


cdef str text_at(const lp_column* column, const char* texts, int64_t texts_bytes, int64_t index):
    # The range is checked here as well: a frame may have been opened without the look at every row.
    cdef int64_t start = column.offsets[index], end = column.offsets[index + 1]
    if not 0 <= start <= end <= texts_bytes:
        raise ValueError(f"a text of the batch lies outside its buffer ({start} to {end})")
    return PyUnicode_DecodeUTF8(texts + start, end - start, NULL)


cdef list dictionary_of(const lp_column* column):
    cdef const char* texts = <const char*>column.dict_bytes
    return [
        text_at(column, texts, column.offsets[column.dict_count], index)
        for index in range(column.dict_count)
    ]


cdef object cell(const row_column* source, int64_t row):
    cdef const lp_column* column = source.column
    cdef int32_t code
    if column.type == FLOAT64:
        return (<const double*>column.values)[row]
    if column.type == TAG:
        code = (<const int32_t*>column.values)[row]
        if not 0 <= code < column.dict_count:
            raise ValueError(f"tag code {code} of the batch lies outside its dictionary")
        return <object>PyList_GET_ITEM(<list>source.texts, code)
    if column.type == INT64 or column.type == TIME:
        return PyLong_FromLongLong((<const int64_t*>column.values)[row])
    if column.type == UINT64:
        return PyLong_FromUnsignedLongLong((<const uint64_t*>column.values)[row])
    if column.type == BOOL:
        return True if lp_bit(column.values, row) else False
    return text_at(column, <const char*>column.values, column.values_bytes, row)


cdef inline bint has_value(const lp_column* column, int64_t row) noexcept nogil:
    return column.validity is NULL or lp_bit(column.validity, row)


@cython.internal
cdef class RowMaker:
    """Makes the rows of one table."""

    cdef const lp_table* table
    cdef list held              # keeps alive what `columns` borrow
    cdef row_column* columns    # tags, then fields, then time
    cdef bint has_nulls
    cdef char* presence         # of the row at hand: 1 for each column with a value
    cdef bytes last_presence
    cdef dict last_shape        # the keys of `last_presence`
    cdef dict shapes            # presence -> keys

    def __cinit__(self, TableBatch batch not None):
        cdef int64_t count = batch.table.num_columns
        self.table = batch.table
        self.held = [batch]
        self.shapes = {}
        self.columns = <row_column*>calloc(count + 1, sizeof(row_column))
        self.presence = <char*>calloc(count + 1, 1)
        if self.columns is NULL or self.presence is NULL:
            raise MemoryError
        self.arrange()

    def __dealloc__(self):
        free(self.columns)
        free(self.presence)

    cdef int arrange(self) except -1:
        """Put tags first, then fields, then time."""
        cdef int place = 0
        cdef const lp_column* column
        for wants_tags in (True, False):
            for index in range(self.table.num_columns):
                column = &self.table.columns[index]
                if (column.type == TAG) != wants_tags:
                    continue
                key = intern(PyUnicode_DecodeUTF8(column.name, column.name_bytes, NULL))
                texts = dictionary_of(column) if wants_tags else None
                self.held.append((key, texts))
                self.columns[place].column = column
                self.columns[place].key = <PyObject*>key
                self.columns[place].texts = <PyObject*>texts
                self.has_nulls |= column.validity is not NULL
                place += 1
        return 0

    cdef dict shape_of(self, int64_t row):
        """Return a dict of the keys of that row, for copying."""
        cdef int32_t place, count = self.table.num_columns
        cdef bytes presence
        cdef dict shape
        if self.last_shape is not None and not self.has_nulls:
            return self.last_shape
        for place in range(count):
            self.presence[place] = has_value(self.columns[place].column, row)
        if self.last_shape is not None and memcmp(
            <const char*>self.last_presence, self.presence, count
        ) == 0:
            return self.last_shape
        presence = self.presence[:count]
        shape = self.shapes.get(presence)
        if shape is None:
            shape = {}
            for place in range(count):
                if self.presence[place]:
                    PyDict_SetItem(shape, <object>self.columns[place].key, None)
            if len(self.shapes) < SHAPES_MAX:
                self.shapes[presence] = shape
        self.last_presence, self.last_shape = presence, shape
        return shape

    cdef dict row(self, int64_t index):
        cdef dict row = (
            PyDict_Copy(self.shape_of(index)) if self.table.num_rows >= COPIED_ROWS_MIN else {}
        )
        cdef const row_column* source
        for source in self.columns[:self.table.num_columns]:
            if has_value(source.column, index):
                PyDict_SetItem(row, <object>source.key, cell(source, index))
        return row


def rows_of(TableBatch batch not None):
    """Return the rows of a batch as new dicts, in the order in which they were written.

    A row has its tags first, then its fields, then ``time`` in nanoseconds; a column that the row
    does not carry is absent from its dict.
    """
    cdef RowMaker maker = RowMaker(batch)
    cdef int64_t index, count = batch.table.num_rows
    cdef list rows = PyList_New(count)
    # A collection while the rows are made would touch each of them, for nothing.
    PyObject_GC_UnTrack(<void*>rows)
    for index in range(count):
        row = maker.row(index)
        Py_INCREF(row)  # the list takes a reference of its own
        PyList_SET_ITEM(rows, index, row)
    PyObject_GC_Track(<void*>rows)
    return rows
