# Columns of Arrow batches as _line_writer.h wants them.

from libc.stdint cimport int64_t

from lp_core._arrow_abi cimport ArrowArray, ArrowSchema
from lp_core._line_writer cimport lp_line_plan


cdef class LinePlan:
    cdef lp_line_plan plan
    cdef str table_name
    cdef list column_names      # of plan.columns
    cdef bytes table            # what plan.table points to
    cdef list keys              # what the columns' keys point to
    cdef int64_t* sources       # child of the batch for each of plan.columns
    cdef int64_t time_source
    cdef int64_t source_count

    cdef void forget_entries(self) noexcept
    cdef int set_table(self, str name) except -1
    cdef int set_columns(
        self, const ArrowSchema* schema, list names, object tags, object time
    ) except -1
    cdef int set_time(self, const ArrowSchema* schema, str name, int64_t source) except -1
    cdef int add_column(self, const ArrowSchema* schema, str name, int64_t source) except -1
    cdef int set_batch(self, const ArrowArray* batch) except -1
