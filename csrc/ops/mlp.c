/* mlp.c - one training step of a network of linear layers (section 10 of the derivation), and its prediction.
 *
 * Layouts. A layer's Z, A and dZ are panels (n, ld): a row for each unit, the examples of a chunk side by side. The
 * input is there twice: example by example (`rows`), for dW = dZ X^T, and as a panel (m, ld), for Z = W X + b; one pass
 * over the caller's array makes both. dW is never formed when it need not be: dL carries -lr/r, and the product dZ X^T
 * is added to W where W lies.
 *
 * Threads own units: each computes its rows of Z and dZ and updates its rows of W, which stay in its cache. They meet
 * after each layer on the way up, after the loss, and after each layer on the way down, because what comes next reads
 * everybody's rows, and because W may change only when nobody reads it any more. Every number is computed by one thread
 * in one order, so the weights do not depend on how many there are. */
#ifndef OP_FILE
#include "mlp.h"

#define OP_FILE "mlp.c"
#include "each_dtype.inc"
#else

nnc_status FN(nnc_pass_check)(const PUBLIC(mlp) *net, const nnc_examples *X) {
    if (net->layers < 1 || X->r < 0 || X->m != net->sizes[0]) return NNC_ERR_SHAPE;
    for (ptrdiff_t l = 0; l <= net->layers; l++)
        if (net->sizes[l] < 1) return NNC_ERR_SHAPE;
    for (ptrdiff_t l = 0; l < net->layers - 1; l++)
        if ((int)net->activation[l] < NNC_IDENTITY || net->activation[l] > NNC_TANH) return NNC_ERR_ARGUMENT;
    if (!(net->slope >= 0)) return NNC_ERR_ARGUMENT;
    if (X->dtype != NNC_F32 && X->dtype != NNC_F64 && X->dtype != NNC_U8) return NNC_ERR_ARGUMENT;
    return NNC_OK;
}

FN(source) FN(nnc_pass_source)(const PUBLIC(mlp) *net, const nnc_examples *X) {
    static const ptrdiff_t bytes[] = {[NNC_F32] = 4, [NNC_F64] = 8, [NNC_U8] = 1};
    FN(source) source = {.data = X->data, .dtype = X->dtype, .m = X->m, .input_stride = X->input_stride};
    source.bytes = X->m * bytes[X->dtype], source.step = X->example_stride * bytes[X->dtype];
    source.mean = net->mean, source.std = net->std, source.mean_s = net->mean_s, source.std_s = net->std_s;
    source.plain = source.tame = 1;
    for (ptrdiff_t i = 0; i < X->m; i++) {
        const REAL mean = net->mean[i * net->mean_s], std = net->std[i * net->std_s];
        source.plain = source.plain && mean == 0 && std == 1;
        source.tame = source.tame && std > (REAL)1e-30 && std < (REAL)1e30;
    }
    return source;
}

static void FN(activate)(const FN(pass) *p, ptrdiff_t l, REAL *Z, ptrdiff_t count) {
    const FN(kernels) *k = p->k;
    switch (p->net->activation[l]) {
    case NNC_IDENTITY: return;
    case NNC_RELU: k->relu_forward(Z, Z, NULL, NULL, count, 0); return;
    case NNC_LEAKY_RELU: k->leaky_relu_forward(Z, Z, NULL, &p->net->slope, count, 0); return;
    case NNC_SIGMOID: k->sigmoid_forward(Z, Z, NULL, NULL, count, 0); return;
    case NNC_TANH: k->tanh_forward(Z, Z, NULL, NULL, count, 0); return;
    }
}

/* dA becomes dZ = dA * f'(Z), with f' a function of A (activate) */
static void FN(activate_backward)(const FN(pass) *p, ptrdiff_t l, REAL *dA, const REAL *A, ptrdiff_t count) {
    const FN(kernels) *k = p->k;
    switch (p->net->activation[l]) {
    case NNC_IDENTITY: return;
    case NNC_RELU: k->relu_backward(dA, dA, A, NULL, count, 0); return;
    case NNC_LEAKY_RELU: k->leaky_relu_backward(dA, dA, A, &p->net->slope, count, 0); return;
    case NNC_SIGMOID: k->sigmoid_backward(dA, dA, A, NULL, count, 0); return;
    case NNC_TANH: k->tanh_backward(dA, dA, A, NULL, count, 0); return;
    }
}

/* Examples i0 .. i1 of the chunk: index[i] says which of the caller's, or NULL: `first` + i. Both layouts of X. */
void FN(nnc_pass_read)(const FN(pass) *p, REAL *rows, REAL *panel, const uint32_t *index, ptrdiff_t first, ptrdiff_t i0,
                       ptrdiff_t i1) {
    p->k->read_examples(rows + i0 * p->rows_ld, panel + i0, &p->X, index ? index + i0 : NULL, first + i0, i1 - i0,
                        p->rows_ld, p->ld);
}

/* Rows i0 .. i1 of Z = W A + b and, in a hidden layer, of A = f(Z), in place (eqs. 3.9, 12.2 - 12.4). A few examples
 * would leave most of a register of the panel empty; then the sums run along the rows of W and of the examples. */
void FN(nnc_pass_forward)(const FN(pass) *p, ptrdiff_t l, FN(input) input, ptrdiff_t r, ptrdiff_t i0, ptrdiff_t i1) {
    const ptrdiff_t m = p->net->sizes[l], n = i1 - i0;
    const REAL *W = p->net->W[l] + i0 * m, *b = p->net->b[l] + i0;
    REAL *Z = p->A[l] + i0 * p->ld;
    if (n <= 0) return;
    if (input.rows && 4 * r <= p->k->lanes) {
        for (ptrdiff_t i = 0; i < n; i++)
            for (ptrdiff_t j = 0; j < r; j++) Z[i * p->ld + j] = b[i];
        p->k->gemm_few(Z, W, input.rows, n, m, r, p->ld, m, input.rows_ld, 1);
    } else {
        FN(gemm_args) g = {.n = n, .k = m, .p = r, .A = W, .B = input.panel, .C = Z};
        g.a_rs = m, g.a_cs = 1, g.b_rs = p->ld, g.c_rs = p->ld, g.bias = b, g.bias_s = 1;
        p->k->gemm(&g);
    }
    if (l < p->net->layers - 1) FN(activate)(p, l, Z, (n - 1) * p->ld + r);
}

/* Units i0 .. i1 of layer l - 1: dA = W^T dZ, then dZ = dA * f'(Z) */
void FN(nnc_pass_backward)(const FN(pass) *p, ptrdiff_t l, ptrdiff_t r, ptrdiff_t i0, ptrdiff_t i1) {
    const ptrdiff_t m = p->net->sizes[l];
    REAL *dA = p->dZ[l - 1] + i0 * p->ld;
    if (i1 <= i0) return;
    FN(gemm_args) g = {.n = i1 - i0, .k = p->net->sizes[l + 1], .p = r, .A = p->net->W[l] + i0, .B = p->dZ[l], .C = dA};
    g.a_rs = 1, g.a_cs = m, g.b_rs = p->ld, g.c_rs = p->ld; /* W^T is W with its strides exchanged */
    p->k->gemm(&g);
    FN(activate_backward)(p, l - 1, dA, p->A[l - 1] + i0 * p->ld, (i1 - i0 - 1) * p->ld + r);
}

/* Units i0 .. i1 of a hidden layer, example by example: the A^T of the next layer's dW = dZ A^T */
void FN(nnc_pass_turn)(const FN(pass) *p, ptrdiff_t l, REAL *rows, ptrdiff_t rows_ld, ptrdiff_t r, ptrdiff_t i0,
                       ptrdiff_t i1) {
    p->k->transpose(rows + i0, p->A[l] + i0 * p->ld, r, i1 - i0, rows_ld, p->ld);
}

/* W (n, m) += dZ A^T for rows i0 .. i1 of D, which is W itself or its gradient; likewise b. (eqs. 11.5 - 11.7) */
static void FN(add_gradient)(const FN(pass) *p, ptrdiff_t l, REAL *D, REAL *db, FN(input) input, ptrdiff_t r,
                             ptrdiff_t i0, ptrdiff_t i1, int accumulate, nnc_ahead ahead) {
    const ptrdiff_t m = p->net->sizes[l];
    const REAL *dZ = p->dZ[l] + i0 * p->ld;
    FN(gemm_args) g = {.n = i1 - i0, .k = r, .p = m, .A = dZ, .B = input.rows, .C = D + i0 * m};
    g.accumulate = accumulate, g.ahead = ahead;
    g.a_rs = p->ld, g.a_cs = 1, g.b_rs = input.rows_ld, g.c_rs = m;
    if (4 * m <= p->k->lanes)
        p->k->gemm_few(g.C, dZ, input.panel, g.n, r, m, m, p->ld, p->ld, accumulate);
    else
        p->k->gemm(&g);
    p->k->row_sums(db + i0, dZ, i1 - i0, r, 1, p->ld, accumulate);
}

/* Rows i0 .. i1 of layer l take their step (eqs. 6.3, 6.4). Without momentum, and with the batch in one chunk, dZ
 * carries -lr/r and the gradient is added to W. Else it is gathered in D, which is the velocity too, a few rows at a
 * time so that they are still in the nearest cache when W follows. */
void FN(nnc_pass_update)(const FN(pass) *p, ptrdiff_t l, FN(input) input, ptrdiff_t r,
                         ptrdiff_t i0, ptrdiff_t i1, int first, int last, nnc_ahead ahead) {
    const FN(kernels) *k = p->k;
    const ptrdiff_t m = p->net->sizes[l];
    REAL *W = p->net->W[l], *b = p->net->b[l];
    if (i1 <= i0) return;
    if (p->fused) {
        FN(add_gradient)(p, l, W, b, input, r, i0, i1, 1, ahead);
        return;
    }
    REAL *D = p->D[l], *db = p->db[l];
    const REAL lr = (REAL)p->lr, momentum = (REAL)p->momentum;
    for (ptrdiff_t i = i0; i < i1; i += k->tile_rows) {
        const ptrdiff_t end = i + k->tile_rows < i1 ? i + k->tile_rows : i1, count = (end - i) * m;
        if (first && momentum != 0) { /* v <- momentum v + g */
            k->scale(D + i * m, D + i * m, NULL, &momentum, count, 0);
            k->scale(db + i, db + i, NULL, &momentum, end - i, 0);
        }
        const ptrdiff_t from = (i - i0) * ahead.count / (i1 - i0), to = (end - i0) * ahead.count / (i1 - i0);
        const nnc_ahead part = {ahead.pieces + from, to - from, ahead.bytes};
        FN(add_gradient)(p, l, D, db, input, r, i, end, !first || momentum != 0, part);
        if (last) {
            k->sgd(W + i * m, W + i * m, D + i * m, &lr, count, 0);
            k->sgd(b + i, b + i, db + i, &lr, end - i, 0);
        }
    }
}

#endif
