/* plain.h - operands that a ufunc's loop can take as they are, without NumPy's machinery around it.
 *
 * Operands are plain if each is an ndarray and no subclass, aligned and of native byte order, and all are of one dtype,
 * float32 or float64 (labels: intp). Those of a generalised ufunc have the dimensions of the signature, none more and
 * none less; those of an elementwise one are of one shape, of one dimension at least, and C-contiguous.
 * A setting may be a Python float as well. An output is plain if it is also writeable, contiguous, and overlaps
 * no operand - unless, elementwise, it is that operand. */
#ifndef NNC_PYTHON_PLAIN_H
#define NNC_PYTHON_PLAIN_H

#include "glue.h"

enum {
    OPERANDS = 4,  /* of a ufunc at most, with the output */
    SIZES = 4,     /* distinct ones of a signature at most */
    LONGEST = 1024 /* examples that one number is written out for */
};

/* As loops.inc describes them, for one repetition. */
typedef struct nnc_arguments {
    const char *name; /* what a warning or an error calls the operation */
    int type;         /* NPY_FLOAT or NPY_DOUBLE */
    char *data[OPERANDS];
    npy_intp dims[1 + SIZES], steps[OPERANDS + 2 * OPERANDS];
    int ndim; /* of all operands of an elementwise ufunc */
    const npy_intp *shape;
    union {
        float f32[LONGEST];
        double f64[LONGEST];
    } number;
} nnc_arguments;

/* Are all operands plain? Then `args` has them. */
int nnc_take(nnc_arguments *args, const PyUFuncObject *ufunc, PyObject *const *operands);

/* The result in `out`, if it is plain, or in a new array; NULL without an exception if that is left to the fallback: to
 * compute it, or to say what is wrong. Of a ufunc with two, the second is left in `further`, a new array. */
PyObject *nnc_compute(nnc_arguments *args, const PyUFuncObject *ufunc, PyArrayObject *out, PyObject **further);

#endif
