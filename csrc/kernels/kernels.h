/* kernels.h - the table of kernels: an instruction set is one `nnc_isa`, filled by one file of ../isa. */
#ifndef NNC_KERNELS_H
#define NNC_KERNELS_H
#include "../typed.h"

/* Rows of B that a packed panel has at most: one tile wide it takes a quarter of a usual L2. */
enum {
    NNC_PANEL_ROWS = 1024
};

#define NNC_TEMPLATE "kernels/kernels_typed.inc"
#include "../each_dtype.inc"

/* A hash under way (hash.inc): the sums in its lanes, and which row of keys is next */
enum {
    NNC_HASH_LANES = 8,
    NNC_HASH_ROWS = 64
};
typedef struct nnc_hash_keys {
    _Alignas(64) uint64_t rows[NNC_HASH_ROWS][NNC_HASH_LANES];
} nnc_hash_keys;
typedef struct nnc_hash_state {
    uint64_t lanes[NNC_HASH_LANES];
    int row;
} nnc_hash_state;

typedef struct nnc_isa {
    const char *name;
    void (*hash)(nnc_hash_state *state, const nnc_hash_keys *keys, const char *data, ptrdiff_t bytes);
    const kernels_f32 *f32;
    const kernels_f64 *f64;
} nnc_isa;

/* The kernels in use (see nnc_set_isa). */
const nnc_isa *nnc_kernels(void);

#endif
