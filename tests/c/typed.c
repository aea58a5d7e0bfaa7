/* typed.c - the checks of the maths, once for float and once for double. WIDE is what they are checked in. */
#include "../../csrc/kernels/kernels.h"
#include "check.h"
#include "net.h"

#include <fenv.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

#define REAL float
#define WIDE double
#define EPS FLT_EPSILON
#define TINY FLT_TRUE_MIN
#define DTYPE NNC_F32
#define T(name) name##_f32
#define F(name) nnc_##name##_f32
#define TABLE (nnc_kernels()->f32)
#include "matrix.inc"

#include "elementwise.inc"
#include "large_products.inc"
#include "losses.inc"
#include "products.inc"
#include "thread_counts.inc"
#include "training.inc"
#undef TABLE
#undef F
#undef T
#undef DTYPE
#undef TINY
#undef EPS
#undef WIDE
#undef REAL

#define REAL double
#define WIDE long double
#define EPS DBL_EPSILON
#define TINY DBL_TRUE_MIN
#define DTYPE NNC_F64
#define T(name) name##_f64
#define F(name) nnc_##name##_f64
#define TABLE (nnc_kernels()->f64)
#include "matrix.inc"

#include "elementwise.inc"
#include "large_products.inc"
#include "losses.inc"
#include "products.inc"
#include "thread_counts.inc"
#include "training.inc"
