/* hash.h - a hash of memory, with which a graph checks whether an array has changed. */
#ifndef NNC_OPS_HASH_H
#define NNC_OPS_HASH_H
#include "../kernels/kernels.h"

extern nnc_hash_keys nnc_keys;

/* Once, before anything is hashed. */
void nnc_draw_keys(void);

/* `bytes` more; of much memory on all cores. The same memory in other pieces has another hash. */
void nnc_hash_add(nnc_hash_state *state, const char *data, ptrdiff_t bytes);

/* The hash of all that was added. */
uint64_t nnc_hash_end(const nnc_hash_state *state);

#endif
