/* cpu.c - cpuid and xgetbv for the instruction sets, the caches' sizes from the system. */

#include "cpu.h"
#include "../runtime/system.h"

#include <stdatomic.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* Bits of the extended control register 0: which registers the operating system saves when it switches threads.
 * Instructions whose registers it does not save fault, whatever cpuid says of the processor. */
enum {
    XCR0_YMM = 0x06 /* xmm and the upper halves of ymm */,
    XCR0_ZMM = 0xe6 /* these, the masks, and all of zmm */,
    XCR0_TILES = 0x60000 /* the matrix unit's tiles and how they are set up */
};

static int os_saves(unsigned wanted) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    unsigned low, high;
    __asm__("xgetbv"
            : "=a"(low), "=d"(high)
            : "c"(0)); /* the intrinsic would need the file compiled with -mxsave */
    return (low & wanted) == wanted;
}

static int has_avx2(void) {
    unsigned a, b, c, d, b7;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !__get_cpuid_count(7, 0, &a, &b7, &a, &d))
        return 0;
    return (c & bit_AVX) && (c & bit_FMA) && (b7 & bit_AVX2) && os_saves(XCR0_YMM);
}

static int has_avx512(void) {
    const unsigned wanted = bit_AVX512F | bit_AVX512VL | bit_AVX512DQ | bit_AVX512BW;
    unsigned a, b, c, d;
    if (!nnc_cpu_has_avx2() || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (b & wanted) == wanted && os_saves(XCR0_ZMM);
}

static int has_amx(void) {
    enum {
        BF16 = 1 << 22,
        TILES = 1 << 24
    };
    unsigned a, b, c, d;
    if (!nnc_cpu_has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (d & BF16) && (d & TILES) && os_saves(XCR0_TILES) && nnc_ask_for_tiles();
}

#else

static int has_avx2(void) { return 0; }
static int has_avx512(void) { return 0; }
static int has_amx(void) { return 0; }

#endif

/* Answers are remembered, because cpuid, which the system may use, too, takes tens of microseconds inside a virtual
 * machine. Two threads that ask at once both find the same. */
static int yes(atomic_int *answer, int (*ask)(void)) {
    enum {
        UNKNOWN,
        NO,
        YES
    };
    int known = atomic_load_explicit(answer, memory_order_relaxed);
    if (known == UNKNOWN) {
        known = ask() ? YES : NO;
        atomic_store_explicit(answer, known, memory_order_relaxed);
    }
    return known == YES;
}

int nnc_cpu_has_avx2(void) {
    static atomic_int answer;
    return yes(&answer, has_avx2);
}

int nnc_cpu_has_avx512(void) {
    static atomic_int answer;
    return yes(&answer, has_avx512);
}

int nnc_cpu_has_amx(void) {
    static atomic_int answer;
    return yes(&answer, has_amx);
}

static ptrdiff_t remembered(_Atomic ptrdiff_t *size, int level, ptrdiff_t usual) {
    ptrdiff_t bytes = atomic_load_explicit(size, memory_order_relaxed);
    if (bytes == 0) {
        bytes = nnc_cache_size(level);
        if (bytes == 0) bytes = usual;
        atomic_store_explicit(size, bytes, memory_order_relaxed);
    }
    return bytes;
}

ptrdiff_t nnc_cpu_l1d(void) {
    static _Atomic ptrdiff_t size;
    return remembered(&size, 1, 32 << 10);
}

ptrdiff_t nnc_cpu_l2(void) {
    static _Atomic ptrdiff_t size;
    return remembered(&size, 2, 512 << 10);
}

ptrdiff_t nnc_cpu_l3(void) {
    static _Atomic ptrdiff_t size;
    return remembered(&size, 3, 8 << 20);
}
