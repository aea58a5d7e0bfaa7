/* cross_entropy.c - the loss of probabilities (eq. 5.1), L_i = - sum_k y_ki ln P_ki, and the gradient of
 * softmax and cross-entropy where the probabilities were saved (eq. 10.1). */
#ifndef NNC_TEMPLATE
#include "ops.h"

enum {
    BLOCK = 1024, /* examples */
    WORK_FOR_THREADS = 1 << 18,
    WORK_TO_WAKE = 1 << 20
};

#define NNC_TEMPLATE "ops/cross_entropy.c"
#include "../each_dtype.inc"
#else

static REAL FN(nan)(void) { return (REAL)__builtin_nan(""); }

nnc_status PUBLIC(cross_entropy_forward)(PUBLIC(matrix) L, PUBLIC(matrix) P, nnc_labels y) {
    const ptrdiff_t n = P.rows, r = P.cols;
    nnc_status status = NNC_OK;
    if (!FN(is_shape)(P, n, r) || !FN(is_shape)(L, 1, r) || y.count != r) return NNC_ERR_SHAPE;
    for (ptrdiff_t i0 = 0; i0 < r; i0 += BLOCK) {
        const ptrdiff_t w = r - i0 < BLOCK ? r - i0 : BLOCK;
        REAL p[BLOCK];
        for (ptrdiff_t i = 0; i < w; i++) {
            const ptrdiff_t K = y.data[(i0 + i) * y.stride];
            if (K < 0 || K >= n) status = NNC_ERR_LABEL;
            p[i] = K < 0 || K >= n ? FN(nan)() : *FN(at)(P, K, i0 + i);
        }
        KERNELS->log_forward(p, p, NULL, NULL, w, 0);
        for (ptrdiff_t i = 0; i < w; i++)
            *FN(at)(L, 0, i0 + i) = -p[i];
    }
    return status;
}

/* A zero in Y adds nothing, whatever P is there: 0 ln 0 counts as 0. */
nnc_status PUBLIC(cross_entropy_targets_forward)(PUBLIC(matrix) L, PUBLIC(matrix) P, PUBLIC(matrix) Y) {
    const ptrdiff_t n = P.rows, r = P.cols;
    if (!FN(is_shape)(P, n, r) || !FN(is_shape)(Y, n, r) || !FN(is_shape)(L, 1, r)) return NNC_ERR_SHAPE;
    for (ptrdiff_t i0 = 0; i0 < r; i0 += BLOCK) {
        const ptrdiff_t w = r - i0 < BLOCK ? r - i0 : BLOCK;
        REAL sum[BLOCK] = {0}, p[BLOCK];
        for (ptrdiff_t k = 0; k < n; k++) {
            const REAL *target = FN(at)(Y, k, i0);
            for (ptrdiff_t i = 0; i < w; i++)
                p[i] = target[i * Y.cs] != 0 ? *FN(at)(P, k, i0 + i) : 1;
            KERNELS->log_forward(p, p, NULL, NULL, w, 0);
            for (ptrdiff_t i = 0; i < w; i++)
                if (target[i * Y.cs] != 0) sum[i] -= target[i * Y.cs] * p[i];
        }
        for (ptrdiff_t i = 0; i < w; i++)
            *FN(at)(L, 0, i0 + i) = sum[i];
    }
    return NNC_OK;
}

/* L = - sum_k y_k ln P_k (cross_entropy_forward), so dL/dP_k = - y_k / P_k */
nnc_status PUBLIC(cross_entropy_backward)(PUBLIC(matrix) dP, PUBLIC(matrix) dL, PUBLIC(matrix) P, nnc_labels y) {
    const ptrdiff_t n = P.rows, r = P.cols;
    nnc_status status = NNC_OK;
    if (!FN(is_shape)(P, n, r) || !FN(is_shape)(dL, 1, r) || !FN(is_shape)(dP, n, r) || y.count != r)
        return NNC_ERR_SHAPE;
    for (ptrdiff_t i = 0; i < r; i++) {
        const ptrdiff_t K = y.data[i * y.stride];
        const int good = K >= 0 && K < n;
        for (ptrdiff_t k = 0; k < n; k++)
            *FN(at)(dP, k, i) = good ? 0 : FN(nan)();
        if (good)
            *FN(at)(dP, K, i) = -*FN(at)(dL, 0, i) / *FN(at)(P, K, i);
        else
            status = NNC_ERR_LABEL;
    }
    return status;
}

nnc_status PUBLIC(cross_entropy_targets_backward)(PUBLIC(matrix) dP, PUBLIC(matrix) dL, PUBLIC(matrix) P,
                                                  PUBLIC(matrix) Y) {
    const ptrdiff_t n = P.rows, r = P.cols;
    if (!FN(is_shape)(P, n, r) || !FN(is_shape)(Y, n, r) || !FN(is_shape)(dL, 1, r) || !FN(is_shape)(dP, n, r))
        return NNC_ERR_SHAPE;
    for (ptrdiff_t k = 0; k < n; k++)
        for (ptrdiff_t i = 0; i < r; i++) {
            const REAL y = *FN(at)(Y, k, i);
            *FN(at)(dP, k, i) = y != 0 ? -y / *FN(at)(P, k, i) * *FN(at)(dL, 0, i) : 0;
        }
    return NNC_OK;
}

typedef struct FN(gradient) {
    PUBLIC(matrix) dZ, dL, P;
    nnc_labels y;
    _Atomic int bad_label;
} FN(gradient);

/* Examples i0 .. i0 + w: rows of P first, then the labels, whose P - 1 is formed before it is multiplied: P dL - dL
 * would lose the digits of a P near 1. */
static void FN(gradient_block)(FN(gradient) *task, ptrdiff_t i0, ptrdiff_t w) {
    PUBLIC(matrix) dZ = task->dZ, P = task->P;
    const ptrdiff_t n = P.rows, *y = task->y.data + i0 * task->y.stride;
    REAL dL[BLOCK], label[BLOCK];
    dZ.data += i0 * dZ.cs, P.data += i0 * P.cs;
    for (ptrdiff_t i = 0; i < w; i++) {
        const ptrdiff_t K = y[i * task->y.stride];
        dL[i] = *FN(at)(task->dL, 0, i0 + i);
        label[i] = K >= 0 && K < n ? *FN(at)(P, K, i) : 0; /* dZ may be P */
    }
    if (dZ.cs == 1 && P.cs == 1)
        KERNELS->columns_scale(dZ.data, P.data, dL, n, w, dZ.rs, P.rs, 0);
    else
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t i = 0; i < w; i++)
                *FN(at)(dZ, k, i) = *FN(at)(P, k, i) * dL[i];
    for (ptrdiff_t i = 0; i < w; i++) {
        const ptrdiff_t K = y[i * task->y.stride];
        if (K >= 0 && K < n) {
            *FN(at)(dZ, K, i) = (label[i] - 1) * dL[i];
            continue;
        }
        task->bad_label = 1;
        for (ptrdiff_t k = 0; k < n; k++) *FN(at)(dZ, k, i) = FN(nan)();
    }
}

static void FN(gradient_task)(void *arg, int thread, int threads) {
    FN(gradient) *task = arg;
    const ptrdiff_t line = 64 / (ptrdiff_t)sizeof(REAL), r = task->P.cols;
    const ptrdiff_t end = nnc_share(r, line, thread + 1, threads);
    for (ptrdiff_t i = nnc_share(r, line, thread, threads); i < end; i += BLOCK)
        FN(gradient_block)(task, i, end - i < BLOCK ? end - i : BLOCK);
}

/* L = - ln P_K for P = softmax(Z), so dL/dz_k = P_k - delta_kK (eq. 10.1) */
nnc_status PUBLIC(softmax_cross_entropy_backward)(PUBLIC(matrix) dZ, PUBLIC(matrix) dL, PUBLIC(matrix) P,
                                                  nnc_labels y) {
    const ptrdiff_t n = P.rows, r = P.cols;
    if (!FN(is_shape)(P, n, r) || !FN(is_shape)(dL, 1, r) || !FN(is_shape)(dZ, n, r) || y.count != r)
        return NNC_ERR_SHAPE;
    FN(gradient) task = {.dZ = dZ, .dL = dL, .P = P, .y = y};
    if (n * r < WORK_FOR_THREADS)
        FN(gradient_task)(&task, 0, 1);
    else
        nnc_parallel(FN(gradient_task), &task, nnc_get_num_threads(), n * r >= WORK_TO_WAKE);
    return task.bad_label ? NNC_ERR_LABEL : NNC_OK;
}

nnc_status PUBLIC(softmax_cross_entropy_targets_backward)(PUBLIC(matrix) dZ, PUBLIC(matrix) dL, PUBLIC(matrix) P,
                                                          PUBLIC(matrix) Y) {
    const ptrdiff_t n = P.rows, r = P.cols;
    if (!FN(is_shape)(P, n, r) || !FN(is_shape)(Y, n, r) || !FN(is_shape)(dL, 1, r) || !FN(is_shape)(dZ, n, r))
        return NNC_ERR_SHAPE;
    for (ptrdiff_t k = 0; k < n; k++)
        for (ptrdiff_t i = 0; i < r; i++)
            *FN(at)(dZ, k, i) = (*FN(at)(P, k, i) - *FN(at)(Y, k, i)) * *FN(at)(dL, 0, i);
    return NNC_OK;
}

#endif
