/* Open-addressing index from the hash of a byte string to a dense number (of a table, a column, a
 * dictionary entry ...). The keys themselves stay with the caller, who compares them:
 *
 *     number = lp_index_first(&index, hash, &slot);
 *     while (number >= 0 && !same(number)) number = lp_index_next(&index, hash, &slot);
 *
 * Hashes are seeded, so that a client cannot choose keys that collide. No Python API. */
#ifndef LP_HASH_INDEX_H
#define LP_HASH_INDEX_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "_buffer_pool.h"
#include "_status.h"

#define LP_GROUP_SLOTS 8

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

/* A cache line of entries. An entry stands in the group of its hash or, where that is full, in the next
 * one with room: a look-up mostly ends in the first group, after one comparison of all its hashes, and
 * so without a branch that is hard to foresee. */
typedef struct lp_slot_group {
    uint32_t hashes[LP_GROUP_SLOTS]; /* the lower halves, which decide the group as well */
    int32_t numbers[LP_GROUP_SLOTS]; /* -1: free */
} lp_slot_group;

typedef struct lp_hash_index {
    lp_slot_group *groups; /* NULL while empty */
    int64_t group_count; /* 0 or a power of two; there are always free slots */
    int64_t used;
    int64_t capacity; /* bytes at `groups` */
} lp_hash_index;

/* A bit for each free slot. */
static inline uint32_t lp_free_slots(const lp_slot_group *group)
{
#if defined(__SSE2__)
    const __m128i *numbers = (const __m128i *)group->numbers;
    return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_loadu_si128(numbers)))
        | (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_loadu_si128(numbers + 1))) << 4;
#else
    uint32_t found = 0;
    for (int i = 0; i < LP_GROUP_SLOTS; i++) {
        found |= (uint32_t)(group->numbers[i] < 0) << i;
    }
    return found;
#endif
}

/* A bit for each slot of that hash, free ones included. */
static inline uint32_t lp_slots_of_hash(const lp_slot_group *group, uint32_t hash)
{
#if defined(__SSE2__)
    const __m128i *hashes = (const __m128i *)group->hashes;
    __m128i wanted = _mm_set1_epi32((int)hash);
    __m128i low = _mm_cmpeq_epi32(_mm_loadu_si128(hashes), wanted);
    __m128i high = _mm_cmpeq_epi32(_mm_loadu_si128(hashes + 1), wanted);
    return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(low))
        | (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(high)) << 4;
#else
    uint32_t found = 0;
    for (int i = 0; i < LP_GROUP_SLOTS; i++) {
        found |= (uint32_t)(group->hashes[i] == hash) << i;
    }
    return found;
#endif
}

static inline int64_t lp_index_home(const lp_hash_index *index, uint64_t hash)
{
    return (int64_t)((uint32_t)hash & (uint64_t)(index->group_count - 1));
}

/* The number of the first entry of that hash from *slot on, and its slot there; or -1. */
static inline int64_t lp_index_from(const lp_hash_index *index, uint64_t hash, int64_t *slot)
{
    int64_t at = *slot / LP_GROUP_SLOTS;
    uint32_t not_yet = (UINT32_C(1) << *slot % LP_GROUP_SLOTS) - 1;
    for (;;) {
        const lp_slot_group *group = &index->groups[at];
        uint32_t free_slots = lp_free_slots(group);
        uint32_t found = lp_slots_of_hash(group, (uint32_t)hash) & ~free_slots & ~not_yet;
        if (found != 0) {
            int place = __builtin_ctz(found);
            *slot = at * LP_GROUP_SLOTS + place;
            return group->numbers[place];
        }
        if (free_slots != 0) {
            return -1;
        }
        at = (at + 1) & (index->group_count - 1);
        not_yet = 0;
    }
}

static inline int64_t lp_index_first(const lp_hash_index *index, uint64_t hash, int64_t *slot)
{
    if (index->groups == NULL) {
        return -1;
    }
    *slot = lp_index_home(index, hash) * LP_GROUP_SLOTS;
    return lp_index_from(index, hash, slot);
}

static inline int64_t lp_index_next(const lp_hash_index *index, uint64_t hash, int64_t *slot)
{
    int64_t next = *slot + 1;
    if (next % LP_GROUP_SLOTS == 0) {
        if (lp_free_slots(&index->groups[*slot / LP_GROUP_SLOTS]) != 0) {
            return -1;
        }
        next &= index->group_count * LP_GROUP_SLOTS - 1;
    }
    *slot = next;
    return lp_index_from(index, hash, slot);
}

static inline void lp_index_prefetch(const lp_hash_index *index, uint64_t hash)
{
    if (index->groups != NULL) {
        __builtin_prefetch(&index->groups[lp_index_home(index, hash)]);
    }
}

static inline void lp_index_place(lp_hash_index *index, uint32_t hash, int32_t number)
{
    int64_t at = lp_index_home(index, hash);
    uint32_t free_slots;
    while ((free_slots = lp_free_slots(&index->groups[at])) == 0) {
        at = (at + 1) & (index->group_count - 1);
    }
    int place = __builtin_ctz(free_slots);
    index->groups[at].hashes[place] = hash;
    index->groups[at].numbers[place] = number;
}

static __attribute__((noinline)) lp_status lp_index_grow(lp_hash_index *index)
{
    lp_hash_index grown = *index;
    grown.group_count = index->group_count > 0 ? index->group_count * 4 : 1;
    int64_t bytes = grown.group_count * (int64_t)sizeof(lp_slot_group);
    grown.groups = (lp_slot_group *)lp_pool_take(bytes, &grown.capacity);
    if (grown.groups == NULL) {
        return LP_NO_MEMORY;
    }
    memset(grown.groups, 0xFF, (size_t)bytes); /* all numbers -1 */
    for (int64_t i = 0; i < index->group_count; i++) {
        const lp_slot_group *group = &index->groups[i];
        for (int place = 0; place < LP_GROUP_SLOTS; place++) {
            if (group->numbers[place] >= 0) {
                lp_index_place(&grown, group->hashes[place], group->numbers[place]);
            }
        }
    }
    lp_pool_give((uint8_t *)index->groups, index->capacity);
    *index = grown;
    return LP_OK;
}

/* The caller has looked: no entry with this key is in the index. */
static inline lp_status lp_index_add(lp_hash_index *index, uint64_t hash, int32_t number)
{
    /* Few groups are full then. */
    if ((index->used + 1) * 8 > index->group_count * LP_GROUP_SLOTS * 5) {
        lp_status status = lp_index_grow(index);
        if (status != LP_OK) {
            return status;
        }
    }
    lp_index_place(index, (uint32_t)hash, number);
    index->used += 1;
    return LP_OK;
}

/* The slot from the group after `at` on, up to a group with room, of an entry that is not in `at` only
 * because that was full; or -1. */
static inline int64_t lp_index_kept_from(const lp_hash_index *index, int64_t at)
{
    int64_t mask = index->group_count - 1;
    for (int64_t next = (at + 1) & mask;; next = (next + 1) & mask) {
        const lp_slot_group *group = &index->groups[next];
        for (int place = 0; place < LP_GROUP_SLOTS; place++) {
            int64_t home = lp_index_home(index, group->hashes[place]);
            if (group->numbers[place] >= 0 && ((next - home) & mask) >= ((next - at) & mask)) {
                return next * LP_GROUP_SLOTS + place;
            }
        }
        if (lp_free_slots(group) != 0) {
            return -1;
        }
    }
}

/* Removes an entry that is in the index, and moves up those that it kept from their place. */
static inline void lp_index_remove(lp_hash_index *index, uint64_t hash, int32_t number)
{
    int64_t slot = 0;
    int64_t found = lp_index_first(index, hash, &slot);
    while (found != number) {
        found = lp_index_next(index, hash, &slot);
    }
    for (;;) {
        lp_slot_group *group = &index->groups[slot / LP_GROUP_SLOTS];
        bool was_full = lp_free_slots(group) == 0;
        group->numbers[slot % LP_GROUP_SLOTS] = -1;
        int64_t moved = was_full ? lp_index_kept_from(index, slot / LP_GROUP_SLOTS) : -1;
        if (moved < 0) {
            break;
        }
        const lp_slot_group *from = &index->groups[moved / LP_GROUP_SLOTS];
        group->hashes[slot % LP_GROUP_SLOTS] = from->hashes[moved % LP_GROUP_SLOTS];
        group->numbers[slot % LP_GROUP_SLOTS] = from->numbers[moved % LP_GROUP_SLOTS];
        slot = moved;
    }
    index->used -= 1;
}

static inline void lp_index_free(lp_hash_index *index)
{
    lp_pool_give((uint8_t *)index->groups, index->capacity);
    index->groups = NULL;
    index->group_count = 0;
    index->used = 0;
}

#endif
