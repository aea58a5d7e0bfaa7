/* dispatch.c - which kernels run: the widest instruction set that the build, the processor and the system have. */
#include "../kernels/kernels.h"
#include "cpu.h"

#include <stdatomic.h>
#include <string.h>

#define NNC_ISA(name, here) extern const nnc_isa nnc_isa_##name;
#include "sets.inc"

/* The i-th table that can run here, the simplest first; NULL past the last. */
static const nnc_isa *available(int i) {
#define NNC_ISA(name, here) \
    if (here && i-- == 0) return &nnc_isa_##name;
#include "sets.inc"
    return NULL;
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
