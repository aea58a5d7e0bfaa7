/* isa_avx512.c - the kernels for avx512. */
#include <immintrin.h>
#define ISA_NAME "avx512"
#define ISA_TABLE nnc_isa_avx512
#define SIMD "../simd/avx512.inc"
#include "isa.inc"
