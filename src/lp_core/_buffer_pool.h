/* Take and give of 64-byte aligned buffers. A fresh buffer of a megabyte costs a page fault for every 4 KiB, which is
 * more than parsing or copying into it; so buffers that go are kept for those that come, in one pool for all extension
 * modules. _buffer_pool.pyx owns that pool. A module that includes this file calls lp_pool_connect(lp_pool_shared())
 * when it is imported; until then it takes and gives without the pool. No Python API; any thread may call. */
#ifndef LP_BUFFER_POOL_H
#define LP_BUFFER_POOL_H

#include <stdint.h>
#include <stdlib.h>

#define LP_POOL_ALIGNMENT 64
/* Sizes that are pooled; what is larger is too rare to keep. A parse of one line takes twenty small ones, which the C
 * library's aligned_alloc cuts out of larger pieces and joins with them again: that took half of its time. */
#define LP_POOL_BLOCK_BYTES_MIN 64
#define LP_POOL_BLOCK_BYTES_MAX (16 * 1024 * 1024)

typedef struct lp_pool_api {
    uint8_t *(*take)(int64_t bytes, int64_t *capacity);
    void (*give)(uint8_t *memory, int64_t capacity);
} lp_pool_api;

/* The bytes that a request for `bytes` gets: a power of two where the pool is used. */
static inline int64_t lp_pool_capacity(int64_t bytes)
{
    if (bytes <= LP_POOL_BLOCK_BYTES_MIN) {
        return LP_POOL_BLOCK_BYTES_MIN;
    }
    if (bytes > LP_POOL_BLOCK_BYTES_MAX) {
        return (bytes + LP_POOL_ALIGNMENT - 1) / LP_POOL_ALIGNMENT * LP_POOL_ALIGNMENT;
    }
    return (int64_t)1 << (64 - __builtin_clzll((unsigned long long)bytes - 1));
}

static inline uint8_t *lp_unpooled_take(int64_t bytes, int64_t *capacity)
{
    if (bytes > INT64_MAX / 4) {
        return NULL;
    }
    *capacity = lp_pool_capacity(bytes);
    return (uint8_t *)aligned_alloc(LP_POOL_ALIGNMENT, (size_t)*capacity);
}

static inline void lp_unpooled_give(uint8_t *memory, int64_t capacity)
{
    (void)capacity;
    free(memory);
}

static const lp_pool_api lp_pool_none = {lp_unpooled_take, lp_unpooled_give};
static const lp_pool_api *lp_pool_used = &lp_pool_none;

static inline void lp_pool_connect(const lp_pool_api *shared) { lp_pool_used = shared; }

/* Returns at least `bytes` bytes of any content, NULL when memory is out; `capacity` is how many there are. */
static inline uint8_t *lp_pool_take(int64_t bytes, int64_t *capacity)
{
    return lp_pool_used->take(bytes, capacity);
}

/* Takes back a buffer with the capacity that lp_pool_take gave; NULL is allowed. All buffers come from
 * aligned_alloc, so it does not matter which module took one and which gives it back. */
static inline void lp_pool_give(uint8_t *memory, int64_t capacity) { lp_pool_used->give(memory, capacity); }

#endif
