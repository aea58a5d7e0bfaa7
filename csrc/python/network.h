/* network.h - a network and its examples, as Python hands them over and as the engine takes them. */
#ifndef NNC_PYTHON_NETWORK_H
#define NNC_PYTHON_NETWORK_H

#include "glue.h"

/* What the two dtypes do with the same structs: training.inc, included once for each. */
typedef struct network network;
typedef struct training {
    void (*fill)(network *net, double slope, nnc_loss loss, PyArrayObject *mean, PyArrayObject *std);
    nnc_status (*open)(void **fit, const network *net, PyArrayObject *y, PyArrayObject *weights, PyObject *state,
                       const nnc_fit_options *options);
    nnc_status (*epoch)(void *fit, nnc_epoch *result);
    void (*set_lr)(void *fit, double lr);
    nnc_status (*set_order)(void *fit, const ptrdiff_t *order);
    int64_t (*steps)(const void *fit);
    void (*close)(void *fit);
    nnc_status (*predict)(PyArrayObject *P, const network *net);
} training;

struct network {
    int type; /* NPY_FLOAT or NPY_DOUBLE */
    const training *typed;
    union {
        nnc_mlp_f32 f32;
        nnc_mlp_f64 f64;
    } mlp;
    nnc_loss loss;
    nnc_examples X;
    Py_ssize_t layers;
    ptrdiff_t *sizes; /* layers + 1 */
    nnc_activation *activation;
    void *W, *b;      /* `layers` pointers each */
    PyObject *arrays; /* a tuple of all arrays that the above points into: weights, biases, mean, std, X */
};

/* args: weights, biases, activations, mean, std, X; loss is its name, or None for NNC_LOSSES. `net` is all zeros
 * before; it is to be freed afterwards even if it could not be read, which is -1 and an exception that begins with
 * `op`. */
int nnc_network_read(network *net, const char *op, PyObject *const args[6], double slope, PyObject *loss,
                     int writes);
void nnc_network_free(network *net);

/* An array of the network's dtype, C-contiguous, aligned, and writeable if it `writes` to it? */
int nnc_is_plain(PyObject *object, int type, int writes);

/* Aligned, of native byte order, every stride a number of elements? (That of an axis of one element is free.) */
int nnc_in_elements(PyArrayObject *array);

extern const training nnc_training_f32, nnc_training_f64;

#endif
