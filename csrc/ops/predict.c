/* predict.c - the probabilities of many examples: forward in chunks, each thread with chunks and panels of its own.
 * Threads share a single chunk by its examples, too, and a few examples, or fewer chunks than threads, by the units of
 * each layer. */
#ifndef NNC_TEMPLATE
#include "loss.h"
#include "mlp.h"

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
    PUBLIC(matrix) P;
    ptrdiff_t width, rows_ld, widest; /* of a chunk, of a row of X, of the widest layer */
    char *scratch;                    /* for each thread `share` bytes: the panels, then a pointer for each layer */
    ptrdiff_t share;
    ptrdiff_t piece; /* examples at a time: a chunk, or a thread's share of the only one */
    int by_units; /* the threads share the units of each layer */
} FN(prediction);

/* A layer for r examples */
typedef struct FN(layer) {
    const FN(pass) *pass;
    FN(input) input;
    ptrdiff_t l, r, chunk; /* examples; those of the whole chunk, which decide on the kernel */
} FN(layer);

static void FN(layer_task)(void *arg, int thread, int threads) {
    const FN(layer) *layer = arg;
    const nnc_range mine = nnc_share_of(layer->pass->net->sizes[layer->l + 1], 1, thread, threads);
    FN(nnc_pass_forward)(layer->pass, layer->l, layer->input, layer->chunk, mine, nnc_all_of(layer->r));
}

static void FN(predict_layer)(const FN(prediction) *job, FN(layer) layer) {
    const ptrdiff_t *sizes = job->net->sizes + layer.l;
    const double flop = 2.0 * (double)sizes[0] * (double)sizes[1] * (double)layer.r;
    if (job->by_units && flop >= FLOP_FOR_THREADS)
        nnc_parallel(FN(layer_task), &layer, nnc_get_num_threads(), flop >= FLOP_TO_WAKE);
    else
        FN(layer_task)(&layer, 0, 1);
}

static void FN(predict_task)(void *arg, int thread, int threads) {
    const FN(prediction) *job = arg;
    const PUBLIC(mlp) *net = job->net;
    const ptrdiff_t m = job->X->m, layers = net->layers, n = net->sizes[layers], width = job->width;
    const nnc_range mine = nnc_share_of(job->X->r, job->piece, thread, threads);
    FN(pass) pass = {.net = net, .k = KERNELS, .X = FN(nnc_pass_source)(net, job->X)};
    pass.ld = width, pass.rows_ld = job->rows_ld;
    pass.few = FN(nnc_pass_few)(pass.k);

    /* X twice, and two panels that the layers take in turn */
    REAL *rows = (REAL *)(job->scratch + thread * job->share), *panel = rows + width * job->rows_ld;
    REAL *turns = panel + width * m, **A = (REAL **)(turns + 2 * width * job->widest);
    pass.A = A;
    for (ptrdiff_t l = 0; l < layers; l++)
        A[l] = turns + l % 2 * width * job->widest;
    /* The activations run over whole lines: what lies past the last example must be a number, or flags may rise. */
    if (mine.end - mine.begin < width) memset(turns, 0, (size_t)(2 * width * job->widest) * sizeof(REAL));
    const FN(input) first = {rows, panel, job->rows_ld};
    for (ptrdiff_t i = mine.begin; i < mine.end; i += job->piece) {
        const ptrdiff_t r = mine.end - i < job->piece ? mine.end - i : job->piece;
        const ptrdiff_t left = job->X->r - i, chunk = job->piece == CHUNK ? (left < CHUNK ? left : CHUNK) : job->X->r;
        if (chunk <= pass.few)
            pass.k->read_rows(rows, &pass.X, i, r, job->rows_ld);
        else
            FN(nnc_pass_read)(&pass, rows, panel, NULL, i, 0, r);
        for (ptrdiff_t l = 0; l < layers; l++)
            FN(predict_layer)(job, (FN(layer)){&pass, l ? (FN(input)){.panel = A[l - 1]} : first, l, r, chunk});
        const PUBLIC(matrix) P = {FN(at)(job->P, 0, i), n, r, job->P.rs, job->P.cs};
        FN(nnc_loss_output)(pass.k, net->loss, P, (PUBLIC(matrix)){A[layers - 1], n, r, width, 1});
    }
}

/* The memory of all threads is allocated before the first begins, so that P is written whole or not at all. */
nnc_status PUBLIC(mlp_predict)(PUBLIC(matrix) P, const PUBLIC(mlp) *net, const nnc_examples *X) {
    NNC_TRY(FN(nnc_pass_check)(net, X));
    if (!FN(is_shape)(P, net->sizes[net->layers], X->r)) return NNC_ERR_SHAPE;
    FN(prediction) job = {.net = net, .X = X, .P = P};
    double flop = 0;
    for (ptrdiff_t l = 0; l < net->layers; l++) {
        flop += 2.0 * (double)net->sizes[l] * (double)net->sizes[l + 1] * (double)X->r;
        job.widest = net->sizes[l + 1] > job.widest ? net->sizes[l + 1] : job.widest;
    }
    const ptrdiff_t unit = LINE / (ptrdiff_t)sizeof(REAL), chunks = (X->r + CHUNK - 1) / CHUNK;
    int threads = flop < FLOP_FOR_THREADS ? 1 : nnc_get_num_threads();
    const int by_examples = threads > chunks && chunks == 1 && X->r > FN(nnc_pass_few)(KERNELS);
    job.by_units = threads > chunks && !by_examples;
    job.piece = by_examples ? (X->r + threads * unit - 1) / (threads * unit) * unit : CHUNK;
    if (job.by_units) threads = 1;
    job.width = X->r < job.piece ? (X->r + unit - 1) / unit * unit : job.piece;
    job.rows_ld = (X->m + unit - 1) / unit * unit;
    const ptrdiff_t pointers = (net->layers * (ptrdiff_t)sizeof(REAL *) + LINE - 1) / LINE * LINE;
    job.share = job.width * (job.rows_ld + X->m + 2 * job.widest) * (ptrdiff_t)sizeof(REAL) + pointers;
    job.scratch = nnc_scratch_alloc((size_t)(threads * job.share));
    if (job.scratch == NULL) return NNC_ERR_MEMORY;
    if (threads == 1)
        FN(predict_task)(&job, 0, 1);
    else
        nnc_parallel(FN(predict_task), &job, threads, flop >= FLOP_TO_WAKE);
    nnc_scratch_free(job.scratch);
    return NNC_OK;
}

#endif
