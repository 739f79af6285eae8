# How the fields of an accepted line follow each other.

from libc.stdint cimport int32_t
from lp_core._columns cimport lp_table_builder
from lp_core._line cimport lp_line
from lp_core._memory cimport lp_arena
from lp_core._status cimport lp_status


cdef lp_status note_shape(
    lp_arena* arena, lp_table_builder* table, const lp_line* line, int32_t* shape_number
) noexcept nogil
