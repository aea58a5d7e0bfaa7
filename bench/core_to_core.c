/* How long a message takes from one core to another: two threads, each pinned to its core, pass a cache line back
 * and forth. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum {
    MESSAGES = 10000, /* round trips of one sample */
    SAMPLES = 20
};

typedef struct line {
    _Alignas(128) atomic_int turn;
} line;

typedef struct player {
    line *shared;
    int core, turn;
} player;

static void pin_to(int core) {
#if defined(__linux__)
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
#else
    (void)core;
#endif
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of the fastest sample, so that no interruption counts */
static double play(player *p) {
    double best = 1e9;
    pin_to(p->core);
    for (int sample = 0; sample < SAMPLES; sample++) {
        const double start = now();
        for (int i = 0; i < MESSAGES; i++) {
            while (atomic_load_explicit(&p->shared->turn, memory_order_acquire) != p->turn) continue;
            atomic_store_explicit(&p->shared->turn, !p->turn, memory_order_release);
        }
        const double seconds = now() - start;
        if (seconds < best) best = seconds;
    }
    return best;
}

static void *answer(void *arg) {
    play(arg);
    return 0;
}

/* Seconds one way between the cores with these two numbers; 0 if no second thread can be started. Pins the
 * caller's thread to core a. */
double core_to_core(int a, int b) {
    line shared = {0};
    player first = {&shared, a, 0}, second = {&shared, b, 1};
    pthread_t thread;
    if (pthread_create(&thread, 0, answer, &second)) return 0;
    const double seconds = play(&first);
    pthread_join(thread, 0);
    return seconds / (2.0 * MESSAGES);
}
