/* failing.c - see failing.h. The linker redirects the program's calls to __wrap_... (-Wl,--wrap, see Makefile). */
#define _GNU_SOURCE

#include "failing.h"
#include "../../csrc/runtime/scratch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#ifdef NNC_WRAP
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int until_failure; /* n: the n-th request from here on is refused; 0: none is */
static atomic_int failed;
static atomic_long held;

static int refused(void) {
    int left = atomic_load(&until_failure);
    while (left > 0 && !atomic_compare_exchange_weak(&until_failure, &left, left - 1));
    if (left == 1)
        atomic_store(&failed, 1);
    return left == 1;
}

static void *counted(void *memory) {
    if (memory != NULL)
        atomic_fetch_add(&held, 1);
    return memory;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);
void __real_free(void *memory);
int __real_pthread_atfork(void (*prepare)(void), void (*in_parent)(void), void (*in_child)(void));
int __real_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*run)(void *), void *arg);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes);
void __wrap_free(void *memory);
int __wrap_pthread_atfork(void (*prepare)(void), void (*in_parent)(void), void (*in_child)(void));
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*run)(void *), void *arg);

void *__wrap_malloc(size_t bytes) { return refused() ? NULL : counted(__real_malloc(bytes)); }
void *__wrap_calloc(size_t count, size_t bytes) { return refused() ? NULL : counted(__real_calloc(count, bytes)); }

int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes) {
    const int error = refused() ? ENOMEM : __real_posix_memalign(memory, alignment, bytes);
    if (error == 0)
        counted(*memory);
    return error;
}

void __wrap_free(void *memory) {
    if (memory != NULL)
        atomic_fetch_sub(&held, 1);
    __real_free(memory);
}

int __wrap_pthread_atfork(void (*prepare)(void), void (*in_parent)(void), void (*in_child)(void)) {
    return refused() ? ENOMEM : __real_pthread_atfork(prepare, in_parent, in_child);
}

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*run)(void *), void *arg) {
    return refused() ? EAGAIN : __real_pthread_create(id, how, run, arg);
}

static atomic_int simulated;

int __real_sched_getaffinity(pid_t id, size_t bytes, cpu_set_t *set);
long __real_sysconf(int name);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_sched_getaffinity(pid_t id, size_t bytes, cpu_set_t *set);
long __wrap_sysconf(int name);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_sched_getaffinity(pid_t id, size_t bytes, cpu_set_t *set) {
    const int system = atomic_load(&simulated);
    if (system == MANY_CORES)
        memset(set, 0xff, bytes);
    return system == NO_AFFINITY || system == NO_INFORMATION ? -1
           : system == MANY_CORES                            ? 0
                                                             : __real_sched_getaffinity(id, bytes, set);
}

long __wrap_sysconf(int name) { return atomic_load(&simulated) == NO_INFORMATION ? -1 : __real_sysconf(name); }

int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
    if (atomic_load(&simulated) != STOPPED_CLOCK)
        return __real_clock_gettime(clock, now);
    *now = (struct timespec){.tv_sec = 1000};
    return 0;
}

void simulate_system(int system) { atomic_store(&simulated, system); }

void fail_request(int n) {
    atomic_store(&failed, 0);
    atomic_store(&until_failure, n);
}

int request_failed(void) {
    atomic_store(&until_failure, 0);
    return atomic_load(&failed);
}

long allocations_held(void) { return atomic_load(&held); }
int can_fail(void) { return 1; }

#else

void fail_request(int n) { (void)n; }
int request_failed(void) { return 0; }
long allocations_held(void) { return 0; }
int can_fail(void) { return 0; }
void simulate_system(int system) { (void)system; }

#endif

enum {
    MORE_THAN_CACHED = 16
};

/* The first blocks come from the cache, which may hold large ones; the last ones find it full and are freed. */
void fill_scratch_cache(void) {
    void *blocks[2 * MORE_THAN_CACHED];
    for (int i = 0; i < 2 * MORE_THAN_CACHED; i++)
        blocks[i] = nnc_scratch_alloc(1);
    for (int i = 2 * MORE_THAN_CACHED; i-- > 0;)
        nnc_scratch_free(blocks[i]);
}
