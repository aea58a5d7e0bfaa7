/* concatenate.c - the backward pass of concatenate: each of the arrays gets its slice of the gradient.
 *
 * It is a slice, which autodiff/indexing.py could take; but finding where it begins takes longer in Python than the
 * slice itself, for each of the arrays: forward and backward of eight small ones would take 1.7 times as long, those of
 * a recurrent layer tanh(W [h, x] + b) of 32 units 1.1 times. */
#include "glue.h"

/* The array's axis, counted from its end, as NumPy's C API counts; -1 with an exception if there is none. */
static int axis_of(PyObject *array, long from_end) {
    const long ndim = PyArray_Check(array) ? PyArray_NDIM((PyArrayObject *)array) : 0;
    if (from_end < 0 && ndim + from_end >= 0) return (int)(ndim + from_end);
    PyErr_Format(PyExc_TypeError, "part: %R has no axis %ld", array, from_end);
    return -1;
}

static npy_intp length_of(PyObject *array, long from_end) {
    const int axis = axis_of(array, from_end);
    return axis < 0 ? -1 : PyArray_DIM((PyArrayObject *)array, axis);
}

/* A view of g, `length` elements from `start` on along an axis. */
static PyObject *view_of(PyArrayObject *g, int axis, npy_intp start, npy_intp length) {
    npy_intp sizes[NPY_MAXDIMS];
    if (start + length > PyArray_DIM(g, axis))
        return PyErr_Format(PyExc_ValueError, "part: the arrays are longer than the gradient");
    for (int d = 0; d < PyArray_NDIM(g); d++) sizes[d] = d == axis ? length : PyArray_DIM(g, d);
    PyArray_Descr *dtype = PyArray_DESCR(g);
    Py_INCREF(dtype); /* which the view takes over */
    PyObject *view = PyArray_NewFromDescr(&PyArray_Type, dtype, PyArray_NDIM(g), sizes, PyArray_STRIDES(g),
                                          PyArray_BYTES(g) + start * PyArray_STRIDE(g, axis), PyArray_FLAGS(g), NULL);
    if (view && PyArray_SetBaseObject((PyArrayObject *)view, Py_NewRef((PyObject *)g)) < 0) Py_CLEAR(view);
    return view;
}

/* The axis that was given to concatenate, from the end: g may have further axes in front of the joined array's. */
static int axis_from_end(PyObject *keywords, PyObject *joined, long *axis) {
    PyObject *name = PyUnicode_FromString("axis"); /* not PyDict_GetItemString, which finds nothing without memory */
    if (name == NULL) return -1;
    PyObject *given = keywords ? PyDict_GetItemWithError(keywords, name) : NULL;
    Py_DECREF(name);
    *axis = given ? PyLong_AsLong(given) : 0;
    if (*axis >= 0 && PyArray_Check(joined)) *axis -= PyArray_NDIM((PyArrayObject *)joined);
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *nnc_part(PyObject *Py_UNUSED(module), PyObject *args, PyObject *keywords) {
    enum {
        INDEX,
        GRADIENT,
        JOINED,
        ARRAYS /* and what follows */
    };
    const Py_ssize_t count = PyTuple_GET_SIZE(args) - ARRAYS;
    const Py_ssize_t i = count > 0 ? PyLong_AsSsize_t(PyTuple_GET_ITEM(args, INDEX)) : -1;
    if (i < 0 || i >= count) return PyErr_Format(PyExc_TypeError, "part(i, g, joined, *arrays, axis=0)");
    PyObject *g = PyTuple_GET_ITEM(args, GRADIENT);
    long from_end;
    if (axis_from_end(keywords, PyTuple_GET_ITEM(args, JOINED), &from_end) < 0) return NULL;
    const int axis = axis_of(g, from_end);
    npy_intp start = 0, length = axis < 0 ? -1 : 0;
    for (Py_ssize_t k = 0; k <= i && length >= 0; k++) {
        start += length;
        length = length_of(PyTuple_GET_ITEM(args, ARRAYS + k), from_end);
    }
    return length < 0 ? NULL : view_of((PyArrayObject *)g, axis, start, length);
}
