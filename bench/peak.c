/* The most multiply-adds that this processor can do, on every thread: independent chains in registers, no memory; and
 * the same with the loads that a matrix product cannot do without, from the L1 or the L2 cache. */
#include <pthread.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX2__)
#define BYTES 32
#else
#define BYTES 16
#endif

#if defined(__x86_64__)
#define VECTOR "v" /* the constraint for a vector register */
#else
#define VECTOR "w"
#endif

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define WIDE __attribute__((min_vector_width(8 * BYTES))) /* or the compiler would prefer two half vectors */
#else
#define UNROLL _Pragma("GCC unroll 8")
#define WIDE
#endif

typedef REAL vec __attribute__((vector_size(BYTES)));

/* 12 chains: two FMA units with a latency of 4 or 5 cycles never wait, and 12 + 2 vectors fit any register file. */
enum {
    LANES = BYTES / sizeof(REAL),
    CHAINS = 12,
    FLOP = 2 * CHAINS * LANES,
    MAX_THREADS = 256
};

static volatile REAL sink;

WIDE static void *chains(void *arg) {
    const long steps = *(const long *)arg;
    vec a[CHAINS], x = {0}, y = {0};
    for (int i = 0; i < CHAINS; i++)
        for (int j = 0; j < LANES; j++) a[i][j] = (REAL)i;
    x += (REAL)0.999;
    y += (REAL)0.001;
    for (long s = 0; s < steps; s++) {
        __asm__ volatile(""
                         : "+" VECTOR(x), "+" VECTOR(y)); /* or the compiler would see that they do not change */
        for (int i = 0; i < CHAINS; i++) a[i] = a[i] * x + y;
    }
    REAL sum = 0;
    for (int i = 0; i < CHAINS; i++)
        for (int j = 0; j < LANES; j++) sum += a[i][j];
    sink = sum;
    return 0;
}

/* A tile of a product, 6 rows and as many vectors as there are registers for, repeatedly: each step loads a number of A
 * for each row, and a vector of B for each column of vectors. */
enum {
    ROWS = 6,
    VECTORS = BYTES == 64 ? 4 : 2,
    NEAR = 100, /* steps: a shorter loop would end too often; B, 25 KB at most, has to fit into L1 */
    FAR = 200 * 1024 / (VECTORS * BYTES), /* of B 200 KB, in L2: what a product of 784 pixels and 64 images takes */
    TILE_FLOP = 2 * ROWS * VECTORS * LANES
};

WIDE static inline void *tiles(long steps, const int depth) {
    REAL A[FAR][ROWS] = {{0}};
    vec B[FAR][VECTORS] = {{{0}}}, c[ROWS][VECTORS] = {{{0}}}, sum = {0};
    for (long s = 0; s < steps; s++) {
        __asm__ volatile("" : "+m"(A), "+m"(B)); /* or they would not be read again */
        for (int k = 0; k < depth; k++) {
            UNROLL
            for (int i = 0; i < ROWS; i++)
                UNROLL
            for (int j = 0; j < VECTORS; j++) c[i][j] = A[k][i] * B[k][j] + c[i][j];
        }
    }
    UNROLL
    for (int i = 0; i < ROWS; i++)
        UNROLL
    for (int j = 0; j < VECTORS; j++) sum += c[i][j];
    sink = sum[0];
    return 0;
}

WIDE static void *near_tiles(void *arg) { return tiles(*(const long *)arg, NEAR); }
WIDE static void *far_tiles(void *arg) { return tiles(*(const long *)arg, FAR); }

/* Does at least `flop` operations on each of `threads` threads and returns the number done on each. */
static double run(void *work(void *), int threads, double flop, int flop_a_step) {
    pthread_t thread[MAX_THREADS];
    long steps = (long)(flop / flop_a_step) + 1;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    for (int i = 1; i < threads; i++)
        if (pthread_create(&thread[i], 0, work, &steps)) return 0;
    work(&steps);
    for (int i = 1; i < threads; i++) pthread_join(thread[i], 0);
    return (double)steps * flop_a_step;
}

double peak(int threads, double flop) { return run(chains, threads, flop, FLOP); }
double peak_with_near_loads(int threads, double flop) { return run(near_tiles, threads, flop, NEAR * TILE_FLOP); }
double peak_with_far_loads(int threads, double flop) { return run(far_tiles, threads, flop, FAR * TILE_FLOP); }
