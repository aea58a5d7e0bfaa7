/* subnormals.h - results below the smallest normal number, for as long as an epoch lasts.
 *
 * A net that goes on training after it has fitted its examples has gradients of 1e-40. Some processors handle such an
 * operand in microcode, which takes a hundred times as long, and a step several times as long. So within an epoch, and
 * only there, they become 0: no weight would have changed by them. Everywhere else subnormals are kept, the caller's as
 * well as ours. Only x86 needs this. */
#ifndef NNC_OPS_SUBNORMALS_H
#define NNC_OPS_SUBNORMALS_H

#if defined(__SSE2__)
#include <xmmintrin.h>

/* Returns the previous setting. The threads of nnc_parallel use their caller's. */
static inline unsigned nnc_flush_subnormals(void) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | _MM_FLUSH_ZERO_ON);
    return before & _MM_FLUSH_ZERO_MASK;
}

/* Restores it; exception flags that were raised since are kept. */
static inline void nnc_restore_subnormals(unsigned before) {
    _mm_setcsr((_mm_getcsr() & ~(unsigned)_MM_FLUSH_ZERO_MASK) | before);
}

#else
static inline unsigned nnc_flush_subnormals(void) { return 0; }
static inline void nnc_restore_subnormals(unsigned before) { (void)before; }
#endif

#endif
