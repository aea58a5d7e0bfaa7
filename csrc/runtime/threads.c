/* threads.c - a small pool of threads, and the barrier.
 *
 * Everything waits in one way: an event is a number that only grows; who waits spins for some microseconds, because the
 * next job or the other threads are usually that near, and then sleeps, because on a busy machine they may not be.
 *
 * A worker has an event of its own, its bell. The caller of nnc_parallel writes the job down, offers each worker wanted
 * a share, rings its bell, does its own share and then those that nobody has taken yet, for to wake a sleeper may take
 * longer than the work, and waits for the last worker to ring `done`. The job needs no lock: only who took a share
 * reads it, and the next job is written after all of those are done. One caller at a time has the pool; `busy` is all
 * there is to that, and it also keeps a task from asking for the pool that it runs on.
 *
 * The child of a fork has none of its parent's threads, and finds the pool as it happened to be at that moment, perhaps
 * in the hands of a thread that is gone. It starts again from an empty pool. */
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */

#include "threads.h"

#include <fenv.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_THREADS = 256, /* that the pool has room for */
    SPINS = 2000,       /* about 50 microseconds, which is what it costs to wake a sleeper */
    RECENTLY = 100000, /* nanoseconds */
    AFTER_SLEEP = 8,    /* times as long, once: were both sides asleep whenever the other woke, it would go on so */
    YIELDS = 20,
    FLAGS = FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW | FE_UNDERFLOW /* inexact is nearly always set, and nobody asks */
};

/* ---- events ---- */

static void event_init(nnc_event *event) {
    atomic_init(&event->count, 0);
    atomic_init(&event->sleepers, 0);
    event->core = -1;
    pthread_mutex_init(&event->lock, NULL);
    pthread_cond_init(&event->wake, NULL);
}

static int this_core(void) {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* Who is woken may be put on the very core of who woke it, and be left there for tens of milliseconds, while another
 * core is idle and the two wait for each other. To be allowed everywhere else for a moment is to move. */
static void leave(int core) {
#if defined(__linux__)
    cpu_set_t allowed, others;
    if (core < 0 || this_core() != core || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    others = allowed;
    CPU_CLR((size_t)core, &others);
    if (CPU_COUNT(&others) == 0)
        return;
    sched_setaffinity(0, sizeof others, &others);
    sched_setaffinity(0, sizeof allowed, &allowed);
#else
    (void)core;
#endif
}

/* Either this sees that somebody sleeps, or who goes to sleep sees the new count: both sides write their own number
 * first and read the other's then, and sequential consistency puts one of the two first. */
static void event_advance(nnc_event *event, int wake) {
    atomic_fetch_add(&event->count, 1);
    if (wake && atomic_load(&event->sleepers) != 0) {
        pthread_mutex_lock(&event->lock);
        event->core = this_core();
        pthread_cond_broadcast(&event->wake);
        pthread_mutex_unlock(&event->lock);
    }
}

static void pause_a_moment(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Wait until the count is no longer `seen`; did that take sleep? After the spinning come some yields: if the thread we
 * wait for is queued on this very core, a yield is the shortest way to it. */
static int event_wait(nnc_event *event, unsigned seen, int spins) {
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&event->count, memory_order_acquire) != seen)
            return 0;
        pause_a_moment();
    }
    for (int i = 0; i < YIELDS; i++) {
        if (atomic_load_explicit(&event->count, memory_order_acquire) != seen)
            return 0;
        sched_yield();
    }
    int core = -1;
    pthread_mutex_lock(&event->lock);
    atomic_fetch_add(&event->sleepers, 1);
    while (atomic_load(&event->count) == seen) {
        pthread_cond_wait(&event->wake, &event->lock);
        core = event->core;
    }
    atomic_fetch_sub(&event->sleepers, 1);
    pthread_mutex_unlock(&event->lock);
    leave(core);
    return 1;
}

/* ---- how many threads ---- */

static int cores(void) {
    static atomic_int remembered;
    int n = atomic_load_explicit(&remembered, memory_order_relaxed);
    if (n == 0) {
#if defined(__linux__)
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) == 0)
            n = CPU_COUNT(&set);
#endif
        if (n < 1)
            n = (int)sysconf(_SC_NPROCESSORS_ONLN);
        if (n < 1)
            n = 1;
        if (n > MOST_THREADS)
            n = MOST_THREADS;
        atomic_store_explicit(&remembered, n, memory_order_relaxed);
    }
    return n;
}

/* How long to spin for one of `threads` threads. With more of them than cores, to spin is to keep who we wait for from
 * running. */
static int spins_among(int threads) {
    return threads <= cores() ? SPINS : 0;
}

static atomic_int chosen; /* by nnc_set_num_threads; 0: nothing yet */

/* More threads than cores never help, but 16 can be had anywhere, to see that they do no harm. */
int nnc_max_threads(void) {
    return cores() > 16 ? cores() : 16;
}

int nnc_get_num_threads(void) {
    int n = atomic_load_explicit(&chosen, memory_order_relaxed);
    return n > 0 ? n : cores();
}

nnc_status nnc_set_num_threads(int n) {
    if (n < 1)
        return NNC_ERR_ARGUMENT;
    atomic_store_explicit(&chosen, n < nnc_max_threads() ? n : nnc_max_threads(), memory_order_relaxed);
    return NNC_OK;
}

/* ---- the pool ---- */

typedef struct worker {
    _Alignas(64) atomic_int offered; /* a share, which goes to the first to take it: this worker or the caller */
    atomic_int spins;
    nnc_event bell; /* on cache lines of its own, with the above: its spinning disturbs nobody */
    int thread;     /* its number in every task, from 1 */
    int core;       /* of who started it */
} worker;

static struct {
    _Alignas(64) atomic_flag busy;
    int started; /* workers there are */
    worker workers[MOST_THREADS - 1];

    nnc_task *task; /* the job, written before the bells ring */
    void *arg;
    int threads;
    fenv_t environment; /* the caller's */
    int64_t ended;      /* when the last job did */

    _Alignas(64) atomic_int working; /* shares not yet done, but for the caller's own */
    atomic_int flags;                /* floating-point exceptions that they met */
    nnc_event done;
} pool = {.busy = ATOMIC_FLAG_INIT};

static int took(worker *share) {
    return atomic_exchange(&share->offered, 0);
}

/* One more share is done; was it the last? */
static int last_done(void) {
    return atomic_fetch_sub(&pool.working, 1) == 1;
}

static void *work(void *arg) {
    worker *self = arg;
    leave(self->core);
    for (unsigned seen = 0, spins = 0;;) {
        const int slept = event_wait(&self->bell, seen, (int)spins);
        seen = atomic_load(&self->bell.count);
        spins = (unsigned)atomic_load_explicit(&self->spins, memory_order_relaxed) * (slept ? AFTER_SLEEP : 1);
        if (!took(self))
            continue;
        fesetenv(&pool.environment);
        pool.task(pool.arg, self->thread, pool.threads);
        int flags = fetestexcept(FLAGS);
        if (flags != 0)
            atomic_fetch_or(&pool.flags, flags);
        if (last_done())
            event_advance(&pool.done, 1);
    }
    return NULL;
}

/* In the child of a fork: nothing of what the pool was is true any more. */
static void forget_workers(void) {
    pool.started = 0;
    atomic_flag_clear(&pool.busy);
}

/* See to it that there are `wanted` workers, or as many as the system allows. */
static void start_workers(int wanted) {
    if (pool.started == 0) {
        static int registered; /* inherited by children, as the registration is */
        if (!registered)
            registered = pthread_atfork(NULL, NULL, forget_workers) == 0;
        if (!registered)
            return;
        event_init(&pool.done);
    }

    /* The program's signals are for the program's threads. A thread is born with its creator's mask, so the workers
     * never see one, not even in their first moments. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    while (pool.started < wanted) {
        worker *next = &pool.workers[pool.started];
        pthread_t id;
        event_init(&next->bell);
        atomic_init(&next->offered, 0);
        atomic_init(&next->spins, 0);
        next->thread = pool.started + 1;
        next->core = this_core();
        if (pthread_create(&id, &detached, work, next) != 0)
            break;
        pool.started++;
    }
    pthread_attr_destroy(&detached);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int64_t nnc_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
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
    const int spins = spins_among(threads);
    const int soon = nnc_nanoseconds() - pool.ended < RECENTLY;
    const unsigned done = atomic_load_explicit(&pool.done.count, memory_order_relaxed);
    for (worker *w = pool.workers; w < pool.workers + threads - 1; w++) {
        atomic_store_explicit(&w->spins, spins, memory_order_relaxed);
        atomic_store(&w->offered, 1);
        event_advance(&w->bell, wake || soon);
    }

    /* If the threads meet at a barrier, all shares have been taken before the first is done. */
    task(arg, 0, threads);
    int finished = threads == 1;
    for (worker *w = pool.workers; w < pool.workers + threads - 1; w++)
        if (took(w)) {
            task(arg, w->thread, threads);
            finished = last_done();
        }
    if (!finished)
        event_wait(&pool.done, done, spins);
    int flags = atomic_load_explicit(&pool.flags, memory_order_relaxed) & ~fetestexcept(FLAGS);
    pool.ended = nnc_nanoseconds();
    atomic_flag_clear(&pool.busy);
    if (flags != 0)
        feraiseexcept(flags);
}

/* ---- barriers ---- */

void nnc_barrier_init(nnc_barrier *barrier) {
    event_init(&barrier->turn);
    atomic_init(&barrier->arrived, 0);
}

/* The count is read before arriving: it can't grow until all have arrived. The last to arrive sets up the next meeting
 * before it opens this one's door. */
void nnc_barrier_wait(nnc_barrier *barrier, int threads) {
    if (threads <= 1)
        return;
    unsigned turn = atomic_load_explicit(&barrier->turn.count, memory_order_relaxed);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == threads) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        event_advance(&barrier->turn, 1);
    } else {
        event_wait(&barrier->turn, turn, spins_among(threads));
    }
}
