/* threads.h - work shared among a few threads: the pool, and a barrier for tasks that work in phases.
 *
 * nnc_get_num_threads, nnc_set_num_threads, nnc_max_threads and nnc_nanoseconds belong here too; they are public and
 * stand in nnc.h. */
#ifndef NNC_RUNTIME_THREADS_H
#define NNC_RUNTIME_THREADS_H

#include "../nnc.h"

#include <pthread.h>
#include <stdatomic.h>

/* One thread's share of some work: `thread` is 0 .. threads-1. */
typedef void nnc_task(void *arg, int thread, int threads);

/* Run task(arg, i, t) for i in 0 .. t-1 and return when all are done. The caller is thread 0, and does the shares that
 * nobody else has come for when its own is done.
 *
 * t = min(threads_wanted, nnc_get_num_threads()), or less: as many as the system lets us start, and 1 when the pool is
 * busy, be it with another caller's work or because the caller is itself part of a task. So a task must do the whole
 * work for every t.
 *
 * To wake a thread that sleeps may take longer than some work that is worth sharing with one that does not. With `wake`
 * they are woken, and a task can rely on its t threads really running side by side: it may use barriers. Without, they
 * are if other work has only just ended, so that more is likely to follow.
 *
 * A floating-point exception flag (fetestexcept) raised in any of the threads is raised in the caller, and the threads
 * work in the caller's floating-point environment (rounding, subnormals): nothing tells where a number was computed. */
void nnc_parallel(nnc_task *task, void *arg, int threads_wanted, int wake);

/* A number that only grows, and that threads can wait on: briefly spinning, for good asleep. (Internal to threads.c,
 * here only because a barrier holds one.) */
typedef struct nnc_event {
    atomic_uint count;
    atomic_uint sleepers;
    int core; /* of who woke the sleepers */
    pthread_mutex_t lock;
    pthread_cond_t wake;
} nnc_event;

/* A place where the `threads` threads of a task meet, as often as they like: what any of them wrote before, all of them
 * see after. One that waits for long, because the cores are busy, goes to sleep. A barrier of 1 thread does nothing. */
typedef struct nnc_barrier {
    nnc_event turn;     /* counts the meetings */
    atomic_int arrived; /* at the meeting to come */
} nnc_barrier;

/* Needs no counterpart: a barrier holds nothing but its own memory. */
void nnc_barrier_init(nnc_barrier *barrier);
void nnc_barrier_wait(nnc_barrier *barrier, int threads);

#endif
