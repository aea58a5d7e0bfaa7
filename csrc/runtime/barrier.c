/* barrier.c - a barrier on an event count. */
#include "barrier.h"
#include "cores.h"

/* A thread at a barrier has work left to do, and spins for longer than one without a task. With NNC_SPINS the threads
 * of 200 training steps of 784-200-10 sleep 10 to 60 times, so 1 to 4 times, and the epoch takes 0.9 of the time;
 * with a busy process, which gets the core of every sleeping thread, 0.2 to 0.4. Where even that was too little, the
 * next wait has half as many: four such trainings at once on two cores take half of the time that they do without. */
enum {
    MOST_SPINS = 10 * NNC_SPINS
};

void nnc_barrier_init(nnc_barrier *barrier) {
    nnc_event_init(&barrier->phase);
    atomic_init(&barrier->arrived, 0);
    atomic_init(&barrier->spins, MOST_SPINS);
}

/* The phase is read before arriving: it cannot change until all have arrived. The last to arrive resets the barrier
 * before it lets the others go on. */
void nnc_barrier_wait(nnc_barrier *barrier, int threads) {
    if (threads <= 1) return;
    const unsigned phase = atomic_load_explicit(&barrier->phase.count, memory_order_relaxed);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == threads) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        nnc_event_advance(&barrier->phase, 1);
    } else {
        const int spins = atomic_load_explicit(&barrier->spins, memory_order_relaxed);
        const nnc_wait how = nnc_event_wait(&barrier->phase, phase, nnc_spins(threads, spins));
        const int half = spins / 2 > NNC_SPINS ? spins / 2 : NNC_SPINS;
        const int next = how == NNC_SPUN ? MOST_SPINS : half;
        if (next != spins) atomic_store_explicit(&barrier->spins, next, memory_order_relaxed);
    }
}
