# cython: auto_pickle=False
# Owns the way from an Arrow schema and its batches to the columns that _line_writer.h writes: what
# is a tag, a field or the time, keys as a line spells them, and the entries of dictionaries,
# spelled once per batch. Knows the Arrow layout; writes no rows.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from lp_core._arrow_abi cimport ArrowArray, ArrowSchema
from lp_core._escape cimport (
    LP_COPY_STEP,
    LP_IN_NAME,
    LP_IN_TABLE_NAME,
    LP_TEXT_FINE,
    lp_text_fault,
    lp_text_fault_of,
    lp_text_place,
)
from lp_core._float_powers cimport float_powers
from lp_core._float_text cimport LP_FLOAT_BYTES_MAX
from lp_core._line_text cimport LP_INTEGER_BYTES_MAX
from lp_core._line_writer cimport (
    LP_CELL_BOOL,
    LP_CELL_FLOAT32,
    LP_CELL_FLOAT64,
    LP_CELL_INT8,
    LP_CELL_INT16,
    LP_CELL_INT32,
    LP_CELL_INT64,
    LP_CELL_TEXT32,
    LP_CELL_TEXT64,
    LP_CELL_TEXT_VIEW,
    LP_CELL_UINT8,
    LP_CELL_UINT16,
    LP_CELL_UINT32,
    LP_CELL_UINT64,
    lp_cell,
    lp_cells,
    lp_entry_bytes_max,
    lp_line_column,
    lp_line_entry,
    lp_text_at,
    lp_write_entry,
)
from lp_core._spelling cimport escaped

from lp_core.errors import InvalidKeyError, InvalidMeasurementError

cdef dict CELLS = {
    b"c": LP_CELL_INT8,
    b"s": LP_CELL_INT16,
    b"i": LP_CELL_INT32,
    b"l": LP_CELL_INT64,
    b"C": LP_CELL_UINT8,
    b"S": LP_CELL_UINT16,
    b"I": LP_CELL_UINT32,
    b"L": LP_CELL_UINT64,
    b"f": LP_CELL_FLOAT32,
    b"g": LP_CELL_FLOAT64,
    b"b": LP_CELL_BOOL,
    b"u": LP_CELL_TEXT32,
    b"U": LP_CELL_TEXT64,
    b"vu": LP_CELL_TEXT_VIEW,
}
# Cell and nanoseconds of the types that can be the time.
cdef dict TIMES = {
    b"tss": (LP_CELL_INT64, 1_000_000_000),
    b"tsm": (LP_CELL_INT64, 1_000_000),
    b"tsu": (LP_CELL_INT64, 1_000),
    b"tsn": (LP_CELL_INT64, 1),
    b"l": (LP_CELL_INT64, 1),
    b"tdD": (LP_CELL_INT32, 86_400_000_000_000),
    b"tdm": (LP_CELL_INT64, 1_000_000),
}
cdef dict TEXT_FAULTS = {
    1: "cannot be empty",
    2: "has a tab, line feed or NUL that no line can carry",
    3: "cannot end with a backslash",
    4: "cannot start with '#', as comments do",
    5: "is too long",
}
cdef frozenset RESERVED_KEYS = frozenset(("time", "__chunk_order"))
cdef bytes PADDING = bytes(LP_COPY_STEP)


cdef str fault_of(str name, lp_text_place place):
    cdef bytes text = name.encode("utf-8")
    cdef lp_text_fault fault = lp_text_fault_of(
        <uint8_t*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), place
    )
    return None if fault == LP_TEXT_FINE else TEXT_FAULTS[<int>fault]


cdef class LinePlan:
    def __cinit__(self):
        memset(&self.plan, 0, sizeof(self.plan))
        self.plan.powers = float_powers()

    def __dealloc__(self):
        self.forget_entries()
        free(self.plan.columns)
        free(self.sources)

    cdef void forget_entries(self) noexcept:
        cdef int64_t number
        for number in range(self.plan.column_count):
            free(<void*>self.plan.columns[number].entries)
            free(<void*>self.plan.columns[number].entry_bytes)
            self.plan.columns[number].entries = NULL
            self.plan.columns[number].entry_bytes = NULL

    cdef int set_table(self, str name) except -1:
        reason = fault_of(name, LP_IN_TABLE_NAME)
        if reason is not None:
            raise InvalidMeasurementError(f"Measurement name {reason}: {name[:80]!r}")
        self.table_name = name
        cdef bytes spelled = escaped(name, LP_IN_TABLE_NAME)
        self.plan.table_bytes = PyBytes_GET_SIZE(spelled)
        self.table = spelled + PADDING
        self.plan.table = <uint8_t*>PyBytes_AS_STRING(self.table)
        return 0

    cdef int set_columns(
        self, const ArrowSchema* schema, list names, object tags, object time
    ) except -1:
        """Decide what each column is; `names` are those of the schema, or better ones."""
        cdef int64_t number
        cdef list tag_numbers = [], field_numbers = []
        check_names(names, tags, time)
        self.plan.columns = <lp_line_column*>calloc(len(names) + 1, sizeof(lp_line_column))
        self.sources = <int64_t*>calloc(len(names) + 1, sizeof(int64_t))
        if self.plan.columns is NULL or self.sources is NULL:
            raise MemoryError
        self.time_source = -1
        self.source_count = len(names)
        for number, name in enumerate(names):
            if name == time:
                self.set_time(schema.children[number], name, number)
            elif schema.children[number].format == b"n":
                continue  # nothing but nulls
            elif name in tags if tags is not None else is_text_dictionary(schema.children[number]):
                tag_numbers.append(number)
            else:
                field_numbers.append(number)
        self.plan.tag_count = len(tag_numbers)
        self.keys = []
        self.column_names = []
        for number in tag_numbers + field_numbers:
            self.add_column(schema.children[number], names[number], number)
        return 0

    cdef int set_time(self, const ArrowSchema* schema, str name, int64_t source) except -1:
        cdef bytes format = schema.format
        unit = TIMES.get(format.split(b":")[0])
        if unit is None or schema.dictionary is not NULL:
            raise TypeError(f"column '{name}' of Arrow type {format.decode()!r} cannot be the time")
        self.plan.times.cell, self.plan.time_unit_ns = unit
        self.plan.has_time = True
        self.time_source = source
        return 0

    cdef int add_column(self, const ArrowSchema* schema, str name, int64_t source) except -1:
        cdef bint is_tag = self.plan.column_count < self.plan.tag_count
        cdef lp_line_column* column = &self.plan.columns[self.plan.column_count]
        kind = "tag" if is_tag else "field"
        reason = fault_of(name, LP_IN_NAME)
        if name in RESERVED_KEYS:
            reason = "is a reserved column"
        if reason is not None:
            raise InvalidKeyError(f"{kind} key {name[:80]!r} {reason}")
        cdef bytes key = b",%b=" % escaped(name, LP_IN_NAME)
        column.key_bytes = PyBytes_GET_SIZE(key)
        key = key + PADDING
        self.keys.append(key)
        self.column_names.append(name)
        column.key = <uint8_t*>PyBytes_AS_STRING(key)
        column.is_tag = is_tag
        column.has_dictionary = schema.dictionary is not NULL
        column.cells.cell = cell_of(schema, kind, name)
        if column.has_dictionary:
            column.dictionary.cell = cell_of(schema.dictionary, kind, name)
            if not is_text_dictionary(schema) or column.cells.cell > LP_CELL_UINT64:
                raise TypeError(f"{kind} '{name}' is a dictionary of what is not text")
        elif is_tag and column.cells.cell in (LP_CELL_FLOAT32, LP_CELL_FLOAT64):
            raise TypeError(f"tag '{name}' is of floats; turn them into texts first")
        self.sources[self.plan.column_count] = source
        self.plan.column_count += 1
        return 0

    cdef int set_batch(self, const ArrowArray* batch) except -1:
        """Point the columns to a batch, which must stay as long as rows are written from it."""
        cdef int64_t number
        cdef lp_line_column* column
        cdef const ArrowArray* child
        if batch.null_count != 0 and batch.n_buffers > 0 and batch.buffers[0] is not NULL:
            raise ValueError("rows of the source as a whole cannot be null")
        if batch.n_children != self.source_count:
            raise ValueError("a batch of the source does not fit its schema")
        self.forget_entries()
        self.plan.row_count = batch.length
        self.plan.row_bytes_max = (
            self.plan.table_bytes + LP_INTEGER_BYTES_MAX + 2 + 2 * LP_COPY_STEP
        )
        if self.plan.has_time:
            set_cells(
                &self.plan.times, batch.children[self.time_source], batch.offset, batch.length
            )
        for number in range(self.plan.column_count):
            column = &self.plan.columns[number]
            child = batch.children[self.sources[number]]
            set_cells(&column.cells, child, batch.offset, batch.length)
            self.plan.row_bytes_max += column.key_bytes + cell_bytes_max(column.cells.cell)
            if column.has_dictionary:
                set_cells(&column.dictionary, child.dictionary, 0, 0)
                # A small batch of a great dictionary has its texts spelled row by row instead.
                if column.dictionary.count <= batch.length:
                    self.plan.row_bytes_max += spell_entries(column)
        return 0


cdef int check_names(list names, object tags, object time) except -1:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidKeyError(f"two columns are named '{twice}'")
    if time is not None and time not in names:
        raise ValueError(f"no column '{time}'; time=None leaves the time to the server")
    for tag in tags or ():
        if tag not in names:
            raise ValueError(f"no column '{tag}', which tags names")
        if tag == time:
            raise ValueError(f"column '{tag}' cannot be both a tag and the time")
    return 0


cdef bint is_text_dictionary(const ArrowSchema* schema) except -1:
    return schema.dictionary is not NULL and (<bytes>schema.dictionary.format) in (
        b"u", b"U", b"vu"
    )


cdef lp_cell cell_of(const ArrowSchema* schema, str kind, str name) except *:
    cdef bytes format = schema.format
    cell = CELLS.get(format)
    if cell is None:
        raise TypeError(
            f"{kind} '{name}' is of Arrow type {format.decode()!r}, which no line carries"
        )
    return <lp_cell><int>cell


cdef int64_t cell_bytes_max(lp_cell cell) noexcept:
    if cell == LP_CELL_FLOAT32 or cell == LP_CELL_FLOAT64:
        return LP_FLOAT_BYTES_MAX
    return LP_INTEGER_BYTES_MAX + 1


cdef int set_cells(
    lp_cells* cells, const ArrowArray* array, int64_t offset, int64_t length
) except -1:
    cdef int64_t buffers = array.n_buffers
    if array.length < offset + length:
        raise ValueError("a column of the source is shorter than its batch")
    cells.offset = array.offset + offset
    cells.count = array.length
    if array.length == 0:
        return 0
    if buffers < 2:
        raise ValueError("an array of the source has too few buffers")
    cells.validity = NULL
    if array.null_count != 0:
        cells.validity = <const uint8_t*>array.buffers[0]
    cells.values = <const uint8_t*>array.buffers[1]
    if cells.cell == LP_CELL_TEXT_VIEW:
        if buffers < 3:
            raise ValueError("an array of the source has too few buffers")
        cells.view_buffer_count = buffers - 3
        cells.view_buffers = <const uint8_t**>&array.buffers[2]
        cells.view_sizes = <const int64_t*>array.buffers[buffers - 1]
    elif cells.cell == LP_CELL_TEXT32 or cells.cell == LP_CELL_TEXT64:
        if buffers < 3:
            raise ValueError("an array of the source has too few buffers")
        cells.texts = <const uint8_t*>array.buffers[2]
    return 0


cdef int64_t spell_entries(lp_line_column* column) except -1:
    """Spell each entry of the dictionary; return the bytes of the longest one."""
    cdef int64_t number, bytes_max = LP_COPY_STEP, longest = 0, count = column.dictionary.count
    cdef lp_line_entry* entries = <lp_line_entry*>calloc(count + 1, sizeof(lp_line_entry))
    cdef uint8_t* start
    cdef uint8_t* out
    if entries is NULL:
        raise MemoryError
    column.entries = entries
    for number in range(count):
        bytes_max += lp_entry_bytes_max(column, lp_text_at(&column.dictionary, number))
    start = <uint8_t*>malloc(bytes_max)
    if start is NULL:
        raise MemoryError
    column.entry_bytes = start
    out = start
    for number in range(count):
        entries[number].start = out - start
        out = lp_write_entry(out, &entries[number], column, number)
        longest = max(longest, <int64_t>entries[number].bytes)
    return longest
