/* linear.c - a linear layer (eq. 3.9): its scores, and the sums of its bias gradient (eq. 11.7). */
#ifndef NNC_TEMPLATE
#include "matmul.h"

#define NNC_TEMPLATE "ops/linear.c"
#include "../each_dtype.inc"
#else

/* Z (n, r) = W (n, m) X (m, r) + b (n, 1). dW = dZ X^T and dX = W^T dZ are products too (eqs. 11.5, 11.6). */
nnc_status PUBLIC(linear_forward)(PUBLIC(matrix) Z, PUBLIC(matrix) W, PUBLIC(matrix) X, PUBLIC(matrix) b) {
    const ptrdiff_t n = W.rows, m = W.cols, r = X.cols;
    if (!FN(is_shape)(W, n, m) || !FN(is_shape)(X, m, r) || !FN(is_shape)(b, n, 1) || !FN(is_shape)(Z, n, r))
        return NNC_ERR_SHAPE;
    if (n > 0 && r > 1 && Z.cs == 1) return FN(nnc_product)(&Z, &W, &X, &b);
    NNC_TRY(PUBLIC(matmul_forward)(Z, W, X));
    return PUBLIC(add_bias_forward)(Z, Z, b);
}

/* out (n, r) = Z (n, r) + b (n, 1) */
nnc_status PUBLIC(add_bias_forward)(PUBLIC(matrix) out, PUBLIC(matrix) Z, PUBLIC(matrix) b) {
    const ptrdiff_t n = Z.rows, r = Z.cols;
    if (!FN(is_shape)(Z, n, r) || !FN(is_shape)(b, n, 1) || !FN(is_shape)(out, n, r)) return NNC_ERR_SHAPE;
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < r; j++)
            *FN(at)(out, i, j) = *FN(at)(Z, i, j) + *FN(at)(b, i, 0);
    return NNC_OK;
}

/* out = Z + b broadcast along the columns (add_bias_forward), so db_i = sum_j dZ_ij */
nnc_status PUBLIC(add_bias_backward)(PUBLIC(matrix) db, PUBLIC(matrix) dZ) {
    const ptrdiff_t n = dZ.rows, r = dZ.cols;
    if (!FN(is_shape)(dZ, n, r) || !FN(is_shape)(db, n, 1)) return NNC_ERR_SHAPE;
    if (dZ.cs == 1) {
        KERNELS->row_sums(db.data, dZ.data, n, r, db.rs, dZ.rs, 0);
        return NNC_OK;
    }
    for (ptrdiff_t i = 0; i < n; i++)
        *FN(at)(db, i, 0) = 0;
    for (ptrdiff_t j = 0; j < r; j++) /* a column at a time, which is how such a matrix lies in memory */
        for (ptrdiff_t i = 0; i < n; i++)
            *FN(at)(db, i, 0) += *FN(at)(dZ, i, j);
    return NNC_OK;
}

#endif
