/* The Arrow C data interface (https://arrow.apache.org/docs/format/CDataInterface.html): a stable ABI
 * that consumers define alike, hence its names without a prefix of ours. No Python API. */
#ifndef LP_ARROW_ABI_H
#define LP_ARROW_ABI_H

#include <stdint.h>

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

#endif

/* Structs may be moved and released one by one, in any thread: what they share counts its users. */
static inline void lp_count_up(int64_t *count, int64_t by)
{
    __atomic_add_fetch(count, by, __ATOMIC_RELAXED);
}

static inline int64_t lp_count_down(int64_t *count)
{
    return __atomic_sub_fetch(count, 1, __ATOMIC_ACQ_REL);
}

#endif
