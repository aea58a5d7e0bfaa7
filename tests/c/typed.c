/* typed.c - the checks of the maths, once for float and once for double. */
#include "../../csrc/kernels/kernels.h"
#include "check.h"
#include "failing.h"
#include "net.h"

#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

static nnc_labels labels_of(const ptrdiff_t *y, ptrdiff_t r, ptrdiff_t stride) { return (nnc_labels){y, r, stride}; }

#define NNC_TEMPLATE "../tests/c/typed.inc"
#include "../../csrc/each_dtype.inc"
