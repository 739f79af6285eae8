# Schema and record batches of an object that speaks the Arrow PyCapsule interface.

from lp_core._arrow_abi cimport ArrowArray, ArrowArrayStream, ArrowSchema


cdef class ArrowInput:
    cdef ArrowSchema* schema
    cdef object capsules        # own what they point to
    cdef ArrowArray* array      # of a source without a stream, until it is handed out
    cdef ArrowArrayStream* stream
    cdef ArrowSchema own_schema
    cdef ArrowArray own_array

    cdef int check(self, int code) except -1
    cdef void release_batch(self) noexcept
    cdef ArrowArray* next_batch(self) except? NULL
