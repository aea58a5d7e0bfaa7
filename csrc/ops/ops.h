/* ops.h - what the operations share: the kernels, the threads, and memory for intermediate results. */
#ifndef NNC_OPS_H
#define NNC_OPS_H
#include "../isa/cpu.h"
#include "../kernels/kernels.h"
#include "../runtime/scratch.h"
#include "../runtime/threads.h"

/* Where the i-th of `parts` even shares of `count` begins; the shares are cut at multiples of `unit`. */
static inline ptrdiff_t nnc_share(ptrdiff_t count, ptrdiff_t unit, int i, int parts) {
    if (parts == 1) return i == 0 ? 0 : count; /* small networks would feel the divisions */
    const ptrdiff_t units = (count + unit - 1) / unit, begin = units * i / parts * unit;
    return begin < count ? begin : count;
}

typedef struct nnc_range {
    ptrdiff_t begin, end;
} nnc_range;

/* All of 0 .. count, and the part of it that is one thread's, cut at multiples of `unit` */
static inline nnc_range nnc_all_of(ptrdiff_t count) { return (nnc_range){0, count}; }

static inline nnc_range nnc_share_of(ptrdiff_t count, ptrdiff_t unit, int thread, int threads) {
    return (nnc_range){nnc_share(count, unit, thread, threads), nnc_share(count, unit, thread + 1, threads)};
}

#endif
