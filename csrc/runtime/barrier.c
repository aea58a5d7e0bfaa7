/* barrier.c - a barrier on an event count. */
#include "barrier.h"
#include "cores.h"

void nnc_barrier_init(nnc_barrier *barrier) {
    nnc_event_init(&barrier->phase);
    atomic_init(&barrier->arrived, 0);
}

/* The phase is read before arriving: it cannot change until all have arrived. The last to arrive resets the barrier
 * before it lets the others go on. */
void nnc_barrier_wait(nnc_barrier *barrier, int threads) {
    if (threads <= 1) return;
    const unsigned phase = atomic_load_explicit(&barrier->phase.count, memory_order_relaxed);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == threads) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        nnc_event_advance(&barrier->phase, 1);
    } else
        nnc_event_wait(&barrier->phase, phase, nnc_spins(threads, NNC_SPINS_IN_TASK));
}
