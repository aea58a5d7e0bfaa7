/* ops.h - what the operations share: the kernels, the threads, and scratch memory. */
#ifndef NNC_OPS_H
#define NNC_OPS_H
#include "../isa/cpu.h"
#include "../kernels/kernels.h"
#include "../runtime/barrier.h"
#include "../runtime/pool.h"
#include "../runtime/scratch.h"
#include "../runtime/worth.h"

/* The kernels of a template's dtype: of a file that includes itself by each_dtype.inc, its second half. */
#define KERNELS (nnc_kernels()->NNC_DTYPE)

#define NNC_TEMPLATE "ops/views.inc"
#include "../each_dtype.inc"

#endif
