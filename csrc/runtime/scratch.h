/* scratch.h - memory for the intermediate results of one call. */
#ifndef NNC_RUNTIME_SCRATCH_H
#define NNC_RUNTIME_SCRATCH_H

#include <stddef.h>

/* 64-byte aligned memory; NULL if there is none. What is freed is kept for the next call: asking the system each time
 * would cost more than a small product does. */
void *nnc_scratch_alloc(size_t bytes);
void nnc_scratch_free(void *memory);

#endif
