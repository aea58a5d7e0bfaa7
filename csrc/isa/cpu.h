/* cpu.h - what the processor can do, and how large its caches are. */
#ifndef NNC_OPS_CPU_H
#define NNC_OPS_CPU_H

#include <stddef.h>

/* Nonzero if the processor has the instructions *and* the operating system saves their registers. */
int nnc_cpu_has_avx2(void);   /* AVX2 and FMA */
int nnc_cpu_has_avx512(void); /* F, VL, DQ, BW; AVX2 and FMA with them */
int nnc_cpu_has_amx(void);    /* tiles of bfloat16; AVX-512 with them */

/* Bytes of data cache that one core sees; a common size where the system does not say. Read once, then cached. */
ptrdiff_t nnc_cpu_l1d(void);
ptrdiff_t nnc_cpu_l2(void);
ptrdiff_t nnc_cpu_l3(void);

#endif
