/* softmax.c - softmax and cross-entropy (eqs. 4.2, 5.1, 5.2, 10.1) over the columns of Z (n, r): n classes, r examples.
 *
 * All of them begin with the same two numbers of each example, its largest score and the sum of e^{z - largest}, and
 * differ in what they make of them. Examples are taken a block at a time, as many as leave their scores in the cache
 * for the second pass; a block that does not lie in columns (or as rows) is copied into columns first. Exponentials
 * that are divided by their sums on the way to memory wait in a block of their own. */
#ifndef NNC_TEMPLATE
#include "ops.h"

enum {
    WIDEST = 512, /* examples in a block */
    NARROWEST = 1024, /* bytes in a row of it: what is shorter has to be waited for */
    STEP = 64, /* of its width */
    LINE = 64, /* bytes of a cache line */
    WORK_FOR_THREADS = 1 << 11, /* registers of scores: what takes as long whatever fits into one */
    WORK_TO_WAKE = 1 << 14,
    MANY_LINES = 16 /* in a row, for which it pays to begin with a piece of one */
};

typedef enum finish {
    PROBABILITY,
    LOG_PROBABILITY,
    GRADIENT,
    NOTHING /* but the losses, which PROBABILITY can have besides */
} finish;

#define NNC_TEMPLATE "ops/softmax.c"
#include "../each_dtype.inc"
#else

typedef struct FN(softmax) {
    finish finish;
    PUBLIC(matrix) out; /* (n, r): P, log P or dZ; or nothing */
    PUBLIC(matrix) L;   /* (1, r), or nothing */
    PUBLIC(matrix) Z;   /* (n, r) */
    nnc_labels y;       /* (r), or */
    PUBLIC(matrix) Y;   /* targets (n, r), or neither */
    PUBLIC(matrix) dL;  /* (1, r), of a GRADIENT */
    ptrdiff_t n, r, width;
    int Z_is_copied, is_apart, nontemporal; /* a block's scores; its results, until they are complete; and then */
    REAL *scratch;                          /* for each thread n width numbers, or twice as many, or NULL */
    _Atomic int bad_label;
} FN(softmax);

static void FN(copy_columns)(PUBLIC(matrix) to, PUBLIC(matrix) from, ptrdiff_t w) {
    for (ptrdiff_t k = 0; k < from.rows; k++)
        for (ptrdiff_t i = 0; i < w; i++)
            *FN(at)(to, k, i) = *FN(at)(from, k, i);
}

static REAL FN(not_a_number)(void) { return (REAL)__builtin_nan(""); }

/* L_i = ln sum - (z_K - largest) for a label K; sum_k y_k (ln sum - (z_k - largest)) for targets (eq. 5.2) */
static void FN(losses)(FN(softmax) *job, ptrdiff_t i0, ptrdiff_t w, const REAL *most, const REAL *log_sum) {
    for (ptrdiff_t i = 0; i < w; i++) {
        const REAL *z = FN(at)(job->Z, 0, i0 + i);
        REAL L = 0;
        if (job->y.data) {
            const ptrdiff_t K = job->y.data[(i0 + i) * job->y.stride];
            const int good = K >= 0 && K < job->n;
            if (!good) job->bad_label = 1;
            L = good ? log_sum[i] - (z[K * job->Z.rs] - most[i]) : FN(not_a_number)();
        } else
            for (ptrdiff_t k = 0; k < job->n; k++) {
                const REAL y = *FN(at)(job->Y, k, i0 + i);
                if (y != 0) L += y * (log_sum[i] - (z[k * job->Z.rs] - most[i]));
            }
        *FN(at)(job->L, 0, i0 + i) = L;
    }
}

/* dZ = P dL is there already; now - Y dL (eq. 10.1) */
static void FN(subtract_labels)(FN(softmax) *job, ptrdiff_t i0, ptrdiff_t w) {
    for (ptrdiff_t i = i0; i < i0 + w; i++) {
        REAL *dZ = FN(at)(job->out, 0, i);
        const REAL dL = *FN(at)(job->dL, 0, i);
        if (job->y.data) {
            const ptrdiff_t K = job->y.data[i * job->y.stride];
            if (K >= 0 && K < job->n) {
                dZ[K * job->out.rs] -= dL;
                continue;
            }
            job->bad_label = 1;
            for (ptrdiff_t k = 0; k < job->n; k++)
                dZ[k * job->out.rs] = FN(not_a_number)();
        } else
            for (ptrdiff_t k = 0; k < job->n; k++)
                dZ[k * job->out.rs] -= *FN(at)(job->Y, k, i) * dL;
    }
}

/* Examples i0 .. i0 + w as columns */
static void FN(columns)(FN(softmax) *job, ptrdiff_t i0, ptrdiff_t w, REAL *scratch) {
    const FN(kernels) *kernels = KERNELS;
    const ptrdiff_t n = job->n;
    REAL most[WIDEST], sum[WIDEST], log_sum[WIDEST];
    PUBLIC(matrix) Z = job->Z, out = job->out, E;
    Z.data += i0 * Z.cs;
    if (job->finish != NOTHING) out.data += i0 * out.cs;
    E = out;
    if (job->Z_is_copied) {
        const PUBLIC(matrix) copy = PUBLIC(rows)(scratch, n, w);
        FN(copy_columns)(copy, Z, w);
        Z = copy;
    }
    if (job->is_apart) E = PUBLIC(rows)(scratch + job->Z_is_copied * n * job->width, n, w);

    const int keep = job->finish == PROBABILITY || job->finish == GRADIENT;
    kernels->columns_exp_sum(keep ? E.data : NULL, most, sum, Z.data, n, w, E.rs, Z.rs);
    if (job->L.data || job->finish == LOG_PROBABILITY) kernels->log_forward(log_sum, sum, NULL, NULL, w, 0);
    if (job->L.data) FN(losses)(job, i0, w, most, log_sum);
    if (keep) {
        for (ptrdiff_t i = 0; i < w; i++)
            sum[i] = (job->finish == GRADIENT ? *FN(at)(job->dL, 0, i0 + i) : 1) / sum[i];
        const PUBLIC(matrix) to = out.cs == 1 ? out : E;
        kernels->columns_scale(to.data, E.data, sum, n, w, to.rs, E.rs, job->nontemporal);
    } else if (job->finish == LOG_PROBABILITY)
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t i = 0; i < w; i++)
                E.data[k * E.rs + i] = (Z.data[k * Z.rs + i] - most[i]) - log_sum[i];

    if (job->is_apart && !job->nontemporal) FN(copy_columns)(out, E, w);
    if (job->finish == GRADIENT) FN(subtract_labels)(job, i0, w);
}

/* One example whose scores, and whose results, are contiguous */
static void FN(row)(FN(softmax) *job, ptrdiff_t i) {
    const FN(kernels) *kernels = KERNELS;
    const REAL *z = FN(at)(job->Z, 0, i);
    REAL *out = job->finish == NOTHING ? NULL : FN(at)(job->out, 0, i), most, sum, log_sum;
    const int keep = job->finish == PROBABILITY || job->finish == GRADIENT;
    kernels->row_exp_sum(keep ? out : NULL, &most, &sum, z, job->n);
    if (job->L.data || job->finish == LOG_PROBABILITY) kernels->log_forward(&log_sum, &sum, NULL, NULL, 1, 0);
    if (job->L.data) FN(losses)(job, i, 1, &most, &log_sum);
    if (keep)
        kernels->row_scale(out, (job->finish == GRADIENT ? *FN(at)(job->dL, 0, i) : 1) / sum, job->n);
    else if (job->finish == LOG_PROBABILITY)
        for (ptrdiff_t k = 0; k < job->n; k++)
            out[k] = (z[k] - most) - log_sum;
    if (job->finish == GRADIENT) FN(subtract_labels)(job, i, 1);
}

static int FN(as_rows)(const FN(softmax) *job) {
    return job->Z.rs == 1 && job->Z.cs != 1 && (job->finish == NOTHING || job->out.rs == 1);
}

/* How far behind a line of the cache all rows begin, in numbers. A load or a store across two lines takes the time of
 * two, and two threads that write into one wait for each other. */
static ptrdiff_t FN(behind_a_line)(const FN(softmax) *job, ptrdiff_t line) {
    const PUBLIC(matrix) rows = job->finish == NOTHING ? job->Z : job->out;
    if (rows.cs != 1 || rows.rs % line != 0 || job->r < MANY_LINES * line) return 0;
    return (ptrdiff_t)((uintptr_t)rows.data / sizeof(REAL)) % line;
}

static void FN(softmax_task)(void *arg, int thread, int threads) {
    FN(softmax) *job = arg;
    const ptrdiff_t line = LINE / (ptrdiff_t)sizeof(REAL), behind = FN(behind_a_line)(job, line);
    const ptrdiff_t lead = thread == 0 && behind ? line - behind : 0;
    const ptrdiff_t begin = thread == 0 ? 0 : nnc_share(behind + job->r, line, thread, threads) - behind;
    const ptrdiff_t end = nnc_share(behind + job->r, line, thread + 1, threads) - behind;
    if (FN(as_rows)(job)) {
        for (ptrdiff_t i = begin; i < end; i++)
            FN(row)(job, i);
        return;
    }
    REAL *scratch = job->scratch;
    if (scratch) scratch += thread * (job->Z_is_copied + job->is_apart) * job->n * job->width;
    if (lead) FN(columns)(job, 0, lead, scratch);
    for (ptrdiff_t i = begin + lead; i < end; i += job->width)
        FN(columns)(job, i, end - i < job->width ? end - i : job->width, scratch);
}

/* How wide a block is, and where its numbers wait */
static nnc_status FN(plan)(FN(softmax) *job, int threads) {
    const ptrdiff_t size = (ptrdiff_t)sizeof(REAL), share = job->r / threads + LINE / size;
    job->width = nnc_cpu_l2() / 4 / (job->n * size) / STEP * STEP;
    if (job->width * size < NARROWEST) job->width = NARROWEST / size;
    if (job->width > WIDEST) job->width = WIDEST;
    if (job->width > share) job->width = share;
    if (FN(as_rows)(job)) return NNC_OK;
    const int has_out = job->finish != NOTHING, is_exp = has_out && job->finish != LOG_PROBABILITY;
    job->Z_is_copied = job->Z.cs != 1;
    job->nontemporal = is_exp && job->out.cs == 1 && 2 * job->n * job->r * size > nnc_cpu_l3();
    job->is_apart = has_out && (job->out.cs != 1 || job->nontemporal);
    const ptrdiff_t blocks = threads * (job->Z_is_copied + job->is_apart);
    if (blocks == 0) return NNC_OK;
    job->scratch = nnc_scratch_alloc((size_t)(blocks * job->n * job->width * size));
    return job->scratch ? NNC_OK : NNC_ERR_MEMORY;
}

static nnc_status FN(run_softmax)(FN(softmax) job) {
    const ptrdiff_t n = job.n = job.Z.rows, r = job.r = job.Z.cols;
    const int wrong = !FN(is_shape)(job.Z, n, r) ||
                      (job.finish != NOTHING && !FN(is_shape)(job.out, n, r)) ||
                      (job.L.data && !FN(is_shape)(job.L, 1, r)) ||
                      (job.finish == GRADIENT && !FN(is_shape)(job.dL, 1, r)) ||
                      (job.y.data && job.y.count != r) ||
                      (job.Y.data && !FN(is_shape)(job.Y, n, r));
    if (wrong) return NNC_ERR_SHAPE;
    if (r == 0 || (n == 0 && job.L.data == NULL)) return NNC_OK;
    if (n == 0) return job.y.data ? NNC_ERR_LABEL : NNC_ERR_SHAPE;
    /* A stride over one row is never taken, nor one over one example, whose scores are a row if they are contiguous. */
    if (n == 1 && r > 1 && job.Z.cs != 1) job.Z.rs = 1;
    if (r == 1 && job.Z.rs == 1) job.Z.cs = n + 1;
    const ptrdiff_t work = n * r / KERNELS->lanes;
    const int threads = work < WORK_FOR_THREADS ? 1 : nnc_get_num_threads();
    NNC_TRY(FN(plan)(&job, threads));
    if (threads == 1)
        FN(softmax_task)(&job, 0, 1);
    else
        nnc_parallel(FN(softmax_task), &job, threads, work >= WORK_TO_WAKE);
    nnc_scratch_free(job.scratch);
    return job.bad_label ? NNC_ERR_LABEL : NNC_OK;
}

nnc_status PUBLIC(softmax_forward)(PUBLIC(matrix) P, PUBLIC(matrix) Z) {
    return FN(run_softmax)((FN(softmax)){.finish = PROBABILITY, .out = P, .Z = Z});
}

nnc_status PUBLIC(log_softmax_forward)(PUBLIC(matrix) out, PUBLIC(matrix) Z) {
    return FN(run_softmax)((FN(softmax)){.finish = LOG_PROBABILITY, .out = out, .Z = Z});
}

/* P = softmax(Z) (softmax_forward): dP_k/dz_l = P_k (delta_kl - P_l), so dZ = P * (dP - sum_k dP_k P_k) */
nnc_status PUBLIC(softmax_backward)(PUBLIC(matrix) dZ, PUBLIC(matrix) dP, PUBLIC(matrix) P) {
    const ptrdiff_t n = P.rows, r = P.cols;
    if (!FN(is_shape)(P, n, r) || !FN(is_shape)(dP, n, r) || !FN(is_shape)(dZ, n, r)) return NNC_ERR_SHAPE;
    for (ptrdiff_t i0 = 0; i0 < r; i0 += WIDEST) {
        const ptrdiff_t w = r - i0 < WIDEST ? r - i0 : WIDEST;
        REAL dot[WIDEST] = {0};
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t i = 0; i < w; i++)
                dot[i] += *FN(at)(dP, k, i0 + i) * *FN(at)(P, k, i0 + i);
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t i = 0; i < w; i++)
                *FN(at)(dZ, k, i0 + i) = *FN(at)(P, k, i0 + i) * (*FN(at)(dP, k, i0 + i) - dot[i]);
    }
    return NNC_OK;
}

nnc_status PUBLIC(softmax_cross_entropy_forward)(PUBLIC(matrix) L, PUBLIC(matrix) Z, nnc_labels y) {
    return FN(run_softmax)((FN(softmax)){.finish = NOTHING, .L = L, .Z = Z, .y = y});
}

nnc_status PUBLIC(softmax_cross_entropy_targets_forward)(PUBLIC(matrix) L, PUBLIC(matrix) Z, PUBLIC(matrix) Y) {
    return FN(run_softmax)((FN(softmax)){.finish = NOTHING, .L = L, .Z = Z, .Y = Y});
}

nnc_status PUBLIC(softmax_cross_entropy_saving_forward)(PUBLIC(matrix) L, PUBLIC(matrix) P, PUBLIC(matrix) Z,
                                                        nnc_labels y) {
    return FN(run_softmax)((FN(softmax)){.finish = PROBABILITY, .out = P, .L = L, .Z = Z, .y = y});
}

/* L = ln sum_j e^{z_j} - z_K (softmax_cross_entropy_forward), so dL/dz_i = P_i - delta_iK (eq. 10.1) */
nnc_status PUBLIC(softmax_cross_entropy_recompute_backward)(PUBLIC(matrix) dZ, PUBLIC(matrix) dL, PUBLIC(matrix) Z,
                                                            nnc_labels y) {
    return FN(run_softmax)((FN(softmax)){.finish = GRADIENT, .out = dZ, .dL = dL, .Z = Z, .y = y});
}

nnc_status PUBLIC(softmax_cross_entropy_targets_recompute_backward)(PUBLIC(matrix) dZ, PUBLIC(matrix) dL,
                                                                    PUBLIC(matrix) Z, PUBLIC(matrix) Y) {
    return FN(run_softmax)((FN(softmax)){.finish = GRADIENT, .out = dZ, .dL = dL, .Z = Z, .Y = Y});
}

#endif
