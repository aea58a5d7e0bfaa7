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

/* A matrix with its strides */
typedef struct FN(view) {
    REAL *data;
    ptrdiff_t rs, cs;
} FN(view);
typedef struct FN(input) {
    const REAL *data;
    ptrdiff_t rs, cs;
} FN(input);

typedef struct FN(softmax) {
    finish finish;
    FN(view) out;       /* (n, r): P, log P or dZ; or nothing */
    REAL *L;            /* (r), or NULL */
    FN(input) Z;        /* (n, r) */
    const ptrdiff_t *y; /* labels (r), or */
    FN(input) Y;        /* targets (n, r), or neither */
    const REAL *dL;     /* (r), of a GRADIENT */
    ptrdiff_t n, r, L_s, y_s, dL_s, width;
    int Z_is_copied, is_apart, past_caches; /* a block's scores; its results, until they are complete; and then */
    REAL *scratch;                          /* for each thread n width numbers, or twice as many, or NULL */
    _Atomic int bad_label;
} FN(softmax);

static void FN(copy_columns)(FN(view) to, FN(input) from, ptrdiff_t n, ptrdiff_t w) {
    for (ptrdiff_t k = 0; k < n; k++)
        for (ptrdiff_t i = 0; i < w; i++)
            to.data[k * to.rs + i * to.cs] = from.data[k * from.rs + i * from.cs];
}

static REAL FN(not_a_number)(void) { return (REAL)__builtin_nan(""); }

/* L_i = ln sum - (z_K - largest) for a label K; sum_k y_k (ln sum - (z_k - largest)) for targets (eq. 5.2) */
static void FN(losses)(FN(softmax) *job, ptrdiff_t i0, ptrdiff_t w, const REAL *most, const REAL *log_sum) {
    for (ptrdiff_t i = 0; i < w; i++) {
        const REAL *z = job->Z.data + (i0 + i) * job->Z.cs;
        REAL L = 0;
        if (job->y) {
            const ptrdiff_t K = job->y[(i0 + i) * job->y_s];
            const int good = K >= 0 && K < job->n;
            if (!good) job->bad_label = 1;
            L = good ? log_sum[i] - (z[K * job->Z.rs] - most[i]) : FN(not_a_number)();
        } else
            for (ptrdiff_t k = 0; k < job->n; k++) {
                const REAL y = job->Y.data[k * job->Y.rs + (i0 + i) * job->Y.cs];
                if (y != 0) L += y * (log_sum[i] - (z[k * job->Z.rs] - most[i]));
            }
        job->L[(i0 + i) * job->L_s] = L;
    }
}

/* dZ = P dL is there already; now - Y dL (eq. 10.1) */
static void FN(subtract_labels)(FN(softmax) *job, ptrdiff_t i0, ptrdiff_t w) {
    for (ptrdiff_t i = i0; i < i0 + w; i++) {
        REAL *dZ = job->out.data + i * job->out.cs;
        const REAL dL = job->dL[i * job->dL_s];
        if (job->y) {
            const ptrdiff_t K = job->y[i * job->y_s];
            if (K >= 0 && K < job->n) {
                dZ[K * job->out.rs] -= dL;
                continue;
            }
            job->bad_label = 1;
            for (ptrdiff_t k = 0; k < job->n; k++)
                dZ[k * job->out.rs] = FN(not_a_number)();
        } else
            for (ptrdiff_t k = 0; k < job->n; k++)
                dZ[k * job->out.rs] -= job->Y.data[k * job->Y.rs + i * job->Y.cs] * dL;
    }
}

/* Examples i0 .. i0 + w as columns */
static void FN(columns)(FN(softmax) *job, ptrdiff_t i0, ptrdiff_t w, REAL *scratch) {
    const FN(kernels) *kernels = KERNELS;
    const ptrdiff_t n = job->n;
    REAL most[WIDEST], sum[WIDEST], log_sum[WIDEST];
    FN(input) Z = {job->Z.data + i0 * job->Z.cs, job->Z.rs, job->Z.cs};
    FN(view) out = job->out, E;
    if (job->finish != NOTHING) out.data += i0 * out.cs;
    E = out;
    if (job->Z_is_copied) {
        FN(copy_columns)((FN(view)){scratch, w, 1}, Z, n, w);
        Z = (FN(input)){scratch, w, 1};
    }
    if (job->is_apart) E = (FN(view)){scratch + job->Z_is_copied * n * job->width, w, 1};

    const int keep = job->finish == PROBABILITY || job->finish == GRADIENT;
    kernels->columns_exp_sum(keep ? E.data : NULL, most, sum, Z.data, n, w, E.rs, Z.rs);
    if (job->L || job->finish == LOG_PROBABILITY) kernels->log_forward(log_sum, sum, NULL, NULL, w, 0);
    if (job->L) FN(losses)(job, i0, w, most, log_sum);
    if (keep) {
        for (ptrdiff_t i = 0; i < w; i++)
            sum[i] = (job->finish == GRADIENT ? job->dL[(i0 + i) * job->dL_s] : 1) / sum[i];
        FN(view) to = out.cs == 1 ? out : E;
        kernels->columns_scale(to.data, E.data, sum, n, w, to.rs, E.rs, job->past_caches);
    } else if (job->finish == LOG_PROBABILITY)
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t i = 0; i < w; i++)
                E.data[k * E.rs + i] = (Z.data[k * Z.rs + i] - most[i]) - log_sum[i];

    if (job->is_apart && !job->past_caches) FN(copy_columns)(out, (FN(input)){E.data, E.rs, 1}, n, w);
    if (job->finish == GRADIENT) FN(subtract_labels)(job, i0, w);
}

/* One example whose scores, and whose results, lie side by side */
static void FN(row)(FN(softmax) *job, ptrdiff_t i) {
    const FN(kernels) *kernels = KERNELS;
    const REAL *z = job->Z.data + i * job->Z.cs;
    REAL *out = job->finish == NOTHING ? NULL : job->out.data + i * job->out.cs, most, sum, log_sum;
    const int keep = job->finish == PROBABILITY || job->finish == GRADIENT;
    kernels->row_exp_sum(keep ? out : NULL, &most, &sum, z, job->n);
    if (job->L || job->finish == LOG_PROBABILITY) kernels->log_forward(&log_sum, &sum, NULL, NULL, 1, 0);
    if (job->L) FN(losses)(job, i, 1, &most, &log_sum);
    if (keep)
        kernels->row_scale(out, (job->finish == GRADIENT ? job->dL[i * job->dL_s] : 1) / sum, job->n);
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
    const FN(input) rows = job->finish == NOTHING ? job->Z : (FN(input)){job->out.data, job->out.rs, job->out.cs};
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
    job->past_caches = is_exp && job->out.cs == 1 && 2 * job->n * job->r * size > nnc_cpu_l3();
    job->is_apart = has_out && (job->out.cs != 1 || job->past_caches);
    const ptrdiff_t blocks = threads * (job->Z_is_copied + job->is_apart);
    if (blocks == 0) return NNC_OK;
    job->scratch = nnc_scratch_alloc((size_t)(blocks * job->n * job->width * size));
    return job->scratch ? NNC_OK : NNC_ERR_MEMORY;
}

static nnc_status FN(run_softmax)(FN(softmax) *job) {
    if (job->n < 0 || job->r < 0) return NNC_ERR_SHAPE;
    if (job->r == 0 || (job->n == 0 && job->L == NULL)) return NNC_OK;
    if (job->n == 0) return job->y ? NNC_ERR_LABEL : NNC_ERR_SHAPE;
    /* A stride over one row is never taken, nor one over one example, whose scores are a row if they lie together. */
    if (job->n == 1 && job->r > 1 && job->Z.cs != 1) job->Z.rs = 1;
    if (job->r == 1 && job->Z.rs == 1) job->Z.cs = job->n + 1;
    const ptrdiff_t work = job->n * job->r / KERNELS->lanes;
    const int threads = work < WORK_FOR_THREADS ? 1 : nnc_get_num_threads();
    NNC_TRY(FN(plan)(job, threads));
    if (threads == 1)
        FN(softmax_task)(job, 0, 1);
    else
        nnc_parallel(FN(softmax_task), job, threads, work >= WORK_TO_WAKE);
    nnc_scratch_free(job->scratch);
    return job->bad_label ? NNC_ERR_LABEL : NNC_OK;
}

nnc_status PUBLIC(softmax_forward)(REAL *P, const REAL *Z, ptrdiff_t n, ptrdiff_t r, ptrdiff_t P_rs, ptrdiff_t P_cs,
                                   ptrdiff_t Z_rs, ptrdiff_t Z_cs) {
    FN(softmax) job = {.finish = PROBABILITY, .n = n, .r = r};
    job.out = (FN(view)){P, P_rs, P_cs}, job.Z = (FN(input)){Z, Z_rs, Z_cs};
    return FN(run_softmax)(&job);
}

nnc_status PUBLIC(log_softmax_forward)(REAL *out, const REAL *Z, ptrdiff_t n, ptrdiff_t r, ptrdiff_t out_rs,
                                       ptrdiff_t out_cs, ptrdiff_t Z_rs, ptrdiff_t Z_cs) {
    FN(softmax) job = {.finish = LOG_PROBABILITY, .n = n, .r = r};
    job.out = (FN(view)){out, out_rs, out_cs}, job.Z = (FN(input)){Z, Z_rs, Z_cs};
    return FN(run_softmax)(&job);
}

/* P = softmax(Z) (softmax_forward): dP_k/dz_l = P_k (delta_kl - P_l), so dZ = P * (dP - sum_k dP_k P_k) */
nnc_status PUBLIC(softmax_backward)(REAL *dZ, const REAL *dP, const REAL *P, ptrdiff_t n, ptrdiff_t r, ptrdiff_t dZ_rs,
                                    ptrdiff_t dZ_cs, ptrdiff_t dP_rs, ptrdiff_t dP_cs, ptrdiff_t P_rs, ptrdiff_t P_cs) {
    if (n < 0 || r < 0) return NNC_ERR_SHAPE;
    for (ptrdiff_t i0 = 0; i0 < r; i0 += WIDEST) {
        const ptrdiff_t w = r - i0 < WIDEST ? r - i0 : WIDEST;
        REAL dot[WIDEST] = {0};
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t i = 0; i < w; i++)
                dot[i] += dP[k * dP_rs + (i0 + i) * dP_cs] * P[k * P_rs + (i0 + i) * P_cs];
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t i = 0; i < w; i++)
                dZ[k * dZ_rs + (i0 + i) * dZ_cs] =
                    P[k * P_rs + (i0 + i) * P_cs] * (dP[k * dP_rs + (i0 + i) * dP_cs] - dot[i]);
    }
    return NNC_OK;
}

nnc_status PUBLIC(softmax_cross_entropy_forward)(REAL *L, const REAL *Z, const ptrdiff_t *y, ptrdiff_t n, ptrdiff_t r,
                                                 ptrdiff_t L_s, ptrdiff_t Z_rs, ptrdiff_t Z_cs, ptrdiff_t y_s) {
    FN(softmax) job = {.finish = NOTHING, .L = L, .L_s = L_s, .y = y, .y_s = y_s, .n = n, .r = r};
    job.Z = (FN(input)){Z, Z_rs, Z_cs};
    return FN(run_softmax)(&job);
}

nnc_status PUBLIC(loss_and_probabilities)(REAL *L, REAL *P, const REAL *Z, const ptrdiff_t *y, ptrdiff_t n,
                                          ptrdiff_t r, ptrdiff_t L_s, ptrdiff_t P_rs, ptrdiff_t P_cs, ptrdiff_t Z_rs,
                                          ptrdiff_t Z_cs, ptrdiff_t y_s) {
    FN(softmax) job = {.finish = PROBABILITY, .L = L, .L_s = L_s, .y = y, .y_s = y_s, .n = n, .r = r};
    job.out = (FN(view)){P, P_rs, P_cs}, job.Z = (FN(input)){Z, Z_rs, Z_cs};
    return FN(run_softmax)(&job);
}

nnc_status PUBLIC(softmax_cross_entropy_targets_forward)(REAL *L, const REAL *Z, const REAL *Y, ptrdiff_t n,
                                                         ptrdiff_t r, ptrdiff_t L_s, ptrdiff_t Z_rs, ptrdiff_t Z_cs,
                                                         ptrdiff_t Y_rs, ptrdiff_t Y_cs) {
    FN(softmax) job = {.finish = NOTHING, .L = L, .L_s = L_s, .Y = {Y, Y_rs, Y_cs}, .n = n, .r = r};
    job.Z = (FN(input)){Z, Z_rs, Z_cs};
    return FN(run_softmax)(&job);
}

/* L = ln sum_j e^{z_j} - z_K (softmax_cross_entropy_forward), so dL/dz_i = P_i - delta_iK (eq. 10.1) */
nnc_status PUBLIC(softmax_cross_entropy_backward)(REAL *dZ, const REAL *dL, const REAL *Z, const ptrdiff_t *y,
                                                  ptrdiff_t n, ptrdiff_t r, ptrdiff_t dZ_rs, ptrdiff_t dZ_cs,
                                                  ptrdiff_t dL_s, ptrdiff_t Z_rs, ptrdiff_t Z_cs, ptrdiff_t y_s) {
    FN(softmax) job = {.finish = GRADIENT, .y = y, .y_s = y_s, .dL = dL, .dL_s = dL_s, .n = n, .r = r};
    job.out = (FN(view)){dZ, dZ_rs, dZ_cs}, job.Z = (FN(input)){Z, Z_rs, Z_cs};
    return FN(run_softmax)(&job);
}

nnc_status PUBLIC(softmax_cross_entropy_targets_backward)(REAL *dZ, const REAL *dL, const REAL *Z, const REAL *Y,
                                                          ptrdiff_t n, ptrdiff_t r, ptrdiff_t dZ_rs, ptrdiff_t dZ_cs,
                                                          ptrdiff_t dL_s, ptrdiff_t Z_rs, ptrdiff_t Z_cs,
                                                          ptrdiff_t Y_rs, ptrdiff_t Y_cs) {
    FN(softmax) job = {.finish = GRADIENT, .Y = {Y, Y_rs, Y_cs}, .dL = dL, .dL_s = dL_s, .n = n, .r = r};
    job.out = (FN(view)){dZ, dZ_rs, dZ_cs}, job.Z = (FN(input)){Z, Z_rs, Z_cs};
    return FN(run_softmax)(&job);
}

#endif
