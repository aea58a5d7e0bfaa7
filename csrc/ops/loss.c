/* loss.c - the losses of ../losses.inc: of a chunk in training, of all examples in prediction, and by themselves.
 *
 * A loss takes the scores Z (n, r) and the targets; it gives L (r), a loss for each example, dZ = dL/dZ * dL, and A,
 * the output. Those with independent outputs are three elementwise kernels; the softmax with the
 * cross-entropy goes over whole columns. */
#ifndef NNC_TEMPLATE
#include "loss.h"

enum {
    BLOCK = 512 /* examples that the public functions take at a time */
};

int nnc_optimizer_states(nnc_optimizer optimizer) {
    static const int states[] = {
#define NNC_OPTIMIZER(id, name, count, corrects) [id] = count,
#include "../optimizers.inc"
        [NNC_GRADIENT] = 1,
    };
    return (int)optimizer < 0 || optimizer > NNC_GRADIENT ? -1 : states[optimizer];
}

#define NNC_TEMPLATE "ops/loss.c"
#include "../each_dtype.inc"
#else

/* Columns j0 .. j1: dZ = (P - Y) dL (eq. 10.1), L the losses (eq. 5.2). */
static void FN(cross_entropy_columns)(const FN(kernels) *k, const FN(loss_chunk) *c, ptrdiff_t j0, ptrdiff_t j1) {
    const REAL *Z = c->Z, *dL = c->dL;
    const ptrdiff_t n = c->n, ld = c->ld;
    REAL *dZ = c->dZ, *max = c->max, *sum = c->sum, *L = c->L;
    k->columns_exp_sum(dZ + j0, max + j0, sum + j0, Z + j0, n, j1 - j0, ld, ld);
    k->log_forward(L + j0, sum + j0, NULL, NULL, j1 - j0, 0);
    for (ptrdiff_t j = j0; j < j1; j++)
        sum[j] = dL[j] / sum[j];
    k->columns_scale(dZ + j0, dZ + j0, sum + j0, n, j1 - j0, ld, ld, 0);
    for (ptrdiff_t j = j0; j < j1; j++) {
        const ptrdiff_t which = c->index[j];
        const REAL log_sum = L[j];
        if (c->labels) {
            const ptrdiff_t K = c->labels[which];
            L[j] = log_sum - (Z[K * ld + j] - max[j]);
            dZ[K * ld + j] -= dL[j];
        } else {
            const REAL *target = c->targets + which * n;
            L[j] = 0;
            for (ptrdiff_t i = 0; i < n; i++)
                if (target[i] != 0) {
                    L[j] += target[i] * (log_sum - (Z[i * ld + j] - max[j]));
                    dZ[i * ld + j] -= target[i] * dL[j];
                }
        }
    }
}

/* The same for a loss with independent outputs, one row of Z after the other */
static void FN(elementwise_columns)(const FN(kernels) *k, const FN(loss) *loss, const FN(loss_chunk) *c, ptrdiff_t j0,
                                    ptrdiff_t j1) {
    REAL *Y = c->max, *terms = c->sum, *L = c->L;
    for (ptrdiff_t i = 0; i < c->n; i++) {
        const REAL *Z = c->Z + i * c->ld;
        REAL *dZ = c->dZ + i * c->ld;
        for (ptrdiff_t j = j0; j < j1; j++)
            Y[j] = c->targets[(ptrdiff_t)c->index[j] * c->n + i];
        loss->terms(i ? terms + j0 : L + j0, Z + j0, Y + j0, NULL, j1 - j0, 0);
        if (i) k->add(L + j0, L + j0, terms + j0, NULL, j1 - j0, 0);
        if (loss->output) loss->output(dZ + j0, Z + j0, NULL, NULL, j1 - j0, 0);
        loss->gradient(dZ + j0, loss->output ? dZ + j0 : Z + j0, Y + j0, c->dL + j0, j1 - j0, 0);
    }
}

void FN(nnc_loss_columns)(const FN(kernels) *k, nnc_loss loss, const FN(loss_chunk) *c, ptrdiff_t j0, ptrdiff_t j1) {
    if (j1 <= j0) return;
    if (loss == NNC_CROSS_ENTROPY)
        FN(cross_entropy_columns)(k, c, j0, j1);
    else
        FN(elementwise_columns)(k, &k->losses[loss], c, j0, j1);
}

void FN(nnc_loss_output)(const FN(kernels) *k, nnc_loss loss, PUBLIC(matrix) P, PUBLIC(matrix) Z) {
    if (loss == NNC_CROSS_ENTROPY) {
        PUBLIC(softmax_forward)(P, Z);
        return;
    }
    for (ptrdiff_t i = 0; i < Z.rows; i++) {
        REAL *z = FN(at)(Z, i, 0);
        if (loss < NNC_LOSSES && k->losses[loss].output) k->losses[loss].output(z, z, NULL, NULL, Z.cols, 0);
        for (ptrdiff_t j = 0; j < Z.cols; j++)
            *FN(at)(P, i, j) = z[j];
    }
}

/* ---- by themselves ----------------------------------------------------------------------------------------------- */

/* w numbers of row i from column j on, where they are or, with a stride, contiguous in `copy` */
static const REAL *FN(row)(REAL *copy, PUBLIC(matrix) M, ptrdiff_t i, ptrdiff_t j, ptrdiff_t w) {
    const REAL *x = FN(at)(M, i, j);
    if (M.cs == 1) return x;
    for (ptrdiff_t k = 0; k < w; k++)
        copy[k] = x[k * M.cs];
    return copy;
}

/* L = the sum of terms(Z, Y) over each column */
static nnc_status FN(sum_of_terms)(FN(elementwise) *terms, PUBLIC(matrix) L, PUBLIC(matrix) Z, PUBLIC(matrix) Y) {
    const ptrdiff_t n = Z.rows, r = Z.cols;
    REAL z[BLOCK], y[BLOCK], term[BLOCK];
    if (!FN(is_shape)(Z, n, r) || !FN(is_shape)(Y, n, r) || !FN(is_shape)(L, 1, r)) return NNC_ERR_SHAPE;
    for (ptrdiff_t i0 = 0; i0 < r; i0 += BLOCK) {
        const ptrdiff_t w = r - i0 < BLOCK ? r - i0 : BLOCK;
        REAL sum[BLOCK] = {0};
        for (ptrdiff_t k = 0; k < n; k++) {
            terms(term, FN(row)(z, Z, k, i0, w), FN(row)(y, Y, k, i0, w), NULL, w, 0);
            KERNELS->add(sum, sum, term, NULL, w, 0);
        }
        for (ptrdiff_t i = 0; i < w; i++)
            *FN(at)(L, 0, i0 + i) = sum[i];
    }
    return NNC_OK;
}

/* dZ = gradient(A, Y, dL) */
static nnc_status FN(gradient_of_terms)(FN(elementwise) *gradient, PUBLIC(matrix) dZ, PUBLIC(matrix) dL,
                                        PUBLIC(matrix) A, PUBLIC(matrix) Y) {
    const ptrdiff_t n = A.rows, r = A.cols;
    REAL a[BLOCK], y[BLOCK], d[BLOCK], out[BLOCK];
    if (!FN(is_shape)(A, n, r) || !FN(is_shape)(Y, n, r) || !FN(is_shape)(dZ, n, r) || !FN(is_shape)(dL, 1, r))
        return NNC_ERR_SHAPE;
    for (ptrdiff_t i0 = 0; i0 < r; i0 += BLOCK) {
        const ptrdiff_t w = r - i0 < BLOCK ? r - i0 : BLOCK;
        const REAL *upstream = FN(row)(d, dL, 0, i0, w);
        for (ptrdiff_t k = 0; k < n; k++) {
            gradient(out, FN(row)(a, A, k, i0, w), FN(row)(y, Y, k, i0, w), upstream, w, 0);
            for (ptrdiff_t i = 0; i < w; i++)
                *FN(at)(dZ, k, i0 + i) = out[i];
        }
    }
    return NNC_OK;
}

#define FUNCTIONS_columns(id, name) /* cross_entropy.c, softmax.c */
#define FUNCTIONS_outputs(id, name)                                                                                \
    nnc_status PUBLIC(name##_forward)(PUBLIC(matrix) L, PUBLIC(matrix) Z, PUBLIC(matrix) Y) {                      \
        return FN(sum_of_terms)(KERNELS->losses[id].terms, L, Z, Y);                                               \
    }                                                                                                              \
    nnc_status PUBLIC(name##_backward)(PUBLIC(matrix) dZ, PUBLIC(matrix) dL, PUBLIC(matrix) A, PUBLIC(matrix) Y) { \
        return FN(gradient_of_terms)(KERNELS->losses[id].gradient, dZ, dL, A, Y);                                  \
    }
#define NNC_LOSS(kind, id, name, output, terms, gradient, doc) FUNCTIONS_##kind(id, name)
#include "../losses.inc"
#undef FUNCTIONS_columns
#undef FUNCTIONS_outputs

#endif
