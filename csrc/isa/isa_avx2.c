/* isa_avx2.c - the kernels for avx2. */
#include <immintrin.h>
#define ISA_NAME "avx2"
#define ISA_TABLE nnc_isa_avx2
#define SIMD "../simd/avx2.inc"
#include "isa.inc"
