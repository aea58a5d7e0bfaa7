/* cores.c - how many cores this process may use, and how many threads work is shared among. */
#include "cores.h"
#include "../nnc.h"
#include "system.h"

#include <stdatomic.h>

int nnc_num_cores(void) {
    static atomic_int remembered;
    int n = atomic_load_explicit(&remembered, memory_order_relaxed);
    if (n == 0) {
        const int quota = nnc_quota_cores("");
        n = nnc_system_cores();
        if (quota > 0 && quota < n) n = quota;
        if (n < 1) n = 1;
        if (n > NNC_MAX_THREADS) n = NNC_MAX_THREADS;
        atomic_store_explicit(&remembered, n, memory_order_relaxed);
    }
    return n;
}

int nnc_spins(int threads, int spins) { return threads <= nnc_num_cores() ? spins : 0; }

static atomic_int chosen; /* by nnc_set_num_threads; 0: nothing yet */

/* More threads than cores never help, but 16 are allowed on any machine, to test that they do no harm. */
int nnc_max_threads(void) { return nnc_num_cores() > 16 ? nnc_num_cores() : 16; }

int nnc_get_num_threads(void) {
    const int n = atomic_load_explicit(&chosen, memory_order_relaxed);
    return n > 0 ? n : nnc_num_cores();
}

nnc_status nnc_set_num_threads(int n) {
    if (n < 1) return NNC_ERR_ARGUMENT;
    atomic_store_explicit(&chosen, n < nnc_max_threads() ? n : nnc_max_threads(), memory_order_relaxed);
    return NNC_OK;
}
