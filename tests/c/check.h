/* check.h - what the checks share: reporting, random numbers, and memory in which a stray access is detected. */
#ifndef NNC_TESTS_CHECK_H
#define NNC_TESTS_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A check begins, makes many expectations, and ends with one line: ok or FAIL, its name, the number of expectations.
 * The first few that failed are printed in full. Only the program's first thread reports. */
#if defined(__MINGW_PRINTF_FORMAT) /* C11's %td and %zu, which __USE_MINGW_ANSI_STDIO brings */
#define PRINTF __MINGW_PRINTF_FORMAT
#else
#define PRINTF printf
#endif
void begin(const char *name, ...) __attribute__((format(PRINTF, 1, 2)));
int expect(int holds, const char *what, ...) __attribute__((format(PRINTF, 2, 3)));
void end(void);

/* Less work under an emulator or a sanitizer (--light): n repeats or a tenth of them; steps of 1 or of n. */
int repeats(int n);
int coarse(int n);

/* Seconds after which a check counts as hanging: n, or ten times as many with --slow. */
unsigned timeout(unsigned n);

#if !defined(_WIN32)
/* Ends a forked child without flushing its parent's files; a coverage build writes its counts. */
_Noreturn void exit_child(int status);
#endif

/* Uniform random numbers, the same in every run: reals in -1 .. 1, and integers in 0 .. n-1. */
double uniform(void);
ptrdiff_t randint(ptrdiff_t n);

/* ---- operands in which a stray access is detected ---- */

/* Memory layouts of a matrix. An output can have any of those before REPEATED_ROW. */
enum {
    ROWS,
    ROWS_PADDED,
    COLUMNS,
    COLUMNS_PADDED,
    FLIPPED,
    MIRRORED,
    SPREAD,
    REPEATED_ROW,
    REPEATED_COLUMN,
    KINDS
};

/* In elements: the strides, the offset of the first element in memory from the element (0, 0), and the length from the
 * first to the last. */
typedef struct layout {
    ptrdiff_t rs, cs, first, span;
} layout;
layout layout_of(int kind, ptrdiff_t rows, ptrdiff_t cols);

/* An arena is memory between two guard pages. An operand is placed right after the one or right before the other, and
 * every byte in and around it is set to 0xff, which makes NaNs. */
enum {
    ARENAS = 4
};
void *place(int arena, size_t bytes, int at_end);
/* Whether every byte in and around the operand is still 0xff; call it after setting the results back to 0xff. */
int unchanged(int arena);
/* A locked arena cannot be written. */
void lock(int arena);
void unlock(int arena);

/* ---- the checks ---- */
void check_pool(void);
void check_worth(void);
void check_system(void);
void check_scratch(void);
void check_pool_without_memory(void);
void check_pool_in_child(void);
void check_pool_refused(void);
void check_machine(void);
void check_net(void);
void check_hashes(void);
void check_together(void);
void check_fork(void);

void check_elementwise_f32(void);
void check_elementwise_f64(void);
void check_products_f32(void);
void check_products_f64(void);
void check_large_products_f32(void);
void check_large_products_f64(void);
void check_kernels_f32(void);
void check_kernels_f64(void);
void check_losses_f32(void);
void check_losses_f64(void);
void check_optimizers_f32(void);
void check_optimizers_f64(void);
void check_training_f32(void);
void check_training_f64(void);
void check_thread_counts_f32(void);
void check_thread_counts_f64(void);
void check_failures_f32(void);
void check_failures_f64(void);

#endif
