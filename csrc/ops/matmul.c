/* matmul.c - the matrix product, for any shape and stride, on all cores.
 *
 * The kernel needs the rows of B and of C contiguous. Here everything else is brought into that form: a C
 * that lies column by column is computed as its transpose, C^T = B^T A^T. A B whose rows are not contiguous,
 * or has them so far apart that they would push each other out of the cache, or beginning in the middle of a register,
 * is packed into panels one tile wide. */
#ifndef NNC_TEMPLATE
#include "matmul.h"

enum {
    LINE = 64,
    WORK_FOR_THREADS = 2000000,  /* operations times bytes of a number: for less a second thread costs too much, */
    WORK_TO_WAKE = 1 << 26,      /* and for less one that must be woken */
    BYTES_FOR_THREADS = 1 << 19, /* bytes of A, where the time goes into reading it */
    BYTES_TO_WAKE = 1 << 22,
    REUSE_TO_PACK = 4,           /* strips of rows that must use a packed panel before packing pays */
    REUSE_TO_ALIGN = 12,         /* the same where packing only saves loads that cross a cache line */
    TILES_TO_ALIGN = 4,          /* in a row, from which it pays to peel columns off so that no load crosses one */
    EACH_PACKS = 2,              /* at most so many threads transpose all of B, each for itself, */
    REUSE_TO_TRANSPOSE = 12,          /* if each has so many strips of rows to use it for */
    CONFLICT_BYTES = 2048        /* rows of B a multiple of this apart fall into the same few sets of the L1 */
};

#define NNC_TEMPLATE "ops/matmul.c"
#include "../each_dtype.inc"
#else

typedef struct FN(product) {
    const FN(kernels) *kernels;
    FN(gemm_kernel) *gemm;
    ptrdiff_t width; /* of a panel */
    FN(gemm_args) g; /* the whole product; g.b_rs with b_cs below */
    ptrdiff_t b_cs;
    int packed, by_rows; /* threads take rows of C, or columns */
    int far;             /* B does not fit into the L2 */
    int shared;          /* by rows: they pack the panels together */
    ptrdiff_t slab, block; /* panels, and rows of A, that are worked with at a time */
    REAL *panels;
    ptrdiff_t panel_size;
    nnc_barrier barrier;
} FN(product);

/* Is a tile no wider than a line? */
static int FN(narrow)(const FN(product) *task) { return task->kernels->rows_to_pack > 0; }

/* p columns are cut into groups of at most a panel's width, evenly, as the kernel does. */
static ptrdiff_t FN(groups)(const FN(product) *task, ptrdiff_t p) { return (p + task->width - 1) / task->width; }

static ptrdiff_t FN(group_start)(const FN(product) *task, ptrdiff_t p, ptrdiff_t group) {
    const ptrdiff_t lanes = task->kernels->lanes, vecs = (p + lanes - 1) / lanes;
    const ptrdiff_t start = group * vecs / FN(groups)(task, p) * lanes;
    return start < p ? start : p;
}

/* panel (rows, columns), `width` numbers from row to row, from rows k0 .. of B */
static void FN(pack)(const FN(product) *task, REAL *panel, ptrdiff_t k0, ptrdiff_t rows,
                     ptrdiff_t j0, ptrdiff_t columns) {
    const ptrdiff_t rs = task->g.b_rs, cs = task->b_cs, width = task->width;
    const REAL *B = task->g.B + k0 * rs + j0 * cs;
    if (cs == 1)
        task->kernels->copy_rows(panel, B, rows, columns, width, rs);
    else if (rs == 1)
        task->kernels->transpose(panel, B, rows, columns, width, cs);
    else
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j < columns; j++)
                panel[i * width + j] = B[i * rs + j * cs];
}

/* Rows i0 .. i1 of a group of columns, as far as rows k0 .. k0 + k of B go */
static FN(gemm_args) FN(part)(const FN(product) *task, ptrdiff_t k0, ptrdiff_t k, ptrdiff_t i0, ptrdiff_t i1,
                              ptrdiff_t j0, ptrdiff_t columns) {
    FN(gemm_args) g = task->g;
    g.n = i1 - i0, g.k = k, g.p = columns;
    g.A += i0 * g.a_rs + k0 * g.a_cs;
    g.B += k0 * g.b_rs + j0 * task->b_cs;
    g.C += i0 * g.c_rs + j0;
    g.bias = k0 == 0 && g.bias ? g.bias + i0 * g.bias_s : NULL;
    g.accumulate = g.accumulate || k0 > 0;
    return g;
}

/* The same from the panel, which has these rows and columns of B */
static void FN(multiply)(const FN(product) *task, FN(gemm_args) g, const REAL *panel) {
    g.B = panel, g.b_rs = task->width;
    if (g.n > 0) task->gemm(&g);
}

/* All columns, the panels packed by all threads together, each of which then takes rows */
static void FN(product_together)(FN(product) *task, ptrdiff_t i0, ptrdiff_t i1, int thread, int threads) {
    const ptrdiff_t p = task->g.p;
    const ptrdiff_t k0 = nnc_share(task->g.k, task->kernels->lanes, thread, threads);
    const ptrdiff_t k1 = nnc_share(task->g.k, task->kernels->lanes, thread + 1, threads);
    for (ptrdiff_t group = 0; group < FN(groups)(task, p); group++) {
        const ptrdiff_t j0 = FN(group_start)(task, p, group), columns = FN(group_start)(task, p, group + 1) - j0;
        REAL *panel = task->panels + group * task->panel_size;
        FN(pack)(task, panel + k0 * task->width, k0, k1 - k0, j0, columns);
    }
    nnc_barrier_wait(&task->barrier, threads);
    for (ptrdiff_t group = 0; group < FN(groups)(task, p); group++) {
        const ptrdiff_t j0 = FN(group_start)(task, p, group), columns = FN(group_start)(task, p, group + 1) - j0;
        const REAL *panel = task->panels + group * task->panel_size;
        /* in the pieces that the columns take it in, for the same roundings however many threads there are */
        for (ptrdiff_t k = 0; k < task->g.k; k += NNC_PANEL_ROWS) {
            const ptrdiff_t rows = task->g.k - k < NNC_PANEL_ROWS ? task->g.k - k : NNC_PANEL_ROWS;
            FN(multiply)(task, FN(part)(task, k, rows, i0, i1, j0, columns), panel + k * task->width);
        }
    }
}

/* These rows and columns of C, as far as rows k0 .. k0 + k of B go, which are in the panel or, `first`, come into
 * it. */
static void FN(multiply_group)(const FN(product) *task, REAL *panel, ptrdiff_t k0, ptrdiff_t k, nnc_range rows,
                               nnc_range columns, int first) {
    const ptrdiff_t j = columns.begin, width = columns.end - j;
    ptrdiff_t done = 0;
    if (first && task->b_cs == 1) {
        const FN(gemm_args) whole = FN(part)(task, k0, k, rows.begin, rows.end, j, width);
        done = task->kernels->gemm_pack(&whole, panel);
    } else if (first)
        FN(pack)(task, panel, k0, k, j, width);
    FN(multiply)(task, FN(part)(task, k0, k, rows.begin + done, rows.end, j, width), panel);
}

/* Rows i0 .. i1 and columns j0 .. j1 of C, with panels that no other thread uses: a slab of them at a time, which meets
 * one block of A's rows after the other. */
static void FN(product_alone)(const FN(product) *task, REAL *panels, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t j0,
                              ptrdiff_t j1) {
    const ptrdiff_t p = j1 - j0, groups = FN(groups)(task, p), k = task->g.k;
    for (ptrdiff_t slab = 0; slab < groups; slab += task->slab)
        for (ptrdiff_t k0 = 0; k0 < k; k0 += NNC_PANEL_ROWS)
            for (ptrdiff_t i = i0; i < i1; i += task->block)
                for (ptrdiff_t group = slab; group < groups && group < slab + task->slab; group++) {
                    const nnc_range rows = {i, i1 - i < task->block ? i1 : i + task->block};
                    const nnc_range columns = {j0 + FN(group_start)(task, p, group),
                                               j0 + FN(group_start)(task, p, group + 1)};
                    FN(multiply_group)(task, panels + (group - slab) * task->panel_size, k0,
                                       k - k0 < NNC_PANEL_ROWS ? k - k0 : NNC_PANEL_ROWS, rows, columns, i == i0);
                }
}

/* Where a tile is no wider than a line, A is read very often: once a panel. If the cache does not hold A, it is taken
 * in blocks that it does hold a quarter of each, and each of them meets as many panels as half of the cache holds. */
static void FN(cut_into_blocks)(FN(product) *task) {
    const ptrdiff_t bytes = sizeof(REAL), depth = task->g.k < NNC_PANEL_ROWS ? task->g.k : NNC_PANEL_ROWS;
    const ptrdiff_t l2 = nnc_cpu_l2(), tile_rows = task->kernels->tile_rows;
    task->slab = 1, task->block = task->g.n;
    if (!FN(narrow)(task) || task->g.n * depth * bytes < l2) return;
    const ptrdiff_t strips = l2 / 4 / (depth * tile_rows * bytes), panels = l2 / 2 / (depth * task->width * bytes);
    task->block = (strips > 4 ? strips : 4) * tile_rows;
    task->slab = panels > 1 ? panels : 1;
}

/* A load that crosses a cache line takes the time of two. How many columns, from j0 on, come before the first aligned
 * one of B, and are peeled off? None where there are few columns: the masked registers would cost more. */
static ptrdiff_t FN(columns_to_peel)(const FN(product) *task, ptrdiff_t j0, ptrdiff_t columns) {
    const ptrdiff_t lanes = task->kernels->lanes;
    if (FN(narrow)(task)) return 0; /* half of the loads are in one line anyway, and masks cost more */
    if (task->gemm != task->kernels->gemm || task->g.b_rs % lanes != 0) return 0;
    if (columns < TILES_TO_ALIGN * task->kernels->tile_columns) return 0;
    return (ptrdiff_t)((0 - (uintptr_t)(task->g.B + j0) / sizeof(REAL)) % (uintptr_t)lanes);
}

static void FN(product_task)(void *arg, int thread, int threads) {
    FN(product) *task = arg;
    const ptrdiff_t n = task->g.n, p = task->g.p, unit = task->kernels->lanes;
    const ptrdiff_t i0 = task->by_rows ? nnc_share(n, 1, thread, threads) : 0;
    const ptrdiff_t i1 = task->by_rows ? nnc_share(n, 1, thread + 1, threads) : n;
    const ptrdiff_t j0 = task->by_rows ? 0 : nnc_share(p, unit, thread, threads);
    const ptrdiff_t j1 = task->by_rows ? p : nnc_share(p, unit, thread + 1, threads);
    if (task->shared)
        FN(product_together)(task, i0, i1, thread, threads);
    else if (i0 < i1 && j0 < j1 && task->packed)
        FN(product_alone)(task, task->panels + thread * task->slab * task->panel_size, i0, i1, j0, j1);
    else if (i0 < i1 && j0 < j1) {
        const ptrdiff_t j = j0 + FN(columns_to_peel)(task, j0, j1 - j0);
        const FN(gemm_args) peeled = FN(part)(task, 0, task->g.k, i0, i1, j0, j - j0);
        const FN(gemm_args) rest = FN(part)(task, 0, task->g.k, i0, i1, j, j1 - j);
        if (j > j0) task->gemm(&peeled);
        task->gemm(&rest);
    }
}

nnc_status FN(nnc_product)(const PUBLIC(matrix) *C, const PUBLIC(matrix) *A, const PUBLIC(matrix) *B,
                           const PUBLIC(matrix) *bias) {
    FN(product) task = {.kernels = KERNELS, .g = {.n = C->rows, .k = A->cols, .p = C->cols}};
    FN(gemm_args) *const g = &task.g;
    g->A = A->data, g->a_rs = A->rs, g->a_cs = A->cs, g->B = B->data, g->b_rs = B->rs, g->C = C->data, g->c_rs = C->rs;
    if (bias) g->bias = bias->data, g->bias_s = bias->rs;
    const ptrdiff_t b_cs = task.b_cs = g->k == 0 ? 1 : B->cs; /* of no rows of B nothing is read */
    const ptrdiff_t bytes = sizeof(REAL);
    const double work = 2.0 * (double)g->n * (double)g->k * (double)g->p * (double)sizeof(REAL);
    const int threads = work < WORK_FOR_THREADS ? 1 : nnc_get_num_threads();

    task.gemm = task.kernels->gemm_for(g->n, g->k, g->p);
    const int plain = task.gemm == task.kernels->gemm; /* another takes B as it is, but for b_cs */
    task.width = task.kernels->tile_columns * (plain ? 1 : 2);
    const int reused = g->n >= REUSE_TO_PACK * task.kernels->tile_rows;
    const int conflicts = g->b_rs * bytes % CONFLICT_BYTES == 0 && g->k > 8;
    const uintptr_t register_bytes = (uintptr_t)(task.kernels->lanes * bytes);
    const int splits_lines = ((uintptr_t)g->B | (uintptr_t)(g->b_rs * bytes)) % register_bytes != 0;
    task.far = (b_cs == 1 ? g->k * g->b_rs : g->p * b_cs) * bytes > nnc_cpu_l2();
    task.packed = b_cs != 1 || (plain && reused && (conflicts || task.far));
    /* Rows, wherever that costs little: they are next to each other, and a core that will work on C number by number
     * finds its share where it left it. */
    const ptrdiff_t strips = g->n / (threads * task.kernels->tile_rows);
    const int each_transposes = plain && b_cs != 1 && !task.far && threads <= EACH_PACKS &&
                                strips >= REUSE_TO_TRANSPOSE;
    const int wide = g->p >= 2 * threads * task.kernels->tile_columns;
    task.by_rows = threads > 1 && (plain && !task.packed ? strips > 0 : !wide || each_transposes);
    /* more rows would be cut, and rounded between, wherever B began */
    if (plain && splits_lines && g->k > 0 && g->k <= NNC_PANEL_ROWS)
        task.packed = task.packed || g->n >= REUSE_TO_ALIGN * task.kernels->tile_rows * (task.by_rows ? threads : 1);
    if (task.packed) {
        task.shared = task.by_rows && b_cs != 1 && threads > EACH_PACKS;
        task.panel_size = (task.shared || g->k < NNC_PANEL_ROWS ? g->k : NNC_PANEL_ROWS) * task.width;
        FN(cut_into_blocks)(&task);
        const ptrdiff_t panels = task.shared ? FN(groups)(&task, g->p) : threads * task.slab;
        task.panels = nnc_scratch_alloc((size_t)panels * (size_t)task.panel_size * sizeof(REAL));
        if (task.panels == NULL) return NNC_ERR_MEMORY;
    }
    nnc_barrier_init(&task.barrier);
    if (threads == 1)
        FN(product_task)(&task, 0, 1);
    else
        nnc_parallel(FN(product_task), &task, threads, task.shared || work >= WORK_TO_WAKE);
    nnc_scratch_free(task.panels);
    return NNC_OK;
}

typedef struct FN(by_vector) {
    REAL *y;
    const REAL *A, *x;
    ptrdiff_t n, k, y_s, a_rs;
} FN(by_vector);

static void FN(by_vector_task)(void *arg, int thread, int threads) {
    const FN(by_vector) *task = arg;
    const ptrdiff_t i0 = nnc_share(task->n, 4, thread, threads), i1 = nnc_share(task->n, 4, thread + 1, threads);
    if (i0 < i1)
        KERNELS->gemv(task->y + i0 * task->y_s, task->A + i0 * task->a_rs, task->x, i1 - i0, task->k, task->y_s,
                      task->a_rs);
}

/* y (n) = A (n, k) x (k), rows of A contiguous; a strided x is packed first */
static nnc_status FN(run_vector)(REAL *y, const REAL *A, const REAL *x, ptrdiff_t n, ptrdiff_t k, ptrdiff_t y_s,
                                 ptrdiff_t a_rs, ptrdiff_t x_s) {
    REAL *copy = NULL;
    if (x_s != 1 && k > 1) {
        copy = nnc_scratch_alloc((size_t)k * sizeof(REAL));
        if (copy == NULL) return NNC_ERR_MEMORY;
        for (ptrdiff_t i = 0; i < k; i++)
            copy[i] = x[i * x_s];
    }
    FN(by_vector) task = {y, A, copy ? copy : x, n, k, y_s, a_rs};
    const ptrdiff_t bytes = n * k * (ptrdiff_t)sizeof(REAL);
    if (bytes < BYTES_FOR_THREADS)
        FN(by_vector_task)(&task, 0, 1);
    else
        nnc_parallel(FN(by_vector_task), &task, nnc_get_num_threads(), bytes >= BYTES_TO_WAKE);
    nnc_scratch_free(copy);
    return NNC_OK;
}

nnc_status PUBLIC(matmul_forward)(PUBLIC(matrix) C, PUBLIC(matrix) A, PUBLIC(matrix) B) {
    const ptrdiff_t n = A.rows, m = A.cols, p = B.cols;
    if (!FN(is_shape)(A, n, m) || !FN(is_shape)(B, m, p) || !FN(is_shape)(C, n, p)) return NNC_ERR_SHAPE;
    if (n == 0 || p == 0) return NNC_OK;
    if (p == 1 && A.cs == 1) return FN(run_vector)(C.data, A.data, B.data, n, m, C.rs, A.rs, B.rs);
    if (n == 1 && B.rs == 1) return FN(run_vector)(C.data, B.data, A.data, p, m, C.cs, m == 0 ? 1 : B.cs, A.cs);
    if (C.cs == 1 && p > 1) return FN(nnc_product)(&C, &A, &B, NULL);
    if (C.rs == 1 && n > 1) { /* C^T (p, n) = B^T A^T, whose rows are contiguous */
        C.rs = C.cs, C.cs = 1, C.rows = p, C.cols = n;
        return PUBLIC(matmul_forward)(C, PUBLIC(transposed)(B), PUBLIC(transposed)(A));
    }
    if (C.cs == 1 || p == 1) return FN(nnc_product)(&C, &A, &B, NULL);

    REAL *copy = nnc_scratch_alloc((size_t)n * (size_t)p * sizeof(REAL));
    if (copy == NULL) return NNC_ERR_MEMORY;
    const PUBLIC(matrix) whole = PUBLIC(rows)(copy, n, p);
    const nnc_status status = PUBLIC(matmul_forward)(whole, A, B);
    for (ptrdiff_t i = 0; status == NNC_OK && i < n; i++)
        for (ptrdiff_t j = 0; j < p; j++)
            *FN(at)(C, i, j) = *FN(at)(whole, i, j);
    nnc_scratch_free(copy);
    return status;
}

#endif
