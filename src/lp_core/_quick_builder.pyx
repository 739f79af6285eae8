# Owns the usual calls of a LineBuilder, in front of its own methods: of two arguments without
# names, for a key with which lines like this one went on before. They save what wrappers and
# searches cost. And making a builder takes one that somebody is done with. Others go to _build.pyx.

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint32_t

from lp_core._build cimport SPARE_BYTES_MAX, LineBuilder
from lp_core._exact_objects cimport (
    PyUnicode_1BYTE_DATA,
    PyUnicode_GET_LENGTH,
    is_ascii_str,
    is_short_int,
)
from lp_core._line_names cimport known_table, line_steps, root_of
from lp_core._line_steps cimport lp_line_key, lp_line_steps
from lp_core._line_text cimport (
    lp_line_leave_steps,
    lp_line_put_integer,
    lp_line_put_tag,
    lp_line_start,
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
    put_before_life,
    put_before_method,
    vectorcallfunc,
)

cdef lp_line_steps* STEPS = line_steps()

cdef int SPARE_BUILDERS_MAX = 8
cdef (PyObject*)[8] spare_builders
cdef int spare_builder_count = 0


cdef inline PyObject* returned(PyObject* self) noexcept:
    Py_INCREF(<object>self)
    return self


cdef PyObject* quick_tag(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    if (
        count == 2
        and names is NULL
        and is_ascii_str(args[1])
        and lp_line_put_tag(
            &(<LineBuilder>self).text,
            args[0],
            PyUnicode_1BYTE_DATA(<object>args[1]),
            PyUnicode_GET_LENGTH(<object>args[1]),
        )
    ):
        return returned(self)
    return complete_tag(self, args, count, names)


cdef PyObject* quick_int64_field(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    cdef uint32_t number
    if (
        count == 2
        and names is NULL
        and is_short_int(args[1], &number)
        and lp_line_put_integer(&(<LineBuilder>self).text, args[0], number, b"i")
    ):
        return returned(self)
    return complete_int64_field(self, args, count, names)


cdef PyObject* quick_uint64_field(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    cdef uint32_t number
    if (
        count == 2
        and names is NULL
        and is_short_int(args[1], &number)
        and lp_line_put_integer(&(<LineBuilder>self).text, args[0], number, b"u")
    ):
        return returned(self)
    return complete_uint64_field(self, args, count, names)


cdef PyObject* quick_float64_field(
    PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names
) noexcept:
    if count == 2 and names is NULL and put_plain_float(
        &(<LineBuilder>self).text, args[0], args[1]
    ):
        return returned(self)
    return complete_float64_field(self, args, count, names)


cdef PyObject* quick_new(
    PyObject* type, PyObject* const* args, size_t count, PyObject* names
) noexcept:
    """Make a builder for a known table out of a spare one."""
    global spare_builder_count
    cdef PyObject* self
    cdef lp_line_key* known
    if (
        spare_builder_count > 0
        and names is NULL
        and PyVectorcall_NARGS(count) == 1
        and type == <PyObject*>LineBuilder
    ):
        known = known_table(args[0])
        if known is not NULL:
            spare_builder_count -= 1
            self = spare_builders[spare_builder_count]
            _Py_NewReference(self)
            (<LineBuilder>self).table_name = <str>args[0]
            (<LineBuilder>self).text.is_ascii = True
            lp_line_start(&(<LineBuilder>self).text, STEPS, known, root_of(known, args[0]))
            PyObject_GC_Track(self)
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
cdef vectorcallfunc complete_new = quick_new
cdef destructor complete_end = quick_end
put_before_life(LineBuilder, &complete_new, &complete_end)
