/* kernels.h - the table of kernels: an instruction set is one `nnc_isa`, filled by one file of ../isa. */
#ifndef NNC_KERNELS_H
#define NNC_KERNELS_H
#include "../typed.h"

/* Memory that will be read soon after a product: the tiles prefetch it line by line while they compute. `count` pieces
 * of `bytes` bytes, of which as many are prefetched as B has rows; count 0 for nothing. */
typedef struct nnc_prefetch {
    const char *const *pieces;
    ptrdiff_t count, bytes;
} nnc_prefetch;

/* Rows of B that a packed panel has at most: one tile wide it takes a quarter of a usual L2. */
enum {
    NNC_PANEL_ROWS = 1024
};

#define NNC_TEMPLATE "kernels/kernels_typed.inc"
#include "../each_dtype.inc"

typedef struct nnc_isa {
    const char *name;
    const kernels_f32 *f32;
    const kernels_f64 *f64;
} nnc_isa;

/* The kernels in use (see nnc_set_isa). */
const nnc_isa *nnc_kernels(void);

#endif
