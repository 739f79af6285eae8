# Owns what is taken from others over the Arrow PyCapsule interface: the schema and, one after the
# other, its record batches. Everything handed out stays valid until the next batch or the end.

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.string cimport memset

from lp_core._arrow_abi cimport ArrowArray, ArrowArrayStream, ArrowSchema


cdef class ArrowInput:
    def __cinit__(self, source):
        self.stream = NULL
        self.own_schema.release = NULL
        self.own_array.release = NULL
        # Preferred, as it gives the one batch of an object without a stream around it.
        if hasattr(source, "__arrow_c_array__"):
            self.capsules = source.__arrow_c_array__()
            schema_capsule, array_capsule = self.capsules
            self.schema = <ArrowSchema*>PyCapsule_GetPointer(schema_capsule, b"arrow_schema")
            self.array = <ArrowArray*>PyCapsule_GetPointer(array_capsule, b"arrow_array")
        elif hasattr(source, "__arrow_c_stream__"):
            self.capsules = source.__arrow_c_stream__()
            self.stream = <ArrowArrayStream*>PyCapsule_GetPointer(
                self.capsules, b"arrow_array_stream"
            )
            self.check(self.stream.get_schema(self.stream, &self.own_schema))
            self.schema = &self.own_schema
        else:
            raise TypeError(
                "the source must be a batch of lp_core or have __arrow_c_stream__ or "
                f"__arrow_c_array__, which {type(source).__name__} has not"
            )

    def __dealloc__(self):
        self.release_batch()
        if self.own_schema.release is not NULL:
            self.own_schema.release(&self.own_schema)

    cdef int check(self, int code) except -1:
        cdef const char* message
        if code == 0:
            return 0
        message = self.stream.get_last_error(self.stream)
        text = "no reason given" if message is NULL else message.decode("utf-8", "replace")
        raise OSError(code, f"the Arrow stream failed: {text}")

    cdef void release_batch(self) noexcept:
        if self.own_array.release is not NULL:
            self.own_array.release(&self.own_array)
            self.own_array.release = NULL

    cdef ArrowArray* next_batch(self) except? NULL:
        """Return the next batch, NULL after the last one. It stays valid until the next call."""
        cdef ArrowArray* batch
        if self.stream is NULL:
            batch, self.array = self.array, NULL
            return batch
        self.release_batch()
        memset(&self.own_array, 0, sizeof(self.own_array))
        self.check(self.stream.get_next(self.stream, &self.own_array))
        return NULL if self.own_array.release is NULL else &self.own_array
