/* scratch.c - a cache of a few blocks of memory, which operations take and return. */
#include "scratch.h"
#include "system.h"

#include <stdatomic.h>
#include <stdint.h>

enum {
    KEPT = 8,
    ALIGNMENT = 64,
    KEEP_AT_MOST = 1 << 26
};

/* A block begins with its size; the memory for the operation follows. */
typedef union block {
    size_t bytes;
    unsigned char line[ALIGNMENT];
} block;
_Static_assert(sizeof(block) == ALIGNMENT, "the memory after the header is aligned as the block is");

static _Atomic(block *) kept[KEPT];

void *nnc_scratch_alloc(size_t bytes) {
    for (int i = 0; i < KEPT; i++) {
        block *p = atomic_exchange(&kept[i], NULL);
        if (p != NULL && p->bytes >= bytes) return p + 1;
        if (p != NULL) nnc_scratch_free(p + 1);
    }
    if (bytes > (size_t)PTRDIFF_MAX - 2 * ALIGNMENT) return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    block *p = nnc_aligned_alloc(ALIGNMENT, bytes + sizeof(block));
    if (p == NULL) return NULL;
    p->bytes = bytes;
    return p + 1;
}

void nnc_scratch_free(void *memory) {
    if (memory == NULL) return;
    block *p = (block *)memory - 1;
    for (int i = 0; i < KEPT && p->bytes <= KEEP_AT_MOST; i++) {
        block *nothing = NULL;
        if (atomic_compare_exchange_strong(&kept[i], &nothing, p)) return;
    }
    nnc_aligned_free(p);
}
