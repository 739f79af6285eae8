/* Open-addressing index from the hash of a byte string to a dense number (of a table, a column, a
 * dictionary entry ...). The keys themselves stay with the caller, who compares them:
 *
 *     number = lp_index_first(&index, hash, &slot);
 *     while (number >= 0 && !same(number)) number = lp_index_next(&index, hash, &slot);
 *
 * Hashes are seeded, so that a client cannot choose keys that collide. No Python API. */
#ifndef LP_HASH_INDEX_H
#define LP_HASH_INDEX_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_buffer_pool.h"
#include "_status.h"

#define LP_INDEX_SLOTS_MIN 8

static inline uint64_t lp_fold_multiply(uint64_t left, uint64_t right)
{
    unsigned __int128 product = (unsigned __int128)left * right;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t lp_load_word(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static inline uint64_t lp_load_half_word(const uint8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

/* Sixteen bytes a step. Every factor of a product carries the secret, so nobody can choose bytes that
 * make one of them zero. */
static inline uint64_t lp_hash_bytes(const uint8_t *bytes, int64_t count, uint64_t seed)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t secret = (seed << 32 | seed >> 32) * odd;
    uint64_t hash = seed ^ (uint64_t)count * odd;
    uint64_t first = 0;
    uint64_t last = 0;
    if (count > 16) {
        const uint8_t *end = bytes + count;
        for (; end - bytes > 16; bytes += 16) {
            hash = lp_fold_multiply(
                lp_load_word(bytes) ^ secret, lp_load_word(bytes + 8) ^ hash);
        }
        first = lp_load_word(end - 16); /* may overlap the words before; the length is hashed too */
        last = lp_load_word(end - 8);
    } else if (count >= 8) {
        first = lp_load_word(bytes);
        last = lp_load_word(bytes + count - 8);
    } else if (count >= 4) {
        first = lp_load_half_word(bytes) << 32 | lp_load_half_word(bytes + count - 4);
    } else if (count > 0) {
        first = (uint64_t)bytes[0] << 16 | (uint64_t)bytes[count / 2] << 8 | bytes[count - 1];
    }
    hash = lp_fold_multiply(first ^ secret, last ^ hash);
    return lp_fold_multiply(hash ^ seed, odd);
}

typedef struct lp_slot {
    uint64_t hash;
    int32_t number; /* -1: free */
} lp_slot;

typedef struct lp_hash_index {
    lp_slot *slots; /* NULL while empty */
    int64_t slot_count; /* 0 or a power of two, never full */
    int64_t used;
    int64_t capacity; /* bytes at `slots` */
} lp_hash_index;

static inline int64_t lp_index_from(const lp_hash_index *index, uint64_t hash, int64_t *slot)
{
    int64_t mask = index->slot_count - 1;
    while (index->slots[*slot].number >= 0) {
        if (index->slots[*slot].hash == hash) {
            return index->slots[*slot].number;
        }
        *slot = (*slot + 1) & mask;
    }
    return -1;
}

static inline int64_t lp_index_first(const lp_hash_index *index, uint64_t hash, int64_t *slot)
{
    if (index->slots == NULL) {
        return -1;
    }
    *slot = (int64_t)(hash & (uint64_t)(index->slot_count - 1));
    return lp_index_from(index, hash, slot);
}

static inline void lp_index_prefetch(const lp_hash_index *index, uint64_t hash)
{
    if (index->slots != NULL) {
        __builtin_prefetch(&index->slots[hash & (uint64_t)(index->slot_count - 1)]);
    }
}

static inline int64_t lp_index_next(const lp_hash_index *index, uint64_t hash, int64_t *slot)
{
    *slot = (*slot + 1) & (index->slot_count - 1);
    return lp_index_from(index, hash, slot);
}

static inline void lp_index_place(lp_slot *slots, int64_t mask, uint64_t hash, int32_t number)
{
    int64_t slot = (int64_t)(hash & (uint64_t)mask);
    while (slots[slot].number >= 0) {
        slot = (slot + 1) & mask;
    }
    slots[slot].hash = hash;
    slots[slot].number = number;
}

static inline lp_status lp_index_grow(lp_hash_index *index)
{
    int64_t slot_count = index->slot_count > 0 ? index->slot_count * 4 : LP_INDEX_SLOTS_MIN;
    int64_t capacity;
    lp_slot *slots = (lp_slot *)lp_pool_take(slot_count * (int64_t)sizeof(lp_slot), &capacity);
    if (slots == NULL) {
        return LP_NO_MEMORY;
    }
    for (int64_t i = 0; i < slot_count; i++) {
        slots[i].number = -1;
    }
    for (int64_t i = 0; i < index->slot_count; i++) {
        if (index->slots[i].number >= 0) {
            lp_index_place(slots, slot_count - 1, index->slots[i].hash, index->slots[i].number);
        }
    }
    lp_pool_give((uint8_t *)index->slots, index->capacity);
    index->slots = slots;
    index->slot_count = slot_count;
    index->capacity = capacity;
    return LP_OK;
}

/* The caller has looked: no entry with this key is in the index. */
static inline lp_status lp_index_add(lp_hash_index *index, uint64_t hash, int32_t number)
{
    if ((index->used + 1) * 4 > index->slot_count * 3) {
        lp_status status = lp_index_grow(index);
        if (status != LP_OK) {
            return status;
        }
    }
    lp_index_place(index->slots, index->slot_count - 1, hash, number);
    index->used += 1;
    return LP_OK;
}

/* Removes an entry that is in the index, and moves up those that it kept from their place. */
static inline void lp_index_remove(lp_hash_index *index, uint64_t hash, int32_t number)
{
    int64_t mask = index->slot_count - 1;
    int64_t hole = (int64_t)(hash & (uint64_t)mask);
    while (index->slots[hole].number != number) {
        hole = (hole + 1) & mask;
    }
    int64_t slot = hole;
    for (;;) {
        slot = (slot + 1) & mask;
        if (index->slots[slot].number < 0) {
            break;
        }
        int64_t home = (int64_t)(index->slots[slot].hash & (uint64_t)mask);
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            index->slots[hole] = index->slots[slot];
            hole = slot;
        }
    }
    index->slots[hole].number = -1;
    index->used -= 1;
}

static inline void lp_index_free(lp_hash_index *index)
{
    lp_pool_give((uint8_t *)index->slots, index->capacity);
    index->slots = NULL;
    index->slot_count = 0;
    index->used = 0;
}

#endif
