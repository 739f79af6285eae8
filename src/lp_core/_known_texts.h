/* A bounded memory of names that were found good, by identity of their text objects: finding one is a
 * compare of pointers. The owner holds a reference to each text, so that no other object can take its
 * address, and guards the memory by the GIL. */
#ifndef LP_KNOWN_TEXTS_H
#define LP_KNOWN_TEXTS_H

#include <stddef.h>
#include <stdint.h>

#include "_line_steps.h"

#define LP_KNOWN_SET_BITS 8
#define LP_KNOWN_WAYS 4
#define LP_KNOWN_FRAGMENT_BYTES 96

#define LP_KNOWN_SETS (1 << LP_KNOWN_SET_BITS)

typedef struct lp_known_texts {
    const void *texts[LP_KNOWN_SETS][LP_KNOWN_WAYS]; /* NULL: free */
    lp_line_key keys[LP_KNOWN_SETS][LP_KNOWN_WAYS];
    uint8_t fragments[LP_KNOWN_SETS][LP_KNOWN_WAYS][LP_KNOWN_FRAGMENT_BYTES];
    uint8_t oldest[LP_KNOWN_SETS]; /* the way that the next text takes */
} lp_known_texts;

static inline size_t lp_known_set_of(const void *text)
{
    return (size_t)(((uint64_t)(uintptr_t)text >> 4) * UINT64_C(0x9E3779B97F4A7C15)
                    >> (64 - LP_KNOWN_SET_BITS));
}

static inline lp_line_key *lp_find_known(lp_known_texts *known, const void *text)
{
    size_t set = lp_known_set_of(text);
    for (int way = 0; way < LP_KNOWN_WAYS; way++) {
        if (known->texts[set][way] == text) {
            return &known->keys[set][way];
        }
    }
    return NULL;
}

/* Notes a text that is not known yet, and returns the one that loses its place, or NULL. The fragment
 * is no longer than LP_KNOWN_FRAGMENT_BYTES. */
static inline const void *lp_remember_known(
    lp_known_texts *known, const void *text, uint64_t hash, const uint8_t *fragment, int64_t count)
{
    size_t set = lp_known_set_of(text);
    size_t way = known->oldest[set];
    uint8_t *own = known->fragments[set][way];
    const void *dropped = known->texts[set][way];
    known->oldest[set] = (uint8_t)((way + 1) % LP_KNOWN_WAYS);
    memcpy(own, fragment, (size_t)count);
    known->texts[set][way] = text;
    known->keys[set][way] = (lp_line_key){hash, own, count, NULL};
    return dropped;
}

/* Forgets where lines begin in a tree that is gone. */
static inline void lp_forget_roots(lp_known_texts *known)
{
    for (size_t set = 0; set < LP_KNOWN_SETS; set++) {
        for (size_t way = 0; way < LP_KNOWN_WAYS; way++) {
            known->keys[set][way].root = NULL;
        }
    }
}

#endif
