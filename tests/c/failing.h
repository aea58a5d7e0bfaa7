/* failing.h - lets a chosen request for memory or for a thread fail, and simulates other systems. */
#ifndef NNC_TESTS_FAILING_H
#define NNC_TESTS_FAILING_H

/* From now on the n-th request for memory or for a thread fails, counted from 1; 0: none does. */
void fail_request(int n);
/* Ends that; nonzero if the n-th request was made. */
int request_failed(void);
/* Blocks of memory that were allocated and not yet freed. */
long allocations_held(void);
/* What the system reports from now on. */
enum {
    REAL_SYSTEM,
    NO_AFFINITY,    /* not which cores a process may use */
    NO_INFORMATION, /* nor how many there are, nor the sizes of caches */
    MANY_CORES,     /* 1024 cores */
    STOPPED_CLOCK   /* always the same time */
};
void simulate_system(int system);
/* Fills the engine's cache of scratch memory with blocks too small for any use. */
void fill_scratch_cache(void);
/* Whether requests can be made to fail: the linker needs --wrap. */
int can_fail(void);

#endif
