/* What lines looked like before: a tree of keys in the order in which they were set, with a root for each
 * table. A line that follows a way through it needs neither a search for its keys nor a check that they
 * are new: no key comes twice on one way. Bounded; what finds no place is no step. Knows no Python; the
 * owner holds a reference to each text, so that no other object can take its address, and guards the tree
 * by the GIL. */
#ifndef LP_LINE_STEPS_H
#define LP_LINE_STEPS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_escape.h"

#define LP_STEPS_MAX 1024
/* Different keys that may come after one. */
#define LP_STEP_BRANCHES_MAX 4
#define LP_STEP_FRAGMENT_BYTES 64
/* More than fits anywhere. */
#define LP_NO_SHORT_BYTES (INT64_C(1) << 48)
/* After so many steps without a place it is time to forget the others. */
#define LP_STEPS_REFUSED_MAX 4096

struct lp_line_step;

/* A name that was found good, as it stands in a line. */
typedef struct lp_line_key {
    uint64_t hash;
    const uint8_t *fragment; /* ",key=" or the table's name, readable in whole copy steps */
    int64_t fragment_bytes;
    struct lp_line_step *root; /* of a table whose lines are in the tree */
} lp_line_key;

/* What most items need of it stands in its first 64 bytes. */
typedef struct __attribute__((aligned(64))) lp_line_step {
    const void *text;
    struct lp_line_step *next; /* the first of those that came after it */
    int64_t short_bytes; /* of the fragment; of one longer than a copy step LP_NO_SHORT_BYTES */
    uint8_t fragment[LP_STEP_FRAGMENT_BYTES];
    struct lp_line_step *other; /* another one that came after the step before */
    struct lp_line_step *before; /* NULL: a table's name */
    int64_t depth; /* keys up to here; of one that is in no tree -1 */
    lp_line_key key;
} lp_line_step;

typedef struct lp_line_steps {
    lp_line_step steps[LP_STEPS_MAX];
    int64_t used;
    int64_t lines; /* that are somewhere in the tree */
    int64_t refused;
    lp_line_step loose; /* of the item that is written now, where the tree has no place */
} lp_line_steps;

/* The step with which lines went on before; NULL where none did with this text. */
static inline lp_line_step *lp_step_after(const lp_line_step *step, const void *text)
{
    for (lp_line_step *next = step->next; next != NULL; next = next->other) {
        if (next->text == text) {
            return next;
        }
    }
    return NULL;
}

/* Adds a step, where `before` is NULL that of a table. NULL: there is no place for it. */
static lp_line_step *lp_add_step(
    lp_line_steps *steps, lp_line_step *before, const void *text, const lp_line_key *key)
{
    lp_line_step **place = before == NULL ? NULL : &before->next;
    int branches = 0;
    while (place != NULL && *place != NULL) {
        place = &(*place)->other;
        branches++;
    }
    if (steps->used == LP_STEPS_MAX || branches == LP_STEP_BRANCHES_MAX
        || key->fragment_bytes > LP_STEP_FRAGMENT_BYTES) {
        steps->refused++;
        return NULL;
    }
    lp_line_step *step = &steps->steps[steps->used++];
    *step = (lp_line_step){
        .text = text, .before = before, .depth = before == NULL ? 0 : before->depth + 1, .key = *key};
    step->short_bytes = key->fragment_bytes <= LP_COPY_STEP ? key->fragment_bytes : LP_NO_SHORT_BYTES;
    memcpy(step->fragment, key->fragment, (size_t)key->fragment_bytes);
    step->key.fragment = step->fragment;
    if (place != NULL) {
        *place = step;
    }
    return step;
}

/* Whether lines of the table with this name may begin at the step, which was a root of this tree or of one
 * that is forgotten, and has a short name. */
static inline bool lp_is_root_of(const lp_line_step *step, const void *text, const lp_line_steps *steps)
{
    return step->text == text && step->depth == 0 && step->short_bytes <= LP_COPY_STEP
           && steps->refused < LP_STEPS_REFUSED_MAX;
}

/* A step for one item of one line. */
static inline lp_line_step *lp_loose_step(lp_line_steps *steps, const lp_line_key *key)
{
    steps->loose.depth = -1;
    steps->loose.key = *key;
    return &steps->loose;
}

#endif
