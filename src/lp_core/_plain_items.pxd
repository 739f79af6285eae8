# Appending items of the plain kinds; each tells whether it did.

from cpython.object cimport PyObject

from lp_core._line_text cimport lp_line_text


cdef bint put_plain_tag(lp_line_text* line, PyObject* key, PyObject* value) noexcept
cdef bint put_plain_int(
    lp_line_text* line, PyObject* key, PyObject* value, long long least, char suffix
) noexcept
cdef bint put_plain_float(lp_line_text* line, PyObject* key, PyObject* value) noexcept
cdef bint put_plain_string(lp_line_text* line, PyObject* key, PyObject* value) noexcept
cdef bint put_plain_bool(lp_line_text* line, PyObject* key, PyObject* value) noexcept
