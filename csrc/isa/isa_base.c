/* isa_base.c - the kernels for base. */
#define ISA_NAME "base"
#define ISA_TABLE nnc_isa_base
#define SIMD "../simd/scalar.inc"
#include "isa.inc"
