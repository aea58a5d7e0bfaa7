/* mlp.h - forward and backward of a chunk of examples, layer by layer: what fit.c and predict.c use of mlp.c. */
#ifndef NNC_OPS_MLP_H
#define NNC_OPS_MLP_H
#include "ops.h"

/* Where the gradient, the products dZ A^T, is accumulated. The first two are special cases for speed: a step of plain
 * gradient descent takes 1.2 times as long when the gradient is stored, loaded again and added to W (784-200-10,
 * batch 64, one thread). Their price is the two branches in nnc_pass_update, and -lr in dL. */
typedef enum nnc_accumulation {
    INTO_PARAMETERS, /* in W and b themselves; dL has -lr in it */
    INTO_VELOCITY,   /* in v, scaled by beta1 before; w <- w - lr v */
    INTO_GRADIENT    /* in D and db, which the optimizer reads */
} nnc_accumulation;

#define NNC_TEMPLATE "ops/mlp_typed.inc"
#include "../each_dtype.inc"

#endif
