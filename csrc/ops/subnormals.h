/* subnormals.h - results below the smallest normal number, for as long as an epoch lasts.
 *
 * A net that has learnt its examples well, and goes on, has gradients of 1e-40. Some processors take up each such
 * operand in microcode, a hundred times as long as any other, and a step with them takes several times as long. So
 * within an epoch, and only there, they become 0: no weight would have changed by them. Everywhere else subnormals are
 * kept, the caller's as well as ours. Where this is not x86 nothing needs doing. */
#ifndef NNC_OPS_SUBNORMALS_H
#define NNC_OPS_SUBNORMALS_H

#if defined(__SSE2__)
#include <xmmintrin.h>

/* Returns how it was before. The threads of nnc_parallel do as their caller does. */
static inline unsigned nnc_flush_subnormals(void) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | _MM_FLUSH_ZERO_ON);
    return before & _MM_FLUSH_ZERO_MASK;
}

/* As it was; exceptions that have been met since stay noted. */
static inline void nnc_restore_subnormals(unsigned before) {
    _mm_setcsr((_mm_getcsr() & ~(unsigned)_MM_FLUSH_ZERO_MASK) | before);
}

#else
static inline unsigned nnc_flush_subnormals(void) { return 0; }
static inline void nnc_restore_subnormals(unsigned before) { (void)before; }
#endif

#endif
