# Aligned growable buffers and the arena; see the header.

from libc.stdint cimport int64_t, uint8_t
from lp_core._status cimport lp_status


cdef extern from "_memory.h" nogil:
    ctypedef struct lp_buffer:
        uint8_t* bytes
        int64_t used
        int64_t capacity

    ctypedef struct lp_arena_chunk:
        pass

    ctypedef struct lp_arena:
        lp_arena_chunk* newest

    lp_status lp_buffer_resize(lp_buffer* buffer, int64_t capacity)
    lp_status lp_buffer_reserve(lp_buffer* buffer, int64_t more)
    lp_status lp_buffer_append(lp_buffer* buffer, const void* bytes, int64_t count)
    lp_status lp_buffer_append_zeros(lp_buffer* buffer, int64_t count)
    void lp_buffer_free(lp_buffer* buffer)

    void* lp_arena_take(lp_arena* arena, int64_t count)
    uint8_t* lp_arena_copy_padded(lp_arena* arena, const uint8_t* bytes, int64_t count)
    uint8_t* lp_arena_copy(lp_arena* arena, const uint8_t* bytes, int64_t count)
    void lp_arena_free(lp_arena* arena)
