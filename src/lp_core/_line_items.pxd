# Parts of a line under construction as Python texts.

from libc.stdint cimport int64_t

from lp_core._line_text cimport lp_line_text


cdef str spelled(const lp_line_text* line, int64_t start, int64_t end)
cdef dict items_of(const lp_line_text* line, bint of_tags)
cdef object no_field(str series)
cdef str line_of(str table_name, dict tags, dict fields)
