/* step.c - step_rows: an optimizer's step for a matrix most of whose gradient's rows are 0. Private to nnc.sklearn. */
#include "network.h"

#include <string.h>

static int typenum_of(PyObject *param) {
    const int type = PyArray_Check(param) ? PyArray_TYPE((PyArrayObject *)param) : NPY_NOTYPE;
    return (type == NPY_FLOAT || type == NPY_DOUBLE) && nnc_is_plain(param, type, 1) &&
                   PyArray_NDIM((PyArrayObject *)param) == 2
               ? type
               : NPY_NOTYPE;
}

static int is_like(PyObject *array, PyArrayObject *param, int type) {
    return nnc_is_plain(array, type, 1) && PyArray_SAMESHAPE((PyArrayObject *)array, param);
}

PyObject *nnc_step_rows(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *param, *state0, *state1, *which, *grad, *squares;
    const char *name;
    nnc_step step;
    if (!PyArg_ParseTuple(args, "sOOOOOO(dddddddp):step_rows", &name, &param, &state0, &state1, &which, &grad, &squares,
                          &step.lr, &step.decay, &step.beta1, &step.beta2, &step.correction1, &step.correction2,
                          &step.eps, &step.eps_after))
        return NULL;
    nnc_optimizer optimizer = NNC_OPTIMIZERS;
#define NNC_OPTIMIZER(id, row, states, corrects) \
    if (strcmp(name, #row) == 0) optimizer = id;
#include "../optimizers.inc"
    const int type = typenum_of(param), states = nnc_optimizer_states(optimizer);
    PyArrayObject *p = (PyArrayObject *)param, *g = (PyArrayObject *)grad, *w = (PyArrayObject *)which;
    if (optimizer == NNC_OPTIMIZERS || type == NPY_NOTYPE || (states > 0 && !is_like(state0, p, type)) ||
        (states > 1 && !is_like(state1, p, type)) || !nnc_is_plain(which, NPY_INTP, 0) || PyArray_NDIM(w) != 1 ||
        !nnc_is_plain(grad, type, 0) || PyArray_NDIM(g) != 2 || PyArray_DIM(g, 0) != PyArray_DIM(w, 0) ||
        PyArray_DIM(g, 1) != PyArray_DIM(p, 1) || !nnc_is_plain(squares, NPY_DOUBLE, 1) ||
        PyArray_SIZE((PyArrayObject *)squares) < (PyArray_DIM(p, 0) + NNC_STEP_ROWS - 1) / NNC_STEP_ROWS) {
        PyErr_SetString(PyExc_ValueError, "step_rows(name, param, state0, state1, which, grad, squares, step): param "
                                          "(m, n), states like it, which intp (k,), grad (k, n), squares float64");
        return NULL;
    }
    void *data[] = {PyArray_DATA(p), states > 0 ? PyArray_DATA((PyArrayObject *)state0) : NULL,
                    states > 1 ? PyArray_DATA((PyArrayObject *)state1) : NULL};
    double *sums = PyArray_DATA((PyArrayObject *)squares);
    const npy_intp rows = PyArray_DIM(p, 0), width = PyArray_DIM(p, 1), count = PyArray_DIM(w, 0);
    nnc_status status;
    Py_BEGIN_ALLOW_THREADS if (type == NPY_FLOAT)
        status = nnc_step_rows_f32(data[0], data[1], data[2], sums, PyArray_DATA(g), PyArray_DATA(w), rows, width,
                                   count, optimizer, &step);
    else status = nnc_step_rows_f64(data[0], data[1], data[2], sums, PyArray_DATA(g), PyArray_DATA(w), rows, width,
                                    count, optimizer, &step);
    Py_END_ALLOW_THREADS if (nnc_raise("step_rows", status) < 0) return NULL;
    Py_RETURN_NONE;
}
