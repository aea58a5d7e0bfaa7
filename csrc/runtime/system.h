/* system.h - everything that the engine asks of the operating system, on POSIX and on Windows. */
#ifndef NNC_RUNTIME_SYSTEM_H
#define NNC_RUNTIME_SYSTEM_H

#include <stddef.h>

#if defined(_WIN32)
/* SRWLOCK and CONDITION_VARIABLE, each a pointer that is NULL at first; windows.h stays out of the headers */
typedef struct nnc_mutex {
    void *lock;
} nnc_mutex;
typedef struct nnc_condition {
    void *variable;
} nnc_condition;
#else
#include <pthread.h>
typedef pthread_mutex_t nnc_mutex;
typedef pthread_cond_t nnc_condition;
#endif

/* Neither needs a counterpart: they hold nothing but their own memory. */
void nnc_mutex_init(nnc_mutex *mutex);
void nnc_mutex_lock(nnc_mutex *mutex);
void nnc_mutex_unlock(nnc_mutex *mutex);
void nnc_condition_init(nnc_condition *condition);
void nnc_condition_wait(nnc_condition *condition, nnc_mutex *mutex);
void nnc_condition_wake_all(nnc_condition *condition);

/* Start a thread that no signal of the program interrupts and nobody joins; 0 if the system refuses. */
int nnc_start_thread(void (*run)(void *arg), void *arg);
/* Have in_child called in the child of every fork; 0 if the system refuses. */
int nnc_at_fork(void (*in_child)(void));
/* Yield this core to another thread that is ready. */
void nnc_yield(void);

/* Cores that the system lets this process run on; below 1 where it does not say. */
int nnc_system_cores(void);
/* The core that the calling thread runs on; -1 where the system does not say. */
int nnc_this_core(void);
/* Move the calling thread to another core if it runs on this one; -1 for none. */
void nnc_leave_core(int core);

/* Bytes of the data cache of a level, 1 to 3; 0 where the system does not say. */
ptrdiff_t nnc_cache_size(int level);
/* Ask for space for the matrix unit's tiles in every thread; 0 if the system refuses. */
int nnc_ask_for_tiles(void);

/* Memory that begins at a multiple of `alignment`, a power of two; NULL if there is none. */
void *nnc_aligned_alloc(size_t alignment, size_t bytes);
void nnc_aligned_free(void *memory);

#endif
