/* step_rows.c - one step of an optimizer for a matrix, most of whose gradient's rows are 0: those of inputs that do not
 * occur in a batch of sparse examples. Momentum, Adam's means and the weight decay move them all the same.
 *
 * All of param and its states passes through the cores once, and nothing else does: for the rows without a gradient a
 * short row of zeros is used. */
#ifndef NNC_TEMPLATE
#include "ops.h"
#include "subnormals.h"

enum {
    ZEROS = 1024,
    NUMBERS_FOR_THREADS = 1 << 15
};

#define NNC_TEMPLATE "ops/step_rows.c"
#include "../each_dtype.inc"
#else

static const REAL FN(zeros)[ZEROS];

typedef struct FN(rows_step) {
    REAL *param, *state0, *state1;
    const REAL *grad;
    const ptrdiff_t *which;
    double *squares;
    ptrdiff_t rows, width, count;
    const FN(kernels) *k;
    FN(optimizer) *optimizer;
    FN(step) numbers;
} FN(rows_step);

/* Rows i .. end, whose gradient is 0 */
static void FN(step_without_gradient)(const FN(rows_step) *s, ptrdiff_t i, ptrdiff_t end) {
    for (ptrdiff_t at = i * s->width; at < end * s->width; at += ZEROS) {
        const ptrdiff_t left = end * s->width - at, n = left < ZEROS ? left : ZEROS;
        s->optimizer(s->param + at, FN(zeros), s->state0 ? s->state0 + at : NULL, s->state1 ? s->state1 + at : NULL,
                     &s->numbers, n);
    }
}

/* The index in `which` of the first row from i on */
static ptrdiff_t FN(first_from)(const FN(rows_step) *s, ptrdiff_t i) {
    ptrdiff_t low = 0, high = s->count;
    while (low < high) {
        const ptrdiff_t middle = low + (high - low) / 2;
        if (s->which[middle] < i)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Threads share the matrix in blocks of NNC_STEP_ROWS rows, so that the sums do not depend on how many they are. */
static void FN(rows_step_task)(void *arg, int thread, int threads) {
    const FN(rows_step) *s = arg;
    const nnc_range mine = nnc_share_of(s->rows, NNC_STEP_ROWS, thread, threads);
    ptrdiff_t next = FN(first_from)(s, mine.begin);
    for (ptrdiff_t begin = mine.begin; begin < mine.end; begin += NNC_STEP_ROWS) {
        const ptrdiff_t end = begin + NNC_STEP_ROWS < mine.end ? begin + NNC_STEP_ROWS : mine.end;
        if (s->squares) {
            double sum = 0;
            for (ptrdiff_t i = begin; i < end; i++)
                sum += (double)s->k->square_sum(s->param + i * s->width, s->width);
            s->squares[begin / NNC_STEP_ROWS] = sum;
        }
        ptrdiff_t done = begin;
        for (; next < s->count && s->which[next] < end; next++) {
            const ptrdiff_t i = s->which[next], at = i * s->width;
            FN(step_without_gradient)(s, done, i);
            s->optimizer(s->param + at, s->grad + next * s->width, s->state0 ? s->state0 + at : NULL,
                         s->state1 ? s->state1 + at : NULL, &s->numbers, s->width);
            done = i + 1;
        }
        FN(step_without_gradient)(s, done, end);
    }
}

nnc_status PUBLIC(step_rows)(REAL *param, REAL *state0, REAL *state1, double *squares, const REAL *grad,
                             const ptrdiff_t *which, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t count,
                             nnc_optimizer optimizer, const nnc_step *step) {
    const int states = nnc_optimizer_states(optimizer);
    if (rows < 0 || width < 0 || count < 0) return NNC_ERR_SHAPE;
    if (optimizer >= NNC_OPTIMIZERS || states < 0) return NNC_ERR_ARGUMENT;
    if ((states > 0 && !state0) || (states > 1 && !state1)) return NNC_ERR_ARGUMENT;
    for (ptrdiff_t i = 0; i < count; i++)
        if (which[i] < 0 || which[i] >= rows || (i > 0 && which[i] <= which[i - 1])) return NNC_ERR_ARGUMENT;
    FN(rows_step) s = {.param = param, .grad = grad, .which = which, .squares = squares, .rows = rows};
    s.width = width, s.count = count, s.k = KERNELS, s.optimizer = KERNELS->optimizers[optimizer];
    s.state0 = states > 0 ? state0 : NULL, s.state1 = states > 1 ? state1 : NULL;
    s.numbers.lr = (REAL)step->lr, s.numbers.decay = (REAL)step->decay;
    s.numbers.beta1 = (REAL)step->beta1, s.numbers.beta2 = (REAL)step->beta2;
    s.numbers.one_minus_beta1 = (REAL)(1 - step->beta1), s.numbers.one_minus_beta2 = (REAL)(1 - step->beta2);
    s.numbers.correction1 = (REAL)step->correction1, s.numbers.correction2 = (REAL)step->correction2;
    s.numbers.eps = (REAL)step->eps, s.numbers.eps_after = step->eps_after;
    const unsigned before = nnc_flush_subnormals();
    nnc_parallel(FN(rows_step_task), &s, rows * width < NUMBERS_FOR_THREADS ? 1 : nnc_get_num_threads(), 1);
    nnc_restore_subnormals(before);
    return NNC_OK;
}

#endif
