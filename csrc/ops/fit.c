/* fit.c - training: epochs of shuffled batches, each a step of mlp.c, on as many threads as the work is worth.
 *
 * A batch goes through in chunks of at most CHUNK examples, so that its panels stay in the cache whatever its size, and
 * so that a request to stop is noticed soon. The examples of the next chunk are read at the end of the step, into a
 * buffer that no thread uses any more. */
#ifndef NNC_TEMPLATE
#include "loss.h"
#include "mlp.h"
#include "subnormals.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 128,
    LINE = 64,
    EACH_READS = 2, /* so many threads, at most, read all examples, each for itself (reading) */
    FLOP_FOR_THREADS = 1 << 21, /* a chunk; 20-100-2 with its 1.7 million takes 1.2 times as long on two threads */
    FLOP_PER_LANE_NS = 16,   /* more than any processor does, so that the gain is not overrated */
    BYTES_PER_NS = 64, /* of the L2, likewise */
    STEPS_PER_CLOCK = 32, /* how often the clock is read, which takes as long as a good part of a small net's step */
    POLL_NS = 20000000
};

static const int corrected[] = {
#define NNC_OPTIMIZER(id, name, states, corrects) [id] = corrects,
#include "../optimizers.inc"
};

/* Pseudo-random numbers of 64 bits, from a state of 64 bits that counts up (splitmix64). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Fisher and Yates: all orders are equally likely, up to a bias below count / 2^32. */
static void shuffle(uint32_t *order, ptrdiff_t count, uint64_t *state) {
    for (ptrdiff_t i = count - 1; i > 0; i--) {
        const uint64_t j = ((next_random(state) >> 32) * (uint64_t)(i + 1)) >> 32;
        const uint32_t swap = order[i];
        order[i] = order[j], order[j] = swap;
    }
}

/* x^n for n >= 0, to a rounding for each of the few products */
static double power(double x, int64_t n) {
    double result = 1;
    for (; n > 0; n /= 2, x *= x)
        if (n % 2) result *= x;
    return result;
}

#define NNC_TEMPLATE "ops/fit.c"
#include "../each_dtype.inc"
#else

/* Examples are shared in whole lines, so that no two threads write to one line of a panel. */
#define SHARE(r, thread) nnc_share(r, LINE / (ptrdiff_t)sizeof(REAL), thread, threads)
/* The units of a layer, all and a thread's own */
#define ALL(l) nnc_all_of(sizes[l])
#define MINE(l) nnc_share_of(sizes[l], 1, thread, threads)

struct PUBLIC(fit) {
    PUBLIC(mlp) net;
    nnc_examples X;
    nnc_fit_options options;
    FN(pass) pass;
    void *memory;    /* one block for all that is below */
    uint32_t *order; /* (total) the examples of an epoch, of all processes */
    uint32_t *own;   /* (r) those of this process, in that order, from 0 on; alone it is `order` */
    ptrdiff_t *own_begin; /* (batches + 2) where in `own` each batch begins; NULL alone */
    ptrdiff_t total, batches;
    uint64_t random;
    ptrdiff_t *y;  /* (r) labels, or NULL */
    REAL *Y;       /* (r, n) targets, example by example */
    REAL *weights; /* (total), or NULL */
    ptrdiff_t chunk;
    double flop; /* of a step, about: 2 for each number of W and each example, in each of three products */
    REAL *rows[2], *panel[2]; /* X of a chunk, in two buffers (reading) */
    /* Of each hidden layer, A example by example: (chunk, units). A thread's units are in one, those of the next in the
     * other, so that no line belongs to both. */
    REAL **A_rows[2];
    ptrdiff_t *A_rows_ld;
    REAL *max, *sum, *L, *dL; /* of each example of the chunk */
    REAL *squares;             /* of each row of each W, its sum of squares; or NULL */
    ptrdiff_t units;           /* as many rows */
    double loss, penalty;
    int64_t steps, taken; /* by the state: before this epoch, in it */
    int steps_since_clock; /* since the clock was last read */
    int64_t polled_at;
    int stop; /* written by thread 0 before a barrier, read by all after it */
    ptrdiff_t parameters;
    nnc_barrier barrier;
    unsigned subnormals; /* the caller's setting (subnormals.h) */
};

/* A chunk: begin .. begin + r of the own examples, of a batch of batch_r. */
typedef struct FN(chunk) {
    ptrdiff_t begin, r, batch_r;
    int first, last; /* of this process's chunks of the batch; one that has none of its examples has an empty chunk */
    double inverse_weight; /* 1 / the sum of the batch's weights, 1 / batch_r without weights; 0 where all are 0 */
    ptrdiff_t batch;    /* its number in the epoch */
} FN(chunk);

/* The chunk after `before`, or the first; `before` also knows the weight of a batch that goes on. After the last batch
 * there is one of no examples. */
static FN(chunk) FN(chunk_after)(const PUBLIC(fit) *fit, const FN(chunk) *before) {
    const ptrdiff_t B = fit->options.batch_size, batch = before ? before->batch + before->last : 0;
    const ptrdiff_t left = fit->total - batch * B, batch_r = left < B ? (left > 0 ? left : 0) : B;
    const ptrdiff_t own_end = fit->own_begin ? fit->own_begin[batch + 1] : batch * B + batch_r;
    const int first = !before || before->last;
    FN(chunk) c = {.batch_r = batch_r, .first = first, .batch = batch};
    c.begin = before ? before->begin + before->r : 0;
    c.r = own_end - c.begin < fit->chunk ? own_end - c.begin : fit->chunk;
    if (batch_r == 0) c.r = 0;
    c.last = c.begin + c.r == own_end;
    if (!fit->weights)
        c.inverse_weight = batch_r > 0 ? 1 / (double)batch_r : 0;
    else if (!first)
        c.inverse_weight = before->inverse_weight;
    else {
        double sum = 0;
        for (ptrdiff_t i = batch * B; i < batch * B + batch_r; i++)
            sum += (double)fit->weights[fit->order[i]];
        c.inverse_weight = sum > 0 ? 1 / sum : 0;
    }
    return c;
}

/* Columns j0 .. j1 of the last layer: Z becomes dZ, with the mean over the batch in it, and L the losses. */
static void FN(loss_and_gradient)(PUBLIC(fit) *fit, FN(chunk) c, ptrdiff_t j0, ptrdiff_t j1) {
    const ptrdiff_t last = fit->net.layers - 1;
    const double lr = fit->pass.accumulation == INTO_PARAMETERS ? -fit->options.lr : 1;
    const REAL same_for_all = (REAL)(lr / (double)c.batch_r);
    const uint32_t *index = fit->own + c.begin;
    const REAL *weights = fit->weights ? fit->weights + fit->options.first : NULL;
    REAL *L = fit->L;
    for (ptrdiff_t j = j0; j < j1; j++)
        fit->dL[j] = weights ? (REAL)(lr * c.inverse_weight * (double)weights[index[j]]) : same_for_all;
    const FN(loss_chunk) columns = {
        .Z = fit->pass.A[last],
        .dZ = fit->pass.dZ[last],
        .L = L,
        .dL = fit->dL,
        .max = fit->max,
        .sum = fit->sum,
        .labels = fit->y,
        .targets = fit->Y,
        .index = index,
        .n = fit->net.sizes[last + 1],
        .ld = fit->pass.ld,
    };
    FN(nnc_loss_columns)(fit->pass.k, fit->net.loss, &columns, j0, j1);
    for (ptrdiff_t j = j0; j < j1 && weights; j++) {
        const REAL weight = weights[index[j]];
        L[j] = weight != 0 ? weight * L[j] : 0;
    }
}

/* The optimizer's numbers for the batch's step */
static FN(batch_step) FN(step_of)(const PUBLIC(fit) *fit, FN(chunk) c) {
    const nnc_fit_options *o = &fit->options;
    const int64_t t = fit->steps + c.batch + 1;
    const double decay = o->weight_decay * (o->decay_is_shared ? c.inverse_weight : 1);
    const int alone = !o->reduce; /* else the step comes after the sum over all processes */
    FN(batch_step) step = {c.first, c.last && alone, {.lr = (REAL)o->lr, .decay = (REAL)decay}};
    step.numbers.beta1 = (REAL)o->beta1;
    step.numbers.beta2 = (REAL)o->beta2, step.numbers.eps = (REAL)o->eps, step.numbers.eps_after = o->eps_after;
    step.numbers.one_minus_beta1 = (REAL)(1 - o->beta1), step.numbers.one_minus_beta2 = (REAL)(1 - o->beta2);
    const int corrects = o->optimizer < NNC_OPTIMIZERS && corrected[o->optimizer];
    step.numbers.correction1 = corrects ? (REAL)(1 - power(o->beta1, t)) : 1;
    step.numbers.correction2 = corrects ? (REAL)(1 - power(o->beta2, t)) : 1;
    return step;
}

/* Thread 0 adds up the chunk's losses and, once a batch, the weights' squares. */
static void FN(accumulate_loss)(PUBLIC(fit) *fit, FN(chunk) c) {
    REAL loss;
    fit->pass.k->row_sums(&loss, fit->L, 1, c.r, 1, c.r, 0);
    fit->loss += (double)loss * (fit->weights ? c.inverse_weight * (double)c.batch_r : 1);
    if (!fit->squares || !c.first) return;
    double squares = 0;
    for (ptrdiff_t i = 0; i < fit->units; i++)
        squares += (double)fit->squares[i];
    const double decay = fit->options.weight_decay * (fit->options.decay_is_shared ? c.inverse_weight : 1);
    fit->penalty += 0.5 * decay * squares * (double)c.batch_r;
}

/* These units' rows of W, before they change */
static void FN(square_rows)(PUBLIC(fit) *fit, int thread, int threads) {
    REAL *squares = fit->squares;
    for (ptrdiff_t l = 0; l < fit->net.layers; l++) {
        const ptrdiff_t m = fit->net.sizes[l], n = fit->net.sizes[l + 1];
        const nnc_range rows = nnc_share_of(n, 1, thread, threads);
        for (ptrdiff_t i = rows.begin; i < rows.end; i++)
            squares[i] = fit->pass.k->square_sum(fit->net.W[l] + i * m, m);
        squares += n;
    }
}

/* Which examples of a chunk a thread reads, and into which buffer. Two threads have a buffer each, and both read all
 * examples: to write where the other one has just been reading takes longer. Three share the reading, and this chunk
 * and the next alternate between the buffers. */
typedef struct FN(reading) {
    int buffer;
    ptrdiff_t begin, end;
} FN(reading);

static FN(reading) FN(reading_after)(int buffer, FN(chunk) c, int thread, int threads) {
    if (threads <= EACH_READS) return (FN(reading)){thread, 0, c.r};
    return (FN(reading)){!buffer, SHARE(c.r, thread), SHARE(c.r, thread + 1)};
}

static void FN(read_chunk)(PUBLIC(fit) *fit, FN(chunk) c, FN(reading) mine) {
    FN(nnc_pass_read)(&fit->pass, fit->rows[mine.buffer], fit->panel[mine.buffer], fit->own + c.begin, 0, mine.begin,
                      mine.end);
}

/* Thread 0 calls `poll` now and then. */
static void FN(poll)(PUBLIC(fit) *fit) {
    if (fit->flop < FLOP_FOR_THREADS && ++fit->steps_since_clock < STEPS_PER_CLOCK) return;
    fit->steps_since_clock = 0;
    const int64_t now = nnc_nanoseconds();
    if (now - fit->polled_at < POLL_NS) return;
    fit->polled_at = now;
    nnc_restore_subnormals(fit->subnormals); /* this is the caller's own code */
    fit->stop = fit->options.poll(fit->options.poll_arg) != 0;
    nnc_flush_subnormals();
}

/* The gradient of the whole batch, from all processes; whether one of them wishes to stop. Thread 0 alone does it. */
static void FN(all_reduce)(PUBLIC(fit) *fit) {
    REAL *stop = (REAL *)fit->options.sum + fit->parameters;
    *stop = fit->stop != 0;
    nnc_restore_subnormals(fit->subnormals); /* this is the caller's own code */
    fit->stop = fit->options.reduce(fit->options.reduce_arg) != 0 || *stop != 0;
    nnc_flush_subnormals();
    fit->taken += !fit->stop;
}

/* After a batch's last chunk: the all-reduce, and a step for this thread's units; 0 if the training stops. */
static int FN(reduce_and_step)(PUBLIC(fit) *fit, FN(batch_step) step, int thread, int threads) {
    if (thread == 0) FN(all_reduce)(fit);
    nnc_barrier_wait(&fit->barrier, threads);
    for (ptrdiff_t l = 0; l < fit->net.layers && !fit->stop; l++)
        FN(nnc_pass_step)(&fit->pass, l, nnc_share_of(fit->net.sizes[l + 1], 1, thread, threads), &step.numbers);
    nnc_barrier_wait(&fit->barrier, threads);
    return !fit->stop;
}

/* Forward and backward of a chunk, down to the first layer's dZ; 0 if thread 0 wished to stop. */
static int FN(forward_and_backward)(PUBLIC(fit) *fit, FN(chunk) c, FN(input) X, const FN(batch_step) *batch_step,
                                    int thread, int threads) {
    const FN(pass) *p = &fit->pass;
    const ptrdiff_t last = fit->net.layers - 1, *sizes = fit->net.sizes;
    const ptrdiff_t unit = LINE / (ptrdiff_t)sizeof(REAL);
    const nnc_range examples = nnc_all_of(c.r), mine = nnc_share_of(c.r, unit, thread, threads);
    const int by_parts = p->cut && threads == 2; /* each has the part of its own units of the layer below */
    for (ptrdiff_t l = 0; l <= last; l++) {
        const FN(input) input = l ? (FN(input)){.panel = p->A[l - 1]} : X;
        if (l == last && by_parts) {
            FN(nnc_pass_part)(p, thread, c.r, ALL(l + 1), examples);
            nnc_barrier_wait(&fit->barrier, threads);
            FN(nnc_pass_add_parts)(p, ALL(l + 1), mine);
        } else if (l == last && threads * unit <= c.r) {
            FN(nnc_pass_forward)(p, l, input, c.r, ALL(l + 1), mine);
        } else {
            FN(nnc_pass_forward)(p, l, input, c.r, MINE(l + 1), examples);
            if (!by_parts || l + 1 < last) nnc_barrier_wait(&fit->barrier, threads);
        }
    }
    FN(loss_and_gradient)(fit, c, mine.begin, mine.end);
    nnc_barrier_wait(&fit->barrier, threads);
    if (fit->stop && !fit->options.reduce) return 0;
    if (thread == 0) {
        FN(accumulate_loss)(fit, c);
        fit->taken += batch_step->last;
    }
    for (ptrdiff_t l = last; l > 0; l--) {
        if (l < last) nnc_barrier_wait(&fit->barrier, threads);
        const FN(input) A = {fit->A_rows[thread % 2][l - 1], p->A[l - 1], fit->A_rows_ld[l - 1]};
        FN(nnc_pass_backward)(p, l, c.r, MINE(l));
        FN(nnc_pass_transpose)(p, l - 1, fit->A_rows[thread % 2][l - 1], A.rows_ld, c.r, MINE(l));
        FN(nnc_pass_update)(p, l, A, c.r, ALL(l + 1), MINE(l), batch_step);
        FN(nnc_pass_update_bias)(p, l, c.r, MINE(l + 1), batch_step);
    }
    return 1;
}

/* The chunk *at, whose examples are in *buffer, and on to the next; 0 if thread 0 wished to stop. Only after the loss,
 * between two barriers, do all threads see the same value of `stop`. */
static int FN(run_chunk)(PUBLIC(fit) *fit, FN(chunk) *at, int *buffer, int thread, int threads) {
    const FN(pass) *p = &fit->pass;
    const FN(chunk) c = *at;
    const ptrdiff_t *sizes = fit->net.sizes;
    const FN(input) X = {fit->rows[*buffer], fit->panel[*buffer], p->rows_ld};
    const FN(batch_step) batch_step = FN(step_of)(fit, c);
    if (fit->squares && c.first) FN(square_rows)(fit, thread, threads);
    if (c.r > 0 && !FN(forward_and_backward)(fit, c, X, &batch_step, thread, threads)) return 0;
    if (c.r == 0 && thread == 0) memset(fit->options.sum, 0, (size_t)fit->parameters * sizeof(REAL));
    const FN(chunk) next = FN(chunk_after)(fit, &c);
    const FN(reading) reading = FN(reading_after)(*buffer, next, thread, threads);
    if (c.r > 0) {
        FN(nnc_pass_update)(p, 0, X, c.r, MINE(1), ALL(0), &batch_step);
        FN(nnc_pass_update_bias)(p, 0, c.r, MINE(1), &batch_step);
    }
    FN(read_chunk)(fit, next, reading);
    *at = next, *buffer = reading.buffer;
    nnc_barrier_wait(&fit->barrier, threads);
    return !(c.last && fit->options.reduce) || FN(reduce_and_step)(fit, batch_step, thread, threads);
}

/* This process's examples, in the order of all of them, batch by batch. */
static void FN(select_own)(PUBLIC(fit) *fit) {
    const ptrdiff_t B = fit->options.batch_size, first = fit->options.first;
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < fit->total; i++) {
        if (i % B == 0) fit->own_begin[i / B] = count;
        const ptrdiff_t example = (ptrdiff_t)fit->order[i] - first;
        if (example >= 0 && example < fit->X.r) fit->own[count++] = (uint32_t)example;
    }
    fit->own_begin[fit->batches] = fit->own_begin[fit->batches + 1] = count;
}

static void FN(epoch_task)(void *arg, int thread, int threads) {
    PUBLIC(fit) *fit = arg;
    if (thread == 0 && fit->options.shuffle) shuffle(fit->order, fit->total, &fit->random);
    if (thread == 0 && fit->own_begin) FN(select_own)(fit);
    nnc_barrier_wait(&fit->barrier, threads);
    FN(chunk) c = FN(chunk_after)(fit, NULL);
    const FN(reading) mine = FN(reading_after)(1, c, thread, threads);
    int buffer = mine.buffer;
    FN(read_chunk)(fit, c, mine);
    nnc_barrier_wait(&fit->barrier, threads);
    while (c.batch < fit->batches) {
        if (thread == 0 && fit->options.poll && !fit->stop) FN(poll)(fit);
        if (!FN(run_chunk)(fit, &c, &buffer, thread, threads)) return;
    }
}

/* The approximate work of a chunk's step: multiply-adds, and W and the optimizer's state read and written. Threads
 * read each other's A of a hidden layer and dZ of the layer above, with a barrier after each. */
static nnc_work FN(work_of)(const PUBLIC(fit) *fit) {
    const ptrdiff_t layers = fit->net.layers, *sizes = fit->net.sizes;
    const double bytes = sizeof(REAL), arrays = 2 + 2 * nnc_optimizer_states(fit->options.optimizer);
    nnc_work work = {.barriers = (double)(2 * layers - 1)};
    work.nanoseconds = fit->flop / (FLOP_PER_LANE_NS * (double)fit->pass.k->lanes);
    work.nanoseconds += (double)fit->parameters * bytes * arrays / BYTES_PER_NS;
    for (ptrdiff_t l = 1; l < layers; l++)
        work.bytes += (double)(sizes[l] + sizes[l + 1]) * (double)fit->chunk * bytes;
    return work;
}

nnc_status PUBLIC(fit_epoch)(PUBLIC(fit) *fit, nnc_epoch *result) {
    const int threads = fit->flop < FLOP_FOR_THREADS ? 1 : nnc_threads_worth(FN(work_of)(fit));
    fit->loss = 0, fit->penalty = 0, fit->stop = 0, fit->taken = 0;
    nnc_barrier_init(&fit->barrier);
    fit->subnormals = nnc_flush_subnormals();
    if (threads == 1)
        FN(epoch_task)(fit, 0, 1);
    else
        nnc_parallel(FN(epoch_task), fit, threads, 1);
    nnc_restore_subnormals(fit->subnormals);
    fit->steps += fit->taken;
    if (fit->stop) return NNC_INTERRUPTED;
    *result = (nnc_epoch){fit->loss / (double)fit->total, fit->penalty / (double)fit->total};
    return NNC_OK;
}

void PUBLIC(fit_set_lr)(PUBLIC(fit) *fit, double lr) { fit->options.lr = lr; }

nnc_status PUBLIC(fit_set_order)(PUBLIC(fit) *fit, const ptrdiff_t *order) {
    for (ptrdiff_t i = 0; i < fit->total; i++)
        if (order[i] < 0 || order[i] >= fit->total) return NNC_ERR_SHAPE;
    for (ptrdiff_t i = 0; i < fit->total; i++)
        fit->order[i] = (uint32_t)order[i];
    return NNC_OK;
}

int64_t PUBLIC(fit_steps)(const PUBLIC(fit) *fit) { return fit->steps; }

/* A fit's memory is one arena, laid out twice by one function: with base NULL to learn its size, then for good. */
static void *FN(arena_alloc)(char *base, size_t *used, ptrdiff_t count, size_t size) {
    void *at = base ? base + *used : NULL;
    *used += ((size_t)count * size + LINE - 1) / LINE * LINE;
    return at;
}

static size_t FN(lay_out)(PUBLIC(fit) *fit, char *base, const PUBLIC(targets) *y, const PUBLIC(state) *state) {
    const ptrdiff_t layers = fit->net.layers, n = fit->net.sizes[layers], unit = LINE / (ptrdiff_t)sizeof(REAL);
    const ptrdiff_t ld = (fit->chunk + unit - 1) / unit * unit, r = fit->X.r, m = fit->X.m;
    FN(pass) *p = &fit->pass;
    size_t used = 0;
    p->ld = ld, p->rows_ld = (m + unit - 1) / unit * unit;
    REAL **table = FN(arena_alloc)(base, &used, 10 * layers, sizeof *table);
    fit->A_rows_ld = FN(arena_alloc)(base, &used, layers, sizeof *fit->A_rows_ld);
    if (base) p->A = table, p->dZ = table + layers, p->D = table + 2 * layers, p->db = table + 3 * layers,
              fit->A_rows[0] = table + 4 * layers, fit->A_rows[1] = table + 5 * layers;
    const int states = nnc_optimizer_states(fit->options.optimizer);
    for (int i = 0; base && i < states; i++)
        p->states[i] = table + (6 + i) * layers, p->states_b[i] = table + (8 + i) * layers;
    fit->order = FN(arena_alloc)(base, &used, fit->total, sizeof *fit->order);
    fit->own = fit->options.reduce ? FN(arena_alloc)(base, &used, r, sizeof *fit->own) : fit->order;
    fit->own_begin =
        fit->options.reduce ? FN(arena_alloc)(base, &used, fit->batches + 2, sizeof *fit->own_begin) : NULL;
    fit->y = y->labels ? FN(arena_alloc)(base, &used, r, sizeof *fit->y) : NULL;
    fit->Y = y->labels ? NULL : FN(arena_alloc)(base, &used, r * n, sizeof(REAL));
    fit->weights = y->weights ? FN(arena_alloc)(base, &used, fit->total, sizeof(REAL)) : NULL;
    fit->squares = fit->options.penalty ? FN(arena_alloc)(base, &used, fit->units, sizeof(REAL)) : NULL;
    for (int i = 0; i < 2; i++) {
        fit->rows[i] = FN(arena_alloc)(base, &used, fit->chunk * p->rows_ld, sizeof(REAL));
        fit->panel[i] = FN(arena_alloc)(base, &used, m * ld, sizeof(REAL));
    }
    for (int i = 0; i < 2 && p->cut; i++)
        p->parts[i] = FN(arena_alloc)(base, &used, n * ld, sizeof(REAL));
    REAL **each[] = {&fit->max, &fit->sum, &fit->L, &fit->dL};
    for (int i = 0; i < 4; i++)
        *each[i] = FN(arena_alloc)(base, &used, ld, sizeof(REAL));
    ptrdiff_t before = 0, before_b = fit->parameters - fit->units; /* in the sum over processes */
    for (ptrdiff_t l = 0; l < layers; l++) {
        const ptrdiff_t units = fit->net.sizes[l + 1], width = (units + unit - 1) / unit * unit;
        REAL *A = FN(arena_alloc)(base, &used, units * ld, sizeof(REAL));
        REAL *dZ = FN(arena_alloc)(base, &used, units * ld, sizeof(REAL));
        for (int i = 0; i < 2 && l < layers - 1; i++) {
            REAL *A_rows = FN(arena_alloc)(base, &used, fit->chunk * width, sizeof(REAL));
            if (base) fit->A_rows[i][l] = A_rows, fit->A_rows_ld[l] = width;
        }
        const ptrdiff_t count = units * fit->net.sizes[l];
        for (int i = 0; i < states; i++) {
            REAL *W = state ? state->W[i][l] : FN(arena_alloc)(base, &used, count, sizeof(REAL));
            REAL *b = state ? state->b[i][l] : FN(arena_alloc)(base, &used, units, sizeof(REAL));
            if (base) p->states[i][l] = W, p->states_b[i][l] = b;
        }
        const int in_state = p->accumulation == INTO_VELOCITY || fit->options.optimizer == NNC_GRADIENT;
        const int separate = p->accumulation == INTO_GRADIENT && !in_state && !fit->options.reduce;
        REAL *D = separate ? FN(arena_alloc)(base, &used, count, sizeof(REAL)) : NULL;
        REAL *db = separate ? FN(arena_alloc)(base, &used, units, sizeof(REAL)) : NULL;
        if (base) p->A[l] = A, p->dZ[l] = dZ, p->D[l] = D, p->db[l] = db;
        if (base && in_state) p->D[l] = p->states[0][l], p->db[l] = p->states_b[0][l];
        if (base && fit->options.reduce)
            p->D[l] = (REAL *)fit->options.sum + before, p->db[l] = (REAL *)fit->options.sum + before_b;
        before += count, before_b += units;
    }
    return used;
}

/* Labels or targets and weights, copied and (labels) checked: they cannot change during an epoch. */
static nnc_status FN(copy_targets)(PUBLIC(fit) *fit, const PUBLIC(targets) *y) {
    const ptrdiff_t n = fit->net.sizes[fit->net.layers];
    for (ptrdiff_t i = 0; y->weights && i < fit->total; i++) {
        const REAL weight = y->weights[i * y->weights_s];
        if (!(weight >= 0)) return NNC_ERR_ARGUMENT;
        fit->weights[i] = weight;
    }
    for (ptrdiff_t i = 0; i < fit->X.r; i++) {
        if (y->labels) {
            if (y->labels[i] < 0 || y->labels[i] >= n) return NNC_ERR_LABEL;
            fit->y[i] = y->labels[i];
        } else
            for (ptrdiff_t k = 0; k < n; k++)
                fit->Y[i * n + k] = y->targets[k * y->rs + i * y->cs];
    }
    return NNC_OK;
}

/* Where the gradient is accumulated: in the velocity only if that may be left in the middle of a batch. */
static nnc_accumulation FN(accumulation_of)(const PUBLIC(fit) *fit, const PUBLIC(state) *state) {
    const nnc_fit_options *o = &fit->options;
    const int in_one = o->batch_size <= fit->chunk;
    if (o->weight_decay != 0 || o->reduce) return INTO_GRADIENT;
    if (o->optimizer == NNC_SGD && in_one) return INTO_PARAMETERS;
    return o->optimizer == NNC_MOMENTUM && (in_one || !state) ? INTO_VELOCITY : INTO_GRADIENT;
}

static nnc_status FN(check_options)(const PUBLIC(mlp) *net, const nnc_examples *X, const PUBLIC(targets) *y,
                                    const PUBLIC(state) *state, const nnc_fit_options *o) {
    const ptrdiff_t total = o->reduce ? o->total : X->r;
    if (o->batch_size < 1 || total < 1 || total > UINT32_MAX || net->loss == NNC_LOSSES) return NNC_ERR_ARGUMENT;
    if (o->reduce && (!o->sum || o->first < 0 || X->r > total - o->first || o->optimizer == NNC_GRADIENT))
        return NNC_ERR_ARGUMENT;
    if (!y->targets && (!y->labels || net->loss != NNC_CROSS_ENTROPY)) return NNC_ERR_ARGUMENT;
    if (nnc_optimizer_states(o->optimizer) < 0 || !(o->weight_decay >= 0) || o->steps < 0) return NNC_ERR_ARGUMENT;
    if (o->optimizer == NNC_GRADIENT && (!state || o->batch_size < X->r)) return NNC_ERR_ARGUMENT;
    if (o->optimizer == NNC_ADAM && !(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        return NNC_ERR_ARGUMENT;
    if (o->optimizer == NNC_ADAM && !(o->eps >= 0 && o->eps < 1e30)) return NNC_ERR_ARGUMENT;
    return NNC_OK;
}

nnc_status PUBLIC(fit_open)(PUBLIC(fit) **out, const PUBLIC(mlp) *net, const nnc_examples *X,
                            const PUBLIC(targets) *y, const PUBLIC(state) *state, const nnc_fit_options *options) {
    NNC_TRY(FN(nnc_pass_check)(net, X));
    NNC_TRY(FN(check_options)(net, X, y, state, options));
    PUBLIC(fit) *fit = calloc(1, sizeof *fit);
    if (fit == NULL) return NNC_ERR_MEMORY;
    fit->net = *net, fit->X = *X, fit->options = *options, fit->random = options->seed, fit->steps = options->steps;
    fit->total = options->reduce ? options->total : X->r;
    if (fit->options.batch_size > fit->total) fit->options.batch_size = fit->total;
    fit->batches = (fit->total - 1) / fit->options.batch_size + 1;
    fit->chunk = fit->options.batch_size < CHUNK ? fit->options.batch_size : CHUNK;
    for (ptrdiff_t l = 0; l < net->layers; l++) {
        fit->units += net->sizes[l + 1];
        fit->parameters += (net->sizes[l] + 1) * net->sizes[l + 1];
        fit->flop += 6 * (double)net->sizes[l] * (double)net->sizes[l + 1] * (double)fit->chunk;
    }
    fit->polled_at = nnc_nanoseconds();
    fit->pass = (FN(pass)){.net = &fit->net, .k = KERNELS, .few = FN(nnc_pass_few)(KERNELS)};
    fit->pass.X = FN(nnc_pass_source)(&fit->net, X);
    const ptrdiff_t *top = net->sizes + net->layers - 1; /* inputs and units of the last layer */
    if (net->layers > 1 && fit->flop >= FLOP_FOR_THREADS && 2 * top[1] <= top[0])
        fit->pass.cut = nnc_share(top[0], 1, 1, 2); /* as the units of two threads are */
    fit->pass.accumulation = FN(accumulation_of)(fit, state);
    fit->pass.optimizer = options->optimizer == NNC_GRADIENT ? NULL : KERNELS->optimizers[options->optimizer];

    const size_t bytes = FN(lay_out)(fit, NULL, y, state);
    fit->memory = nnc_aligned_alloc(LINE, bytes);
    if (fit->memory == NULL) {
        free(fit);
        return NNC_ERR_MEMORY;
    }
    memset(fit->memory, 0, bytes); /* the state is 0 at the start, and no stray NaN is in the padding */
    FN(lay_out)(fit, fit->memory, y, state);
    for (ptrdiff_t i = 0; i < fit->total; i++)
        fit->order[i] = (uint32_t)i;
    const nnc_status status = FN(copy_targets)(fit, y);
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
#undef ALL
#undef MINE
#endif
