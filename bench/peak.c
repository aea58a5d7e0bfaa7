/* The most multiply-adds that this processor can do: independent chains in registers, no memory, on every thread. */
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

typedef REAL vec __attribute__((vector_size(BYTES)));

/* 12 chains: two FMA units with a latency of 4 or 5 cycles never wait, and 12 + 2 vectors fit any register file. */
enum {
    LANES = BYTES / sizeof(REAL),
    CHAINS = 12,
    FLOP = 2 * CHAINS * LANES,
    MAX_THREADS = 256
};

static volatile REAL sink;

static void *chains(void *arg) {
    const long steps = *(const long *)arg;
    vec a[CHAINS], x = {0}, y = {0};
    for (int i = 0; i < CHAINS; i++)
        for (int j = 0; j < LANES; j++) a[i][j] = (REAL)i;
    x += (REAL)0.999;
    y += (REAL)0.001;
    for (long s = 0; s < steps; s++) {
        __asm__ volatile(""
                         : "+" VECTOR(x), "+" VECTOR(y)); /* or the compiler would see that nothing changes */
        for (int i = 0; i < CHAINS; i++) a[i] = a[i] * x + y;
    }
    REAL sum = 0;
    for (int i = 0; i < CHAINS; i++)
        for (int j = 0; j < LANES; j++) sum += a[i][j];
    sink = sum;
    return 0;
}

/* Does at least `flop` operations on each of `threads` threads and returns how many it did on each. */
double peak(int threads, double flop) {
    pthread_t thread[MAX_THREADS];
    long steps = (long)(flop / FLOP) + 1;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    for (int i = 1; i < threads; i++)
        if (pthread_create(&thread[i], 0, chains, &steps)) return 0;
    chains(&steps);
    for (int i = 1; i < threads; i++) pthread_join(thread[i], 0);
    return (double)steps * FLOP;
}
