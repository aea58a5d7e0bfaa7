/* elementwise.c - the elementwise operations (eqs. 12.2 - 12.4, 6.3), forward and backward: any strides, any size. */
#ifndef NNC_TEMPLATE
#include "ops.h"

/* Relu's worth of elements from which a second thread pays, and from which one does that must be woken */
enum {
    ELEMENTS_FOR_THREADS = 1 << 18,
    ELEMENTS_TO_WAKE = 1 << 20,
    BLOCK = 512
};

#define NNC_TEMPLATE "ops/elementwise.c"
#include "../each_dtype.inc"
#else

typedef struct FN(map) {
    FN(elementwise) *kernel;
    REAL *out;
    const REAL *x, *y, *z; /* y and z may be NULL */
    REAL s;                /* what the kernel gets in the place of z */
    ptrdiff_t count, out_s, x_s, y_s, z_s;
} FN(map);

/* x from the i-th number on, n of them side by side: as they are or brought together in a block. Of one number for all
 * (stride 0) the block stays as it is, but for the first time. */
static inline const REAL *FN(side_by_side)(REAL *block, const REAL *x, ptrdiff_t x_s, ptrdiff_t i, ptrdiff_t n,
                                           int first) {
    if (x == NULL || x_s == 1) return x ? x + i : NULL;
    for (ptrdiff_t j = 0; j < n && (first || x_s != 0); j++)
        block[j] = x[(i + j) * x_s];
    return block;
}

/* One range of a map. Where numbers do not lie side by side it goes a block at a time. */
static void FN(map_range)(const FN(map) *m, ptrdiff_t begin, ptrdiff_t end) {
    REAL x[BLOCK], y[BLOCK], z[BLOCK], out[BLOCK];
    const int contiguous = m->out_s == 1 && m->x_s == 1 && (!m->y || m->y_s == 1) && (!m->z || m->z_s == 1);
    const ptrdiff_t block = contiguous ? end - begin : BLOCK;
    const ptrdiff_t bytes = m->count * (ptrdiff_t)sizeof(REAL) * (2 + (m->y != NULL) + (m->z != NULL));
    for (ptrdiff_t i = begin; i < end; i += block) {
        const ptrdiff_t n = end - i < block ? end - i : block;
        const REAL *of_x = FN(side_by_side)(x, m->x, m->x_s, i, n, i == begin);
        const REAL *of_y = FN(side_by_side)(y, m->y, m->y_s, i, n, i == begin);
        const REAL *of_z = FN(side_by_side)(z, m->z, m->z_s, i, n, i == begin);
        m->kernel(m->out_s == 1 ? m->out + i : out, of_x, of_y, m->z ? of_z : &m->s, n,
                  contiguous && bytes > nnc_cpu_l3());
        for (ptrdiff_t j = 0; m->out_s != 1 && j < n; j++)
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
        nnc_parallel(FN(map_task), &m, nnc_get_num_threads(), m.count * work >= ELEMENTS_TO_WAKE);
    else if (m.count > 0)
        FN(map_range)(&m, 0, m.count);
    return NNC_OK;
}

#define IN const REAL *
#define PARAMS_unary REAL *out, IN x, ptrdiff_t count, ptrdiff_t out_s, ptrdiff_t x_s
#define PARAMS_unary_scalar REAL *out, IN x, REAL s, ptrdiff_t count, ptrdiff_t out_s, ptrdiff_t x_s
#define SIZES_Y ptrdiff_t count, ptrdiff_t out_s, ptrdiff_t x_s, ptrdiff_t y_s
#define PARAMS_binary REAL *out, IN x, IN y, SIZES_Y
#define PARAMS_binary_scalar REAL *out, IN x, IN y, REAL s, SIZES_Y
#define PARAMS_ternary REAL *out, IN x, IN y, IN z, SIZES_Y, ptrdiff_t z_s
#define OPERANDS_unary out, x, NULL, NULL, 0, count, out_s, x_s, 0, 0
#define OPERANDS_unary_scalar out, x, NULL, NULL, s, count, out_s, x_s, 0, 0
#define OPERANDS_binary out, x, y, NULL, 0, count, out_s, x_s, y_s, 0
#define OPERANDS_binary_scalar out, x, y, NULL, s, count, out_s, x_s, y_s, 0
#define OPERANDS_ternary out, x, y, z, 0, count, out_s, x_s, y_s, z_s
#define NNC_ELEMENTWISE(kind, op, name, work, doc) \
    nnc_status PUBLIC(op)(PARAMS_##kind) { return FN(run_map)((FN(map)){KERNELS->op, OPERANDS_##kind}, work); }
#include "../elementwise.inc"

#endif
