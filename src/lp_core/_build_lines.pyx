# Owns build_lines, the step from whole tables to line protocol: one buffer for all lines, rows
# written without the GIL, and what a fault of a row is called. Imports neither pyarrow nor numpy:
# tables come over the Arrow PyCapsule interface.
"""Tables as line protocol."""

from collections.abc import Iterable

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from lp_core._arrow_abi cimport ArrowArray, ArrowSchema
from lp_core._arrow_input cimport ArrowInput
from lp_core._batch cimport TableBatch, WriteBatch
from lp_core._escape cimport LP_TEXT_BYTES_MAX
from lp_core._line_plan cimport LinePlan
from lp_core._line_writer cimport (
    LP_ROW_CODE_OUTSIDE,
    LP_ROW_FINE,
    LP_ROW_NO_FIELD,
    LP_ROW_NO_ROOM,
    LP_ROW_NOT_FINITE,
    LP_ROW_TEXT_BACKSLASH,
    LP_ROW_TEXT_CONTROL,
    LP_ROW_TEXT_EMPTY,
    LP_ROW_TEXT_LONG,
    LP_ROW_TEXT_NOT_UTF8,
    LP_ROW_TEXT_OUTSIDE,
    LP_ROW_TIME_NULL,
    LP_ROW_TIME_RANGE,
    lp_line_output,
    lp_line_plan,
    lp_row_fault,
    lp_write_rows,
)

from lp_core.errors import InvalidLineError

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char* bytes, Py_ssize_t count) except NULL
    int resize_bytes "_PyBytes_Resize"(PyObject** bytes, Py_ssize_t count) except -1

cdef extern from *:
    """
    #include <sys/mman.h>
    /* First touches of small pages would take as long as the writing. A hint, which may fail. */
    static inline void want_huge_pages(uint8_t* bytes, int64_t count) {
    #ifdef MADV_HUGEPAGE
        uintptr_t first = ((uintptr_t)bytes + 4095) & ~(uintptr_t)4095;
        if (count >= (2 << 20))
            (void)madvise((void*)first, (size_t)(count - 4096), MADV_HUGEPAGE);
    #endif
    }
    """
    void want_huge_pages(uint8_t* bytes, int64_t count)

# Rows that the first buffer is made for; they tell how long lines are.
cdef int64_t FIRST_ROWS = 64

cdef dict VALUE_FAULTS = {
    LP_ROW_TEXT_EMPTY: (InvalidLineError, "cannot have an empty value"),
    LP_ROW_TEXT_CONTROL: (InvalidLineError, "cannot contain tabs or newlines"),
    LP_ROW_TEXT_BACKSLASH: (InvalidLineError, "cannot end with a backslash"),
    LP_ROW_TEXT_LONG: (InvalidLineError, f"is longer than {LP_TEXT_BYTES_MAX} bytes"),
    LP_ROW_TEXT_OUTSIDE: (ValueError, "lies outside its buffer"),
    LP_ROW_TEXT_NOT_UTF8: (ValueError, "is not valid UTF-8"),
    LP_ROW_CODE_OUTSIDE: (ValueError, "lies outside its dictionary"),
    LP_ROW_NOT_FINITE: (ValueError, "must be finite"),
}
cdef dict ROW_FAULTS = {
    LP_ROW_TIME_NULL: (ValueError, "the time is null"),
    LP_ROW_TIME_RANGE: (ValueError, "the time is out of the range of nanoseconds in 64 bits"),
    LP_ROW_NO_FIELD: (InvalidLineError, "at least one field is required"),
}


@cython.internal
cdef class LineBuffer:
    """The bytes of the lines written so far; a bytes object that nobody else has seen yet."""

    cdef PyObject* bytes
    cdef lp_line_output output

    def __cinit__(self):
        self.bytes = NULL
        memset(&self.output, 0, sizeof(self.output))

    def __dealloc__(self):
        Py_XDECREF(self.bytes)

    cdef int set_capacity(self, int64_t capacity) except -1:
        self.output.bytes = NULL
        self.output.capacity = 0
        if self.bytes is NULL:
            self.bytes = new_bytes(NULL, capacity)
        else:
            resize_bytes(&self.bytes, capacity)
        self.output.bytes = <uint8_t*>PyBytes_AS_STRING(<object>self.bytes)
        self.output.capacity = capacity
        want_huge_pages(self.output.bytes, capacity)
        return 0

    cdef int make_room(self, const lp_line_plan* plan, int64_t used_before) except -1:
        """Free what the next row wants, and more by what the rows so far took."""
        cdef int64_t rows_done = self.output.row
        cdef int64_t rows_left = plan.row_count - rows_done
        cdef int64_t more = min(rows_left, FIRST_ROWS) * plan.row_bytes_max
        if rows_done > 0:
            more = (self.output.used - used_before) // rows_done * rows_left
            more += more // 16
        more = max(more, self.output.wanted, self.output.used // 8)
        self.set_capacity(self.output.used + more + plan.row_bytes_max)
        return 0

    cdef bytes finish(self):
        if self.bytes is NULL:
            return b""
        self.set_capacity(self.output.used)
        return <bytes><object>self.bytes


cdef int write_batch(LinePlan plan, LineBuffer buffer, int64_t rows_before) except -1:
    cdef lp_row_fault fault = LP_ROW_NO_ROOM
    cdef int64_t used_before = buffer.output.used
    buffer.output.row = 0
    while fault == LP_ROW_NO_ROOM:
        with nogil:
            fault = lp_write_rows(&plan.plan, &buffer.output)
        if fault == LP_ROW_NO_ROOM:
            buffer.make_room(&plan.plan, used_before)
    if fault != LP_ROW_FINE:
        raise error_of(plan, &buffer.output, fault, rows_before)
    return 0


cdef object error_of(
    LinePlan plan, const lp_line_output* output, lp_row_fault fault, int64_t rows_before
):
    place = f"row {rows_before + output.row} of table '{plan.table_name}'"
    if fault in ROW_FAULTS:
        kind, reason = ROW_FAULTS[fault]
        return kind(f"{place}: {reason}")
    kind, reason = VALUE_FAULTS[fault]
    what = "value of tag" if output.column < plan.plan.tag_count else "field"
    return kind(f"{place}: {what} '{plan.column_names[output.column]}' {reason}")


cdef list names_of(const ArrowSchema* schema):
    cdef int64_t number
    if schema.format is NULL or schema.format[:2] != b"+s" or schema.dictionary is not NULL:
        raise TypeError("the source must be a table: a struct in terms of Arrow")
    return [
        "" if schema.children[number].name is NULL else schema.children[number].name.decode("utf-8")
        for number in range(schema.n_children)
    ]


cdef int write_table(source, LineBuffer buffer, str name, object tags, object time) except -1:
    cdef ArrowInput arrow = ArrowInput(source)
    cdef ArrowArray* batch
    cdef LinePlan plan = LinePlan()
    cdef int64_t rows_before = 0
    if isinstance(source, TableBatch) and not len(source):
        return 0
    # A column of lp_core may have NUL in its name, which ends a name in an Arrow schema.
    names = (
        [column for column, _ in source.schema] if isinstance(source, TableBatch)
        else names_of(arrow.schema)
    )
    plan.set_table(name)
    plan.set_columns(arrow.schema, names, tags, time)
    batch = arrow.next_batch()
    while batch is not NULL:
        plan.set_batch(batch)
        write_batch(plan, buffer, rows_before)
        rows_before += batch.length
        batch = arrow.next_batch()
    return 0


def build_lines(source, *, measurement=None, tags=None, time="time"):
    """Return the rows of a table as lines of line protocol, each with a line feed at its end.

    Nulls are left out. Dictionaries of texts become tags unless ``tags`` says otherwise; integers,
    floats, booleans and texts of any width become fields. The time is written in nanoseconds.

    Args:
        source: A ``TableBatch``, a ``WriteBatch``, or any table with ``__arrow_c_stream__`` or
            ``__arrow_c_array__``, as pyarrow, polars and pandas have.
        measurement: Name of the table; a batch of lp_core has its own.
        tags: Names of the columns that are tags.
        time: Name of the column of times, a timestamp of any unit and zone, a date, or an int64 of
            nanoseconds. None leaves the time to the server.

    Raises:
        InvalidKeyError: No line can carry the name of a column.
        InvalidLineError: No line can carry a row: it has no field, or a text that does not fit.
        InvalidMeasurementError: No line can carry the name of the table.
        TypeError: The source is no table, or a column is of a type that no line can carry.
        ValueError: A float is not finite, a time is null or out of range, or a column is missing.
    """
    cdef LineBuffer buffer = LineBuffer()
    if tags is not None:
        if isinstance(tags, str) or not isinstance(tags, Iterable):
            raise TypeError("tags must be a collection of names")
        tags = frozenset(tags)
    if not isinstance(measurement, str | None) or not isinstance(time, str | None):
        raise TypeError("measurement and time must be str or None")
    if isinstance(source, WriteBatch):
        if measurement is not None:
            raise TypeError("the tables of a WriteBatch have their own names")
        for name, table in source.items():
            write_table(table, buffer, name, tags, time)
        return buffer.finish()
    if measurement is None:
        if not isinstance(source, TableBatch):
            raise TypeError("measurement must name the table of these rows")
        measurement = source.name
    write_table(source, buffer, measurement, tags, time)
    return buffer.finish()
