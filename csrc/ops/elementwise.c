/* elementwise.c - the elementwise operations (eqs. 12.2 - 12.4, 6.3), forward and backward: any strides, any size. */
#ifndef NNC_TEMPLATE
#include "ops.h"

/* Elements times their work (relu's is 1) from which a second thread pays, and from which it pays to wake one */
enum {
    ELEMENTS_FOR_THREADS = 1 << 18,
    ELEMENTS_TO_WAKE = 1 << 20,
    BLOCK = 512
};

#define NNC_TEMPLATE "ops/elementwise.c"
#include "../each_dtype.inc"
#else

enum {
    FN(OPERANDS) = 4
};

typedef struct FN(map) {
    FN(elementwise) *kernel;
    PUBLIC(matrix) M[FN(OPERANDS)]; /* out, x, y, z, of one shape; those that the kernel does not take have no data */
    REAL s;                         /* what a kernel of one number gets instead of z */
} FN(map);

/* n numbers of x from the i-th on, contiguous: as they are or copied to a block. Of one number for all (stride 0) the
 * block stays as it is, but for the first time. */
static inline const REAL *FN(contiguous)(REAL *block, const REAL *x, ptrdiff_t x_s, ptrdiff_t i, ptrdiff_t n,
                                         int first) {
    if (x == NULL || x_s == 1) return x ? x + i : NULL;
    for (ptrdiff_t j = 0; j < n && (first || x_s != 0); j++)
        block[j] = x[(i + j) * x_s];
    return block;
}

/* Columns begin .. end of one row. Where numbers are not contiguous it goes a block at a time. */
static void FN(map_range)(const FN(map) *m, ptrdiff_t row, ptrdiff_t begin, ptrdiff_t end) {
    REAL block[FN(OPERANDS)][BLOCK];
    const REAL *at[FN(OPERANDS)], *from[FN(OPERANDS)];
    int contiguous = 1, used = 0;
    for (int k = 0; k < FN(OPERANDS); k++) {
        at[k] = m->M[k].data ? m->M[k].data + row * m->M[k].rs : NULL;
        contiguous = contiguous && (at[k] == NULL || m->M[k].cs == 1);
        used += at[k] != NULL;
    }
    const PUBLIC(matrix) out = m->M[0];
    REAL *to = out.data + row * out.rs;
    const ptrdiff_t width = contiguous ? end - begin : BLOCK;
    const ptrdiff_t bytes = out.rows * out.cols * (ptrdiff_t)sizeof(REAL) * used;
    for (ptrdiff_t i = begin; i < end; i += width) {
        const ptrdiff_t n = end - i < width ? end - i : width;
        for (int k = 1; k < FN(OPERANDS); k++)
            from[k] = FN(contiguous)(block[k], at[k], m->M[k].cs, i, n, i == begin);
        m->kernel(out.cs == 1 ? to + i : block[0], from[1], from[2], at[3] ? from[3] : &m->s, n,
                  contiguous && bytes > nnc_cpu_l3());
        for (ptrdiff_t j = 0; out.cs != 1 && j < n; j++)
            to[(i + j) * out.cs] = block[0][j];
    }
}

static void FN(map_task)(void *arg, int thread, int threads) {
    const FN(map) *m = arg;
    const ptrdiff_t rows = m->M[0].rows, cols = m->M[0].cols, line = 64 / sizeof(REAL);
    if (rows == 1) {
        FN(map_range)(m, 0, nnc_share(cols, line, thread, threads), nnc_share(cols, line, thread + 1, threads));
        return;
    }
    for (ptrdiff_t i = nnc_share(rows, 1, thread, threads); i < nnc_share(rows, 1, thread + 1, threads); i++)
        FN(map_range)(m, i, 0, cols);
}

/* Does every operand step from the end of a row to the next row as it steps within one? */
static int FN(is_one_row)(const FN(map) *m) {
    int one = 1;
    for (int k = 0; k < FN(OPERANDS) &&m->M[0].rows != 1; k++)
        one = one && (m->M[k].data == NULL || m->M[k].rs == m->M[k].cols * m->M[k].cs);
    return one;
}

static void FN(transpose_all)(FN(map) *m) {
    for (int k = 0; k < FN(OPERANDS); k++) m->M[k] = PUBLIC(transposed)(m->M[k]);
}

/* One row, of all or of all transposed, where possible; else rows along which the results are near each other */
static void FN(flatten)(FN(map) *m) {
    int one = FN(is_one_row)(m);
    if (!one) {
        FN(transpose_all)(m);
        one = FN(is_one_row)(m);
        if (!one && m->M[0].rs == 1) FN(transpose_all)(m);
    }
    for (int k = 0; one && k < FN(OPERANDS); k++) m->M[k].cols *= m->M[k].rows, m->M[k].rows = 1;
}

static nnc_status FN(run_map)(FN(map) *m, int work) {
    const PUBLIC(matrix) *M = m->M;
    const ptrdiff_t rows = M->rows, cols = M->cols, amount = rows * cols * work;
    int contiguous = 1;
    for (int k = 0; k < FN(OPERANDS); k++) {
        if (k >= 2 && M[k].data == NULL) continue;
        if (!FN(is_shape)(M[k], rows, cols)) return NNC_ERR_SHAPE;
        contiguous = contiguous && M[k].cs == 1 && (rows == 1 || M[k].rs == cols);
    }
    if (rows == 0 || cols == 0) return NNC_OK;
    if (contiguous && amount < ELEMENTS_FOR_THREADS) { /* 10 numbers take a tenth less time without what is below */
        m->kernel(M[0].data, M[1].data, M[2].data, M[3].data ? M[3].data : &m->s, rows * cols, 0);
        return NNC_OK;
    }
    FN(flatten)(m);
    if (amount >= ELEMENTS_FOR_THREADS)
        nnc_parallel(FN(map_task), m, nnc_get_num_threads(), amount >= ELEMENTS_TO_WAKE);
    else
        FN(map_task)(m, 0, 1);
    return NNC_OK;
}

#define MATRIX PUBLIC(matrix)
#define PARAMS_unary MATRIX out, MATRIX x
#define PARAMS_unary_scalar MATRIX out, MATRIX x, REAL s
#define PARAMS_binary MATRIX out, MATRIX x, MATRIX y
#define PARAMS_binary_scalar MATRIX out, MATRIX x, MATRIX y, REAL s
#define PARAMS_ternary MATRIX out, MATRIX x, MATRIX y, MATRIX z
#define OPERANDS_unary {out, x}, 0
#define OPERANDS_unary_scalar {out, x}, s
#define OPERANDS_binary {out, x, y}, 0
#define OPERANDS_binary_scalar {out, x, y}, s
#define OPERANDS_ternary {out, x, y, z}, 0
#define NNC_ELEMENTWISE(kind, op, name, work, doc)  \
    nnc_status PUBLIC(op)(PARAMS_##kind) {          \
        FN(map) m = {KERNELS->op, OPERANDS_##kind}; \
        return FN(run_map)(&m, work);               \
    }
#include "../elementwise.inc"

#endif
