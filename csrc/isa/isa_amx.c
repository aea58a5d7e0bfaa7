/* isa_amx.c - the kernels for amx: those for avx512, and large products of floats on the matrix unit. */
#include <immintrin.h>
#define ISA_NAME "amx"
#define ISA_TABLE nnc_isa_amx
#define SIMD "../simd/amx.inc"
#include "isa.inc"
