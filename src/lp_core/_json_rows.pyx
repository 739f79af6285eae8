# Owns json_rows, the step from record batches to JSON objects: which columns it writes itself, and
# one buffer for all rows, written without the GIL. The server's query answers use it; batches come
# over the Arrow PyCapsule interface from a producer that is trusted.
"""Rows of Arrow batches as JSON."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset, strcmp

from lp_core._arrow_abi cimport ArrowArray, ArrowSchema
from lp_core._arrow_input cimport ArrowInput
from lp_core._float_powers cimport float_powers
from lp_core._float_text cimport lp_float_power
from lp_core._json_writer cimport (
    LP_JSON_BOOL,
    LP_JSON_CODES,
    LP_JSON_DOUBLE,
    LP_JSON_FOREIGN,
    LP_JSON_INT64,
    LP_JSON_LONG_TEXT,
    LP_JSON_READY,
    LP_JSON_TEXT,
    LP_JSON_TIME,
    LP_JSON_UINT64,
    lp_json_column,
    lp_json_is_plain,
    lp_json_kind,
    lp_json_write_rows,
)
from lp_core._memory cimport lp_buffer, lp_buffer_free
from lp_core._status cimport LP_OK, lp_status


cdef lp_json_kind kind_of(const ArrowSchema* schema) noexcept:
    cdef const char* form = schema.format
    if schema.dictionary is not NULL:
        is_text = strcmp(form, "i") == 0 and strcmp(schema.dictionary.format, "u") == 0
        return LP_JSON_CODES if is_text else LP_JSON_FOREIGN
    if strcmp(form, "l") == 0:
        return LP_JSON_INT64
    if strcmp(form, "L") == 0:
        return LP_JSON_UINT64
    if strcmp(form, "g") == 0:
        return LP_JSON_DOUBLE
    if strcmp(form, "b") == 0:
        return LP_JSON_BOOL
    if strcmp(form, "tsn:") == 0:
        return LP_JSON_TIME
    if strcmp(form, "u") == 0:
        return LP_JSON_TEXT
    return LP_JSON_LONG_TEXT if strcmp(form, "U") == 0 else LP_JSON_FOREIGN


cdef int set_column(
    lp_json_column* column, const ArrowSchema* schema, const ArrowArray* array
) noexcept:
    cdef const ArrowArray* texts = array
    column.kind = kind_of(schema)
    if column.kind == LP_JSON_FOREIGN:
        return 0
    column.offset = array.offset
    column.validity = <const uint8_t*>array.buffers[0] if array.null_count else NULL
    column.values = array.buffers[1]
    if column.kind == LP_JSON_CODES:
        texts = array.dictionary
        column.text_validity = <const uint8_t*>texts.buffers[0] if texts.null_count else NULL
        column.text_offsets = <const int32_t*>texts.buffers[1]
        column.text_offset = texts.offset
    if column.kind in (LP_JSON_TEXT, LP_JSON_LONG_TEXT, LP_JSON_CODES):
        column.bytes = <const uint8_t*>texts.buffers[2]
    return 0


@cython.internal
cdef class Columns:
    """The columns of one batch, which `arrow` keeps alive."""

    cdef lp_json_column* columns
    cdef int64_t count
    cdef int64_t rows
    cdef ArrowInput arrow

    def __cinit__(self, batch):
        cdef ArrowArray* array
        cdef int64_t number
        self.columns = NULL
        self.arrow = ArrowInput(batch)
        array = self.arrow.next_batch()
        if array is NULL or array.offset or self.arrow.schema.format[:2] != b"+s":
            raise TypeError("the source must be one record batch")
        self.count = array.n_children
        self.rows = array.length
        self.columns = <lp_json_column*>calloc(max(self.count, 1), sizeof(lp_json_column))
        if self.columns is NULL:
            raise MemoryError
        for number in range(self.count):
            set_column(
                &self.columns[number], self.arrow.schema.children[number], array.children[number]
            )

    def __dealloc__(self):
        free(self.columns)


def foreign_columns(batch):
    """Numbers of the columns whose JSON `json_rows` must be given."""
    cdef Columns known = Columns(batch)
    cdef lp_json_column* column
    cdef int64_t number
    found = []
    for number in range(known.count):
        column = &known.columns[number]
        if column.kind == LP_JSON_FOREIGN or (
            column.kind == LP_JSON_DOUBLE and not lp_json_is_plain(column, known.rows)
        ):
            found.append(number)
    return found


def json_rows(batch, keys, ready, separator):
    """The rows of a record batch as JSON objects, each with the separator behind it."""
    cdef Columns known = Columns(batch)
    cdef lp_buffer buffer
    cdef int64_t number
    cdef lp_status status
    cdef bytes key
    cdef uint8_t sign = ord(separator)
    cdef list kept = list(keys)
    if len(kept) != known.count:
        raise ValueError("there must be one key for each column")
    for number in range(known.count):
        key = kept[number]
        known.columns[number].key = <const uint8_t*><const char*>key
        known.columns[number].key_count = len(key)
        if number in ready:
            if known.columns[number].kind != LP_JSON_LONG_TEXT:
                raise TypeError("JSON that is ready must be large texts")
            known.columns[number].kind = LP_JSON_READY
        elif known.columns[number].kind == LP_JSON_FOREIGN:
            raise TypeError(f"column {number} is of a type that must be given as JSON")
    cdef const lp_float_power* powers = float_powers()
    memset(&buffer, 0, sizeof(buffer))
    try:
        with nogil:
            status = lp_json_write_rows(
                &buffer, known.columns, known.count, known.rows, sign, powers
            )
        if status != LP_OK:
            raise MemoryError
        return (<const char*>buffer.bytes)[:buffer.used] if buffer.used else b""
    finally:
        lp_buffer_free(&buffer)
