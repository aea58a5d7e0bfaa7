/* mlp.h - a chunk of examples on its way through a network: what fit.c and predict.c ask of mlp.c. */
#ifndef NNC_OPS_MLP_H
#define NNC_OPS_MLP_H
#include "ops.h"

#define NNC_TEMPLATE "ops/mlp_typed.inc"
#include "../each_dtype.inc"

#endif
