/* Growable 64-byte aligned buffers (what Arrow wants for column data) out of the pool, and a chunked
 * arena for small things that live and die together. No Python API. Whoever holds one frees it
 * exactly once. */
#ifndef LP_MEMORY_H
#define LP_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_buffer_pool.h"
#include "_status.h"

/* Chunks double from the first to the second, so that a body of one line stays small. */
#define LP_ARENA_CHUNK_BYTES_MIN 1024
#define LP_ARENA_CHUNK_BYTES_MAX (256 * 1024)

/* Of one wide load or store. */
#define LP_WIDE_BYTES 32

typedef struct lp_buffer {
    uint8_t *bytes; /* NULL until something is reserved */
    int64_t used;
    int64_t capacity;
} lp_buffer;

static inline lp_status lp_buffer_grow(lp_buffer *buffer, int64_t more)
{
    if (more > INT64_MAX / 4 - buffer->used) {
        return LP_NO_MEMORY;
    }
    int64_t wanted = buffer->capacity * 2;
    if (wanted < buffer->used + more) {
        wanted = buffer->used + more;
    }
    int64_t capacity;
    uint8_t *bytes = lp_pool_take(wanted, &capacity);
    if (bytes == NULL) {
        return LP_NO_MEMORY;
    }
    if (buffer->used > 0) {
        memcpy(bytes, buffer->bytes, (size_t)buffer->used);
    }
    lp_pool_give(buffer->bytes, buffer->capacity);
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return LP_OK;
}

/* Makes the buffer at least `capacity` bytes large; all that was in it stays, in use or not. */
static inline lp_status lp_buffer_resize(lp_buffer *buffer, int64_t capacity)
{
    if (buffer->capacity >= capacity) {
        return LP_OK;
    }
    int64_t used = buffer->used;
    buffer->used = buffer->capacity;
    lp_status status = lp_buffer_grow(buffer, capacity - buffer->capacity);
    buffer->used = used;
    return status;
}

/* Makes room for `more` bytes after `used`; afterwards `bytes` is not NULL, also for more == 0. */
static inline lp_status lp_buffer_reserve(lp_buffer *buffer, int64_t more)
{
    if (buffer->bytes != NULL && buffer->capacity - buffer->used >= more) {
        return LP_OK;
    }
    return lp_buffer_grow(buffer, more > 0 ? more : 1);
}

static inline lp_status lp_buffer_append(lp_buffer *buffer, const void *bytes, int64_t count)
{
    lp_status status = lp_buffer_reserve(buffer, count);
    if (status == LP_OK && count > 0) {
        memcpy(buffer->bytes + buffer->used, bytes, (size_t)count);
        buffer->used += count;
    }
    return status;
}

static inline lp_status lp_buffer_append_zeros(lp_buffer *buffer, int64_t count)
{
    lp_status status = lp_buffer_reserve(buffer, count);
    if (status == LP_OK && count > 0) {
        memset(buffer->bytes + buffer->used, 0, (size_t)count);
        buffer->used += count;
    }
    return status;
}

static inline void lp_buffer_free(lp_buffer *buffer)
{
    lp_pool_give(buffer->bytes, buffer->capacity);
    buffer->bytes = NULL;
    buffer->used = 0;
    buffer->capacity = 0;
}

typedef struct lp_arena_chunk {
    struct lp_arena_chunk *next;
    int64_t used; /* this header included */
    int64_t capacity;
} lp_arena_chunk;

typedef struct lp_arena {
    lp_arena_chunk *newest;
} lp_arena;

/* Returns `count` bytes, aligned to 8, which stay where they are until the arena is freed; NULL when
 * memory is out. */
static inline void *lp_arena_take(lp_arena *arena, int64_t count)
{
    if (count > INT64_MAX / 4) {
        return NULL;
    }
    int64_t wanted = (count + 7) / 8 * 8;
    lp_arena_chunk *chunk = arena->newest;
    if (chunk == NULL || chunk->capacity - chunk->used < wanted) {
        int64_t capacity = chunk != NULL ? chunk->capacity * 2 : LP_ARENA_CHUNK_BYTES_MIN;
        if (capacity > LP_ARENA_CHUNK_BYTES_MAX) {
            capacity = LP_ARENA_CHUNK_BYTES_MAX;
        }
        if (capacity < (int64_t)sizeof(lp_arena_chunk) + wanted) {
            capacity = (int64_t)sizeof(lp_arena_chunk) + wanted;
        }
        chunk = (lp_arena_chunk *)lp_pool_take(capacity, &capacity);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = arena->newest;
        chunk->used = (int64_t)sizeof(lp_arena_chunk);
        chunk->capacity = capacity;
        arena->newest = chunk;
    }
    void *taken = (uint8_t *)chunk + chunk->used;
    chunk->used += wanted;
    return taken;
}

static inline uint8_t *lp_arena_copy(lp_arena *arena, const uint8_t *bytes, int64_t count)
{
    uint8_t *copy = (uint8_t *)lp_arena_take(arena, count > 0 ? count : 1);
    if (copy != NULL && count > 0) {
        memcpy(copy, bytes, (size_t)count);
    }
    return copy;
}

/* The same with room behind it, so that wide loads at its last byte stay inside. */
static inline uint8_t *lp_arena_copy_padded(lp_arena *arena, const uint8_t *bytes, int64_t count)
{
    uint8_t *copy = (uint8_t *)lp_arena_take(arena, count + LP_WIDE_BYTES);
    if (copy != NULL) {
        memcpy(copy, bytes, (size_t)count);
        memset(copy + count, 0, LP_WIDE_BYTES);
    }
    return copy;
}

static inline void lp_arena_free(lp_arena *arena)
{
    lp_arena_chunk *chunk = arena->newest;
    while (chunk != NULL) {
        lp_arena_chunk *next = chunk->next;
        lp_pool_give((uint8_t *)chunk, chunk->capacity);
        chunk = next;
    }
    arena->newest = NULL;
}

#endif
