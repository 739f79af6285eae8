# cython: auto_pickle=False
# Owns parse(): cuts a body into logical lines, has each taken into the tables, notes the refused
# ones. All of it runs without the GIL; tables and errors become Python objects only at the end.
"""Parsing of line protocol into columnar batches."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT32_MAX, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from lp_core._assembler cimport (
    LP_SERIES_NONE,
    assembler_close_row,
    assembler_finish,
    assembler_free,
    assembler_take_line,
    lp_assembler,
)
from lp_core._batch cimport lp_table, table_batch_wrap, write_batch_wrap
from lp_core._buffer_pool cimport lp_pool_connect, lp_pool_shared
from lp_core._columns cimport ColumnMemory, lp_table_buffers
from lp_core._fast_lines cimport (
    LP_FAST_NEW_SERIES,
    LP_FAST_NO_MEMORY,
    LP_FAST_NOT_UTF8,
    LP_FAST_PATHS_MAX,
    lp_fast_lines_function,
    lp_fast_outcome,
    lp_fast_path,
    lp_fast_paths,
)
from lp_core._line_error cimport LineError, RefusedLines, lp_refused_line
from lp_core._memory cimport lp_arena_take
from lp_core._number cimport LP_UNIT_AUTO
from lp_core._scan cimport (
    lp_count_line_feeds,
    lp_cut_line,
    lp_find_byte,
    lp_skip_blanks_and_comments,
)
from lp_core._schema cimport SchemaIndex
from lp_core._status cimport (
    LP_BATCH_LIMIT,
    LP_LINE_REFUSED,
    LP_NO_MEMORY,
    LP_NOT_UTF8,
    LP_OK,
    lp_status,
)
from lp_core._utf8 cimport lp_validate_utf8

import os

from lp_core.errors import BatchLimitError, LineProtocolError

lp_pool_connect(lp_pool_shared())

cdef enum:
    # A body of many columns with few values each grows by much when it becomes columns, which are
    # dense. It may take this much, or this multiple of its length.
    TAKEN_BYTES_MAX = 1 << 30
    TAKEN_BYTES_PER_BODY_BYTE_MAX = 16

BATCH_BYTES_MAX = TAKEN_BYTES_MAX
# Offsets into a column are int32, and no column holds more text than the body.
BODY_BYTES_MAX = INT32_MAX

# Unknown to clients, so that none can choose names that all fall into one place of an index.
cdef uint64_t HASH_SEED = int.from_bytes(os.urandom(8), "little")

# The ways of this processor to read lines like the one before; tests go them all.
cdef lp_fast_path[LP_FAST_PATHS_MAX] PATHS
cdef int PATH_COUNT = lp_fast_paths(PATHS)
cdef int PATH_NUMBER = 0


def simd_paths():
    return [PATHS[i].name.decode() for i in range(PATH_COUNT)]


def use_simd_path(str name not None):
    global PATH_NUMBER
    PATH_NUMBER = simd_paths().index(name)


cdef dict NS_PER_UNIT = {
    "auto": LP_UNIT_AUTO,
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


cdef struct lp_body:
    const uint8_t* start
    const uint8_t* end
    bint is_partial
    lp_assembler assembler
    const uint8_t* counted      # up to here line feeds are counted,
    int64_t line_number         # and this is the physical line there
    const uint8_t* bad_utf8
    int bad_utf8_bytes          # 0: the body ends inside a sequence


cdef lp_status note_refused(
    lp_body* body, RefusedLines refused_lines, const uint8_t* text, const uint8_t* text_end
) noexcept nogil:
    cdef lp_refused_line refused
    refused.line_number = line_number_at(body, text)
    refused.nth = body.assembler.lines_taken
    refused.byte_offset = text - body.start
    refused.text = text
    refused.text_bytes = text_end - text
    refused.time = body.assembler.line.time
    refused.failure = body.assembler.line.failure
    return refused_lines.note(&refused)


cdef int64_t line_number_at(lp_body* body, const uint8_t* text) noexcept nogil:
    """Return the physical line that `text` stands in; it only ever moves on."""
    body.line_number += lp_count_line_feeds(body.counted, text)
    body.counted = text
    return body.line_number


cdef lp_status take_any_line(
    lp_body* body, RefusedLines refused_lines, const uint8_t** cursor
) noexcept nogil:
    """Take one logical line, whatever it looks like."""
    cdef lp_status status
    cdef const uint8_t* cut = lp_cut_line(cursor[0], body.end)
    cdef const uint8_t* text_end = cut
    if text_end > cursor[0] and (text_end - 1)[0] == c"\r":
        text_end -= 1
    cdef const uint8_t* text = lp_skip_blanks_and_comments(cursor[0], text_end)
    cursor[0] = cut + 1
    if text >= text_end:
        return LP_OK
    status = assembler_take_line(&body.assembler, text, text_end)
    if status == LP_LINE_REFUSED:
        status = note_refused(body, refused_lines, text, text_end)
        if status == LP_OK and not body.is_partial:
            return LP_LINE_REFUSED
    return status


cdef lp_status take_lines(
    lp_body* body, RefusedLines refused_lines, lp_fast_lines_function fast_lines
) noexcept nogil:
    cdef const uint8_t* cursor = body.start
    cdef lp_fast_outcome outcome
    cdef lp_status status
    while cursor < body.end:
        outcome = fast_lines(&body.assembler, &cursor)
        if outcome == LP_FAST_NO_MEMORY:
            return LP_NO_MEMORY
        if outcome == LP_FAST_NOT_UTF8:
            return LP_NOT_UTF8
        if outcome == LP_FAST_NEW_SERIES:
            status = assembler_close_row(&body.assembler)
            if status == LP_OK:
                cursor = lp_find_byte(body.assembler.open_row.end, body.end, c"\n") + 1
                continue
            if status != LP_LINE_REFUSED:
                return status
        if cursor < body.end:
            status = take_any_line(body, refused_lines, &cursor)
            if status != LP_OK:
                return status
    return LP_OK


cdef lp_status parse_body(
    lp_body* body, RefusedLines refused_lines, ColumnMemory memory
) noexcept nogil:
    """Parse the whole body and move its tables into `memory`."""
    cdef lp_fast_path* path = &PATHS[PATH_NUMBER]
    cdef const uint8_t** checked = &body.assembler.checked
    cdef lp_status status = take_lines(body, refused_lines, path.take_lines)
    # Bytes that are no UTF-8 come before all else, wherever in the body they stand.
    if status == LP_NOT_UTF8 or (
        status != LP_NO_MEMORY and not path.is_utf8(checked[0], body.end)
    ):
        lp_validate_utf8(checked[0], body.end, &body.bad_utf8, &body.bad_utf8_bytes)
        return LP_NOT_UTF8
    if status != LP_OK:
        return status
    cdef int64_t tables_bytes = body.assembler.table_count * sizeof(lp_table)
    cdef int64_t buffers_bytes = body.assembler.table_count * sizeof(lp_table_buffers)
    memory.tables = <lp_table*> lp_arena_take(&memory.arena, tables_bytes)
    memory.buffers = <lp_table_buffers*> lp_arena_take(&memory.arena, buffers_bytes)
    if memory.tables is NULL or memory.buffers is NULL:
        return LP_NO_MEMORY
    memset(memory.tables, 0, tables_bytes)
    memset(memory.buffers, 0, buffers_bytes)
    memory.table_count = body.assembler.table_count
    return assembler_finish(&body.assembler, memory.tables, memory.buffers)


cdef object utf8_error(const lp_body* body):
    cdef int64_t byte_offset = body.bad_utf8 - body.start
    if body.bad_utf8_bytes == 0:
        what = "incomplete utf-8 byte sequence"
    else:
        what = f"invalid utf-8 sequence of {body.bad_utf8_bytes} bytes"
    return LineProtocolError(
        f"body content is not valid utf8: {what} from index {byte_offset}",
        line_number=0,
        byte_offset=byte_offset,
        code="utf8",
    )


cdef object error_of(
    lp_status status, const lp_body* body, RefusedLines refused_lines, str precision
):
    """Return the exception for a body that could not be parsed."""
    cdef LineError first
    if status == LP_NOT_UTF8:
        return utf8_error(body)
    if status == LP_BATCH_LIMIT:
        return BatchLimitError(
            f"as columns, the body of {body.end - body.start} bytes would take more than "
            f"{body.assembler.taken_bits_max // 8} bytes: it has too many columns with few values"
        )
    if status == LP_LINE_REFUSED:
        first = refused_lines.errors(precision)[0]
        return LineProtocolError(
            first.message,
            line_number=first.line_number,
            byte_offset=first.byte_offset,
            code=first.code,
            line=first.line,
        )
    return MemoryError()


cdef object batch_of(ColumnMemory memory):
    cdef int64_t i
    cdef list tables = []
    for i in range(memory.table_count):
        tables.append(table_batch_wrap(memory, &memory.tables[i]))
    return write_batch_wrap(tables)


cdef class ParseResult:
    cdef readonly object batch
    cdef RefusedLines refused_lines
    cdef str precision
    cdef list listed            # None until somebody asks

    @property
    def errors(self):
        if self.listed is None:
            self.listed = self.refused_lines.errors(self.precision)
        return self.listed

    @property
    def num_errors(self):
        return self.refused_lines.count

    def __repr__(self):
        return f"<ParseResult: {self.batch!r}, {self.num_errors} errors>"


cdef object truncated(object time_ns, object unit_ns):
    return time_ns // unit_ns * unit_ns


def parse(
    body,
    *,
    precision="auto",
    int64_t now_ns,
    bint accept_partial=True,
    SchemaIndex schema=None,
):
    cdef lp_body state
    cdef lp_status status
    cdef Py_buffer view
    cdef ColumnMemory memory = ColumnMemory()
    cdef RefusedLines refused_lines = RefusedLines()
    cdef ParseResult result = ParseResult.__new__(ParseResult)
    cdef str unit = str(precision)
    if unit not in NS_PER_UNIT:
        raise ValueError(f"unknown precision {unit!r}, known are {', '.join(NS_PER_UNIT)}")
    memset(&state, 0, sizeof(state))
    state.is_partial = accept_partial
    state.assembler.unit_ns = NS_PER_UNIT[unit]
    state.assembler.default_time_ns = truncated(now_ns, NS_PER_UNIT[unit] or 1)
    state.assembler.seed = HASH_SEED
    state.assembler.kept = &memory.arena
    state.assembler.schema = NULL if schema is None else <void*> schema.schema
    PyObject_GetBuffer(body, &view, PyBUF_SIMPLE)
    try:
        if view.len > BODY_BYTES_MAX:
            raise BatchLimitError(
                f"the body of {view.len} bytes is longer than {BODY_BYTES_MAX} bytes"
            )
        state.start = <const uint8_t*> view.buf
        state.end = state.start + view.len
        state.counted = state.start
        state.line_number = 1
        state.assembler.body_start = state.start
        state.assembler.checked = state.start
        state.assembler.body_end = state.end
        state.assembler.last_series = LP_SERIES_NONE
        state.assembler.taken_bits_max = 8 * max(
            TAKEN_BYTES_MAX, TAKEN_BYTES_PER_BODY_BYTE_MAX * <int64_t> view.len
        )
        with nogil:
            status = parse_body(&state, refused_lines, memory)
        if status != LP_OK:
            raise error_of(status, &state, refused_lines, unit)
    finally:
        assembler_free(&state.assembler)
        PyBuffer_Release(&view)
    result.batch = batch_of(memory)
    result.refused_lines = refused_lines
    result.precision = unit
    return result
