/* activation.c - the elementwise operations (eqs. 12.2 - 12.4, 6.3), forward and backward: any strides, any size. */
#ifndef OP_FILE
#include "ops.h"

/* Relu's worth of elements from which a second thread pays for its waking. */
enum {
    ELEMENTS_FOR_THREADS = 1 << 18,
    BLOCK = 512
};

#define OP_FILE "activation.c"
#include "each_dtype.inc"
#else

typedef struct FN(map) {
    FN(elementwise) *kernel;
    REAL *out;
    const REAL *x, *y;
    REAL s;
    ptrdiff_t count, out_s, x_s, y_s;
} FN(map);

/* One range of a map. Numbers that do not lie side by side are brought together a block at a time. */
static void FN(map_range)(const FN(map) *m, ptrdiff_t begin, ptrdiff_t end) {
    const int contiguous = m->out_s == 1 && m->x_s == 1 && (m->y == NULL || m->y_s == 1);
    if (contiguous) {
        const ptrdiff_t bytes = m->count * (ptrdiff_t)sizeof(REAL) * (m->y ? 3 : 2);
        m->kernel(m->out + begin, m->x + begin, m->y ? m->y + begin : NULL, m->s, end - begin, bytes > nnc_cpu_l3());
        return;
    }
    REAL x[BLOCK], y[BLOCK], out[BLOCK];
    for (ptrdiff_t i = begin; i < end; i += BLOCK) {
        const ptrdiff_t n = end - i < BLOCK ? end - i : BLOCK;
        for (ptrdiff_t j = 0; j < n; j++)
            x[j] = m->x[(i + j) * m->x_s];
        for (ptrdiff_t j = 0; m->y && j < n; j++)
            y[j] = m->y[(i + j) * m->y_s];
        m->kernel(out, x, y, m->s, n, 0);
        for (ptrdiff_t j = 0; j < n; j++)
            m->out[(i + j) * m->out_s] = out[j];
    }
}

static void FN(map_task)(void *arg, int thread, int threads) {
    const FN(map) *m = arg;
    const ptrdiff_t line = 64 / sizeof(REAL);
    FN(map_range)(m, nnc_share(m->count, line, thread, threads), nnc_share(m->count, line, thread + 1, threads));
}

static nnc_status FN(run_map)(FN(map) m, int work) {
    if (m.count < 0) return NNC_ERR_SHAPE;
    if (m.count * work >= ELEMENTS_FOR_THREADS)
        nnc_parallel(FN(map_task), &m, nnc_get_num_threads());
    else if (m.count > 0)
        FN(map_range)(&m, 0, m.count);
    return NNC_OK;
}

/* clang-format off */
#define ARRAY REAL *out, const REAL *x
#define ARRAYS REAL *out, const REAL *x, const REAL *y
#define SIZES_1 ptrdiff_t count, ptrdiff_t out_s, ptrdiff_t x_s
#define SIZES_2 ptrdiff_t count, ptrdiff_t out_s, ptrdiff_t x_s, ptrdiff_t y_s
#define MAP(op, y, s, y_s) (FN(map)){KERNELS->op, out, x, y, s, count, out_s, x_s, y_s}
#define RUN(op, work, y, s, y_s) { return FN(run_map)(MAP(op, y, s, y_s), work); }
#define NNC_UNARY(op, name, work, doc) nnc_status PUBLIC(op)(ARRAY, SIZES_1) RUN(op, work, NULL, 0, 0)
#define NNC_UNARY_SCALAR(op, name, work, doc) nnc_status PUBLIC(op)(ARRAY, REAL s, SIZES_1) RUN(op, work, NULL, s, 0)
#define NNC_BINARY(op, name, work, doc) nnc_status PUBLIC(op)(ARRAYS, SIZES_2) RUN(op, work, y, 0, y_s)
#define NNC_BINARY_SCALAR(op, name, work, doc) nnc_status PUBLIC(op)(ARRAYS, REAL s, SIZES_2) RUN(op, work, y, s, y_s)
#include "../elementwise.inc"
#undef SIZES_1
#undef SIZES_2
#undef MAP
#undef RUN
#undef ARRAY
#undef ARRAYS
#undef NNC_UNARY
#undef NNC_UNARY_SCALAR
#undef NNC_BINARY
#undef NNC_BINARY_SCALAR
/* clang-format on */

#endif
