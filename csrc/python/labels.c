/* labels.c - labels(op, y, n, r): y as the intp array that the engine takes, or an error that says what is wrong;
 * bad_targets(Y, tolerance): the first column of targets that does not sum to 1. */
#include "glue.h"

#include <math.h>

static PyObject *wrong_shape(const char *op, PyArrayObject *y, Py_ssize_t r) {
    PyObject *shape = PyObject_GetAttrString((PyObject *)y, "shape");
    if (shape == NULL) return NULL;
    const char *fix = PyArray_NDIM(y) == 2 && PyArray_SIZE(y) == r ? "; did you mean y.ravel()?" : "";
    PyErr_Format(PyExc_ValueError, "%s: y has shape %R, but labels for r = %zd examples have shape (%zd,)%s",
                 op, shape, r, r, fix);
    Py_DECREF(shape);
    return NULL;
}

static PyObject *wrong_label(const char *op, PyArrayObject *y, npy_intp i, Py_ssize_t n) {
    PyObject *label = PySequence_GetItem((PyObject *)y, i);
    if (label == NULL) return NULL;
    PyErr_Format(PyExc_ValueError,
                 "%s: y[%zd] is %S, but labels must be whole numbers in 0..%zd (there are n = %zd classes)", op,
                 (Py_ssize_t)i, label, n - 1, n);
    Py_DECREF(label);
    return NULL;
}

/* The index of the first bad label, or r. Floats are looked at as float64, everything else as intp, in which a label
 * that is too large for it is negative. */
static npy_intp first_bad(PyArrayObject *y, npy_intp n) {
    npy_intp r = PyArray_DIM(y, 0), i = 0;
    if (PyArray_TYPE(y) == NPY_DOUBLE) {
        const double *values = PyArray_DATA(y);
        while (i < r && values[i] >= 0 && values[i] < (double)n && values[i] == (double)(npy_intp)values[i]) i++;
    } else {
        const npy_intp *values = PyArray_DATA(y);
        while (i < r && (npy_uintp)values[i] < (npy_uintp)n) i++;
    }
    return i;
}

static PyArrayObject *as(PyArrayObject *y, int type) {
    return (PyArrayObject *)PyArray_FROMANY((PyObject *)y, type, 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST);
}

static PyObject *checked(const char *op, PyArrayObject *y, Py_ssize_t n, Py_ssize_t r) {
    int type = PyArray_TYPE(y);
    if (!PyTypeNum_ISBOOL(type) && !PyTypeNum_ISINTEGER(type) && !PyTypeNum_ISFLOAT(type)) {
        PyErr_Format(PyExc_TypeError, "%s: y has dtype %S, but labels must be whole numbers", op, PyArray_DESCR(y));
        return NULL;
    }
    if (PyArray_NDIM(y) != 1 || PyArray_DIM(y, 0) != r) return wrong_shape(op, y, r);
    PyArrayObject *numbers = as(y, PyTypeNum_ISFLOAT(type) ? NPY_DOUBLE : NPY_INTP);
    if (numbers == NULL) return NULL;
    npy_intp bad = first_bad(numbers, n);
    PyArrayObject *labels = bad < r ? NULL : as(numbers, NPY_INTP);
    Py_DECREF(numbers);
    return bad < r ? wrong_label(op, y, bad, n) : (PyObject *)labels;
}

PyObject *nnc_read_labels(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 4) {
        PyErr_Format(PyExc_TypeError, "labels takes 4 arguments (op, y, n, r), not %zd", nargs);
        return NULL;
    }
    const char *op = PyUnicode_AsUTF8(args[0]);
    if (op == NULL) return NULL;
    Py_ssize_t n = PyNumber_AsSsize_t(args[2], PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred()) return NULL;
    Py_ssize_t r = PyNumber_AsSsize_t(args[3], PyExc_OverflowError);
    if (r == -1 && PyErr_Occurred()) return NULL;
    PyArrayObject *y = (PyArrayObject *)PyArray_FROM_O(args[1]);
    if (y == NULL) return NULL;
    PyObject *result = checked(op, y, n, r);
    Py_DECREF(y);
    return result;
}

enum {
    BLOCK = 256
};

/* The first of the columns i .. i + w whose sum is not 1 (a NaN is not), or r. Y is float32 or float64. */
static npy_intp first_bad_sum(PyArrayObject *Y, double tolerance, npy_intp i, npy_intp w) {
    const int is_f32 = PyArray_TYPE(Y) == NPY_FLOAT;
    double sums[BLOCK] = {0};
    for (npy_intp k = 0; k < PyArray_DIM(Y, 0); k++)
        for (npy_intp j = 0; j < w; j++) {
            const void *y = PyArray_GETPTR2(Y, k, i + j);
            sums[j] += is_f32 ? (double)*(const float *)y : *(const double *)y;
        }
    for (npy_intp j = 0; j < w; j++)
        if (!(fabs(sums[j] - 1) <= tolerance)) return i + j;
    return PyArray_DIM(Y, 1);
}

PyObject *nnc_bad_targets(PyObject *Py_UNUSED(module), PyObject *args) {
    PyArrayObject *given;
    double tolerance;
    if (!PyArg_ParseTuple(args, "O!d:bad_targets", &PyArray_Type, &given, &tolerance)) return NULL;
    if (PyArray_NDIM(given) != 2) return PyErr_Format(PyExc_ValueError, "bad_targets: Y must be 2-D");
    PyArray_Descr *dtype = PyArray_DescrFromType(PyArray_TYPE(given) == NPY_FLOAT ? NPY_FLOAT : NPY_DOUBLE);
    PyArrayObject *Y = (PyArrayObject *)PyArray_FromArray(given, dtype, NPY_ARRAY_ALIGNED);
    if (Y == NULL) return NULL;
    npy_intp r = PyArray_DIM(Y, 1), bad = r;
    NPY_BEGIN_THREADS_DEF;
    NPY_BEGIN_THREADS;
    for (npy_intp i = 0; i < r && bad == r; i += BLOCK)
        bad = first_bad_sum(Y, tolerance, i, r - i < BLOCK ? r - i : BLOCK);
    NPY_END_THREADS;
    Py_DECREF(Y);
    return PyLong_FromSsize_t(bad < r ? bad : -1);
}
