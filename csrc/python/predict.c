/* predict.c - what a net predicts: its outputs P, and the row of the largest number of each column. Both are also asked
 * for a single image, where the way here may take longer than the arithmetic: a plain call goes past what Python would
 * check, and None sends all others that way. */
#include "network.h"

static PyObject *predict(const network *net) {
    npy_intp dims[2] = {net->sizes[net->layers], net->X.r};
    PyArrayObject *P = (PyArrayObject *)PyArray_SimpleNew(2, dims, net->type);
    if (P == NULL) return NULL;
    nnc_status status;
    Py_BEGIN_ALLOW_THREADS
        status = net->typed->predict(P, net);
    Py_END_ALLOW_THREADS if (nnc_raise("predict", status) < 0) Py_CLEAR(P);
    return (PyObject *)P;
}

PyObject *nnc_predict(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs) {
    static char *names[] = {"weights", "biases", "activations", "slope", "mean", "std", "X", "loss", NULL};
    PyObject *given[6], *loss = NULL;
    double slope;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOdOOO|O:predict", names, &given[0], &given[1], &given[2], &slope,
                                     &given[3], &given[4], &given[5], &loss))
        return NULL;
    network net = {0};
    PyObject *name = loss ? Py_NewRef(loss) : PyUnicode_FromString("cross_entropy");
    PyObject *P = !name || nnc_network_read(&net, "predict", given, slope, name, 0) < 0 ? NULL : predict(&net);
    Py_XDECREF(name);
    nnc_network_free(&net);
    return P;
}

/* Is each of the arrays of the net's dtype and shape, as it was made? */
static int are_plain(PyObject *arrays, const npy_intp *sizes, Py_ssize_t layers, int type, int are_biases) {
    if (!PyList_CheckExact(arrays) || PyList_GET_SIZE(arrays) != layers) return 0;
    for (Py_ssize_t l = 0; l < layers; l++) {
        PyObject *array = PyList_GET_ITEM(arrays, l);
        if (!nnc_is_plain(array, type, 1) || PyArray_NDIM((PyArrayObject *)array) != 2) return 0;
        const npy_intp *dims = PyArray_DIMS((PyArrayObject *)array);
        if (dims[0] != sizes[l + 1] || dims[1] != (are_biases ? 1 : sizes[l])) return 0;
    }
    return 1;
}

enum {
    MOST_LAYERS = 32 /* of a call that is plain */
};

static int is_plain_call(PyObject *const *args, PyObject *object, PyObject *sizes, PyObject *dtype) {
    npy_intp size[MOST_LAYERS + 1];
    const Py_ssize_t layers = PyTuple_CheckExact(sizes) ? PyTuple_GET_SIZE(sizes) - 1 : 0;
    if (layers < 1 || layers > MOST_LAYERS || !PyArray_DescrCheck(dtype)) return 0;
    for (Py_ssize_t l = 0; l <= layers; l++) size[l] = PyLong_AsSsize_t(PyTuple_GET_ITEM(sizes, l));
    PyArrayObject *X = (PyArrayObject *)object;
    if (!PyArray_CheckExact(object) || PyArray_NDIM(X) != 2 || PyArray_DIM(X, 0) != size[0]) return 0;
    const int type = PyArray_TYPE(X), net_type = ((PyArray_Descr *)dtype)->type_num;
    return (type == NPY_UINT8 || type == NPY_FLOAT || type == NPY_DOUBLE) && nnc_in_elements(X) &&
           are_plain(args[0], size, layers, net_type, 0) && are_plain(args[1], size, layers, net_type, 1);
}

PyObject *nnc_predict_plain(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 10) return PyErr_Format(PyExc_TypeError, "predict_plain takes 10 arguments, not %zd", nargs);
    if (!is_plain_call(args, args[6], args[8], args[9])) return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    PyObject *const given[6] = {args[0], args[1], args[2], args[4], args[5], args[6]};
    const double slope = PyFloat_AsDouble(args[3]);
    if (slope == -1 && PyErr_Occurred()) return NULL;
    network net = {0};
    PyObject *P = nnc_network_read(&net, "predict", given, slope, args[7], 0) < 0 ? NULL : predict(&net);
    nnc_network_free(&net);
    return P;
}

PyObject *nnc_argmax(PyObject *Py_UNUSED(module), PyObject *object) {
    PyArrayObject *P = (PyArrayObject *)object;
    if (!PyArray_CheckExact(object) || PyArray_NDIM(P) != 2 || PyArray_DIM(P, 0) < 1 || !nnc_in_elements(P))
        return Py_NewRef(Py_None);
    const int type = PyArray_TYPE(P);
    const npy_intp n = PyArray_DIM(P, 0), r = PyArray_DIM(P, 1);
    const npy_intp rs = PyArray_STRIDE(P, 0) / PyArray_ITEMSIZE(P), cs = PyArray_STRIDE(P, 1) / PyArray_ITEMSIZE(P);
    if (type != NPY_FLOAT && type != NPY_DOUBLE) return Py_NewRef(Py_None);
    PyObject *y = PyArray_SimpleNew(1, &r, NPY_INTP);
    if (y == NULL) return NULL;
    npy_intp *rows = PyArray_DATA((PyArrayObject *)y);
    nnc_status status;
    Py_BEGIN_ALLOW_THREADS
        status = type == NPY_FLOAT ? nnc_argmax_f32(rows, (nnc_matrix_f32){PyArray_DATA(P), n, r, rs, cs})
                                   : nnc_argmax_f64(rows, (nnc_matrix_f64){PyArray_DATA(P), n, r, rs, cs});
    Py_END_ALLOW_THREADS if (status == NNC_OK) return y;
    Py_DECREF(y);
    return Py_NewRef(Py_None);
}
