/* event.h - an event count: a number that only grows, and that threads can wait on, spinning first and then asleep. */
#ifndef NNC_RUNTIME_EVENT_H
#define NNC_RUNTIME_EVENT_H

#include "system.h"

#include <stdatomic.h>

/* Spins before a sleep: about 50 microseconds, which is what it costs to wake a sleeper. */
enum {
    NNC_SPINS = 2000
};

typedef enum nnc_wait {
    NNC_SPUN,
    NNC_YIELDED,
    NNC_SLEPT
} nnc_wait;

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
/* Wait until the count is no longer `seen`. */
nnc_wait nnc_event_wait(nnc_event *event, unsigned seen, int spins);

#endif
