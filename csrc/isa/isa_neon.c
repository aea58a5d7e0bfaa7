/* isa_neon.c - the kernels for neon. */
#include <arm_neon.h>
#define ISA_NAME "neon"
#define ISA_TABLE nnc_isa_neon
#define SIMD "../simd/neon.inc"
#include "isa.inc"
