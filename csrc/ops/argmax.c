/* argmax.c - the row of the largest number of each column, the first one at a tie: what a net predicts. */
#ifndef NNC_TEMPLATE
#include "ops.h"

enum {
    WIDEST = 256 /* columns at a time, whose largest numbers so far stay in the L1 */
};

#define NNC_TEMPLATE "ops/argmax.c"
#include "../each_dtype.inc"
#else

nnc_status PUBLIC(argmax)(ptrdiff_t *rows, PUBLIC(matrix) P) {
    if (P.rows < 1 || P.cols < 0) return NNC_ERR_SHAPE;
    int has_nan = 0;
    for (ptrdiff_t begin = 0; begin < P.cols; begin += WIDEST) {
        const ptrdiff_t width = P.cols - begin < WIDEST ? P.cols - begin : WIDEST;
        REAL max[WIDEST];
        for (ptrdiff_t j = 0; j < width; j++)
            max[j] = *FN(at)(P, 0, begin + j), rows[begin + j] = 0, has_nan |= max[j] != max[j];
        for (ptrdiff_t k = 1; k < P.rows; k++)
            for (ptrdiff_t j = 0; j < width; j++) {
                const REAL x = *FN(at)(P, k, begin + j);
                const int is_more = x > max[j];
                max[j] = is_more ? x : max[j];
                rows[begin + j] = is_more ? k : rows[begin + j];
                has_nan |= x != x;
            }
    }
    return has_nan ? NNC_ERR_ARGUMENT : NNC_OK;
}

#endif
