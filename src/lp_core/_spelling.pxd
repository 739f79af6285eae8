# Checks and spelling of texts for LineBuilder and build_lines.

from libc.stdint cimport int64_t

from lp_core._escape cimport lp_text_place


cdef bint is_encodable_within_limit(str text) except -1
cdef int check_measurement(str measurement) except -1
cdef str plain_key(object key, str kind)
cdef int check_tag_value(str key, str value) except -1
cdef object index_of(object value, str what)
cdef int64_t int64_of(object value, str what) except? -1
cdef bytes escaped(str text, lp_text_place place)
