# Owns the buffers that are free at the moment and may be used again: one pool for all extension
# modules, bounded in bytes. Everyone takes and gives through _buffer_pool.h, from any thread.
# Must never hand out a buffer that somebody still holds, nor keep more than its limit.
"""The shared pool of aligned buffers."""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t
from libc.stdlib cimport free

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t* mutex, const void* attributes)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)
    int pthread_atfork(
        void (*prepare)() noexcept nogil,
        void (*parent)() noexcept nogil,
        void (*child)() noexcept nogil,
    )

# A sanitizer build reports every touch of a buffer that lies in the pool.
cdef extern from *:
    """
    #if defined(__SANITIZE_ADDRESS__)
    #include <sanitizer/asan_interface.h>
    #define lp_forbid(memory, bytes) __asan_poison_memory_region(memory, bytes)
    #define lp_allow(memory, bytes) __asan_unpoison_memory_region(memory, bytes)
    #else
    #define lp_forbid(memory, bytes) ((void)0)
    #define lp_allow(memory, bytes) ((void)0)
    #endif
    """
    void lp_forbid(void* memory, int64_t bytes) nogil
    void lp_allow(void* memory, int64_t bytes) nogil

# Fresh memory of many megabytes comes in pages of 2 MiB where the system lends them: a fault each
# 4 KiB would take longer than what is done with the memory.
cdef extern from *:
    """
    #if defined(__linux__)
    #include <sys/mman.h>
    #define lp_ask_for_huge_pages(memory, bytes) ((void)madvise(memory, bytes, MADV_HUGEPAGE))
    #else
    #define lp_ask_for_huge_pages(memory, bytes) ((void)0)
    #endif
    """
    void lp_ask_for_huge_pages(void* memory, int64_t bytes) nogil

cdef extern from *:
    int number_of_trailing_zeros "__builtin_ctzll"(unsigned long long number) nogil

cdef extern from "stdlib.h" nogil:
    void* aligned_alloc(size_t alignment, size_t size)

# What the pool keeps at most unless it is told otherwise; a few bodies of 10,000 lines in flight
# need a third of it.
HELD_BYTES_MAX = 64 * 1024 * 1024

cdef enum:
    CLASS_COUNT = 19            # 64 bytes, 128 bytes ... 16 MiB
    # Of each class below 4 KiB no more are kept: a body of ten thousand tables gives back as many,
    # which would take the room of large ones, whose page faults are what costs.
    SMALL_CLASS_COUNT = 6
    SMALL_KEPT_MAX = 256
    HUGE_PAGE_BYTES = 2 * 1024 * 1024

assert LP_POOL_BLOCK_BYTES_MIN << (CLASS_COUNT - 1) == LP_POOL_BLOCK_BYTES_MAX


cdef struct free_block:         # stands at the start of a free buffer
    free_block* next


cdef struct pool_state:
    free_block* classes[CLASS_COUNT]
    int64_t small_kept[SMALL_CLASS_COUNT]
    int64_t held_bytes
    int64_t held_bytes_max
    int64_t reused              # requests met by a buffer of the pool
    int64_t fresh               # requests of a pooled size that were not
    int64_t kept                # buffers that came back and were kept
    int64_t dropped             # buffers of a pooled size that came back to a full pool


# Every member is read and written under `lock`.
cdef pool_state pool
cdef pthread_mutex_t lock


cdef inline int class_of(int64_t capacity) noexcept nogil:
    """Number of the size class of exactly `capacity` bytes, -1 where there is none."""
    if (
        capacity < LP_POOL_BLOCK_BYTES_MIN
        or capacity > LP_POOL_BLOCK_BYTES_MAX
        or capacity & (capacity - 1)
    ):
        return -1
    return number_of_trailing_zeros(capacity // LP_POOL_BLOCK_BYTES_MIN)


cdef uint8_t* fresh_take(int64_t bytes, int64_t* capacity) noexcept nogil:
    cdef void* memory
    if bytes < 2 * HUGE_PAGE_BYTES or bytes > INT64_MAX // 4:
        return lp_unpooled_take(bytes, capacity)
    # aligned_alloc wants a multiple of the alignment.
    capacity[0] = (lp_pool_capacity(bytes) + HUGE_PAGE_BYTES - 1) & -<int64_t>HUGE_PAGE_BYTES
    memory = aligned_alloc(HUGE_PAGE_BYTES, capacity[0])
    if memory is not NULL:
        lp_ask_for_huge_pages(memory, capacity[0])
    return <uint8_t*>memory


cdef uint8_t* pool_take(int64_t bytes, int64_t* capacity) noexcept nogil:
    cdef int number = class_of(lp_pool_capacity(bytes))
    cdef free_block* block
    if number < 0:
        return fresh_take(bytes, capacity)
    pthread_mutex_lock(&lock)
    block = pool.classes[number]
    if block is not NULL:
        capacity[0] = <int64_t>LP_POOL_BLOCK_BYTES_MIN << number
        lp_allow(block, capacity[0])
        pool.classes[number] = block.next
        pool.held_bytes -= capacity[0]
        if number < SMALL_CLASS_COUNT:
            pool.small_kept[number] -= 1
        pool.reused += 1
    else:
        pool.fresh += 1
    pthread_mutex_unlock(&lock)
    if block is NULL:
        return fresh_take(bytes, capacity)
    return <uint8_t*>block


cdef void pool_give(uint8_t* memory, int64_t capacity) noexcept nogil:
    cdef int number = class_of(capacity)
    cdef free_block* block = <free_block*>memory
    cdef bint is_kept
    if memory is NULL:
        return
    if number < 0:
        free(memory)
        return
    pthread_mutex_lock(&lock)
    is_kept = pool.held_bytes + capacity <= pool.held_bytes_max
    if is_kept and number < SMALL_CLASS_COUNT:
        is_kept = pool.small_kept[number] < SMALL_KEPT_MAX
        if is_kept:
            pool.small_kept[number] += 1
    if is_kept:
        block.next = pool.classes[number]
        pool.classes[number] = block
        pool.held_bytes += capacity
        pool.kept += 1
        lp_forbid(memory, capacity)
    else:
        pool.dropped += 1
    pthread_mutex_unlock(&lock)
    if not is_kept:
        free(memory)


cdef void shrink_to(int64_t held_bytes_max) noexcept nogil:
    """Free buffers, the largest first, until the pool holds no more than that."""
    cdef free_block* block
    cdef int64_t capacity
    cdef int number = CLASS_COUNT - 1
    pthread_mutex_lock(&lock)
    while pool.held_bytes > held_bytes_max and number >= 0:
        block = pool.classes[number]
        if block is NULL:
            number -= 1
            continue
        capacity = <int64_t>LP_POOL_BLOCK_BYTES_MIN << number
        lp_allow(block, capacity)
        pool.classes[number] = block.next
        pool.held_bytes -= capacity
        if number < SMALL_CLASS_COUNT:
            pool.small_kept[number] -= 1
        free(block)
    pthread_mutex_unlock(&lock)


# A child that is forked while another thread holds the lock would never get it: so the forking
# thread holds it during the fork, and parent and child release their copies.
cdef void lock_pool() noexcept nogil:
    pthread_mutex_lock(&lock)


cdef void unlock_pool() noexcept nogil:
    pthread_mutex_unlock(&lock)


cdef lp_pool_api shared
shared.take = pool_take
shared.give = pool_give
pool.held_bytes_max = HELD_BYTES_MAX
if pthread_mutex_init(&lock, NULL) != 0:
    raise MemoryError
if pthread_atfork(lock_pool, unlock_pool, unlock_pool) != 0:
    raise MemoryError


cdef const lp_pool_api* lp_pool_shared() noexcept:
    return &shared


def statistics():
    """Return what the pool did so far, by name.

    Returns:
        ``held_bytes`` and ``held_bytes_max``, and how many buffers were ``reused``, ``fresh``,
        ``kept`` and ``dropped``.
    """
    cdef pool_state seen
    pthread_mutex_lock(&lock)
    seen = pool
    pthread_mutex_unlock(&lock)
    return {
        "held_bytes": seen.held_bytes,
        "held_bytes_max": seen.held_bytes_max,
        "reused": seen.reused,
        "fresh": seen.fresh,
        "kept": seen.kept,
        "dropped": seen.dropped,
    }


def limit_held_bytes(held_bytes_max=HELD_BYTES_MAX):
    """Set how many bytes the pool may keep, and free what is above that; 0 turns it off."""
    cdef int64_t limit = held_bytes_max
    if limit < 0:
        raise ValueError(f"the pool cannot keep {limit} bytes")
    pthread_mutex_lock(&lock)
    pool.held_bytes_max = limit
    pthread_mutex_unlock(&lock)
    with nogil:
        shrink_to(limit)
