/* dispatch.c - which kernels run: the widest instruction set that the build, the processor and the system have. */
#include "../kernels/kernels.h"
#include "cpu.h"

#include <stdatomic.h>
#include <string.h>

extern const nnc_isa nnc_isa_base;
#ifdef NNC_HAVE_AVX2
extern const nnc_isa nnc_isa_avx2;
#endif
#ifdef NNC_HAVE_AVX512
extern const nnc_isa nnc_isa_avx512;
#endif
#ifdef NNC_HAVE_AMX
extern const nnc_isa nnc_isa_amx;
#endif
#ifdef NNC_HAVE_NEON
extern const nnc_isa nnc_isa_neon;
#endif

/* The i-th table that can run here, the simplest first. */
static const nnc_isa *available(int i) {
    const nnc_isa *found[5];
    int count = 0;
    found[count++] = &nnc_isa_base;
#ifdef NNC_HAVE_NEON
    found[count++] = &nnc_isa_neon; /* a part of every aarch64 */
#endif
#ifdef NNC_HAVE_AVX2
    if (nnc_cpu_has_avx2()) found[count++] = &nnc_isa_avx2;
#endif
#ifdef NNC_HAVE_AVX512
    if (nnc_cpu_has_avx512()) found[count++] = &nnc_isa_avx512;
#endif
#ifdef NNC_HAVE_AMX
    if (nnc_cpu_has_amx()) found[count++] = &nnc_isa_amx;
#endif
    return i >= 0 && i < count ? found[i] : NULL;
}

static _Atomic(const nnc_isa *) chosen;

const nnc_isa *nnc_kernels(void) {
    const nnc_isa *isa = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (isa == NULL) { /* two threads may both get here: they find the same answer */
        nnc_set_isa(NULL);
        isa = atomic_load_explicit(&chosen, memory_order_relaxed);
    }
    return isa;
}

nnc_status nnc_set_isa(const char *name) {
    const nnc_isa *match = NULL;
    for (int i = 0; available(i) != NULL; i++)
        if (name == NULL || strcmp(name, available(i)->name) == 0) match = available(i);
    if (match == NULL) return NNC_ERR_ISA;
    atomic_store(&chosen, match);
    return NNC_OK;
}

const char *nnc_get_isa(void) { return nnc_kernels()->name; }

const char *nnc_available_isa(int i) { return available(i) != NULL ? available(i)->name : NULL; }
