/* hashes.c - the hash of memory: csrc/ops/hash.c and kernels/hash.inc, which no function of nnc.h calls. */
#include "../../csrc/nnc.h"
#include "../../csrc/ops/hash.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHORT = 3 * 64 * NNC_HASH_ROWS + 40, /* bytes: a few blocks, after each of which the lanes are mixed */
    LONG = (1 << 22) + (1 << 17) + 3     /* enough to be shared among threads, also if they sleep */
};

static uint64_t hash_of(const char *data, ptrdiff_t bytes, ptrdiff_t first) {
    nnc_hash_state state = {{0}, 0};
    nnc_hash_add(&state, data, first);
    nnc_hash_add(&state, data + first, bytes - first);
    return nnc_hash_end(&state);
}

/* The hash as kernels/hash.inc defines it, a word at a time */
static nnc_hash_state reference_hash(const char *data, ptrdiff_t bytes) {
    nnc_hash_state state = {{0}, 0};
    for (ptrdiff_t i = 0; i < bytes; i += 8 * NNC_HASH_LANES) {
        for (ptrdiff_t j = 0; j < NNC_HASH_LANES; j++) {
            const ptrdiff_t at = i + 8 * j, left = bytes - at;
            uint64_t word = 0;
            if (left > 0) memcpy(&word, data + at, left < 8 ? (size_t)left : 8);
            word ^= nnc_keys.rows[state.row][j];
            state.lanes[j] += (word & UINT32_MAX) * (word >> 32) + word;
        }
        if (++state.row < NNC_HASH_ROWS) continue;
        state.row = 0;
        for (int j = 0; j < NNC_HASH_LANES; j++)
            state.lanes[j] = (state.lanes[j] ^ state.lanes[j] >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    }
    return state;
}

void check_hashes(void) {
    begin("the hash of memory agrees with its definition, and changes with each byte");
    nnc_draw_keys();
    char *data = malloc(LONG);
    if (data == NULL) exit(2);
    for (ptrdiff_t i = 0; i < LONG; i++) data[i] = (char)randint(256);
    for (ptrdiff_t bytes = 0; bytes <= SHORT; bytes += 1 + randint(coarse(20))) {
        const nnc_hash_state right = reference_hash(data, bytes);
        const uint64_t hash = hash_of(data, bytes, 0);
        expect(hash == nnc_hash_end(&right), "%td bytes: wrong hash", bytes);
        if (bytes == 0) continue;
        const ptrdiff_t at = randint(bytes);
        data[at]++;
        expect(hash_of(data, bytes, 0) != hash, "%td bytes: byte %td does not change it", bytes, at);
        data[at]--;
    }
    const uint64_t in_two = hash_of(data, 1000, 512), again = hash_of(data, 1000, 512);
    expect(in_two == again, "the same pieces have two hashes");

    const int before = nnc_get_num_threads();
    for (ptrdiff_t bytes = LONG / 5; bytes <= LONG; bytes += LONG / 5 * 4) {
        nnc_set_num_threads(1);
        const uint64_t alone = hash_of(data, bytes, 0);
        nnc_set_num_threads(3);
        expect(hash_of(data, bytes, 0) == alone, "%td bytes: three threads give another hash", bytes);
        data[bytes - 1]++;
        expect(hash_of(data, bytes, 0) != alone, "%td bytes: the last does not change it", bytes);
    }
    nnc_set_num_threads(before);
    free(data);
    end();
}
