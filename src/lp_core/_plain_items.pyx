# Owns items of the plain kinds, appended without a Python object being made: an exact object of
# the right type as value, and an ASCII key known by identity that the line does not have yet. All
# others are refused, and the line stays as it is.

from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t

from lp_core._escape cimport (
    LP_IN_NAME,
    LP_IN_STRING,
    LP_TEXT_BYTES_MAX,
    lp_copy_if_plain,
    lp_write_spaced,
)
from lp_core._exact_objects cimport (
    PyFloat_AS_DOUBLE,
    PyFloat_CheckExact,
    ascii_bytes,
    ascii_length,
    int_value,
    is_ascii_str,
)
from lp_core._float_powers cimport float_powers
from lp_core._float_text cimport LP_FLOAT_BYTES_MAX, lp_float_power, lp_write_double
from lp_core._line_names cimport line_steps, step_of
from lp_core._line_steps cimport lp_line_step, lp_line_steps
from lp_core._line_text cimport (
    LP_INTEGER_BYTES_MAX,
    lp_line_begin,
    lp_line_end_field,
    lp_line_end_tag,
    lp_line_text,
    lp_write_int64,
)

cdef const lp_float_power* POWERS = float_powers()
cdef lp_line_steps* STEPS = line_steps()


cdef bint put_plain_tag(lp_line_text* line, PyObject* key, PyObject* value) noexcept:
    cdef lp_line_step* step
    cdef int64_t count
    cdef uint8_t* out
    cdef uint8_t* end
    if not is_ascii_str(value):
        return False
    count = ascii_length(value)
    step = step_of(line, key)
    if step is NULL or not 0 < count <= LP_TEXT_BYTES_MAX:
        return False
    out = lp_line_begin(line, step, 2 * count)
    if out is NULL:
        return False
    end = out + count
    if not lp_copy_if_plain(out, ascii_bytes(value), count, LP_IN_NAME):
        end = lp_write_spaced(out, ascii_bytes(value), count)
    return end is not NULL and lp_line_end_tag(line, STEPS, step, end)


cdef bint put_plain_int(
    lp_line_text* line, PyObject* key, PyObject* value, long long least, char suffix
) noexcept:
    cdef lp_line_step* step
    cdef int overflow = 0
    cdef long long number
    cdef uint8_t* out
    if not PyLong_CheckExact(<object>value):
        return False
    number = int_value(value, &overflow)
    step = step_of(line, key)
    if step is NULL or overflow != 0 or number < least:
        return False
    out = lp_line_begin(line, step, LP_INTEGER_BYTES_MAX + 1)
    if out is NULL:
        return False
    out = lp_write_int64(out, number)
    out[0] = suffix
    lp_line_end_field(line, STEPS, step, out + 1)
    return True


cdef bint put_plain_float(lp_line_text* line, PyObject* key, PyObject* value) noexcept:
    cdef lp_line_step* step
    cdef double number
    cdef uint8_t* out
    if not PyFloat_CheckExact(<object>value):
        return False
    number = PyFloat_AS_DOUBLE(<object>value)
    step = step_of(line, key)
    if step is NULL or not isfinite(number):
        return False
    out = lp_line_begin(line, step, LP_FLOAT_BYTES_MAX)
    if out is NULL:
        return False
    lp_line_end_field(line, STEPS, step, lp_write_double(out, number, POWERS))
    return True


cdef bint put_plain_string(lp_line_text* line, PyObject* key, PyObject* value) noexcept:
    cdef lp_line_step* step
    cdef int64_t count
    cdef uint8_t* out
    if not is_ascii_str(value):
        return False
    count = ascii_length(value)
    step = step_of(line, key)
    if step is NULL or count > LP_TEXT_BYTES_MAX:
        return False
    out = lp_line_begin(line, step, count + 2)
    if out is NULL or not lp_copy_if_plain(
        out + 1, ascii_bytes(value), count, LP_IN_STRING
    ):
        return False
    out[0] = out[count + 1] = b'"'
    lp_line_end_field(line, STEPS, step, out + count + 2)
    return True


cdef bint put_plain_bool(lp_line_text* line, PyObject* key, PyObject* value) noexcept:
    cdef lp_line_step* step
    cdef uint8_t* out
    if value != <PyObject*>True and value != <PyObject*>False:
        return False
    step = step_of(line, key)
    out = NULL if step is NULL else lp_line_begin(line, step, 1)
    if out is NULL:
        return False
    out[0] = b"t" if value == <PyObject*>True else b"f"
    lp_line_end_field(line, STEPS, step, out + 1)
    return True
