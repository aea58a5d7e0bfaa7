/* event.h - an event count: a number that only grows, and that threads can wait on, spinning first and then asleep. */
#ifndef NNC_RUNTIME_EVENT_H
#define NNC_RUNTIME_EVENT_H

#include "system.h"

#include <stdatomic.h>

/* Spins before a sleep. A worker without a task spins for about 50 microseconds, which is what it costs to wake it. A
 * thread that waits for the others of its task has work left to do: with 2000 spins the threads of 200 training steps
 * of 784-200-10 slept 10 to 60 times, with 20000 they sleep 1 to 4 times and the epoch takes 0.9 of the time. Beside a
 * busy process, which gets the core of every sleeper, it takes 0.2 to 0.4 of it. */
enum {
    NNC_SPINS = 2000,
    NNC_SPINS_IN_TASK = 20000
};

typedef struct nnc_event {
    atomic_uint count;
    atomic_uint sleepers;
    int core; /* of the thread that woke the sleepers */
    nnc_mutex lock;
    nnc_condition wake;
} nnc_event;

/* Needs no counterpart: an event holds nothing but its own memory. */
void nnc_event_init(nnc_event *event);
/* Count one up; with `wake` threads that sleep are woken, else only those that spin will see it. */
void nnc_event_advance(nnc_event *event, int wake);
/* Wait until the count is no longer `seen`. Nonzero if the thread slept. */
int nnc_event_wait(nnc_event *event, unsigned seen, int spins);

#endif
