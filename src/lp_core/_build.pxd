# The builder, for the functions in front of its methods.

from libc.stdint cimport int64_t, uint8_t

from lp_core._line_steps cimport lp_line_key, lp_line_step
from lp_core._line_text cimport lp_line_text

ctypedef str (*field_text)(str, object)


cdef enum:
    # A buffer that grew beyond this is not kept for the next line.
    SPARE_BYTES_MAX = 1 << 16


cdef class LineBuilder:
    cdef lp_line_text text      # holds the line until `tag_texts` and `field_texts` do
    cdef str table_name
    cdef dict tag_texts
    cdef dict field_texts
    cdef public object _timestamp_ns
    # Plugins may hang attributes of their own on a builder, as on the pure Python class they know.
    cdef dict __dict__
    cdef object __weakref__

    cdef int start(self, const lp_line_key* name, lp_line_step* root, bint is_ascii) except -1
    cdef void release(self) noexcept
    cdef int use_dicts(self) except -1
    cdef tuple texts(self)
    cdef bint append(self, object key, str name, bytes value, bint is_tag) except -1
    cdef int put_tag(self, object key, object value) except -1
    cdef int put_field(self, object key, field_text text_of, object value) except -1
