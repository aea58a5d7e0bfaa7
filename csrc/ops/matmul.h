/* matmul.h - the matrix product with a bias, which linear.c uses. */
#ifndef NNC_OPS_MATMUL_H
#define NNC_OPS_MATMUL_H
#include "ops.h"

#define NNC_TEMPLATE "ops/matmul_typed.inc"
#include "../each_dtype.inc"

#endif
