/* cross_entropy.c - the loss of probabilities (eq. 5.1), L_i = - sum_k y_ki ln P_ki, when the softmax stands by itself.
 * */
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

nnc_status PUBLIC(cross_entropy_forward)(REAL *L, const REAL *P, const ptrdiff_t *y, ptrdiff_t n, ptrdiff_t r,
                                         ptrdiff_t L_s, ptrdiff_t P_rs, ptrdiff_t P_cs, ptrdiff_t y_s) {
    nnc_status status = NNC_OK;
    if (n < 0 || r < 0) return NNC_ERR_SHAPE;
    for (ptrdiff_t i0 = 0; i0 < r; i0 += BLOCK) {
        const ptrdiff_t w = r - i0 < BLOCK ? r - i0 : BLOCK;
        REAL p[BLOCK];
        for (ptrdiff_t i = 0; i < w; i++) {
            const ptrdiff_t K = y[(i0 + i) * y_s];
            if (K < 0 || K >= n) status = NNC_ERR_LABEL;
            p[i] = K < 0 || K >= n ? (REAL)__builtin_nan("") : P[K * P_rs + (i0 + i) * P_cs];
        }
        KERNELS->log_forward(p, p, NULL, NULL, w, 0);
        for (ptrdiff_t i = 0; i < w; i++)
            L[(i0 + i) * L_s] = -p[i];
    }
    return status;
}

/* A zero in Y adds nothing, whatever P is there: 0 ln 0 counts as 0. */
nnc_status PUBLIC(cross_entropy_targets_forward)(REAL *L, const REAL *P, const REAL *Y, ptrdiff_t n, ptrdiff_t r,
                                                 ptrdiff_t L_s, ptrdiff_t P_rs, ptrdiff_t P_cs, ptrdiff_t Y_rs,
                                                 ptrdiff_t Y_cs) {
    if (n < 0 || r < 0) return NNC_ERR_SHAPE;
    for (ptrdiff_t i0 = 0; i0 < r; i0 += BLOCK) {
        const ptrdiff_t w = r - i0 < BLOCK ? r - i0 : BLOCK;
        REAL sum[BLOCK] = {0}, p[BLOCK];
        for (ptrdiff_t k = 0; k < n; k++) {
            const REAL *target = Y + k * Y_rs + i0 * Y_cs;
            for (ptrdiff_t i = 0; i < w; i++)
                p[i] = target[i * Y_cs] != 0 ? P[k * P_rs + (i0 + i) * P_cs] : 1;
            KERNELS->log_forward(p, p, NULL, NULL, w, 0);
            for (ptrdiff_t i = 0; i < w; i++)
                if (target[i * Y_cs] != 0) sum[i] -= target[i * Y_cs] * p[i];
        }
        for (ptrdiff_t i = 0; i < w; i++)
            L[(i0 + i) * L_s] = sum[i];
    }
    return NNC_OK;
}

/* L = - sum_k y_k ln P_k (cross_entropy_forward), so dL/dP_k = - y_k / P_k */
nnc_status PUBLIC(cross_entropy_backward)(REAL *dP, const REAL *dL, const REAL *P, const ptrdiff_t *y, ptrdiff_t n,
                                          ptrdiff_t r, ptrdiff_t dP_rs, ptrdiff_t dP_cs, ptrdiff_t dL_s, ptrdiff_t P_rs,
                                          ptrdiff_t P_cs, ptrdiff_t y_s) {
    nnc_status status = NNC_OK;
    if (n < 0 || r < 0) return NNC_ERR_SHAPE;
    for (ptrdiff_t i = 0; i < r; i++) {
        const ptrdiff_t K = y[i * y_s];
        const int good = K >= 0 && K < n;
        for (ptrdiff_t k = 0; k < n; k++)
            dP[k * dP_rs + i * dP_cs] = good ? 0 : (REAL)__builtin_nan("");
        if (good)
            dP[K * dP_rs + i * dP_cs] = -dL[i * dL_s] / P[K * P_rs + i * P_cs];
        else
            status = NNC_ERR_LABEL;
    }
    return status;
}

nnc_status PUBLIC(cross_entropy_targets_backward)(REAL *dP, const REAL *dL, const REAL *P, const REAL *Y, ptrdiff_t n,
                                                  ptrdiff_t r, ptrdiff_t dP_rs, ptrdiff_t dP_cs, ptrdiff_t dL_s,
                                                  ptrdiff_t P_rs, ptrdiff_t P_cs, ptrdiff_t Y_rs, ptrdiff_t Y_cs) {
    if (n < 0 || r < 0) return NNC_ERR_SHAPE;
    for (ptrdiff_t k = 0; k < n; k++)
        for (ptrdiff_t i = 0; i < r; i++) {
            const REAL y = Y[k * Y_rs + i * Y_cs];
            dP[k * dP_rs + i * dP_cs] = y != 0 ? -y / P[k * P_rs + i * P_cs] * dL[i * dL_s] : 0;
        }
    return NNC_OK;
}

typedef struct FN(gradient) {
    REAL *dZ;
    const REAL *dL, *P;
    const ptrdiff_t *y;
    ptrdiff_t n, r, dZ_rs, dZ_cs, dL_s, P_rs, P_cs, y_s;
    _Atomic int bad_label;
} FN(gradient);

/* Examples i0 .. i0 + w: rows of P first, then the labels, whose P - 1 is formed before it is multiplied: P dL - dL
 * would lose the digits of a P near 1. */
static void FN(gradient_block)(FN(gradient) *job, ptrdiff_t i0, ptrdiff_t w) {
    REAL dL[BLOCK], *dZ = job->dZ + i0 * job->dZ_cs, label[BLOCK];
    const REAL *P = job->P + i0 * job->P_cs;
    const ptrdiff_t n = job->n, *y = job->y + i0 * job->y_s;
    for (ptrdiff_t i = 0; i < w; i++) {
        const ptrdiff_t K = y[i * job->y_s];
        dL[i] = job->dL[(i0 + i) * job->dL_s];
        label[i] = K >= 0 && K < n ? P[K * job->P_rs + i * job->P_cs] : 0; /* dZ may be P */
    }
    if (job->dZ_cs == 1 && job->P_cs == 1)
        KERNELS->columns_scale(dZ, P, dL, n, w, job->dZ_rs, job->P_rs, 0);
    else
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t i = 0; i < w; i++)
                dZ[k * job->dZ_rs + i * job->dZ_cs] = P[k * job->P_rs + i * job->P_cs] * dL[i];
    for (ptrdiff_t i = 0; i < w; i++) {
        const ptrdiff_t K = y[i * job->y_s];
        if (K >= 0 && K < n) {
            dZ[K * job->dZ_rs + i * job->dZ_cs] = (label[i] - 1) * dL[i];
            continue;
        }
        job->bad_label = 1;
        for (ptrdiff_t k = 0; k < n; k++) dZ[k * job->dZ_rs + i * job->dZ_cs] = (REAL)__builtin_nan("");
    }
}

static void FN(gradient_task)(void *arg, int thread, int threads) {
    FN(gradient) *job = arg;
    const ptrdiff_t line = 64 / (ptrdiff_t)sizeof(REAL), end = nnc_share(job->r, line, thread + 1, threads);
    for (ptrdiff_t i = nnc_share(job->r, line, thread, threads); i < end; i += BLOCK)
        FN(gradient_block)(job, i, end - i < BLOCK ? end - i : BLOCK);
}

/* L = - ln P_K for P = softmax(Z), so dL/dz_k = P_k - delta_kK (eq. 10.1) */
nnc_status PUBLIC(loss_gradient)(REAL *dZ, const REAL *dL, const REAL *P, const ptrdiff_t *y, ptrdiff_t n, ptrdiff_t r,
                                 ptrdiff_t dZ_rs, ptrdiff_t dZ_cs, ptrdiff_t dL_s, ptrdiff_t P_rs, ptrdiff_t P_cs,
                                 ptrdiff_t y_s) {
    FN(gradient) job = {dZ, dL, P, y, n, r, dZ_rs, dZ_cs, dL_s, P_rs, P_cs, y_s, 0};
    if (n < 0 || r < 0) return NNC_ERR_SHAPE;
    if (n * r < WORK_FOR_THREADS)
        FN(gradient_task)(&job, 0, 1);
    else
        nnc_parallel(FN(gradient_task), &job, nnc_get_num_threads(), n * r >= WORK_TO_WAKE);
    return job.bad_label ? NNC_ERR_LABEL : NNC_OK;
}

nnc_status PUBLIC(loss_gradient_targets)(REAL *dZ, const REAL *dL, const REAL *P, const REAL *Y, ptrdiff_t n,
                                         ptrdiff_t r, ptrdiff_t dZ_rs, ptrdiff_t dZ_cs, ptrdiff_t dL_s, ptrdiff_t P_rs,
                                         ptrdiff_t P_cs, ptrdiff_t Y_rs, ptrdiff_t Y_cs) {
    if (n < 0 || r < 0) return NNC_ERR_SHAPE;
    for (ptrdiff_t k = 0; k < n; k++)
        for (ptrdiff_t i = 0; i < r; i++)
            dZ[k * dZ_rs + i * dZ_cs] = (P[k * P_rs + i * P_cs] - Y[k * Y_rs + i * Y_cs]) * dL[i * dL_s];
    return NNC_OK;
}

#endif
