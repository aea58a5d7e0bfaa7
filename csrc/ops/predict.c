/* predict.c - the probabilities of many examples: forward in chunks, each thread with its own chunks and panels.
 * Threads share a single chunk by its examples, too, and where there are too few of them, or fewer chunks than threads,
 * by the units of each layer. Then each reads all examples for itself: to take them from another core's cache takes
 * longer (8 images by 784-200-10, two threads: 1.55 times as long). */
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
    ptrdiff_t width, rows_ld, widest; /* of a chunk, of a row of X, of the widest layer in whole lines */
    char *scratch;                    /* for each thread `share` bytes: the panels, then a pointer for each layer */
    ptrdiff_t share;
    ptrdiff_t piece; /* examples at a time: a chunk, or a thread's share of the only one */
    int by_units, threads; /* so many share the units of each layer */
} FN(prediction);

/* A layer for r examples, from the `first` on */
typedef struct FN(layer) {
    const FN(prediction) *job;
    const FN(pass) *pass;
    char *scratch; /* of the thread that has this chunk, and after it of those that share it */
    ptrdiff_t l, first, r, chunk; /* `chunk`: examples of the whole one, which decide on the kernel */
} FN(layer);

/* As many examples as go through few_units: where a register has 16 numbers 24, of which 9, 16 and 24 are predicted in
 * 0.61, 0.74 and 0.84 of the time (784-200-10, one thread). */
static ptrdiff_t FN(few)(const FN(kernels) *k) { return k->lanes >= 16 ? k->lanes * 3 / 2 : FN(nnc_pass_few)(k); }

/* These units of a layer for a few examples. The sums run along the rows of W and of the input, for a register along
 * the examples would be mostly empty. Z has a row for each example, too, but of the last layer one for each unit. That
 * all layers go so, not the first alone, takes 0.86 of the time for one image by 784-200-10. */
static void FN(few_units)(const FN(layer) *layer, const REAL *rows, ptrdiff_t rows_ld, nnc_range units) {
    const FN(pass) *pass = layer->pass;
    const PUBLIC(mlp) *net = pass->net;
    const ptrdiff_t l = layer->l, r = layer->r, m = net->sizes[l], n = units.end - units.begin;
    const int last = l == net->layers - 1;
    const ptrdiff_t z_rs = last ? pass->ld : 1, z_cs = last ? 1 : layer->job->widest;
    REAL *Z = pass->A[l] + units.begin * z_rs;
    const REAL *b = net->b[l] + units.begin;
    FN(elementwise) *const activate = last ? NULL : pass->k->activations[net->activation[l]].forward;
    for (ptrdiff_t j = 0; j < r; j++)
        if (last)
            for (ptrdiff_t i = 0; i < n; i++) Z[i * z_rs + j * z_cs] = b[i];
        else
            memcpy(Z + j * z_cs, b, (size_t)n * sizeof(REAL));
    pass->k->gemm_few(Z, net->W[l] + units.begin * m, rows, n, m, r, z_rs, z_cs, m, rows_ld, 1);
    for (ptrdiff_t j = 0; activate && j < r; j++)
        activate(Z + j * z_cs, Z + j * z_cs, NULL, &net->slope, n, 0);
}

static void FN(layer_task)(void *arg, int thread, int threads) {
    const FN(layer) *layer = arg;
    const FN(prediction) *job = layer->job;
    const FN(pass) *pass = layer->pass;
    const ptrdiff_t l = layer->l, r = layer->r;
    /* The caller, thread 0, begins first. It takes the last share, which is the largest where they are not even: 8 and
     * 16 images by 784-200-10 take 0.95 to 0.97 of the time. */
    const ptrdiff_t unit = LINE / (ptrdiff_t)sizeof(REAL);
    const nnc_range mine = nnc_share_of(pass->net->sizes[l + 1], unit, threads - 1 - thread, threads);
    if (mine.begin >= mine.end) return;
    const int few = layer->chunk <= pass->few;
    REAL *rows = (REAL *)(layer->scratch + thread * job->share), *panel = rows + job->width * job->rows_ld;
    if (l == 0 && few)
        pass->k->read_rows(rows, &pass->X, layer->first, r, job->rows_ld);
    else if (l == 0)
        pass->k->read_panel(rows, panel, &pass->X, layer->first, r, job->rows_ld, job->width);
    if (few)
        FN(few_units)(layer, l ? pass->A[l - 1] : rows, l ? job->widest : job->rows_ld, mine);
    else
        FN(nnc_pass_forward)(pass, l, (FN(input)){.panel = l ? pass->A[l - 1] : panel}, layer->chunk, mine,
                             nnc_all_of(r));
}

static void FN(predict_layer)(const FN(prediction) *job, FN(layer) layer) {
    const ptrdiff_t *sizes = job->net->sizes + layer.l;
    const double flop = 2.0 * (double)sizes[0] * (double)sizes[1] * (double)layer.r;
    if (job->by_units && flop >= FLOP_FOR_THREADS)
        nnc_parallel(FN(layer_task), &layer, job->threads, flop >= FLOP_TO_WAKE);
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
    pass.few = FN(few)(pass.k);

    /* X as rows and as a panel, and two panels between which the layers alternate */
    char *scratch = job->scratch + thread * job->share;
    REAL *outputs = (REAL *)scratch + width * (job->rows_ld + m), **A = (REAL **)(outputs + 2 * width * job->widest);
    pass.A = A;
    for (ptrdiff_t l = 0; l < layers; l++)
        A[l] = outputs + l % 2 * width * job->widest;
    for (ptrdiff_t i = mine.begin; i < mine.end; i += job->piece) {
        const ptrdiff_t r = mine.end - i < job->piece ? mine.end - i : job->piece;
        const ptrdiff_t left = job->X->r - i, chunk = job->piece == CHUNK ? (left < CHUNK ? left : CHUNK) : job->X->r;
        /* The activations run over whole lines: what lies past the last example must be a number, or flags may rise. */
        if (i == mine.begin && r < width && chunk > pass.few)
            memset(outputs, 0, (size_t)(2 * width * job->widest) * sizeof(REAL));
        for (ptrdiff_t l = 0; l < layers; l++)
            FN(predict_layer)(job, (FN(layer)){job, &pass, scratch, l, i, r, chunk});
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
    /* Two lines of examples for each thread, or by units: 16, 32 and 48 images take 0.66, 0.80 and 0.91 of the time so,
     * and 64 images 1.06 times as long (784-200-10, two threads). A line of units for each thread, or by examples. */
    const int are_many = X->r > (2 * threads - 1) * unit || (job.widest < threads * unit && X->r > FN(few)(KERNELS));
    const int by_examples = threads > chunks && chunks == 1 && are_many;
    job.widest = (job.widest + unit - 1) / unit * unit;
    job.by_units = threads > chunks && !by_examples;
    job.piece = by_examples ? (X->r + threads * unit - 1) / (threads * unit) * unit : CHUNK;
    job.threads = threads;
    if (job.by_units) threads = 1;
    job.width = X->r < job.piece ? (X->r + unit - 1) / unit * unit : job.piece;
    job.rows_ld = (X->m + unit - 1) / unit * unit;
    const ptrdiff_t pointers = (net->layers * (ptrdiff_t)sizeof(REAL *) + LINE - 1) / LINE * LINE;
    job.share = job.width * (job.rows_ld + X->m + 2 * job.widest) * (ptrdiff_t)sizeof(REAL) + pointers;
    job.scratch = nnc_scratch_alloc((size_t)(job.threads * job.share));
    if (job.scratch == NULL) return NNC_ERR_MEMORY;
    if (threads == 1)
        FN(predict_task)(&job, 0, 1);
    else
        nnc_parallel(FN(predict_task), &job, threads, flop >= FLOP_TO_WAKE);
    nnc_scratch_free(job.scratch);
    return NNC_OK;
}

#endif
