/* What a C programmer would write: one epoch of m-h-k in plain C around OpenBLAS's matrix product.
 * The weights' gradients go straight into the weights (beta = 1), and nothing is allocated within a batch.
 * Compile with -DREAL=float -DEXP=expf -DGEMM=..._sgemm, or with double, exp and ..._dgemm. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 101,
    AS_IS = 111,
    TRANSPOSED = 112
}; /* CBLAS's constants */

void GEMM(int order, int transA, int transB, int n, int p, int m, REAL alpha, const REAL *A, int lda, const REAL *B,
          int ldb, REAL beta, REAL *C, int ldc);

static void shuffle(int *order, int n, uint64_t *state) {
    for (int i = n - 1; i > 0; i--) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        int j = (int)(*state % (uint64_t)(i + 1)), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

/* Z (r, k) scores in, -lr (P - Y) / r out. */
static void loss_gradient(REAL *Z, const int64_t *y, const int *order, int r, int k, REAL lr) {
    for (int i = 0; i < r; i++) {
        REAL *z = Z + (size_t)i * k, top = z[0], sum = 0;
        for (int j = 1; j < k; j++) top = z[j] > top ? z[j] : top;
        for (int j = 0; j < k; j++) sum += z[j] = EXP(z[j] - top);
        for (int j = 0; j < k; j++) z[j] = (z[j] / sum - (j == y[order[i]])) * (-lr / r);
    }
}

/* X (n, m) and y (n) are the examples, as rows; returns 0, or 1 if there is not enough memory. */
int epoch(const REAL *X, const int64_t *y, int n, int m, int h, int k, int batch, REAL lr, REAL *W1, REAL *b1, REAL *W2,
          REAL *b2, uint64_t *state) {
    REAL *x = malloc(sizeof(REAL) * (size_t)batch * (size_t)(m + 2 * h + k));
    int *order = malloc(sizeof(int) * (size_t)n);
    if (!x || !order) {
        free(x);
        free(order);
        return 1;
    }
    REAL *a = x + (size_t)batch * m, *d = a + (size_t)batch * h, *z = d + (size_t)batch * h;
    for (int i = 0; i < n; i++) order[i] = i;
    shuffle(order, n, state);
    for (int at = 0; at < n; at += batch) {
        const int r = n - at < batch ? n - at : batch;
        for (int i = 0; i < r; i++) {
            memcpy(x + (size_t)i * m, X + (size_t)order[at + i] * m, sizeof(REAL) * (size_t)m);
            memcpy(a + (size_t)i * h, b1, sizeof(REAL) * (size_t)h);
            memcpy(z + (size_t)i * k, b2, sizeof(REAL) * (size_t)k);
        }
        GEMM(ROWS, AS_IS, TRANSPOSED, r, h, m, 1, x, m, W1, m, 1, a, h);
        for (int i = 0; i < r * h; i++) a[i] = a[i] > 0 ? a[i] : 0;
        GEMM(ROWS, AS_IS, TRANSPOSED, r, k, h, 1, a, h, W2, h, 1, z, k);
        loss_gradient(z, y, order + at, r, k, lr);
        GEMM(ROWS, AS_IS, AS_IS, r, h, k, 1, z, k, W2, h, 0, d, h);
        for (int i = 0; i < r * h; i++) d[i] = a[i] > 0 ? d[i] : 0;
        GEMM(ROWS, TRANSPOSED, AS_IS, k, h, r, 1, z, k, a, h, 1, W2, h);
        GEMM(ROWS, TRANSPOSED, AS_IS, h, m, r, 1, d, h, x, m, 1, W1, m);
        for (int i = 0; i < r; i++) {
            for (int j = 0; j < k; j++) b2[j] += z[(size_t)i * k + j];
            for (int j = 0; j < h; j++) b1[j] += d[(size_t)i * h + j];
        }
    }
    free(x);
    free(order);
    return 0;
}
