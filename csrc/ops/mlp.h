/* mlp.h - a chunk of examples on its way through a network: what fit.c and predict.c ask of mlp.c. */
#ifndef NNC_OPS_MLP_H
#define NNC_OPS_MLP_H
#include "ops.h"

/* Where the products dZ A^T, the gradient, are gathered. The first two are special cases for speed: a step of plain
 * gradient descent takes 1.2 times as long when the gradient is written down, read again and added to W (784-200-10,
 * batch 64, one thread). Their price is the two branches in nnc_pass_update, and -lr in dL. */
typedef enum nnc_gathering {
    INTO_PARAMETERS, /* dL has -lr in it, and they are added to W and b where these lie */
    INTO_VELOCITY,   /* v <- beta1 v, they are added to v, w <- w - lr v */
    APART            /* in D and db, from which the optimizer makes its step */
} nnc_gathering;

#define NNC_TEMPLATE "ops/mlp_typed.inc"
#include "../each_dtype.inc"

#endif
