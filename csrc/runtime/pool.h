/* pool.h - work shared among a few threads. nnc_get_num_threads, nnc_set_num_threads, nnc_max_threads are in nnc.h. */
#ifndef NNC_RUNTIME_POOL_H
#define NNC_RUNTIME_POOL_H

#include <stddef.h>

/* One thread's share of some work: `thread` is 0 .. threads-1. */
typedef void nnc_task(void *arg, int thread, int threads);

/* Run task(arg, i, t) for i in 0 .. t-1 and return when all are done. The caller is thread 0, and does the shares that
 * no worker has taken when its own is done.
 *
 * t = min(threads_wanted, nnc_get_num_threads()), or less: as many as the system lets us start, and 1 when the pool is
 * busy, with another caller's work or because the caller is itself part of a task. So a task must do the whole
 * work for every t.
 *
 * To wake a thread that sleeps may take longer than some work that is worth sharing with one that is awake. With `wake`
 * sleepers are woken, and a task can rely on its t threads really running at the same time: it may use barriers.
 * Without, a worker takes part if it still spins after the work before this.
 *
 * A floating-point exception flag (fetestexcept) raised in any of the threads is raised in the caller, and the threads
 * work in the caller's floating-point environment (rounding, subnormals): results do not depend on the
 * thread that computed them. */
void nnc_parallel(nnc_task *task, void *arg, int threads_wanted, int wake);

typedef struct nnc_range {
    ptrdiff_t begin, end;
} nnc_range;

/* Where the i-th of `parts` even shares of `count` begins; the shares are cut at multiples of `unit`. */
static inline ptrdiff_t nnc_share(ptrdiff_t count, ptrdiff_t unit, int i, int parts) {
    if (parts == 1) return i == 0 ? 0 : count; /* small networks would notice the divisions */
    const ptrdiff_t units = (count + unit - 1) / unit, begin = units * i / parts * unit;
    return begin < count ? begin : count;
}

/* All of 0 .. count, and one thread's share of it */
static inline nnc_range nnc_all_of(ptrdiff_t count) { return (nnc_range){0, count}; }

static inline nnc_range nnc_share_of(ptrdiff_t count, ptrdiff_t unit, int thread, int threads) {
    return (nnc_range){nnc_share(count, unit, thread, threads), nnc_share(count, unit, thread + 1, threads)};
}

#endif
