# The series of one table: per series its number and the greatest time seen.

from libc.stdint cimport int64_t, uint64_t
from lp_core._batch cimport TableBatch


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass


cdef struct lp_series:
    uint64_t key_hash
    int64_t number              # from 1 in order of first appearance; 0: free slot
    int64_t greatest_time_ns


cdef class SeriesIndex:
    cdef pthread_mutex_t lock   # held without wanting the GIL
    cdef uint64_t seed
    cdef lp_series* slots
    cdef int64_t slot_count     # 0 or a power of two, never full
    cdef int64_t count
    cdef int64_t floor_ns       # a series that is not known may have had times up to here

    cdef object observe(self, TableBatch batch)
    cdef object find(self, dict tags)
    cdef bytes dump(self)
    cdef object load(self, bytes content)
