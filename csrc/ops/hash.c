/* hash.c - see hash.h; the kernel is kernels/hash.inc. */
#include "hash.h"
#include "ops.h"

#include <stdatomic.h>

enum {
    PIECE = 1 << 17,      /* bytes that a thread hashes by themselves */
    FOR_THREADS = 1 << 19 /* bytes from which a second thread pays, if it is awake ... */,
    TO_WAKE = 1 << 22     /* ... and if it sleeps */
};

nnc_hash_keys nnc_keys;

/* A one-to-one function that mixes all bits: the finaliser of splitmix64. */
static uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static const uint64_t next = UINT64_C(0x9E3779B97F4A7C15);

void nnc_draw_keys(void) {
    uint64_t n = 0;
    for (int i = 0; i < NNC_HASH_ROWS; i++)
        for (int j = 0; j < NNC_HASH_LANES; j++) nnc_keys.rows[i][j] = mixed(next * ++n);
}

uint64_t nnc_hash_end(const nnc_hash_state *state) {
    uint64_t hash = (uint64_t)state->row;
    for (int i = 0; i < NNC_HASH_LANES; i++)
        hash += (state->lanes[i] ^ state->lanes[i] >> 32) * (nnc_keys.rows[i][0] | 1); /* odd, for each lane */
    return mixed(hash);
}

typedef struct pieces {
    const char *data;
    ptrdiff_t bytes;
    _Atomic uint64_t sum; /* of each piece's hash mixed with its index, in any order */
} pieces;

static void hash_pieces(void *arg, int thread, int threads) {
    pieces *p = arg;
    const nnc_isa *isa = nnc_kernels();
    uint64_t sum = 0;
    for (ptrdiff_t i = thread * (ptrdiff_t)PIECE; i < p->bytes; i += threads * (ptrdiff_t)PIECE) {
        nnc_hash_state state = {{(uint64_t)i}, 0};
        isa->hash(&state, &nnc_keys, p->data + i, p->bytes - i < PIECE ? p->bytes - i : PIECE);
        sum += nnc_hash_end(&state);
    }
    atomic_fetch_add(&p->sum, sum);
}

void nnc_hash_add(nnc_hash_state *state, const char *data, ptrdiff_t bytes) {
    pieces p = {data, bytes, 0};
    if (bytes >= FOR_THREADS) {
        nnc_parallel(hash_pieces, &p, nnc_get_num_threads(), bytes >= TO_WAKE);
        const uint64_t sum = atomic_load(&p.sum);
        nnc_kernels()->hash(state, &nnc_keys, (const char *)&sum, sizeof sum);
    } else
        nnc_kernels()->hash(state, &nnc_keys, data, bytes);
}
