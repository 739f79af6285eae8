# The pool of aligned buffers that all extension modules share; see the header.

from libc.stdint cimport int64_t, uint8_t


cdef extern from "_buffer_pool.h" nogil:
    ctypedef struct lp_pool_api:
        uint8_t* (*take)(int64_t bytes, int64_t* capacity) noexcept nogil
        void (*give)(uint8_t* memory, int64_t capacity) noexcept nogil

    enum:
        LP_POOL_ALIGNMENT
        LP_POOL_BLOCK_BYTES_MIN
        LP_POOL_BLOCK_BYTES_MAX

    void lp_pool_connect(const lp_pool_api* shared)
    uint8_t* lp_pool_take(int64_t bytes, int64_t* capacity)
    void lp_pool_give(uint8_t* memory, int64_t capacity)
    int64_t lp_pool_capacity(int64_t bytes)
    uint8_t* lp_unpooled_take(int64_t bytes, int64_t* capacity)


cdef const lp_pool_api* lp_pool_shared() noexcept
