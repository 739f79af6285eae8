# What LineBuilder knows of names, and of the order in which lines have them.

from cpython.object cimport PyObject

from lp_core._line_steps cimport lp_line_key, lp_line_step, lp_line_steps
from lp_core._line_text cimport lp_line_text


cdef lp_line_steps* line_steps() noexcept
cdef lp_line_key* known_key(PyObject* text) noexcept
cdef lp_line_key* known_table(PyObject* text) noexcept
cdef int remember_key(str name, bytes fragment) except -1
cdef int remember_table(str name, bytes fragment) except -1
cdef lp_line_step* root_of(lp_line_key* known, PyObject* text) noexcept
cdef lp_line_step* step_of(lp_line_text* line, PyObject* text) noexcept
