/* loss.h - what fit.c and predict.c use of loss.c. */
#ifndef NNC_OPS_LOSS_H
#define NNC_OPS_LOSS_H
#include "ops.h"

#define NNC_TEMPLATE "ops/loss_typed.inc"
#include "../each_dtype.inc"

#endif
