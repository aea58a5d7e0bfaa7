/* check.c - runs the checks: `check [--light] [--no-fork] [--slow] [--one-thread] [isa ...]`. An isa may be `widest`;
 * without one, all that this machine has are checked. --slow multiplies the timeouts by ten, --one-thread checks the
 * maths only. */
#include "check.h"
#include "../../csrc/nnc.h"
#include "pages.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#if !defined(_WIN32)
#include <unistd.h>
#endif

/* ---- reporting ---- */

static char check_name[200];
static long expected, failed, total_failed;
static int light, slow;

void begin(const char *name, ...) {
    va_list rest;
    va_start(rest, name);
    int length = nnc_get_isa() ? snprintf(check_name, sizeof check_name, "%-6s ", nnc_get_isa()) : 0;
    vsnprintf(check_name + length, sizeof check_name - (size_t)length, name, rest);
    va_end(rest);
    expected = failed = 0;
    pages_watchdog(timeout(300)); /* no check takes this long unless it hangs */
}

int expect(int holds, const char *what, ...) {
    expected++;
    if (!holds && failed++ < 5) {
        va_list rest;
        va_start(rest, what);
        printf("     %s: failed: ", check_name);
        vprintf(what, rest);
        printf("\n");
        va_end(rest);
    }
    return holds;
}

void end(void) {
    if (expected == 0)
        failed = 1; /* a check that expects nothing checks nothing */
    if (failed == 0)
        printf("ok   %s (%ld)\n", check_name, expected);
    else
        printf("FAIL %s (%ld of %ld)\n", check_name, failed, expected);
    fflush(stdout);
    total_failed += failed;
}

int repeats(int n) {
    return light ? n / 10 + 1 : n;
}

int coarse(int n) {
    return light ? n : 1;
}

unsigned timeout(unsigned n) { return slow ? 10 * n : n; }

#if !defined(_WIN32)
#ifdef NNC_COVERAGE
void __gcov_dump(void);
#endif

void exit_child(int status) {
#ifdef NNC_COVERAGE
    __gcov_dump();
#endif
    _exit(status);
}
#endif

/* A stray access ends here, with the name of the check that made it */
static void on_fault(int signal) {
#if defined(_WIN32)
    printf("FAIL %s: killed by signal %d\n", check_name, signal);
    fflush(stdout);
    _Exit(3);
#else
    static const char text[] = ": killed by a signal\n";
    ssize_t written = write(1, "FAIL ", 5) + write(1, check_name, strlen(check_name)) + write(1, text, sizeof text - 1);
    _exit(written < 0 || signal == SIGALRM ? 4 : 3);
#endif
}

/* ---- random numbers: xorshift64* ---- */

static uint64_t state = 88172645463325252u;

static uint64_t random_bits(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u;
}

double uniform(void) {
    return (double)(random_bits() >> 11) / 4503599627370496.0 - 1; /* 53 bits over 2^52 */
}

ptrdiff_t randint(ptrdiff_t n) {
    return (ptrdiff_t)((random_bits() >> 11) % (uint64_t)n);
}

/* ---- operands ---- */

layout layout_of(int kind, ptrdiff_t rows, ptrdiff_t cols) {
    layout at = {.rs = cols, .cs = 1};
    if (kind == ROWS_PADDED)
        at.rs = cols + 3;
    else if (kind == COLUMNS)
        at = (layout){.rs = 1, .cs = rows};
    else if (kind == COLUMNS_PADDED)
        at = (layout){.rs = 1, .cs = rows + 5};
    else if (kind == FLIPPED)
        at.rs = -cols;
    else if (kind == MIRRORED)
        at.cs = -1;
    else if (kind == SPREAD)
        at = (layout){.rs = 2 * cols + 1, .cs = 2};
    else if (kind == REPEATED_ROW)
        at.rs = 0;
    else if (kind == REPEATED_COLUMN)
        at = (layout){.rs = 1, .cs = 0};

    ptrdiff_t down = rows > 0 ? (rows - 1) * at.rs : 0, right = cols > 0 ? (cols - 1) * at.cs : 0;
    at.first = (down < 0 ? down : 0) + (right < 0 ? right : 0);
    at.span = rows > 0 && cols > 0 ? 1 + imaxabs(down) + imaxabs(right) : 0;
    /* The stride of an axis of length 0 or 1 is never used and may be anything. */
    if (rows <= 1 && randint(2))
        at.rs = (ptrdiff_t)1 << 40;
    if (cols <= 1 && randint(2))
        at.cs = -((ptrdiff_t)1 << 40);
    return at;
}

enum {
    AROUND = 2048
}; /* bytes next to an operand, on the side away from the guard page, that are watched too */

static struct {
    unsigned char *start, *watched;
    size_t size, watched_size;
} arenas[ARENAS];

static void open_arenas(void) {
    for (int i = 0; i < ARENAS; i++) {
        arenas[i].size = (size_t)1 << 22;
        arenas[i].start = pages_between_guards(&arenas[i].size);
        if (arenas[i].start == NULL) {
            fprintf(stderr, "no pages for the operands\n");
            exit(2);
        }
    }
}

void *place(int arena, size_t bytes, int at_end) {
    unsigned char *start = arenas[arena].start;
    size_t size = arenas[arena].size, watched = bytes + AROUND;
    if (watched > size) {
        fprintf(stderr, "an operand of %zu bytes does not fit into an arena\n", bytes);
        exit(2);
    }
    arenas[arena].watched = at_end ? start + size - watched : start;
    arenas[arena].watched_size = watched;
    memset(arenas[arena].watched, 0xff, watched);
    return at_end ? start + size - bytes : start;
}

int unchanged(int arena) {
    const unsigned char *watched = arenas[arena].watched;
    return watched[0] == 0xff && memcmp(watched, watched + 1, arenas[arena].watched_size - 1) == 0;
}

void lock(int arena) {
    pages_protect(arenas[arena].start, arenas[arena].size, 0);
}

void unlock(int arena) {
    pages_protect(arenas[arena].start, arenas[arena].size, 1);
}

/* ---- all of it ---- */

static void check_maths(int threads) {
    nnc_set_num_threads(threads);
    check_elementwise_f32();
    check_elementwise_f64();
    check_products_f32();
    check_products_f64();
    check_large_products_f32();
    check_large_products_f64();
    check_kernels_f32();
    check_kernels_f64();
    check_losses_f32();
    check_losses_f64();
    check_optimizers_f32();
    check_optimizers_f64();
    check_training_f32();
    check_training_f64();
    check_hashes();
    if (threads == 1) return;
    check_thread_counts_f32();
    check_thread_counts_f64();
    check_failures_f32();
    check_failures_f64();
}

#if !defined(_WIN32) /* refusals.c, threads.c and together.c need POSIX threads, signals and fork */
static void check_runtime(int fork_too) {
    if (fork_too) { /* before there is a pool, and before anything about the machine is cached */
        check_system();
        check_pool_without_memory();
        check_pool_refused();
    }
    check_pool();
    check_worth();
    check_scratch();
    if (fork_too)
        check_pool_in_child();
    check_machine();
}
#endif

int main(int count, char **arguments) {
    int fork_too = 1, isas = 0, threads = 2;
    signal(SIGSEGV, on_fault);
    signal(SIGILL, on_fault);
#if !defined(_WIN32)
    signal(SIGBUS, on_fault);
    signal(SIGALRM, on_fault);
#endif
    open_arenas();
    nnc_set_core_to_core(1); /* as many threads as requested, however busy the machine is */
    for (int i = 1; i < count; i++) {
        light |= strcmp(arguments[i], "--light") == 0;
        fork_too &= strcmp(arguments[i], "--no-fork") != 0;
        slow |= strcmp(arguments[i], "--slow") == 0;
        if (strcmp(arguments[i], "--one-thread") == 0) threads = 1;
        isas += arguments[i][0] != '-';
    }

#if !defined(_WIN32)
    if (threads > 1)
        check_runtime(fork_too);
#endif
    check_net();
    if (isas == 0)
        for (int i = 0; nnc_available_isa(i) != NULL; i++) {
            nnc_set_isa(nnc_available_isa(i));
            check_maths(threads);
        }
    for (int i = 1; i < count; i++)
        if (arguments[i][0] != '-') {
            const char *name = strcmp(arguments[i], "widest") == 0 ? NULL : arguments[i];
            begin("can be chosen: %s", arguments[i]);
            int chosen = expect(nnc_set_isa(name) == NNC_OK, "%s is refused", arguments[i]);
            end();
            if (chosen)
                check_maths(threads);
        }
#if !defined(_WIN32)
    if (threads > 1)
        check_together();
    if (threads > 1 && fork_too)
        check_fork();
#endif
    printf("%ld failures\n", total_failed);
    return total_failed != 0;
}
