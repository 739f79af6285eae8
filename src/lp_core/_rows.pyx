# Owns the step from columns to rows, taken only for a plugin or client that wants dicts. Values are
# plain Python objects; rows share their keys and the texts of their tags, and nothing else.
"""Rows of a batch as plain dicts."""

from cpython.dict cimport PyDict_SetItem
from cpython.list cimport PyList_GET_ITEM
from cpython.long cimport PyLong_FromLongLong, PyLong_FromUnsignedLongLong
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free

from lp_core._batch cimport TableBatch, lp_column, lp_table
from lp_core._column_check cimport lp_bit
from lp_core._frame cimport BOOL, FLOAT64, INT64, TAG, TIME, UINT64

from sys import intern


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


cdef int arrange(const lp_table* table, row_column* sources, list held) except -1:
    """Put tags first, then fields, then time; `held` keeps alive what the sources borrow."""
    cdef int place = 0
    cdef const lp_column* column
    for wants_tags in (True, False):
        for index in range(table.num_columns):
            column = &table.columns[index]
            if (column.type == TAG) != wants_tags:
                continue
            key = intern(PyUnicode_DecodeUTF8(column.name, column.name_bytes, NULL))
            texts = dictionary_of(column) if wants_tags else None
            held.append((key, texts))
            sources[place].column = column
            sources[place].key = <PyObject*>key
            sources[place].texts = <PyObject*>texts
            place += 1
    return 0


def rows_of(TableBatch batch not None):
    """Return the rows of a batch as new dicts, in the order in which they were written.

    A row has its tags first, then its fields, then ``time`` in nanoseconds; a column that the row
    does not carry is absent from its dict.
    """
    cdef const lp_table* table = batch.table
    cdef list held = [], rows = []
    cdef dict row
    cdef row_column* source
    cdef row_column* sources = <row_column*>calloc(table.num_columns, sizeof(row_column))
    if sources is NULL:
        raise MemoryError
    try:
        arrange(table, sources, held)
        for index in range(table.num_rows):
            row = {}
            for place in range(table.num_columns):
                source = &sources[place]
                if source.column.validity is NULL or lp_bit(source.column.validity, index):
                    PyDict_SetItem(row, <object>source.key, cell(source, index))
            rows.append(row)
    finally:
        free(sources)
    return rows
