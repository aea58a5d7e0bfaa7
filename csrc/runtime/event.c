/* event.c - the event count: wait briefly spinning, because the next task or the other threads are usually that near,
 * and then asleep, because on a busy machine they may not be. */
#include "event.h"

enum {
    YIELDS = 20
};

void nnc_event_init(nnc_event *event) {
    atomic_init(&event->count, 0);
    atomic_init(&event->sleepers, 0);
    event->core = -1;
    nnc_mutex_init(&event->lock);
    nnc_condition_init(&event->wake);
}

/* Either this sees a sleeping thread, or a thread that goes to sleep sees the new count: each side writes its own
 * number first and then reads the other's, and sequential consistency puts one of the two first. */
void nnc_event_advance(nnc_event *event, int wake) {
    atomic_fetch_add(&event->count, 1);
    if (wake && atomic_load(&event->sleepers) != 0) {
        nnc_mutex_lock(&event->lock);
        event->core = nnc_this_core();
        nnc_condition_wake_all(&event->wake);
        nnc_mutex_unlock(&event->lock);
    }
}

static void cpu_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* After the spinning come some yields: if the thread we wait for is queued on this core, a yield runs it
 * soonest. */
nnc_wait nnc_event_wait(nnc_event *event, unsigned seen, int spins) {
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&event->count, memory_order_acquire) != seen) return NNC_SPUN;
        cpu_pause();
    }
    for (int i = 0; i < YIELDS; i++) {
        if (atomic_load_explicit(&event->count, memory_order_acquire) != seen) return NNC_YIELDED;
        nnc_yield();
    }
    int core = -1;
    nnc_mutex_lock(&event->lock);
    atomic_fetch_add(&event->sleepers, 1);
    while (atomic_load(&event->count) == seen) {
        nnc_condition_wait(&event->wake, &event->lock);
        core = event->core;
    }
    atomic_fetch_sub(&event->sleepers, 1);
    nnc_mutex_unlock(&event->lock);
    nnc_leave_core(core);
    return NNC_SLEPT;
}
