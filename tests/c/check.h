/* check.h - what the checks share: a line for each of them, random numbers, and memory that betrays a stray access. */
#ifndef NNC_TESTS_CHECK_H
#define NNC_TESTS_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A check is begun, expects many things, and ends with one line: ok or FAIL, its name, how many things it expected.
 * The first few that failed are told in full. Only the program's first thread reports. */
#if defined(__MINGW_PRINTF_FORMAT) /* C11's %td and %zu, which __USE_MINGW_ANSI_STDIO brings */
#define PRINTF __MINGW_PRINTF_FORMAT
#else
#define PRINTF printf
#endif
void begin(const char *name, ...) __attribute__((format(PRINTF, 1, 2)));
int expect(int holds, const char *what, ...) __attribute__((format(PRINTF, 2, 3)));
void end(void);

/* Less work for a machine that is emulated, or watched by a sanitizer: n times or a tenth of it; in steps of 1 or n. */
int often(int n);
int coarse(int n);

/* Seconds after which something hangs: n, or ten times as many on a machine that is slow. */
unsigned patience(unsigned n);

#if !defined(_WIN32)
/* The end of a fork's child, which leaves its parent's files as they are; a coverage build writes its counts. */
_Noreturn void leave(int status);
#endif

/* Uniform random numbers, the same in every run: -1 .. 1, and 0 .. n-1. */
double uniform(void);
ptrdiff_t whole(ptrdiff_t n);

/* ---- operands that betray a stray access ---- */

/* How a matrix may lie in memory. A matrix that is written can be of any kind before REPEATED_ROW. */
enum {
    ROWS,
    ROWS_APART,
    COLUMNS,
    COLUMNS_APART,
    FLIPPED,
    MIRRORED,
    SPREAD,
    REPEATED_ROW,
    REPEATED_COLUMN,
    KINDS
};

/* Strides in elements, the distance of the first element in memory from the element (0, 0), and from first to last. */
typedef struct layout {
    ptrdiff_t rs, cs, first, span;
} layout;
layout layout_of(int kind, ptrdiff_t rows, ptrdiff_t cols);

/* An arena is memory between two pages that nobody may touch. An operand is put right after the one or right before the
 * other, and every byte in and around it is set to 0xff, which makes NaNs. */
enum {
    ARENAS = 4
};
void *place(int arena, size_t bytes, int at_end);
/* Whether every byte in and around it still is 0xff: asked after the results have been set back to 0xff. */
int unchanged(int arena);
/* Inputs can't be written while they are locked. */
void lock(int arena);
void unlock(int arena);

/* ---- the checks, a function for each file or half of it ---- */
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
