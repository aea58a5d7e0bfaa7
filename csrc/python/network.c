/* network.c - checks the arguments from Python, so that the engine can rely on every pointer, size and stride. */
#include "network.h"

enum {
    WEIGHTS,
    BIASES,
    ACTIVATIONS,
    MEAN,
    STD,
    EXAMPLES
};

static const char *dtype_name(int type) { return type == NPY_FLOAT ? "float32" : "float64"; }

int nnc_is_plain(PyObject *object, int type, int writes) {
    if (!PyArray_Check(object) || PyArray_TYPE((PyArrayObject *)object) != type) return 0;
    return writes ? PyArray_ISCARRAY((PyArrayObject *)object) : PyArray_ISCARRAY_RO((PyArrayObject *)object);
}

/* weights[l] or biases[l], as an array of shape (rows, columns); columns < 0 is any number of them. */
static PyArrayObject *parameter(const network *net, const char *op, PyObject *const args[], int which, Py_ssize_t l,
                                npy_intp rows, npy_intp columns, int writes) {
    PyObject *item = PyTuple_GET_ITEM(args[which], l);
    const char *name = which == WEIGHTS ? "weights" : "biases";
    if (!nnc_is_plain(item, net->type, writes) || PyArray_NDIM((PyArrayObject *)item) != 2) {
        PyErr_Format(PyExc_TypeError, "%s: %s[%zd] must be a 2-D, C-contiguous%s array of weights[0]'s dtype, %s", op,
                     name, l, writes ? ", writeable" : "", dtype_name(net->type));
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)item;
    npy_intp n = PyArray_DIM(array, 0), m = PyArray_DIM(array, 1);
    if ((rows >= 0 && n != rows) || (columns >= 0 && m != columns)) {
        Py_ssize_t other = which == WEIGHTS ? l - 1 : l;
        PyErr_Format(PyExc_ValueError, "%s: %s[%zd] is (%zd, %zd), but weights[%zd] is (%zd, %zd)", op, name, l,
                     (Py_ssize_t)n, (Py_ssize_t)m, other, (Py_ssize_t)net->sizes[other + 1],
                     (Py_ssize_t)net->sizes[other]);
        return NULL;
    }
    return array;
}

/* The names of the rows, by their value in the enum */
static const char *const activations[NNC_ACTIVATIONS] = {
#define NNC_ACTIVATION(id, name, forward, backward) [id] = #name,
#include "../activations.inc"
};
static const char *const losses[NNC_LOSSES] = {
#define NNC_LOSS(kind, id, name, output, terms, gradient, doc) [id] = #name,
#include "../losses.inc"
};

/* The index of the name, or -1 */
static int find(PyObject *name, const char *const *names, int count) {
    for (int i = 0; PyUnicode_Check(name) && i < count; i++)
        if (PyUnicode_CompareWithASCIIString(name, names[i]) == 0) return i;
    return -1;
}

static int read_activation(nnc_activation *activation, const char *op, PyObject *name) {
    const int i = find(name, activations, NNC_ACTIVATIONS);
    if (i < 0) {
        PyErr_Format(PyExc_ValueError, "%s: there is no activation %R", op, name);
        return -1;
    }
    *activation = (nnc_activation)i;
    return 0;
}

static int read_loss(nnc_loss *loss, const char *op, PyObject *name) {
    const int i = name == Py_None ? NNC_LOSSES : find(name, losses, NNC_LOSSES);
    if (i < 0) {
        PyErr_Format(PyExc_ValueError, "%s: there is no loss %R", op, name);
        return -1;
    }
    *loss = (nnc_loss)i;
    return 0;
}

static int add_names(PyObject *module, const char *name, const char *const *names, int count) {
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; tuple && i < count; i++) {
        PyObject *text = PyUnicode_InternFromString(names[i]);
        if (text == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, text);
    }
    const int status = tuple ? PyModule_AddObjectRef(module, name, tuple) : -1;
    Py_XDECREF(tuple);
    return status;
}

int nnc_add_names(PyObject *module) {
    return add_names(module, "ACTIVATIONS", activations, NNC_ACTIVATIONS) < 0 ||
                   add_names(module, "LOSSES", losses, NNC_LOSSES) < 0
               ? -1
               : 0;
}

static int read_layers(network *net, const char *op, PyObject *const args[], int writes) {
    for (Py_ssize_t l = 0; l < net->layers; l++) {
        PyArrayObject *W = parameter(net, op, args, WEIGHTS, l, -1, l ? net->sizes[l] : -1, writes);
        if (W == NULL) return -1;
        net->sizes[l] = PyArray_DIM(W, 1);
        net->sizes[l + 1] = PyArray_DIM(W, 0);
        if (parameter(net, op, args, BIASES, l, net->sizes[l + 1], 1, writes) == NULL) return -1;
        if (l + 1 < net->layers &&
            read_activation(&net->activation[l], op, PyTuple_GET_ITEM(args[ACTIVATIONS], l)) < 0)
            return -1;
    }
    return 0;
}

static int read_scaling(const network *net, const char *op, const char *name, PyObject *array) {
    if (nnc_is_plain(array, net->type, 0)) {
        npy_intp size = PyArray_SIZE((PyArrayObject *)array);
        if (size == 1 || size == net->sizes[0]) return 0;
    }
    PyErr_Format(PyExc_ValueError, "%s: %s must be a C-contiguous %s array of 1 or %zd elements, one for each input",
                 op, name, dtype_name(net->type), (Py_ssize_t)net->sizes[0]);
    return -1;
}

int nnc_in_elements(PyArrayObject *array) {
    for (int i = 0; i < PyArray_NDIM(array); i++)
        if (PyArray_DIM(array, i) > 1 && PyArray_STRIDE(array, i) % PyArray_ITEMSIZE(array) != 0) return 0;
    return PyArray_ISBEHAVED_RO(array);
}

static int read_examples(network *net, const char *op, PyObject *object) {
    PyArrayObject *X = (PyArrayObject *)object;
    if (!PyArray_Check(object) || PyArray_NDIM(X) != 2 || PyArray_DIM(X, 0) != net->sizes[0]) {
        PyErr_Format(PyExc_ValueError, "%s: X must be an array of shape (%zd, r), an example a column", op,
                     (Py_ssize_t)net->sizes[0]);
        return -1;
    }
    int type = PyArray_TYPE(X);
    if ((type != NPY_UINT8 && type != NPY_FLOAT && type != NPY_DOUBLE) || !nnc_in_elements(X)) {
        PyErr_Format(PyExc_TypeError, "%s: X must be an aligned uint8, float32 or float64 array, not %S", op,
                     PyArray_DESCR(X));
        return -1;
    }
    npy_intp size = PyArray_ITEMSIZE(X), *dims = PyArray_DIMS(X), *strides = PyArray_STRIDES(X);
    net->X = (nnc_examples){.data = PyArray_DATA(X),
                            .dtype = type == NPY_UINT8 ? NNC_U8 : type == NPY_FLOAT ? NNC_F32
                                                                                    : NNC_F64,
                            .m = dims[0],
                            .r = dims[1],
                            .input_stride = dims[0] > 1 ? strides[0] / size : 0,
                            .example_stride = dims[1] > 1 ? strides[1] / size : 0};
    return 0;
}

static int allocate(network *net, Py_ssize_t layers) {
    net->layers = layers;
    net->sizes = PyMem_Calloc((size_t)layers + 1, sizeof *net->sizes);
    net->activation = PyMem_Calloc((size_t)layers, sizeof *net->activation);
    net->W = PyMem_Calloc((size_t)layers, sizeof(void *));
    net->b = PyMem_Calloc((size_t)layers, sizeof(void *));
    if (net->sizes && net->activation && net->W && net->b) return 0;
    PyErr_NoMemory();
    return -1;
}

/* Everything of `args` that the engine will point into. */
static PyObject *all_arrays(PyObject *const args[]) {
    Py_ssize_t layers = PyTuple_GET_SIZE(args[WEIGHTS]);
    PyObject *all = PyTuple_New(2 * layers + 3);
    for (Py_ssize_t l = 0; all && l < layers; l++) {
        PyTuple_SET_ITEM(all, l, Py_NewRef(PyTuple_GET_ITEM(args[WEIGHTS], l)));
        PyTuple_SET_ITEM(all, layers + l, Py_NewRef(PyTuple_GET_ITEM(args[BIASES], l)));
    }
    for (int i = MEAN; all && i <= EXAMPLES; i++) PyTuple_SET_ITEM(all, 2 * layers + i - MEAN, Py_NewRef(args[i]));
    return all;
}

/* As nnc_network_read, with tuples for the three sequences: they cannot change meanwhile. */
static int read_tuples(network *net, const char *op, PyObject *const args[], double slope, int writes) {
    Py_ssize_t layers = PyTuple_GET_SIZE(args[WEIGHTS]);
    if (layers < 1 || PyTuple_GET_SIZE(args[BIASES]) != layers || PyTuple_GET_SIZE(args[ACTIVATIONS]) != layers - 1) {
        PyErr_Format(PyExc_ValueError, "%s: %zd weights need as many biases (not %zd) and an activation less (not %zd)",
                     op, layers, PyTuple_GET_SIZE(args[BIASES]), PyTuple_GET_SIZE(args[ACTIVATIONS]));
        return -1;
    }
    PyObject *first = PyTuple_GET_ITEM(args[WEIGHTS], 0);
    int is_double = PyArray_Check(first) && PyArray_TYPE((PyArrayObject *)first) == NPY_DOUBLE;
    net->type = is_double ? NPY_DOUBLE : NPY_FLOAT;
    net->typed = is_double ? &nnc_training_f64 : &nnc_training_f32;
    if (allocate(net, layers) < 0 || read_layers(net, op, args, writes) < 0 ||
        read_scaling(net, op, "mean", args[MEAN]) < 0 || read_scaling(net, op, "std", args[STD]) < 0 ||
        read_examples(net, op, args[EXAMPLES]) < 0)
        return -1;
    net->arrays = all_arrays(args);
    if (net->arrays == NULL) return -1;
    net->typed->fill(net, slope, net->loss, (PyArrayObject *)args[MEAN], (PyArrayObject *)args[STD]);
    return 0;
}

int nnc_network_read(network *net, const char *op, PyObject *const args[6], double slope, PyObject *loss,
                     int writes) {
    if (read_loss(&net->loss, op, loss) < 0) return -1;
    PyObject *tuples[6] = {PySequence_Tuple(args[WEIGHTS]), NULL, NULL, args[MEAN], args[STD], args[EXAMPLES]};
    if (tuples[WEIGHTS]) tuples[BIASES] = PySequence_Tuple(args[BIASES]);
    if (tuples[BIASES]) tuples[ACTIVATIONS] = PySequence_Tuple(args[ACTIVATIONS]);
    int result = tuples[ACTIVATIONS] ? read_tuples(net, op, tuples, slope, writes) : -1;
    for (int i = WEIGHTS; i <= ACTIVATIONS; i++) Py_XDECREF(tuples[i]);
    return result;
}

void nnc_network_free(network *net) {
    PyMem_Free(net->sizes);
    PyMem_Free(net->activation);
    PyMem_Free(net->W);
    PyMem_Free(net->b);
    Py_CLEAR(net->arrays);
}
