/* mlp.c - one training step of a network of linear layers (section 10 of the derivation), and its prediction.
 *
 * Layouts. A layer's Z, A and dZ are panels (n, ld): a row for each unit, the examples of a chunk contiguous. The
 * input is there twice: example by example (`rows`), for dW = dZ X^T, and as a panel (m, ld), for Z = W X + b; one pass
 * over the caller's array makes both. dW is never formed when it need not be: for plain gradient descent dL
 * carries -lr/r, and the product dZ X^T is added to W where W lies.
 *
 * Threads own units, of each layer the same ones in every step: a thread computes its units' rows of Z and dZ, and it
 * updates the first layer's W for its units and every other W for those inputs of the layer that are its units of the
 * layer below. So in the backward pass it reads no number of W but those that it changes itself, and a barrier is only
 * where a thread needs all units of a layer: after a hidden layer's forward, before its backward. In the last layer
 * threads own examples, where there are enough.
 *
 * The last layer has few units, so that its Z is less to exchange than the A below is. Its sums are in two parts, cut
 * where two threads' units are: each of two multiplies its own units of A, and A never leaves its cache. Any other
 * number of threads adds up the same two parts. Every number is computed by one thread in one order, so the weights do
 * not depend on how many there are. */
#ifndef NNC_TEMPLATE
#include "mlp.h"

#define NNC_TEMPLATE "ops/mlp.c"
#include "../each_dtype.inc"
#else

nnc_status FN(nnc_pass_check)(const PUBLIC(mlp) *net, const nnc_examples *X) {
    if (net->layers < 1 || X->r < 0 || X->m != net->sizes[0]) return NNC_ERR_SHAPE;
    for (ptrdiff_t l = 0; l <= net->layers; l++)
        if (net->sizes[l] < 1) return NNC_ERR_SHAPE;
    for (ptrdiff_t l = 0; l < net->layers - 1; l++)
        if ((int)net->activation[l] < 0 || net->activation[l] >= NNC_ACTIVATIONS) return NNC_ERR_ARGUMENT;
    if (!(net->slope >= 0) || (int)net->loss < 0 || net->loss > NNC_LOSSES) return NNC_ERR_ARGUMENT;
    if (X->dtype != NNC_F32 && X->dtype != NNC_F64 && X->dtype != NNC_U8) return NNC_ERR_ARGUMENT;
    return NNC_OK;
}

FN(source) FN(nnc_pass_source)(const PUBLIC(mlp) *net, const nnc_examples *X) {
    static const ptrdiff_t bytes[] = {[NNC_F32] = 4, [NNC_F64] = 8, [NNC_U8] = 1};
    FN(source) source = {.data = X->data, .dtype = X->dtype, .m = X->m, .input_stride = X->input_stride};
    source.bytes = X->m * bytes[X->dtype], source.step = X->example_stride * bytes[X->dtype];
    source.mean = net->mean, source.std = net->std, source.mean_s = net->mean_s, source.std_s = net->std_s;
    source.plain = source.by_reciprocal = 1;
    const ptrdiff_t pairs = net->mean_s || net->std_s ? X->m : 1;
    for (ptrdiff_t i = 0; i < pairs; i++) {
        const REAL mean = net->mean[i * net->mean_s], std = net->std[i * net->std_s];
        source.plain = source.plain && mean == 0 && std == 1;
        source.by_reciprocal = source.by_reciprocal && std > (REAL)1e-30 && std < (REAL)1e30;
    }
    return source;
}

static void FN(activate)(const FN(pass) *p, ptrdiff_t l, REAL *Z, ptrdiff_t count) {
    FN(elementwise) *const forward = p->k->activations[p->net->activation[l]].forward;
    if (forward) forward(Z, Z, NULL, &p->net->slope, count, 0);
}

/* dA becomes dZ = dA * f'(Z), with f' a function of A */
static void FN(activate_backward)(const FN(pass) *p, ptrdiff_t l, REAL *dA, const REAL *A, ptrdiff_t count) {
    FN(elementwise) *const backward = p->k->activations[p->net->activation[l]].backward;
    if (backward) backward(dA, dA, A, &p->net->slope, count, 0);
}

/* Examples i0 .. i1 of the chunk: index[i] says which of the caller's, or NULL: `first` + i. Both layouts of X. */
void FN(nnc_pass_read)(const FN(pass) *p, REAL *rows, REAL *panel, const uint32_t *index, ptrdiff_t first, ptrdiff_t i0,
                       ptrdiff_t i1) {
    p->k->read_examples(rows + i0 * p->rows_ld, panel + i0, &p->X, index ? index + i0 : NULL, first + i0, i1 - i0,
                        p->rows_ld, p->ld);
}

/* Up to half a register of examples: of 784-200-10, 8 of 16 are predicted in 0.6 of the time and trained in 0.7, 4 of 8
 * trained in 0.7 to 0.8. Half of a register of 4 or less is not worth the reductions. */
ptrdiff_t FN(nnc_pass_few)(const FN(kernels) *k) { return k->lanes >= 8 ? k->lanes / 2 : k->lanes / 4; }

/* Z = W X + b for these units and examples, over these inputs; `b` may be NULL */
static void FN(multiply)(const FN(pass) *p, ptrdiff_t l, REAL *Z, const REAL *X, const REAL *b, ptrdiff_t r,
                         nnc_range units, nnc_range examples, nnc_range inputs) {
    const ptrdiff_t m = p->net->sizes[l], i0 = units.begin, j0 = examples.begin, k0 = inputs.begin;
    FN(gemm_args) g = {.n = units.end - i0, .k = inputs.end - k0, .p = examples.end - j0};
    g.A = p->net->W[l] + i0 * m + k0, g.B = X + k0 * p->ld + j0, g.C = Z + i0 * p->ld + j0;
    g.a_rs = m, g.a_cs = 1, g.b_rs = p->ld, g.c_rs = p->ld, g.bias = b ? b + i0 : NULL, g.bias_s = 1;
    p->k->gemm_for(p->net->sizes[l + 1], m, r)(&g);
}

void FN(nnc_pass_part)(const FN(pass) *p, int part, ptrdiff_t r, nnc_range units, nnc_range examples) {
    const ptrdiff_t l = p->net->layers - 1;
    const nnc_range inputs = part == 0 ? nnc_all_of(p->cut) : (nnc_range){p->cut, p->net->sizes[l]};
    FN(multiply)(p, l, p->parts[part], p->A[l - 1], part == 0 ? p->net->b[l] : NULL, r, units, examples, inputs);
}

void FN(nnc_pass_add_parts)(const FN(pass) *p, nnc_range units, nnc_range examples) {
    REAL *Z = p->A[p->net->layers - 1];
    for (ptrdiff_t i = units.begin; i < units.end; i++) {
        const ptrdiff_t at = i * p->ld + examples.begin;
        p->k->add(Z + at, p->parts[0] + at, p->parts[1] + at, NULL, examples.end - examples.begin, 0);
    }
}

/* Z = W A + b and, in a hidden layer, A = f(Z), in place (eqs. 3.9, 12.2 - 12.4): those units, for those examples, all
 * of them in a hidden layer. A few examples would leave most of a register of the panel empty; then the sums run along
 * the rows of W and of the examples. */
void FN(nnc_pass_forward)(const FN(pass) *p, ptrdiff_t l, FN(input) input, ptrdiff_t r, nnc_range units,
                          nnc_range examples) {
    const ptrdiff_t m = p->net->sizes[l], i0 = units.begin, n = units.end - i0;
    REAL *Z = p->A[l] + i0 * p->ld;
    if (n <= 0 || examples.begin >= examples.end) return;
    if (input.rows && r <= p->few) { /* too few to be shared among threads */
        for (ptrdiff_t i = 0; i < n; i++)
            for (ptrdiff_t j = 0; j < r; j++) Z[i * p->ld + j] = p->net->b[l][i0 + i];
        p->k->gemm_few(Z, p->net->W[l] + i0 * m, input.rows, n, m, r, p->ld, 1, m, input.rows_ld, 1);
    } else if (p->cut && l == p->net->layers - 1) {
        for (int part = 0; part < 2; part++)
            FN(nnc_pass_part)(p, part, r, units, examples);
        FN(nnc_pass_add_parts)(p, units, examples);
    } else
        FN(multiply)(p, l, p->A[l], input.panel, p->net->b[l], r, units, examples, nnc_all_of(m));
    if (l < p->net->layers - 1) FN(activate)(p, l, Z, (n - 1) * p->ld + examples.end);
}

/* Of these units of layer l - 1: dA = W^T dZ, then dZ = dA * f'(Z) */
void FN(nnc_pass_backward)(const FN(pass) *p, ptrdiff_t l, ptrdiff_t r, nnc_range units) {
    const ptrdiff_t m = p->net->sizes[l], i0 = units.begin, n = units.end - i0;
    REAL *dA = p->dZ[l - 1] + i0 * p->ld;
    if (n <= 0) return;
    FN(gemm_args) g = {.n = n, .k = p->net->sizes[l + 1], .p = r, .A = p->net->W[l] + i0, .B = p->dZ[l], .C = dA};
    g.a_rs = 1, g.a_cs = m, g.b_rs = p->ld, g.c_rs = p->ld; /* W^T is W with its strides exchanged */
    p->k->gemm_for(m, g.k, r)(&g);
    FN(activate_backward)(p, l - 1, dA, p->A[l - 1] + i0 * p->ld, (n - 1) * p->ld + r);
}

/* These units of a hidden layer, example by example: of the A^T of the next layer's dW = dZ A^T */
void FN(nnc_pass_transpose)(const FN(pass) *p, ptrdiff_t l, REAL *rows, ptrdiff_t rows_ld, ptrdiff_t r,
                            nnc_range units) {
    p->k->transpose(rows + units.begin, p->A[l] + units.begin * p->ld, r, units.end - units.begin, rows_ld, p->ld);
}

/* D += dZ A^T for these units and inputs (eqs. 11.5, 11.6); D is the first of these units' rows of W itself or of its
 * gradient. `same_input`: as in this thread's last product. */
static void FN(add_gradient)(const FN(pass) *p, ptrdiff_t l, REAL *D, FN(input) input, ptrdiff_t r, nnc_range units,
                             nnc_range inputs, int accumulate, int same_input) {
    const ptrdiff_t m = p->net->sizes[l], n = units.end - units.begin, count = inputs.end - inputs.begin;
    const REAL *dZ = p->dZ[l] + units.begin * p->ld;
    FN(gemm_args) g = {.n = n, .k = r, .p = count, .A = dZ, .B = input.rows + inputs.begin};
    g.C = D + inputs.begin, g.accumulate = accumulate, g.same_B = same_input;
    g.a_rs = p->ld, g.a_cs = 1, g.b_rs = input.rows_ld, g.c_rs = m;
    if (4 * m <= p->k->lanes)
        p->k->gemm_few(g.C, dZ, input.panel + inputs.begin * p->ld, n, r, count, m, 1, p->ld, p->ld, accumulate);
    else
        p->k->gemm_for(p->net->sizes[l + 1], r, m)(&g);
}

/* out = kernel(out, y, s) for some rows and columns of a matrix of m columns. Rows that are whole are contiguous and
 * go as one. */
static void FN(on_block)(FN(elementwise) *kernel, REAL *out, const REAL *y, REAL s, ptrdiff_t m, nnc_range rows,
                         nnc_range columns) {
    const ptrdiff_t width = columns.end - columns.begin, step = width == m ? rows.end - rows.begin : 1;
    for (ptrdiff_t i = rows.begin; i < rows.end; i += step) {
        const ptrdiff_t at = i * m + columns.begin;
        kernel(out + at, out + at, y ? y + at : NULL, &s, step * width, 0);
    }
}

/* The optimizer's step for these rows and columns of layer l's W; D is the gradient's first row */
static void FN(take_step)(const FN(pass) *p, ptrdiff_t l, const REAL *D, nnc_range rows, nnc_range columns,
                          const FN(step) *numbers) {
    const ptrdiff_t m = p->net->sizes[l], width = columns.end - columns.begin;
    const ptrdiff_t at_once = width == m ? rows.end - rows.begin : 1; /* whole rows are contiguous */
    REAL *state0 = p->states[0] ? p->states[0][l] : NULL, *state1 = p->states[1] ? p->states[1][l] : NULL;
    for (ptrdiff_t i = rows.begin; i < rows.end; i += at_once) {
        const ptrdiff_t at = i * m + columns.begin;
        const REAL *grad = D + (at - rows.begin * m);
        p->optimizer(p->net->W[l] + at, grad, state0 ? state0 + at : NULL, state1 ? state1 + at : NULL, numbers,
                     at_once * width);
    }
}

/* The same for layer l's b. No bias decays. */
static void FN(take_bias_step)(const FN(pass) *p, ptrdiff_t l, nnc_range units, FN(step) numbers) {
    const ptrdiff_t i0 = units.begin;
    REAL *state0 = p->states_b[0] ? p->states_b[0][l] + i0 : NULL;
    REAL *state1 = p->states_b[1] ? p->states_b[1][l] + i0 : NULL;
    numbers.decay = 0;
    p->optimizer(p->net->b[l] + i0, p->db[l] + i0, state0, state1, &numbers, units.end - i0);
}

void FN(nnc_pass_step)(const FN(pass) *p, ptrdiff_t l, nnc_range units, const FN(step) *numbers) {
    if (units.begin >= units.end) return;
    const ptrdiff_t m = p->net->sizes[l];
    FN(take_step)(p, l, p->D[l] + units.begin * m, units, nnc_all_of(m), numbers);
    FN(take_bias_step)(p, l, units, *numbers);
}

/* The step of these units and inputs of W (eqs. 6.3, 6.4). The gradient is computed a few rows at a time, so that they
 * are still in a cache when the optimizer reads them. If they are not needed later, all are computed into the same few
 * rows, so that the gradient takes no more of the cache than these do. */
void FN(nnc_pass_update)(const FN(pass) *p, ptrdiff_t l, FN(input) input, ptrdiff_t r, nnc_range units,
                         nnc_range inputs, const FN(batch_step) *step) {
    const ptrdiff_t m = p->net->sizes[l], n = units.end - units.begin;
    if (units.begin >= units.end || inputs.begin >= inputs.end) return;
    if (p->accumulation == INTO_PARAMETERS) {
        FN(add_gradient)(p, l, p->net->W[l] + units.begin * m, input, r, units, inputs, 1, 0);
        return;
    }
    const int velocity = p->accumulation == INTO_VELOCITY;
    const int needed = velocity || !p->optimizer || !(step->first && step->last);
    const ptrdiff_t rows = p->k->gemm_rows(p->net->sizes[l + 1], r, m);
    for (ptrdiff_t i = 0; i < n; i += rows) {
        const ptrdiff_t end = i + rows < n ? i + rows : n;
        const nnc_range here = {units.begin + i, units.begin + end};
        if (step->first && velocity) FN(on_block)(p->k->scale, p->D[l], NULL, step->numbers.beta1, m, here, inputs);
        REAL *D = p->D[l] + (needed ? here.begin : units.begin) * m;
        FN(add_gradient)(p, l, D, input, r, here, inputs, !step->first || velocity, i > 0);
        if (!step->last) continue;
        if (velocity)
            FN(on_block)(p->k->sgd, p->net->W[l], p->D[l], step->numbers.lr, m, here, inputs);
        else if (p->optimizer)
            FN(take_step)(p, l, D, here, inputs, &step->numbers);
    }
}

/* The same for b: its gradient is the sum of each row of dZ (eq. 11.7). */
void FN(nnc_pass_update_bias)(const FN(pass) *p, ptrdiff_t l, ptrdiff_t r, nnc_range units,
                              const FN(batch_step) *step) {
    const ptrdiff_t n = units.end - units.begin, i0 = units.begin;
    const REAL *dZ = p->dZ[l] + i0 * p->ld;
    const int into_b = p->accumulation == INTO_PARAMETERS, velocity = p->accumulation == INTO_VELOCITY;
    REAL *b = p->net->b[l] + i0, *db = into_b ? b : p->db[l] + i0;
    if (n <= 0) return;
    if (velocity && step->first) p->k->scale(db, db, NULL, &step->numbers.beta1, n, 0);
    p->k->row_sums(db, dZ, n, r, 1, p->ld, into_b || !step->first || velocity);
    if (into_b || !step->last) return;
    if (velocity)
        p->k->sgd(b, b, db, &step->numbers.lr, n, 0);
    else if (p->optimizer)
        FN(take_bias_step)(p, l, units, step->numbers);
}

#endif
