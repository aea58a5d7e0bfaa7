/* cores.c - how many cores this process may use, how many threads work is shared among, and where a thread runs. */
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */

#include "cores.h"
#include "../nnc.h"
#include "event.h"

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

int nnc_num_cores(void) {
    static atomic_int remembered;
    int n = atomic_load_explicit(&remembered, memory_order_relaxed);
    if (n == 0) {
#if defined(__linux__)
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
        if (n < 1) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
        if (n < 1) n = 1;
        if (n > NNC_MOST_THREADS) n = NNC_MOST_THREADS;
        atomic_store_explicit(&remembered, n, memory_order_relaxed);
    }
    return n;
}

int nnc_spins(int threads) { return threads <= nnc_num_cores() ? NNC_SPINS : 0; }

int nnc_this_core(void) {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* A thread that is woken may be put on the very core of the one that woke it, and be left there for tens of
 * milliseconds, while another core is idle and the two wait for each other. To be allowed everywhere else for a moment
 * is to move. */
void nnc_leave_core(int core) {
#if defined(__linux__)
    cpu_set_t allowed, others;
    if (core < 0 || nnc_this_core() != core || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    others = allowed;
    CPU_CLR((size_t)core, &others);
    if (CPU_COUNT(&others) == 0) return;
    sched_setaffinity(0, sizeof others, &others);
    sched_setaffinity(0, sizeof allowed, &allowed);
#else
    (void)core;
#endif
}

static atomic_int chosen; /* by nnc_set_num_threads; 0: nothing yet */

/* More threads than cores never help, but 16 can be had anywhere, to see that they do no harm. */
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
