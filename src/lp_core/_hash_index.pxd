# Seeded hash of byte strings and the index from hashes to dense numbers; see the header.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from lp_core._status cimport lp_status


cdef extern from "_hash_index.h" nogil:
    ctypedef struct lp_slot_group:
        pass

    ctypedef struct lp_hash_index:
        lp_slot_group* groups
        int64_t group_count
        int64_t used

    uint64_t lp_hash_bytes(const uint8_t* bytes, int64_t count, uint64_t seed)
    uint64_t lp_fold_multiply(uint64_t left, uint64_t right)
    int64_t lp_index_first(const lp_hash_index* index, uint64_t hash, int64_t* slot)
    int64_t lp_index_next(const lp_hash_index* index, uint64_t hash, int64_t* slot)
    lp_status lp_index_add(lp_hash_index* index, uint64_t hash, int32_t number)
    void lp_index_remove(lp_hash_index* index, uint64_t hash, int32_t number)
    void lp_index_free(lp_hash_index* index)
