/* scratch.c - a few pieces of memory that are lent to operations and kept in between. */
#include "scratch.h"
#include "system.h"

#include <stdatomic.h>
#include <stdint.h>

enum {
    KEPT = 8,
    ALIGNMENT = 64,
    KEEP_AT_MOST = 1 << 26
};

/* The size stands in front of what is lent. */
typedef union piece {
    size_t bytes;
    unsigned char line[ALIGNMENT];
} piece;
_Static_assert(sizeof(piece) == ALIGNMENT, "what is lent begins as aligned as its piece does");

static _Atomic(piece *) kept[KEPT];

void *nnc_scratch_alloc(size_t bytes) {
    for (int i = 0; i < KEPT; i++) {
        piece *p = atomic_exchange(&kept[i], NULL);
        if (p != NULL && p->bytes >= bytes) return p + 1;
        if (p != NULL) nnc_scratch_free(p + 1);
    }
    if (bytes > (size_t)PTRDIFF_MAX - 2 * ALIGNMENT) return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    piece *p = nnc_aligned_alloc(ALIGNMENT, bytes + sizeof(piece));
    if (p == NULL) return NULL;
    p->bytes = bytes;
    return p + 1;
}

void nnc_scratch_free(void *memory) {
    if (memory == NULL) return;
    piece *p = (piece *)memory - 1;
    for (int i = 0; i < KEPT && p->bytes <= KEEP_AT_MOST; i++) {
        piece *nothing = NULL;
        if (atomic_compare_exchange_strong(&kept[i], &nothing, p)) return;
    }
    nnc_aligned_free(p);
}
