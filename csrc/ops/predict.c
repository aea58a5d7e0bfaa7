/* predict.c - the probabilities of many examples: forward in chunks, each thread with chunks and panels of its own. */
#ifndef NNC_TEMPLATE
#include "loss.h"
#include "mlp.h"

#include <stdatomic.h>
#include <string.h>

enum {
    CHUNK = 128,
    LINE = 64,
    FLOP_FOR_THREADS = 1 << 20,
    FLOP_TO_WAKE = 1 << 24
};

#define NNC_TEMPLATE "ops/predict.c"
#include "../each_dtype.inc"
#else

typedef struct FN(prediction) {
    const PUBLIC(mlp) *net;
    const nnc_examples *X;
    REAL *P;
    ptrdiff_t P_rs, P_cs;
    atomic_int failed;
} FN(prediction);

static nnc_status FN(predict_range)(const FN(prediction) *job, ptrdiff_t begin, ptrdiff_t end) {
    const PUBLIC(mlp) *net = job->net;
    const ptrdiff_t unit = LINE / (ptrdiff_t)sizeof(REAL), m = job->X->m, layers = net->layers;
    const ptrdiff_t count = end - begin, width = count < CHUNK ? (count + unit - 1) / unit * unit : CHUNK;
    FN(pass) pass = {.net = net, .k = KERNELS, .X = FN(nnc_pass_source)(net, job->X), .ld = width};
    ptrdiff_t widest = 0;
    pass.rows_ld = (m + unit - 1) / unit * unit;
    for (ptrdiff_t l = 1; l <= layers; l++)
        widest = net->sizes[l] > widest ? net->sizes[l] : widest;

    /* X twice, and two panels that the layers take in turn */
    const ptrdiff_t numbers = width * (pass.rows_ld + m + 2 * widest);
    REAL **A = nnc_scratch_alloc((size_t)layers * sizeof *A);
    REAL *rows = nnc_scratch_alloc((size_t)numbers * sizeof(REAL));
    if (A && rows) {
        REAL *panel = rows + width * pass.rows_ld, *turns = panel + width * m;
        /* The activations run over whole lines: what lies past the last example must be a number, or flags may rise. */
        if (count < width) memset(turns, 0, (size_t)(2 * width * widest) * sizeof(REAL));
        const FN(input) first = {rows, panel, pass.rows_ld};
        pass.A = A;
        for (ptrdiff_t l = 0; l < layers; l++)
            A[l] = turns + l % 2 * width * widest;
        for (ptrdiff_t i = begin; i < end; i += CHUNK) {
            const ptrdiff_t r = end - i < CHUNK ? end - i : CHUNK;
            FN(nnc_pass_read)(&pass, rows, panel, NULL, i, 0, r);
            for (ptrdiff_t l = 0; l < layers; l++)
                FN(nnc_pass_forward)(&pass, l, l ? (FN(input)){.panel = A[l - 1]} : first, r,
                                     nnc_all_of(net->sizes[l + 1]), nnc_all_of(r));
            const ptrdiff_t n = net->sizes[layers];
            FN(nnc_loss_output)(pass.k, net->loss, (PUBLIC(matrix)){job->P + i * job->P_cs, n, r, job->P_rs, job->P_cs},
                                (PUBLIC(matrix)){A[layers - 1], n, r, width, 1});
        }
    }
    const nnc_status status = A && rows ? NNC_OK : NNC_ERR_MEMORY;
    nnc_scratch_free(rows);
    nnc_scratch_free(A);
    return status;
}

static void FN(predict_task)(void *arg, int thread, int threads) {
    FN(prediction) *job = arg;
    const ptrdiff_t begin = nnc_share(job->X->r, CHUNK, thread, threads);
    const ptrdiff_t end = nnc_share(job->X->r, CHUNK, thread + 1, threads);
    if (begin < end && FN(predict_range)(job, begin, end) != NNC_OK) atomic_store(&job->failed, 1);
}

nnc_status PUBLIC(mlp_predict)(REAL *P, const PUBLIC(mlp) *net, const nnc_examples *X, ptrdiff_t P_rs, ptrdiff_t P_cs) {
    NNC_TRY(FN(nnc_pass_check)(net, X));
    FN(prediction) job = {.net = net, .X = X, .P = P, .P_rs = P_rs, .P_cs = P_cs};
    double flop = 0;
    for (ptrdiff_t l = 0; l < net->layers; l++)
        flop += 2.0 * (double)net->sizes[l] * (double)net->sizes[l + 1] * (double)X->r;
    if (flop < FLOP_FOR_THREADS)
        FN(predict_task)(&job, 0, 1);
    else
        nnc_parallel(FN(predict_task), &job, nnc_get_num_threads(), flop >= FLOP_TO_WAKE);
    return atomic_load(&job.failed) ? NNC_ERR_MEMORY : NNC_OK;
}

#endif
