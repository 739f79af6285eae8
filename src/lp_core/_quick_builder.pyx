# Owns the usual calls of a LineBuilder, in front of its own methods: of two arguments without
# names, for a key with which lines like this one went on before. They save what wrappers and
# searches cost. And making a builder takes one that somebody is done with. Others go to _build.pyx.

from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from lp_core._build cimport SPARE_BYTES_MAX, LineBuilder
from lp_core._exact_objects cimport (
    ascii_bytes,
    ascii_length,
    int_value,
    is_ascii_str,
    is_short_int,
    new_ascii_str,
)
from lp_core._line_names cimport known_table, line_steps, root_of
from lp_core._line_steps cimport (
    lp_is_root_of,
    lp_line_key,
    lp_line_step,
    lp_line_steps,
)
from lp_core._line_text cimport (
    LP_UPPER_DIGITS_STEP,
    lp_digits_of,
    lp_fill_short_numbers,
    lp_line_leave_steps,
    lp_line_put_integer,
    lp_line_put_tag,
    lp_line_start,
    lp_line_start_short,
    lp_line_text,
    lp_short_numbers,
    lp_upper_digits,
    lp_write_with_upper,
)
from lp_core._plain_items cimport put_plain_float
from lp_core._quick_methods cimport (
    PyObject_GC_Track,
    PyObject_GC_UnTrack,
    PyVectorcall_NARGS,
    _Py_NewReference,
    destructor,
    is_untouched,
    lp_method,
    noted,
    put_before_life,
    put_before_method,
    vectorcallfunc,
)

cdef lp_line_steps* STEPS = line_steps()

cdef int SPARE_BUILDERS_MAX = 8
cdef (PyObject*)[8] spare_builders
cdef int spare_builder_count = 0

# Of the line before: what the next one most often has as well.
cdef PyObject* recent  # the builder; may be gone
cdef lp_line_step* recent_root
cdef lp_upper_digits recent_time

cdef lp_short_numbers short_numbers
lp_fill_short_numbers(&short_numbers)


cdef inline PyObject* returned(PyObject* self) noexcept:
    Py_INCREF(<object>self)
    return self


cdef PyObject* quick_tag(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    cdef PyObject* builder = noted(&recent, self)
    if count != 2 or names is not NULL:
        return complete_tag(self, args, count, names)
    if is_ascii_str(args[1]) and lp_line_put_tag(
        &(<LineBuilder>builder).text, args[0], ascii_bytes(args[1]), ascii_length(args[1])
    ):
        return returned(builder)
    return complete_tag(builder, args, 2, NULL)


cdef PyObject* quick_int64_field(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    cdef PyObject* builder = noted(&recent, self)
    cdef uint32_t number
    if count != 2 or names is not NULL:
        return complete_int64_field(self, args, count, names)
    if is_short_int(args[1], &number) and lp_line_put_integer(
        &(<LineBuilder>builder).text, &short_numbers, args[0], number, b"i"
    ):
        return returned(builder)
    return complete_int64_field(builder, args, 2, NULL)


cdef PyObject* quick_uint64_field(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    cdef PyObject* builder = noted(&recent, self)
    cdef uint32_t number
    if count != 2 or names is not NULL:
        return complete_uint64_field(self, args, count, names)
    if is_short_int(args[1], &number) and lp_line_put_integer(
        &(<LineBuilder>builder).text, &short_numbers, args[0], number, b"u"
    ):
        return returned(builder)
    return complete_uint64_field(builder, args, 2, NULL)


cdef PyObject* quick_float64_field(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    cdef PyObject* builder = noted(&recent, self)
    if count == 2 and names is NULL and put_plain_float(
        &(<LineBuilder>builder).text, args[0], args[1]
    ):
        return returned(builder)
    return complete_float64_field(self, args, count, names)


cdef inline bint is_time(PyObject* value, long long* number) noexcept:
    """Whether the value is an int that a line can carry as its time."""
    cdef int overflow = 0
    if not PyLong_CheckExact(<object>value):
        return False
    number[0] = int_value(value, &overflow)
    return overflow == 0


cdef PyObject* quick_time_ns(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    cdef PyObject* builder = noted(&recent, self)
    cdef long long number
    if count == 1 and names is NULL and is_time(args[0], &number):
        (<LineBuilder>builder)._timestamp_ns = <object>args[0]
        return returned(builder)
    return complete_time_ns(self, args, count, names)


cdef inline int64_t time_bytes_of(PyObject* time, long long* number) noexcept:
    """Return the room that the time takes in a line; -1 if it is neither None nor of our days."""
    cdef int64_t digits
    if time == <PyObject*>None:
        return 0
    if not is_time(time, number) or number[0] < 0:
        return -1
    digits = lp_digits_of(&recent_time, number[0])
    return digits + 1 if digits >= LP_UPPER_DIGITS_STEP else -1


cdef PyObject* quick_build(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    cdef PyObject* builder = noted(&recent, self)
    cdef const lp_line_text* text = &(<LineBuilder>builder).text
    cdef long long number = 0
    cdef int64_t time_bytes
    cdef PyObject* line
    cdef uint8_t* out
    if count != 0 or names is not NULL or not text.is_ascii:
        return complete_build(self, args, count, names)
    time_bytes = time_bytes_of(<PyObject*>(<LineBuilder>builder)._timestamp_ns, &number)
    if text.bytes is NULL or text.used == text.fields_at or time_bytes < 0:
        return complete_build(builder, args, 0, NULL)
    line = new_ascii_str(text.used + time_bytes)
    if line is not NULL:
        out = ascii_bytes(line)
        memcpy(out, text.bytes, text.used)
        out[text.fields_at] = b" "
        if time_bytes > 0:
            out[text.used] = b" "
            lp_write_with_upper(out + text.used + 1, &recent_time, number)
    return line


cdef inline bint start_line(lp_line_text* line, PyObject* name) noexcept:
    """Start a line of a known table; False where the table is unknown."""
    global recent_root
    cdef lp_line_key* known
    if recent_root is not NULL and lp_is_root_of(recent_root, name, STEPS):
        lp_line_start_short(line, STEPS, recent_root)
        return True
    known = known_table(name)
    if known is NULL:
        return False
    recent_root = root_of(known, name)
    lp_line_start(line, STEPS, known, recent_root)
    return True


cdef PyObject* quick_new(
    PyObject* type, PyObject* const* args, size_t count, PyObject* names
) noexcept:
    """Make a builder for a known table out of a spare one."""
    global spare_builder_count, recent
    cdef PyObject* self
    if (
        spare_builder_count > 0
        and names is NULL
        and PyVectorcall_NARGS(count) == 1
        and type == <PyObject*>LineBuilder
    ):
        self = spare_builders[spare_builder_count - 1]
        if start_line(&(<LineBuilder>self).text, args[0]):
            spare_builder_count -= 1
            _Py_NewReference(self)
            (<LineBuilder>self).table_name = <str>args[0]
            (<LineBuilder>self).text.is_ascii = True
            PyObject_GC_Track(self)
            recent = self
            return self
    return complete_new(type, args, count, names)


cdef void quick_end(PyObject* self) noexcept:
    """Keep a builder on which nobody has hung anything for another line."""
    global spare_builder_count
    cdef object _time_ns
    if (
        spare_builder_count < SPARE_BUILDERS_MAX
        and (<LineBuilder>self).text.bytes is not NULL
        and (<LineBuilder>self).text.capacity <= SPARE_BYTES_MAX
        and is_untouched(self, <PyObject*>LineBuilder)
    ):
        PyObject_GC_UnTrack(self)
        lp_line_leave_steps(&(<LineBuilder>self).text, STEPS)
        (<LineBuilder>self).table_name = None
        # It may be anything, so it goes at the very end.
        _time_ns = (<LineBuilder>self)._timestamp_ns
        (<LineBuilder>self)._timestamp_ns = None
        spare_builders[spare_builder_count] = self
        spare_builder_count += 1
    else:
        complete_end(self)


cdef lp_method complete_tag = put_before_method(LineBuilder, b"tag", quick_tag)
cdef lp_method complete_int64_field = put_before_method(
    LineBuilder, b"int64_field", quick_int64_field
)
cdef lp_method complete_uint64_field = put_before_method(
    LineBuilder, b"uint64_field", quick_uint64_field
)
cdef lp_method complete_float64_field = put_before_method(
    LineBuilder, b"float64_field", quick_float64_field
)
cdef lp_method complete_time_ns = put_before_method(LineBuilder, b"time_ns", quick_time_ns)
cdef lp_method complete_build = put_before_method(LineBuilder, b"build", quick_build)
cdef vectorcallfunc complete_new = quick_new
cdef destructor complete_end = quick_end
put_before_life(LineBuilder, &complete_new, &complete_end)
