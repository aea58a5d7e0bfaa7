/* fit.c - training: epochs of shuffled batches, each a step of mlp.c, on as many threads as the work is worth.
 *
 * A batch goes through in chunks of at most CHUNK examples, so that its panels stay in the cache whatever its size, and
 * so that a wish to stop is heard soon. While the products of one chunk run, the examples of the next come from main
 * memory into the cache; they are read at the end of the step, into a buffer that nobody uses any more. */
#ifndef NNC_TEMPLATE
#include "mlp.h"
#include "subnormals.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 128,
    LINE = 64,
    EACH_READS = 2, /* so many threads, at most, read all examples, each for itself (reading) */
    FLOP_FOR_THREADS = 1 << 19,
    STEPS_A_LOOK = 32, /* at the clock, which takes as long as a good part of a small network's step */
    POLL_NS = 20000000
};

/* Numbers in no visible order, 64 bits each, from a state of 64 bits that counts up (the finaliser of splitmix64). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Fisher and Yates: every order is as likely as any other, but for less than count in 2^32. */
static void shuffle(uint32_t *order, ptrdiff_t count, uint64_t *state) {
    for (ptrdiff_t i = count - 1; i > 0; i--) {
        const uint64_t j = ((next_random(state) >> 32) * (uint64_t)(i + 1)) >> 32;
        const uint32_t swap = order[i];
        order[i] = order[j], order[j] = swap;
    }
}

#define NNC_TEMPLATE "ops/fit.c"
#include "../each_dtype.inc"
#else

/* Examples are shared in whole lines, so that no two threads write to one line of a panel. */
#define SHARE(r, thread) nnc_share(r, LINE / (ptrdiff_t)sizeof(REAL), thread, threads)

struct PUBLIC(fit) {
    PUBLIC(mlp) net;
    nnc_examples X;
    nnc_fit_options options;
    FN(pass) pass;
    void *memory;    /* all that is below, in one piece */
    uint32_t *order; /* (r) the examples of an epoch */
    uint64_t random;
    ptrdiff_t *y; /* (r) labels, or NULL */
    REAL *Y;      /* (r, n) targets, example by example */
    ptrdiff_t chunk;
    double flop; /* of a step, about: 2 for each number of W and each example, in each of three products */
    REAL *rows[2], *panel[2]; /* X of a chunk, in two buffers (reading) */
    const char **next[2];     /* where each example of the next chunk begins */
    /* Of each hidden layer, A example by example: (chunk, units). A thread's units are in one, those of the next in the
     * other, so that no line belongs to both. */
    REAL **A_rows[2];
    ptrdiff_t *A_rows_ld;
    REAL *most, *sum, *L;     /* of each example of the chunk */
    double loss;
    int unlooked; /* steps since the last look at the clock */
    int64_t polled;
    int stop; /* written by thread 0 before a meeting, read by all after it */
    nnc_barrier barrier;
    unsigned subnormals; /* what the caller does about them */
};

/* What an epoch needs to know of a chunk: examples begin .. begin + r of the order, of a batch of batch_r. */
typedef struct FN(chunk) {
    ptrdiff_t begin, r, batch_r;
    int first, last;
} FN(chunk);

static FN(chunk) FN(chunk_at)(const PUBLIC(fit) *fit, ptrdiff_t begin) {
    const ptrdiff_t B = fit->options.batch_size, batch = begin / B * B;
    const ptrdiff_t batch_end = fit->X.r - batch < B ? fit->X.r : batch + B;
    const ptrdiff_t r = batch_end - begin < fit->chunk ? batch_end - begin : fit->chunk;
    return (FN(chunk)){begin, r, batch_end - batch, begin == batch, begin + r == batch_end};
}

/* Columns j0 .. j1 of the last layer: Z becomes dZ = (P - Y) dL (eq. 10.1), L the losses (eq. 5.2). */
static void FN(loss_and_gradient)(PUBLIC(fit) *fit, FN(chunk) c, ptrdiff_t j0, ptrdiff_t j1) {
    const FN(kernels) *k = fit->pass.k;
    const ptrdiff_t last = fit->net.layers - 1, n = fit->net.sizes[last + 1], ld = fit->pass.ld;
    const REAL *Z = fit->pass.A[last];
    REAL *dZ = fit->pass.dZ[last], *most = fit->most, *sum = fit->sum, *L = fit->L;
    const REAL dL = (REAL)((fit->pass.fused ? -fit->options.lr : 1) / (double)c.batch_r);
    if (j1 <= j0) return;
    k->columns_exp_sum(dZ + j0, most + j0, sum + j0, Z + j0, n, j1 - j0, ld, ld);
    k->log_forward(L + j0, sum + j0, NULL, NULL, j1 - j0, 0);
    for (ptrdiff_t j = j0; j < j1; j++)
        sum[j] = dL / sum[j];
    k->columns_scale(dZ + j0, dZ + j0, sum + j0, n, j1 - j0, ld, ld, 0);
    for (ptrdiff_t j = j0; j < j1; j++) {
        const ptrdiff_t which = fit->order[c.begin + j];
        const REAL log_sum = L[j];
        if (fit->y) {
            const ptrdiff_t K = fit->y[which];
            L[j] = log_sum - (Z[K * ld + j] - most[j]);
            dZ[K * ld + j] -= dL;
        } else {
            const REAL *target = fit->Y + which * n;
            L[j] = 0;
            for (ptrdiff_t i = 0; i < n; i++)
                if (target[i] != 0) {
                    L[j] += target[i] * (log_sum - (Z[i * ld + j] - most[j]));
                    dZ[i * ld + j] -= target[i] * dL;
                }
        }
    }
}

/* Which examples of a chunk a thread reads, and into which buffer. Two threads have a buffer each, and both read all
 * examples: to write where the other one has just been reading takes longer. Three share the reading, and this chunk
 * and the next take the buffers in turn. */
typedef struct FN(reading) {
    int buffer;
    ptrdiff_t begin, end;
} FN(reading);

static FN(reading) FN(reading_after)(int buffer, FN(chunk) c, int thread, int threads) {
    if (threads <= EACH_READS) return (FN(reading)){thread, 0, c.r};
    return (FN(reading)){!buffer, SHARE(c.r, thread), SHARE(c.r, thread + 1)};
}

/* These examples, to be asked for ahead of time; nothing if all there are fit into the cache anyway, or if these would
 * fill more than half of it, and push out what the products need or be pushed out by it. */
static nnc_ahead FN(ask_for)(PUBLIC(fit) *fit, FN(chunk) c, FN(reading) mine) {
    const FN(source) *X = &fit->pass.X;
    const char **next = fit->next[mine.buffer];
    const ptrdiff_t l2 = nnc_cpu_l2(), bytes = (mine.end - mine.begin) * X->bytes;
    if (X->input_stride != 1 || fit->X.r * X->bytes < l2 || bytes > l2 / 2) return (nnc_ahead){0};
    for (ptrdiff_t i = mine.begin; i < mine.end; i++)
        next[i] = X->data + (ptrdiff_t)fit->order[c.begin + i] * X->step;
    return (nnc_ahead){next + mine.begin, mine.end - mine.begin, X->bytes};
}

static void FN(read_chunk)(PUBLIC(fit) *fit, FN(chunk) c, FN(reading) mine) {
    FN(nnc_pass_read)(&fit->pass, fit->rows[mine.buffer], fit->panel[mine.buffer], fit->order + c.begin, 0, mine.begin,
                      mine.end);
}

/* Thread 0 asks now and then whether to go on. */
static void FN(ask)(PUBLIC(fit) *fit) {
    if (fit->flop < FLOP_FOR_THREADS && ++fit->unlooked < STEPS_A_LOOK) return;
    fit->unlooked = 0;
    const int64_t now = nnc_nanoseconds();
    if (now - fit->polled < POLL_NS) return;
    fit->polled = now;
    nnc_restore_subnormals(fit->subnormals); /* this is the caller's own code */
    fit->stop = fit->options.poll(fit->options.poll_arg) != 0;
    nnc_flush_subnormals();
}

/* The chunk *at, whose examples are in *buffer, and on to the next; 0 if thread 0 wished to stop. Only after the loss,
 * between two meetings, do all threads see the same of that wish. */
static int FN(step)(PUBLIC(fit) *fit, FN(chunk) *at, int *buffer, int thread, int threads) {
    const FN(pass) *p = &fit->pass;
    const FN(chunk) c = *at;
    const ptrdiff_t last = fit->net.layers - 1, *sizes = fit->net.sizes;
    const ptrdiff_t unit = LINE / (ptrdiff_t)sizeof(REAL);
    const nnc_range examples = nnc_all_of(c.r), mine = nnc_share_of(c.r, unit, thread, threads);
#define ALL(l) nnc_all_of(sizes[l])
#define MINE(l) nnc_share_of(sizes[l], 1, thread, threads)
    const FN(input) X = {fit->rows[*buffer], fit->panel[*buffer], p->rows_ld};
    for (ptrdiff_t l = 0; l <= last; l++) {
        const FN(input) input = l ? (FN(input)){.panel = p->A[l - 1]} : X;
        if (l == last && threads * unit <= c.r) {
            FN(nnc_pass_forward)(p, l, input, c.r, ALL(l + 1), mine);
        } else {
            FN(nnc_pass_forward)(p, l, input, c.r, MINE(l + 1), examples);
            nnc_barrier_wait(&fit->barrier, threads);
        }
    }
    FN(loss_and_gradient)(fit, c, mine.begin, mine.end);
    nnc_barrier_wait(&fit->barrier, threads);
    if (fit->stop) return 0;
    if (thread == 0) {
        REAL loss;
        p->k->row_sums(&loss, fit->L, 1, c.r, 1, c.r, 0);
        fit->loss += (double)loss;
    }
    for (ptrdiff_t l = last; l > 0; l--) {
        if (l < last) nnc_barrier_wait(&fit->barrier, threads);
        const FN(input) A = {fit->A_rows[thread % 2][l - 1], p->A[l - 1], fit->A_rows_ld[l - 1]};
        FN(nnc_pass_backward)(p, l, c.r, MINE(l));
        FN(nnc_pass_turn)(p, l - 1, fit->A_rows[thread % 2][l - 1], A.rows_ld, c.r, MINE(l));
        FN(nnc_pass_update)(p, l, A, c.r, ALL(l + 1), MINE(l), c.first, c.last, (nnc_ahead){0});
        FN(nnc_pass_update_bias)(p, l, c.r, MINE(l + 1), c.first, c.last);
    }
    const FN(chunk) next = FN(chunk_at)(fit, c.begin + c.r);
    const FN(reading) reading = FN(reading_after)(*buffer, next, thread, threads);
    const nnc_ahead ahead = FN(ask_for)(fit, next, reading);
    FN(nnc_pass_update)(p, 0, X, c.r, MINE(1), ALL(0), c.first, c.last, ahead);
    FN(nnc_pass_update_bias)(p, 0, c.r, MINE(1), c.first, c.last);
    FN(read_chunk)(fit, next, reading);
    *at = next, *buffer = reading.buffer;
    nnc_barrier_wait(&fit->barrier, threads);
#undef ALL
#undef MINE
    return 1;
}

static void FN(epoch_task)(void *arg, int thread, int threads) {
    PUBLIC(fit) *fit = arg;
    if (thread == 0 && fit->options.shuffle) shuffle(fit->order, fit->X.r, &fit->random);
    nnc_barrier_wait(&fit->barrier, threads);
    FN(chunk) c = FN(chunk_at)(fit, 0);
    const FN(reading) mine = FN(reading_after)(1, c, thread, threads);
    int buffer = mine.buffer;
    FN(read_chunk)(fit, c, mine);
    nnc_barrier_wait(&fit->barrier, threads);
    while (c.begin < fit->X.r) {
        if (thread == 0 && fit->options.poll) FN(ask)(fit);
        if (!FN(step)(fit, &c, &buffer, thread, threads)) return;
    }
}

nnc_status PUBLIC(fit_epoch)(PUBLIC(fit) *fit, double *loss) {
    const int threads = fit->flop < FLOP_FOR_THREADS ? 1 : nnc_get_num_threads();
    fit->loss = 0, fit->stop = 0;
    nnc_barrier_init(&fit->barrier);
    fit->subnormals = nnc_flush_subnormals();
    if (threads == 1)
        FN(epoch_task)(fit, 0, 1);
    else
        nnc_parallel(FN(epoch_task), fit, threads, 1);
    nnc_restore_subnormals(fit->subnormals);
    if (fit->stop) return NNC_INTERRUPTED;
    *loss = fit->loss / (double)fit->X.r;
    return NNC_OK;
}

/* All memory of a fit is laid out twice by one function: with base NULL to learn its size, then for good. */
static void *FN(place)(char *base, size_t *used, ptrdiff_t count, size_t size) {
    void *at = base ? base + *used : NULL;
    *used += ((size_t)count * size + LINE - 1) / LINE * LINE;
    return at;
}

static size_t FN(lay_out)(PUBLIC(fit) *fit, char *base, int targets) {
    const ptrdiff_t layers = fit->net.layers, n = fit->net.sizes[layers], unit = LINE / (ptrdiff_t)sizeof(REAL);
    const ptrdiff_t ld = (fit->chunk + unit - 1) / unit * unit, r = fit->X.r, m = fit->X.m;
    FN(pass) *p = &fit->pass;
    size_t used = 0;
    p->ld = ld, p->rows_ld = (m + unit - 1) / unit * unit;
    REAL **table = FN(place)(base, &used, 6 * layers, sizeof *table);
    fit->A_rows_ld = FN(place)(base, &used, layers, sizeof *fit->A_rows_ld);
    if (base) p->A = table, p->dZ = table + layers, p->D = table + 2 * layers, p->db = table + 3 * layers,
              fit->A_rows[0] = table + 4 * layers, fit->A_rows[1] = table + 5 * layers;
    fit->order = FN(place)(base, &used, r, sizeof *fit->order);
    fit->y = targets ? NULL : FN(place)(base, &used, r, sizeof *fit->y);
    fit->Y = targets ? FN(place)(base, &used, r * n, sizeof(REAL)) : NULL;
    for (int i = 0; i < 2; i++) {
        fit->rows[i] = FN(place)(base, &used, fit->chunk * p->rows_ld, sizeof(REAL));
        fit->panel[i] = FN(place)(base, &used, m * ld, sizeof(REAL));
    }
    for (int i = 0; i < 2; i++)
        fit->next[i] = FN(place)(base, &used, ld, sizeof *fit->next[i]);
    REAL **each[] = {&fit->most, &fit->sum, &fit->L};
    for (int i = 0; i < 3; i++)
        *each[i] = FN(place)(base, &used, ld, sizeof(REAL));
    for (ptrdiff_t l = 0; l < layers; l++) {
        const ptrdiff_t units = fit->net.sizes[l + 1], width = (units + unit - 1) / unit * unit;
        REAL *A = FN(place)(base, &used, units * ld, sizeof(REAL));
        REAL *dZ = FN(place)(base, &used, units * ld, sizeof(REAL));
        for (int i = 0; i < 2 && l < layers - 1; i++) {
            REAL *A_rows = FN(place)(base, &used, fit->chunk * width, sizeof(REAL));
            if (base) fit->A_rows[i][l] = A_rows, fit->A_rows_ld[l] = width;
        }
        REAL *D = p->fused ? NULL : FN(place)(base, &used, units * fit->net.sizes[l], sizeof(REAL));
        REAL *db = p->fused ? NULL : FN(place)(base, &used, units, sizeof(REAL));
        if (base) p->A[l] = A, p->dZ[l] = dZ, p->D[l] = D, p->db[l] = db;
    }
    return used;
}

/* Labels or targets, copied and (labels) checked: nobody can change them during an epoch. */
static nnc_status FN(copy_labels)(PUBLIC(fit) *fit, const ptrdiff_t *labels, const REAL *targets, ptrdiff_t rs,
                                  ptrdiff_t cs) {
    const ptrdiff_t n = fit->net.sizes[fit->net.layers];
    for (ptrdiff_t i = 0; i < fit->X.r; i++)
        if (labels) {
            if (labels[i] < 0 || labels[i] >= n) return NNC_ERR_LABEL;
            fit->y[i] = labels[i];
        } else
            for (ptrdiff_t k = 0; k < n; k++)
                fit->Y[i * n + k] = targets[k * rs + i * cs];
    return NNC_OK;
}

nnc_status PUBLIC(fit_open)(PUBLIC(fit) **out, const PUBLIC(mlp) *net, const nnc_examples *X, const ptrdiff_t *labels,
                            const REAL *targets, ptrdiff_t targets_rs, ptrdiff_t targets_cs,
                            const nnc_fit_options *options) {
    NNC_TRY(FN(nnc_pass_check)(net, X));
    if (options->batch_size < 1 || X->r < 1 || X->r > UINT32_MAX || (!labels && !targets)) return NNC_ERR_ARGUMENT;
    PUBLIC(fit) *fit = calloc(1, sizeof *fit);
    if (fit == NULL) return NNC_ERR_MEMORY;
    fit->net = *net, fit->X = *X, fit->options = *options, fit->random = options->seed;
    fit->chunk = options->batch_size < CHUNK ? options->batch_size : CHUNK;
    if (fit->chunk > X->r) fit->chunk = X->r;
    for (ptrdiff_t l = 0; l < net->layers; l++)
        fit->flop += 6 * (double)net->sizes[l] * (double)net->sizes[l + 1] * (double)fit->chunk;
    fit->polled = nnc_nanoseconds();
    if (fit->options.batch_size > X->r) fit->options.batch_size = X->r;
    fit->pass = (FN(pass)){.net = &fit->net, .k = KERNELS, .lr = options->lr, .momentum = options->momentum};
    fit->pass.X = FN(nnc_pass_source)(&fit->net, X);
    fit->pass.fused = options->momentum == 0 && fit->options.batch_size <= fit->chunk;

    const size_t bytes = FN(lay_out)(fit, NULL, labels == NULL);
    fit->memory = nnc_aligned_alloc(LINE, bytes);
    if (fit->memory == NULL) {
        free(fit);
        return NNC_ERR_MEMORY;
    }
    memset(fit->memory, 0, bytes); /* v = 0 at the start, and no stray NaN in the padding */
    FN(lay_out)(fit, fit->memory, labels == NULL);
    for (ptrdiff_t i = 0; i < X->r; i++)
        fit->order[i] = (uint32_t)i;
    const nnc_status status = FN(copy_labels)(fit, labels, targets, targets_rs, targets_cs);
    if (status != NNC_OK)
        PUBLIC(fit_close)(fit);
    else
        *out = fit;
    return status;
}

void PUBLIC(fit_close)(PUBLIC(fit) *fit) {
    if (fit == NULL) return;
    nnc_aligned_free(fit->memory);
    free(fit);
}

#undef SHARE
#endif
