/* softmax.c - softmax and cross-entropy (eqs. 4.2, 5.1, 5.2, 10.1) over the columns of Z (n, r): n classes, r examples.
 *
 * All of them begin with the same two numbers of each example, its largest score and the sum of e^{z - largest}, and
 * differ in what they compute from them. Examples are taken a block at a time, as many as leave their scores in the
 * cache for the second pass; a block that does not lie in columns (or as rows) is copied into columns first.
 * Exponentials of which the quotients go to memory directly are kept in a separate block. */
#ifndef NNC_TEMPLATE
#include "ops.h"

enum {
    WIDEST = 512, /* examples in a block */
    NARROWEST = 1024, /* bytes in a row of it: what is shorter has to be waited for */
    STEP = 64, /* of its width */
    LINE = 64, /* bytes of a cache line */
    WORK_FOR_THREADS = 1 << 11, /* registers of scores, which take the same time for either dtype */
    WORK_TO_WAKE = 1 << 14,
    MANY_LINES = 16 /* in a row, for which it pays to peel the first examples off, up to the next line */
};

typedef enum finish {
    PROBABILITY,
    LOG_PROBABILITY,
    GRADIENT,
    NOTHING /* but the losses, which PROBABILITY may compute as well */
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
static void FN(losses)(FN(softmax) *task, ptrdiff_t i0, ptrdiff_t w, const REAL *max, const REAL *log_sum) {
    for (ptrdiff_t i = 0; i < w; i++) {
        const REAL *z = FN(at)(task->Z, 0, i0 + i);
        REAL L = 0;
        if (task->y.data) {
            const ptrdiff_t K = task->y.data[(i0 + i) * task->y.stride];
            const int good = K >= 0 && K < task->n;
            if (!good) task->bad_label = 1;
            L = good ? log_sum[i] - (z[K * task->Z.rs] - max[i]) : FN(not_a_number)();
        } else
            for (ptrdiff_t k = 0; k < task->n; k++) {
                const REAL y = *FN(at)(task->Y, k, i0 + i);
                if (y != 0) L += y * (log_sum[i] - (z[k * task->Z.rs] - max[i]));
            }
        *FN(at)(task->L, 0, i0 + i) = L;
    }
}

/* dZ = P dL is there already; now - Y dL (eq. 10.1) */
static void FN(subtract_labels)(FN(softmax) *task, ptrdiff_t i0, ptrdiff_t w) {
    for (ptrdiff_t i = i0; i < i0 + w; i++) {
        REAL *dZ = FN(at)(task->out, 0, i);
        const REAL dL = *FN(at)(task->dL, 0, i);
        if (task->y.data) {
            const ptrdiff_t K = task->y.data[i * task->y.stride];
            if (K >= 0 && K < task->n) {
                dZ[K * task->out.rs] -= dL;
                continue;
            }
            task->bad_label = 1;
            for (ptrdiff_t k = 0; k < task->n; k++)
                dZ[k * task->out.rs] = FN(not_a_number)();
        } else
            for (ptrdiff_t k = 0; k < task->n; k++)
                dZ[k * task->out.rs] -= *FN(at)(task->Y, k, i) * dL;
    }
}

/* Examples i0 .. i0 + w as columns */
static void FN(columns)(FN(softmax) *task, ptrdiff_t i0, ptrdiff_t w, REAL *scratch) {
    const FN(kernels) *kernels = KERNELS;
    const ptrdiff_t n = task->n;
    REAL max[WIDEST], sum[WIDEST], log_sum[WIDEST];
    PUBLIC(matrix) Z = task->Z, out = task->out, E;
    Z.data += i0 * Z.cs;
    if (task->finish != NOTHING) out.data += i0 * out.cs;
    E = out;
    if (task->Z_is_copied) {
        const PUBLIC(matrix) copy = PUBLIC(rows)(scratch, n, w);
        FN(copy_columns)(copy, Z, w);
        Z = copy;
    }
    if (task->is_apart) E = PUBLIC(rows)(scratch + task->Z_is_copied * n * task->width, n, w);

    const int keep = task->finish == PROBABILITY || task->finish == GRADIENT;
    kernels->columns_exp_sum(keep ? E.data : NULL, max, sum, Z.data, n, w, E.rs, Z.rs);
    if (task->L.data || task->finish == LOG_PROBABILITY) kernels->log_forward(log_sum, sum, NULL, NULL, w, 0);
    if (task->L.data) FN(losses)(task, i0, w, max, log_sum);
    if (keep) {
        for (ptrdiff_t i = 0; i < w; i++)
            sum[i] = (task->finish == GRADIENT ? *FN(at)(task->dL, 0, i0 + i) : 1) / sum[i];
        const PUBLIC(matrix) to = out.cs == 1 ? out : E;
        kernels->columns_scale(to.data, E.data, sum, n, w, to.rs, E.rs, task->nontemporal);
    } else if (task->finish == LOG_PROBABILITY)
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t i = 0; i < w; i++)
                E.data[k * E.rs + i] = (Z.data[k * Z.rs + i] - max[i]) - log_sum[i];

    if (task->is_apart && !task->nontemporal) FN(copy_columns)(out, E, w);
    if (task->finish == GRADIENT) FN(subtract_labels)(task, i0, w);
}

/* One example whose scores, and whose results, are contiguous */
static void FN(row)(FN(softmax) *task, ptrdiff_t i) {
    const FN(kernels) *kernels = KERNELS;
    const REAL *z = FN(at)(task->Z, 0, i);
    REAL *out = task->finish == NOTHING ? NULL : FN(at)(task->out, 0, i), max, sum, log_sum;
    const int keep = task->finish == PROBABILITY || task->finish == GRADIENT;
    kernels->row_exp_sum(keep ? out : NULL, &max, &sum, z, task->n);
    if (task->L.data || task->finish == LOG_PROBABILITY) kernels->log_forward(&log_sum, &sum, NULL, NULL, 1, 0);
    if (task->L.data) FN(losses)(task, i, 1, &max, &log_sum);
    if (keep)
        kernels->row_scale(out, (task->finish == GRADIENT ? *FN(at)(task->dL, 0, i) : 1) / sum, task->n);
    else if (task->finish == LOG_PROBABILITY)
        for (ptrdiff_t k = 0; k < task->n; k++)
            out[k] = (z[k] - max) - log_sum;
    if (task->finish == GRADIENT) FN(subtract_labels)(task, i, 1);
}

static int FN(as_rows)(const FN(softmax) *task) {
    return task->Z.rs == 1 && task->Z.cs != 1 && (task->finish == NOTHING || task->out.rs == 1);
}

/* How many numbers after the start of a cache line all rows begin; 0 where they differ, or are short. A load or a store
 * across two lines takes the time of two, and two threads that write into one wait for each other. */
static ptrdiff_t FN(offset_to_line)(const FN(softmax) *task, ptrdiff_t line) {
    const PUBLIC(matrix) rows = task->finish == NOTHING ? task->Z : task->out;
    if (rows.cs != 1 || rows.rs % line != 0 || task->r < MANY_LINES * line) return 0;
    return (ptrdiff_t)((uintptr_t)rows.data / sizeof(REAL)) % line;
}

static void FN(softmax_task)(void *arg, int thread, int threads) {
    FN(softmax) *task = arg;
    const ptrdiff_t line = LINE / (ptrdiff_t)sizeof(REAL), offset = FN(offset_to_line)(task, line);
    const ptrdiff_t peeled = thread == 0 && offset ? line - offset : 0;
    const ptrdiff_t begin = thread == 0 ? 0 : nnc_share(offset + task->r, line, thread, threads) - offset;
    const ptrdiff_t end = nnc_share(offset + task->r, line, thread + 1, threads) - offset;
    if (FN(as_rows)(task)) {
        for (ptrdiff_t i = begin; i < end; i++)
            FN(row)(task, i);
        return;
    }
    REAL *scratch = task->scratch;
    if (scratch) scratch += thread * (task->Z_is_copied + task->is_apart) * task->n * task->width;
    if (peeled) FN(columns)(task, 0, peeled, scratch);
    for (ptrdiff_t i = begin + peeled; i < end; i += task->width)
        FN(columns)(task, i, end - i < task->width ? end - i : task->width, scratch);
}

/* How wide a block is, and where its intermediate results are kept */
static nnc_status FN(plan)(FN(softmax) *task, int threads) {
    const ptrdiff_t size = (ptrdiff_t)sizeof(REAL), share = task->r / threads + LINE / size;
    task->width = nnc_cpu_l2() / 4 / (task->n * size) / STEP * STEP;
    if (task->width * size < NARROWEST) task->width = NARROWEST / size;
    if (task->width > WIDEST) task->width = WIDEST;
    if (task->width > share) task->width = share;
    if (FN(as_rows)(task)) return NNC_OK;
    const int has_out = task->finish != NOTHING, is_exp = has_out && task->finish != LOG_PROBABILITY;
    task->Z_is_copied = task->Z.cs != 1;
    task->nontemporal = is_exp && task->out.cs == 1 && 2 * task->n * task->r * size > nnc_cpu_l3();
    task->is_apart = has_out && (task->out.cs != 1 || task->nontemporal);
    const ptrdiff_t blocks = threads * (task->Z_is_copied + task->is_apart);
    if (blocks == 0) return NNC_OK;
    task->scratch = nnc_scratch_alloc((size_t)(blocks * task->n * task->width * size));
    return task->scratch ? NNC_OK : NNC_ERR_MEMORY;
}

static nnc_status FN(run_softmax)(FN(softmax) task) {
    const ptrdiff_t n = task.n = task.Z.rows, r = task.r = task.Z.cols;
    const int wrong = !FN(is_shape)(task.Z, n, r) ||
                      (task.finish != NOTHING && !FN(is_shape)(task.out, n, r)) ||
                      (task.L.data && !FN(is_shape)(task.L, 1, r)) ||
                      (task.finish == GRADIENT && !FN(is_shape)(task.dL, 1, r)) ||
                      (task.y.data && task.y.count != r) ||
                      (task.Y.data && !FN(is_shape)(task.Y, n, r));
    if (wrong) return NNC_ERR_SHAPE;
    if (r == 0 || (n == 0 && task.L.data == NULL)) return NNC_OK;
    if (n == 0) return task.y.data ? NNC_ERR_LABEL : NNC_ERR_SHAPE;
    /* A stride over one row is never taken, nor one over one example, whose scores are a row if they are contiguous. */
    if (n == 1 && r > 1 && task.Z.cs != 1) task.Z.rs = 1;
    if (r == 1 && task.Z.rs == 1) task.Z.cs = n + 1;
    const ptrdiff_t work = n * r / KERNELS->lanes;
    const int threads = work < WORK_FOR_THREADS ? 1 : nnc_get_num_threads();
    NNC_TRY(FN(plan)(&task, threads));
    if (threads == 1)
        FN(softmax_task)(&task, 0, 1);
    else
        nnc_parallel(FN(softmax_task), &task, threads, work >= WORK_TO_WAKE);
    nnc_scratch_free(task.scratch);
    return task.bad_label ? NNC_ERR_LABEL : NNC_OK;
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
