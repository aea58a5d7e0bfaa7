/* barrier.h - a reusable barrier for the threads of a task. */
#ifndef NNC_RUNTIME_BARRIER_H
#define NNC_RUNTIME_BARRIER_H

#include "event.h"

/* What any of the `threads` threads wrote before, all of them see after. One that waits for long, because the cores are
 * busy, goes to sleep. A barrier of 1 thread does nothing. */
typedef struct nnc_barrier {
    nnc_event phase;    /* counts the barriers passed */
    atomic_int arrived; /* at the current barrier */
    atomic_int spins;   /* fewer after a wait for which they were too few: the others may have no core */
} nnc_barrier;

/* Needs no counterpart: a barrier holds nothing but its own memory. */
void nnc_barrier_init(nnc_barrier *barrier);
void nnc_barrier_wait(nnc_barrier *barrier, int threads);

#endif
