/* system.c - the operating system: locks, threads, forks, cores, caches, the clock, aligned memory. First POSIX, then
 * Windows. */
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT, sched_getcpu, syscall, sysconf's cache sizes */

#include "system.h"
#include "../nnc.h"

#include <stdlib.h>

#if !defined(_WIN32)

#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

void nnc_mutex_init(nnc_mutex *mutex) { pthread_mutex_init(mutex, NULL); }
void nnc_mutex_lock(nnc_mutex *mutex) { pthread_mutex_lock(mutex); }
void nnc_mutex_unlock(nnc_mutex *mutex) { pthread_mutex_unlock(mutex); }
void nnc_condition_init(nnc_condition *condition) { pthread_cond_init(condition, NULL); }
void nnc_condition_wait(nnc_condition *condition, nnc_mutex *mutex) { pthread_cond_wait(condition, mutex); }
void nnc_condition_wake_all(nnc_condition *condition) { pthread_cond_broadcast(condition); }

typedef struct start {
    void (*run)(void *arg);
    void *arg;
} start;

static void *run_thread(void *memory) {
    const start begin = *(start *)memory;
    free(memory);
    begin.run(begin.arg);
    return NULL;
}

int nnc_start_thread(void (*run)(void *arg), void *arg) {
    start *begin = malloc(sizeof *begin);
    if (begin == NULL) return 0;
    *begin = (start){run, arg};

    /* The program's signals are for the program's threads. A thread inherits its creator's mask, so this one never
     * receives any, not even at its start. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t id;
    const int started = pthread_create(&id, NULL, run_thread, begin) == 0;
    if (started)
        pthread_detach(id);
    else
        free(begin);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

int nnc_at_fork(void (*in_child)(void)) { return pthread_atfork(NULL, NULL, in_child) == 0; }

void nnc_yield(void) { sched_yield(); }

int nnc_system_cores(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int nnc_this_core(void) {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* A thread that is woken may be put on the core of the one that woke it, and be left there for tens of
 * milliseconds, while another core is idle and the two wait for each other. Taking that core out of its affinity mask
 * for a moment makes the scheduler move it. Without this, on two cores and after 5 ms of sleep, a product of 512 x 512
 * and 512 x 1024 takes 1.5 times as long (the median), and two epochs of 512 examples of 784-200-10 1.3 times. */
void nnc_leave_core(int core) {
#if defined(__linux__)
    cpu_set_t allowed, others;
    if (core < 0 || nnc_this_core() != core || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    others = allowed;
    CPU_CLR((size_t)core, &others);
    if (CPU_COUNT(&others) == 0) return;
    sched_setaffinity(0, sizeof others, &others);
    sched_setaffinity(0, sizeof allowed, &allowed);
#else
    (void)core;
#endif
}

ptrdiff_t nnc_cache_size(int level) {
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    const long bytes = sysconf(names[level - 1]);
    return bytes > 0 ? bytes : 0;
#else
    (void)level;
    return 0;
#endif
}

/* Tiles are 8 KB, more than Linux reserves in threads that may never need them: a process must ask, and from then on
 * each alternate signal stack must have space for them. It is refused if a smaller one exists already. */
int nnc_ask_for_tiles(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum {
        ARCH_REQ_XCOMP_PERM = 0x1023,
        XFEATURE_TILES = 18
    };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILES) == 0;
#else
    return 0;
#endif
}

int64_t nnc_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void *nnc_aligned_alloc(size_t alignment, size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

void nnc_aligned_free(void *memory) { free(memory); }

#else /* Windows */

#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <process.h>
#include <windows.h>

_Static_assert(sizeof(nnc_mutex) == sizeof(SRWLOCK) && sizeof(nnc_condition) == sizeof(CONDITION_VARIABLE),
               "system.h has space for a lock and a condition variable");

void nnc_mutex_init(nnc_mutex *mutex) { InitializeSRWLock((PSRWLOCK)mutex); }
void nnc_mutex_lock(nnc_mutex *mutex) { AcquireSRWLockExclusive((PSRWLOCK)mutex); }
void nnc_mutex_unlock(nnc_mutex *mutex) { ReleaseSRWLockExclusive((PSRWLOCK)mutex); }
void nnc_condition_init(nnc_condition *condition) { InitializeConditionVariable((PCONDITION_VARIABLE)condition); }
void nnc_condition_wait(nnc_condition *condition, nnc_mutex *mutex) {
    SleepConditionVariableSRW((PCONDITION_VARIABLE)condition, (PSRWLOCK)mutex, INFINITE, 0);
}
void nnc_condition_wake_all(nnc_condition *condition) { WakeAllConditionVariable((PCONDITION_VARIABLE)condition); }

typedef struct start {
    void (*run)(void *arg);
    void *arg;
} start;

static unsigned __stdcall run_thread(void *memory) {
    const start begin = *(start *)memory;
    free(memory);
    begin.run(begin.arg);
    return 0;
}

int nnc_start_thread(void (*run)(void *arg), void *arg) {
    start *begin = malloc(sizeof *begin);
    if (begin == NULL) return 0;
    *begin = (start){run, arg};
    const uintptr_t thread = _beginthreadex(NULL, 0, run_thread, begin, 0, NULL);
    if (thread == 0)
        free(begin);
    else
        CloseHandle((HANDLE)thread);
    return thread != 0;
}

int nnc_at_fork(void (*in_child)(void)) { /* Windows has no fork */
    (void)in_child;
    return 1;
}

void nnc_yield(void) { SwitchToThread(); }

int nnc_system_cores(void) {
    DWORD_PTR mine, all;
    if (!GetProcessAffinityMask(GetCurrentProcess(), &mine, &all)) return 0;
    int n = 0;
    for (; mine != 0; mine &= mine - 1) n++;
    return n;
}

int nnc_this_core(void) { return (int)GetCurrentProcessorNumber(); }

void nnc_leave_core(int core) { (void)core; }

ptrdiff_t nnc_cache_size(int level) {
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION all[256];
    DWORD bytes = sizeof all;
    if (!GetLogicalProcessorInformation(all, &bytes)) return 0;
    for (size_t i = 0; i < bytes / sizeof *all; i++)
        if (all[i].Relationship == RelationCache && all[i].Cache.Level == level &&
            all[i].Cache.Type != CacheInstruction)
            return (ptrdiff_t)all[i].Cache.Size;
    return 0;
}

int nnc_ask_for_tiles(void) { return 1; } /* Windows reserves space for what os_saves reports */

int64_t nnc_nanoseconds(void) {
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    const int64_t seconds = now.QuadPart / frequency.QuadPart, rest = now.QuadPart % frequency.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / frequency.QuadPart;
}

void *nnc_aligned_alloc(size_t alignment, size_t bytes) { return _aligned_malloc(bytes, alignment); }

void nnc_aligned_free(void *memory) { _aligned_free(memory); }

#endif
