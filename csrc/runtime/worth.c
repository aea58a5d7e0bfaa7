/* worth.c - how many threads a piece of work is worth: a model of what they gain and of what synchronising costs.
 *
 * With t threads, and L the time of a message from core to core,
 *
 *     T(t) = work / t + barriers (t + WAIT) L + lines (t - 1) / t L / IN_FLIGHT
 *
 * A barrier is a line that each of the t threads takes from another in turn, after all have waited for the slowest. The
 * lines that others have written come several at a time. csrc/README.md has the table for many cores. */
#include "worth.h"
#include "../nnc.h"
#include "cores.h"
#include "event.h"
#include "pool.h"

#include <stdatomic.h>

enum {
    LINE = 64,
    WAIT = 40,               /* messages: steps of 784-200-10 on two cores of a virtual machine, less the rest */
    IN_FLIGHT = 8,           /* lines that a core waits for at the same time */
    MESSAGES = 20,           /* round trips in a sample of the measurement; the fastest sample counts */
    SAMPLES = 10,
    SPINS = 1 << 19,         /* after which the other thread is assumed to have no core, and nothing was measured */
    NO_CORE = 500,          /* nanoseconds assumed then: only long steps are worth the waiting */
    AGAIN_AFTER = 1000000000, /* nanoseconds */
    SOON_AFTER = 50000000    /* where nothing was measured */
};

/* More threads are taken only if they need less than this part of the time: the model is no better. */
static const double CLEARLY = 0.85;

static _Atomic int64_t message = NO_CORE, next_at;
static atomic_int is_given;

typedef struct exchange {
    _Alignas(2 * LINE) atomic_int turn; /* the thread whose turn it is, or -1: one of the two has given up */
    _Alignas(2 * LINE) int64_t nanoseconds;
} exchange;

/* Two threads pass a line back and forth. */
static void exchange_task(void *arg, int thread, int threads) {
    exchange *e = arg;
    if (threads < 2) return;
    for (int sample = 0; sample < SAMPLES; sample++) {
        const int64_t start = nnc_nanoseconds();
        for (int i = 0; i < MESSAGES; i++) {
            int spins = 0, turn;
            while ((turn = atomic_load_explicit(&e->turn, memory_order_acquire)) != thread) {
                if (turn >= 0 && ++spins < SPINS) continue;
                atomic_store(&e->turn, -1);
                return;
            }
            /* not over a -1 */
            atomic_compare_exchange_strong(&e->turn, &turn, !thread);
        }
        const int64_t each = (nnc_nanoseconds() - start) / (2 * MESSAGES);
        if (thread == 0 && each < e->nanoseconds) e->nanoseconds = each;
    }
}

static void measure(void) {
    exchange e = {.nanoseconds = INT64_MAX};
    atomic_init(&e.turn, 0);
    nnc_parallel(exchange_task, &e, 2, 1);
    const int is_measured = e.nanoseconds < INT64_MAX;
    atomic_store(&message, !is_measured ? NO_CORE : e.nanoseconds > 0 ? e.nanoseconds
                                                                      : 1);
    atomic_store(&next_at, nnc_nanoseconds() + (is_measured ? AGAIN_AFTER : SOON_AFTER));
}

int64_t nnc_core_to_core(void) {
    if (nnc_get_num_threads() > 1 && !atomic_load(&is_given) && nnc_nanoseconds() >= atomic_load(&next_at)) measure();
    return atomic_load(&message);
}

void nnc_set_core_to_core(int64_t nanoseconds) {
    atomic_store(&is_given, nanoseconds > 0);
    atomic_store(&next_at, 0);
    atomic_store(&message, nanoseconds > 0 ? nanoseconds : NO_CORE);
}

int nnc_threads_worth(nnc_work work) {
    const int max = nnc_get_num_threads();
    if (max == 1) return 1;
    const double L = (double)nnc_core_to_core(), lines = work.bytes / LINE;
    double least = CLEARLY * work.nanoseconds;
    int best = 1;
    for (int t = 2; t <= max; t++) {
        const double time = work.nanoseconds / t + L * (work.barriers * (t + WAIT) + lines * (t - 1) / t / IN_FLIGHT);
        if (time < least) least = time, best = t;
    }
    return best;
}
