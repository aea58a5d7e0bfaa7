/* pool.c - a small pool of threads.
 *
 * Each worker has its own event. The caller of nnc_parallel writes the task down, offers a share of it to each
 * worker it wants, advances that worker's event, does its own share and then those that no worker has taken yet, since
 * waking a thread may take longer than the work, and waits for the last worker to advance `done`. The task needs no
 * lock: only a thread with a share reads it, and the next task is written after all of those are done. One caller at a
 * time has the pool; `busy` ensures that, and it also keeps a task from using the pool that it runs on.
 *
 * The child of a fork has none of its parent's threads, and finds the pool as it happened to be at that moment, perhaps
 * in the hands of a thread that is gone. It starts again from an empty pool. */
#include "pool.h"
#include "../nnc.h"
#include "cores.h"
#include "event.h"
#include "system.h"

#include <fenv.h>

enum {
    RECENTLY = 100000, /* nanoseconds after a task in which the next one wakes its workers anyway */
    AFTER_SLEEP = 8,   /* times as many spins, once: else two threads that sleep alternately would go on so */
    FLAGS = FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW | FE_UNDERFLOW /* inexact is nearly always set and rarely tested */
};

typedef struct worker {
    _Alignas(64) atomic_int offered; /* a share, which goes to the first to take it: this worker or the caller */
    atomic_int spins;
    nnc_event event; /* on its own cache lines, with the above: its spinning disturbs no other thread */
    int thread;     /* its number in every task, from 1 */
    int core;       /* of the thread that started it */
} worker;

static struct {
    _Alignas(64) atomic_flag busy;
    int started; /* the number of workers */
    worker workers[NNC_MAX_THREADS - 1];

    nnc_task *task; /* written before the events are advanced */
    void *arg;
    int threads;
    fenv_t environment; /* the caller's */
    int64_t ended;      /* when the last task did */

    _Alignas(64) atomic_int working; /* shares not yet done, but for the caller's own */
    atomic_int flags;                /* floating-point exceptions that they met */
    nnc_event done;
} pool = {.busy = ATOMIC_FLAG_INIT};

static int claim(worker *share) {
    return atomic_exchange(&share->offered, 0);
}

/* One more share is done; was it the last? */
static int last_done(void) {
    return atomic_fetch_sub(&pool.working, 1) == 1;
}

static void work(void *arg) {
    worker *self = arg;
    nnc_leave_core(self->core);
    for (unsigned seen = 0, spins = 0;;) {
        const int slept = nnc_event_wait(&self->event, seen, (int)spins) == NNC_SLEPT;
        seen = atomic_load(&self->event.count);
        spins = (unsigned)atomic_load_explicit(&self->spins, memory_order_relaxed) * (slept ? AFTER_SLEEP : 1);
        if (!claim(self))
            continue;
        fesetenv(&pool.environment);
        pool.task(pool.arg, self->thread, pool.threads);
        int flags = fetestexcept(FLAGS);
        if (flags != 0)
            atomic_fetch_or(&pool.flags, flags);
        if (last_done())
            nnc_event_advance(&pool.done, 1);
    }
}

/* In the child of a fork: it has none of the parent's workers. */
static void forget_workers(void) {
    pool.started = 0;
    atomic_flag_clear(&pool.busy);
}

/* Start workers until there are `wanted` of them, or as many as the system allows. */
static void start_workers(int wanted) {
    if (pool.started == 0) {
        static int registered; /* inherited by children, as the registration is */
        if (!registered)
            registered = nnc_at_fork(forget_workers);
        if (!registered)
            return;
        nnc_event_init(&pool.done);
    }
    while (pool.started < wanted) {
        worker *next = &pool.workers[pool.started];
        nnc_event_init(&next->event);
        atomic_init(&next->offered, 0);
        atomic_init(&next->spins, 0);
        next->thread = pool.started + 1;
        next->core = nnc_this_core();
        if (!nnc_start_thread(work, next))
            break;
        pool.started++;
    }
}

void nnc_parallel(nnc_task *task, void *arg, int threads_wanted, int wake) {
    int threads = nnc_get_num_threads();
    if (threads > threads_wanted)
        threads = threads_wanted;
    if (threads <= 1 || atomic_flag_test_and_set(&pool.busy)) {
        task(arg, 0, 1);
        return;
    }

    if (pool.started < threads - 1)
        start_workers(threads - 1);
    if (threads > pool.started + 1)
        threads = pool.started + 1;

    pool.task = task;
    pool.arg = arg;
    pool.threads = threads;
    fegetenv(&pool.environment);
    atomic_store_explicit(&pool.working, threads - 1, memory_order_relaxed);
    atomic_store_explicit(&pool.flags, 0, memory_order_relaxed);
    const int spins = nnc_spins(threads, NNC_SPINS);
    const int soon = nnc_nanoseconds() - pool.ended < RECENTLY;
    const unsigned done = atomic_load_explicit(&pool.done.count, memory_order_relaxed);
    for (worker *w = pool.workers; w < pool.workers + threads - 1; w++) {
        atomic_store_explicit(&w->spins, spins, memory_order_relaxed);
        atomic_store(&w->offered, 1);
        nnc_event_advance(&w->event, wake || soon);
    }

    /* If the threads meet at a barrier, all shares have been taken before the first is done. */
    task(arg, 0, threads);
    int finished = threads == 1;
    for (worker *w = pool.workers; w < pool.workers + threads - 1; w++)
        if (claim(w)) {
            task(arg, w->thread, threads);
            finished = last_done();
        }
    if (!finished)
        nnc_event_wait(&pool.done, done, spins);
    int flags = atomic_load_explicit(&pool.flags, memory_order_relaxed) & ~fetestexcept(FLAGS);
    pool.ended = nnc_nanoseconds();
    atomic_flag_clear(&pool.busy);
    if (flags != 0)
        feraiseexcept(flags);
}
