/* nnc.h - the C engine of nnc: a neural network, derived by hand, at the speed limit of the processor.
 *
 * This is the only header that a program needs. It is plain C11 and knows nothing of Python or NumPy.
 *
 * Conventions, everywhere in the engine
 * -------------------------------------
 * Examples are columns. X is (m, r): m inputs, r examples. W is (n, m), b is (n, 1), Z, A, P are (n, r).
 * A matrix is a view, nnc_matrix_f32 or nnc_matrix_f64: a pointer to its element (0, 0), rows, columns, and the steps
 * from row to row and from column to column. A transposed view costs nothing.
 * Arguments come in the order: outputs, inputs.
 * Outputs must not overlap inputs unless a function says that they may. Inputs are never written.
 * Every typed function exists for float (`_f32`) and double (`_f64`); they are declared once, in nnc_typed.inc.
 *
 * Errors
 * ------
 * Functions return an nnc_status, NNC_OK being 0; nothing aborts, nothing prints, and an output is either whole or,
 * when the sizes were refused, untouched. A caller that only forwards errors can write NNC_TRY(nnc_...(...)).
 *
 * Threads
 * -------
 * Every function may be called from several threads at a time. Large work is shared among nnc_get_num_threads() threads
 * of a small pool; results are the same, bit for bit, for any number of them. When the pool is busy with another
 * caller's work, a call simply runs on the thread that made it.
 *
 * A first program
 * ---------------
 *     float w[2] = {1, -1}, x[1] = {3}, c[2] = {0, 0}, z[2];
 *     nnc_matrix_f32 W = nnc_rows_f32(w, 2, 1), X = nnc_rows_f32(x, 1, 1);
 *     nnc_matrix_f32 b = nnc_rows_f32(c, 2, 1), Z = nnc_rows_f32(z, 2, 1);
 *
 *     nnc_linear_forward_f32(Z, W, X, b);     eq. 3.9: Z = W X + b
 *     nnc_relu_forward_f32(Z, Z);             eq. 12.3: z is now {3, 0}
 */
#ifndef NNC_H
#define NNC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NNC_API __attribute__((visibility("default")))
#else
#define NNC_API
#endif

typedef enum nnc_status {
    NNC_OK = 0,
    NNC_ERR_MEMORY,   /* an allocation failed; nothing was changed */
    NNC_ERR_SHAPE,    /* a size is negative, or two sizes that must agree do not */
    NNC_ERR_LABEL,    /* a label is not in 0 .. n-1 */
    NNC_ERR_ARGUMENT, /* an option is out of its range (batch size 0, slope < 0, no such activation ...) */
    NNC_ERR_ISA,      /* the instruction set asked for is unknown, or this machine does not have it */
    NNC_INTERRUPTED   /* the poll function of a fit asked to stop; the weights are those of a whole step */
} nnc_status;

/* Return any status but NNC_OK from the function in which this is used. */
#define NNC_TRY(call)                       \
    do {                                    \
        nnc_status nnc_try_status = (call); \
        if (nnc_try_status != NNC_OK)       \
            return nnc_try_status;          \
    } while (0)

/* A sentence without a full stop, never NULL, for any status. */
NNC_API const char *nnc_status_message(nnc_status status);

/* ---- the machine ------------------------------------------------------------------------------------------------ */

/* Choose the kernels: "base", "avx2", "avx512", "amx", "neon", or NULL for the widest that the processor and the
 * operating system have. Without this call the first use of a function chooses as NULL does. NNC_ERR_ISA leaves the
 * choice as is. Not to be called while another thread is inside the engine. */
NNC_API nnc_status nnc_set_isa(const char *name);
NNC_API const char *nnc_get_isa(void);
/* The i-th instruction set this build has and this machine can run, the simplest first; NULL past the last. */
NNC_API const char *nnc_available_isa(int i);

/* Threads that large work is shared among. The default is the number of cores that this process may use: those that
 * it may run on, or fewer if a container's CPU quota leaves fewer.
 * n < 1 is NNC_ERR_ARGUMENT; a large n is capped at nnc_max_threads(). */
NNC_API nnc_status nnc_set_num_threads(int n);
NNC_API int nnc_get_num_threads(void);
NNC_API int nnc_max_threads(void);
/* Nanoseconds that a message takes from one core to another, measured. How many threads a step of training takes, at
 * most nnc_get_num_threads(), follows from it; the results do not. nnc_set_core_to_core sets it, for
 * experiments; 0: measured again. */
NNC_API int64_t nnc_core_to_core(void);
NNC_API void nnc_set_core_to_core(int64_t nanoseconds);
/* The cores that the CPU quotas of Linux's control groups leave, rounded up; 0 where there is no quota. `root` is put
 * in front of all paths that are read: "", or the root of another tree. */
NNC_API int nnc_quota_cores(const char *root);

/* The time of a monotonic clock. */
NNC_API int64_t nnc_nanoseconds(void);

/* ---- the network ------------------------------------------------------------------------------------------------ */

/* The activation of a hidden layer; the rows are in activations.inc: NNC_IDENTITY (none), NNC_RELU, NNC_LEAKY_RELU,
 * NNC_SIGMOID, NNC_TANH. */
typedef enum nnc_activation {
#define NNC_ACTIVATION(id, name, forward, backward) id,
#include "activations.inc"
    NNC_ACTIVATIONS
} nnc_activation;

/* What a network is trained on, and with it the activation of its last layer; the rows are in losses.inc:
 * NNC_CROSS_ENTROPY (softmax), NNC_BINARY_CROSS_ENTROPY (logistic), NNC_SQUARED_ERROR (none), NNC_POISSON (exp). */
typedef enum nnc_loss {
#define NNC_LOSS(kind, id, name, output, terms, gradient, doc) id,
#include "losses.inc"
    NNC_LOSSES
} nnc_loss;

/* How a gradient becomes a step; the rows are in optimizers.inc: NNC_SGD, NNC_MOMENTUM, NNC_NESTEROV, NNC_ADAM. */
typedef enum nnc_optimizer {
#define NNC_OPTIMIZER(id, name, states, corrects) id,
#include "optimizers.inc"
    NNC_OPTIMIZERS,
    NNC_GRADIENT = NNC_OPTIMIZERS /* no step: the gradient of W and b is left in their state */
} nnc_optimizer;

typedef enum nnc_dtype {
    NNC_F32,
    NNC_F64,
    NNC_U8
} nnc_dtype;

/* Examples as they lie in memory, (m, r), never copied as a whole: images as rows are input_stride 1,
 * example_stride m. The element type may differ from the network's; it is converted on the way in. */
typedef struct nnc_examples {
    const void *data;
    nnc_dtype dtype;
    ptrdiff_t m, r;
    ptrdiff_t input_stride, example_stride; /* in elements of dtype */
} nnc_examples;

typedef struct nnc_fit_options {
    ptrdiff_t batch_size;   /* >= 1; the last batch of an epoch may be smaller and is averaged over its own size */
    nnc_optimizer optimizer;
    double lr;              /* eq. 6.3: w <- w - lr dJ/dw */
    double beta1, beta2, eps; /* beta1 is the momentum; optimizers.inc says which uses which */
    int eps_after;          /* eps is added to Adam's sqrt v before the correction of its bias, not after it */
    double weight_decay;    /* adds 1/2 weight_decay sum W^2 to J of every batch, biases left out */
    int decay_is_shared;    /* that is divided by the batch's sum of weights, as the loss is */
    int64_t steps;          /* that the state has taken already, for Adam's correction of the bias */
    int penalty;            /* report what the weight decay adds to J, which reads W once more each step */
    int shuffle;            /* visit the examples in a new random order each epoch */
    uint64_t seed;          /* of that order */
    int (*poll)(void *arg); /* may be NULL; called on the fit's own thread every 20 ms or so, nonzero stops */
    void *poll_arg;
    /* Data-parallel training: several processes, each with a share of the examples, take every step together. This
     * one's X, labels and targets are the examples first .. first + r of `total`; the batch size, the order and the
     * sample weights are those of all. `sum` holds the parameters' number and one more, in the network's dtype: the
     * gradient of this process's part of a batch, each layer's W and then each layer's b, and a last number that is
     * not 0 if it wishes to stop. reduce replaces each number by its sum over the processes, on the fit's own thread;
     * it returns nonzero if that failed. The training stops as one: NNC_INTERRUPTED, after the same whole step. */
    ptrdiff_t first, total; /* 0 and 0 where there is no other process */
    void *sum;
    int (*reduce)(void *arg); /* NULL where there is no other process */
    void *reduce_arg;
} nnc_fit_options;

/* A row number for each of `count` examples, `stride` numbers from one to the next */
typedef struct nnc_labels {
    const ptrdiff_t *data;
    ptrdiff_t count, stride;
} nnc_labels;

/* The result of an epoch */
typedef struct nnc_epoch {
    double loss;    /* the mean loss of the examples as they were seen */
    double penalty; /* the mean of what the weight decay added to the batches' J; 0 unless asked for */
} nnc_epoch;

/* One step by itself; the corrections are 1 - beta1^t and 1 - beta2^t for Adam, and 1 for the others. */
typedef struct nnc_step {
    double lr, decay, beta1, beta2, correction1, correction2, eps;
    int eps_after;
} nnc_step;

enum {
    NNC_STEP_ROWS = 256 /* rows of which nnc_step_rows has one sum of squares */
};

/* How many numbers of state the optimizer has for each parameter, 0 .. 2; -1 where there is no such optimizer. */
NNC_API int nnc_optimizer_states(nnc_optimizer optimizer);

/* ---- the maths, once for each dtype ----------------------------------------------------------------------------- */

#define NNC_TEMPLATE "nnc_typed.inc"
#include "each_dtype.inc"

#ifdef __cplusplus
}
#endif
#endif
