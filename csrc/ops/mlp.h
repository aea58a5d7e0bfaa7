/* mlp.h - a chunk of examples on its way through a network: what fit.c and predict.c ask of mlp.c. */
#ifndef NNC_OPS_MLP_H
#define NNC_OPS_MLP_H
#include "ops.h"

typedef struct nnc_range {
    ptrdiff_t begin, end;
} nnc_range;

/* All of 0 .. count, and the part of it that is one thread's, cut at multiples of `unit` */
static inline nnc_range nnc_all_of(ptrdiff_t count) { return (nnc_range){0, count}; }

static inline nnc_range nnc_share_of(ptrdiff_t count, ptrdiff_t unit, int thread, int threads) {
    return (nnc_range){nnc_share(count, unit, thread, threads), nnc_share(count, unit, thread + 1, threads)};
}

#define REAL float
#define FN(name) name##_f32
#define PUBLIC(name) nnc_##name##_f32
#include "mlp_typed.inc"
#undef REAL
#undef FN
#undef PUBLIC

#define REAL double
#define FN(name) name##_f64
#define PUBLIC(name) nnc_##name##_f64
#include "mlp_typed.inc"
#undef REAL
#undef FN
#undef PUBLIC

#endif
