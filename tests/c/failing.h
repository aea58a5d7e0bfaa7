/* failing.h - memory and threads that are refused once, at a moment that the test chooses. */
#ifndef NNC_TESTS_FAILING_H
#define NNC_TESTS_FAILING_H

/* From now on the n-th request for memory or for a thread is refused, counted from 1; 0 refuses none. */
void fail_request(int n);
/* End that. Nonzero if it has come so far. */
int request_failed(void);
/* Pieces of memory that were requested and have not been given back. */
long pieces_held(void);
/* What the system says from now on. */
enum {
    AS_IT_IS,
    WITHOUT_AFFINITY, /* does not tell which cores a process may use */
    SILENT,           /* nor how many there are, nor of caches */
    VAST,             /* 1024 cores */
    TIMELESS          /* its clock stands still */
};
void pretend(int system);
/* Let the engine's cache of scratch memory hold no piece that would be large enough for anything. */
void fill_scratch_cache(void);
/* Whether requests can be refused here: where the linker knows --wrap. */
int can_fail(void);

#endif
