/* mlp.h - a chunk of examples on its way through a network: what fit.c and predict.c ask of mlp.c. */
#ifndef NNC_OPS_MLP_H
#define NNC_OPS_MLP_H
#include "ops.h"

#define REAL float
#define FN(name) name##_f32
#define PUBLIC(name) nnc_##name##_f32
#include "mlp_typed.inc"
#undef REAL
#undef FN
#undef PUBLIC

#define REAL double
#define FN(name) name##_f64
#define PUBLIC(name) nnc_##name##_f64
#include "mlp_typed.inc"
#undef REAL
#undef FN
#undef PUBLIC

#endif
