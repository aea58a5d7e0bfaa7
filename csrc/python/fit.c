/* fit.c - Fit, a training in progress, some epochs a call; and predict. The GIL is let go while the engine works. */
#include "network.h"

#include <math.h>
#include <stddef.h>

enum {
    AT_ONCE = 64 /* epochs of a call, at most */
};

#define NNC_TEMPLATE "python/training.inc"
#include "../each_dtype.inc"

typedef struct Fit {
    PyObject_HEAD
        network net;
    void *fit;
    int busy;              /* guarded by the GIL */
    PyThreadState *thread; /* of the call of epochs that is going on, which has let go of the GIL */
} Fit;

/* The engine asks now and then whether to stop; Ctrl-C arrives here, as the exception of its signal handler. */
static int poll_signals(void *arg) {
    Fit *self = arg;
    PyEval_RestoreThread(self->thread);
    int stop = PyErr_CheckSignals();
    self->thread = PyEval_SaveThread();
    return stop;
}

/* Between two epochs nothing needs Python, and to go there and back takes as long as some steps of a small network. */
static PyObject *fit_epochs(PyObject *object, PyObject *count) {
    Fit *self = (Fit *)object;
    double loss[AT_ONCE], seconds[AT_ONCE];
    const Py_ssize_t most = PyNumber_AsSsize_t(count, PyExc_OverflowError);
    if (most < 1) {
        if (!PyErr_Occurred()) PyErr_Format(PyExc_ValueError, "Fit.epochs: one at least, not %zd", most);
        return NULL;
    }
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Fit.epochs: this training is running already, in another thread or further up");
        return NULL;
    }
    nnc_status status = NNC_OK;
    Py_ssize_t done = 0;
    self->busy = 1;
    self->thread = PyEval_SaveThread();
    for (int lost = 0; !lost && done < most && done < AT_ONCE; done++) {
        const int64_t start = nnc_nanoseconds();
        status = self->net.typed->epoch(self->fit, &loss[done]);
        if (status != NNC_OK) break;
        seconds[done] = 1e-9 * (double)(nnc_nanoseconds() - start);
        lost = !isfinite(loss[done]);
    }
    PyEval_RestoreThread(self->thread);
    self->busy = 0;
    if (PyErr_Occurred() || nnc_raise("Fit.epochs", status) < 0) return NULL;
    PyObject *epochs = PyList_New(done);
    for (Py_ssize_t i = 0; epochs && i < done; i++) {
        PyObject *epoch = Py_BuildValue("dd", loss[i], seconds[i]);
        if (epoch)
            PyList_SET_ITEM(epochs, i, epoch);
        else
            Py_CLEAR(epochs);
    }
    return epochs;
}

static int check_y(const network *net, PyObject *object) {
    PyArrayObject *y = (PyArrayObject *)object;
    npy_intp n = net->sizes[net->layers], r = net->X.r;
    if (PyArray_Check(object) && PyArray_NDIM(y) == 1 && PyArray_DIM(y, 0) == r) {
        if (PyArray_EquivTypenums(PyArray_TYPE(y), NPY_INTP) && PyArray_ISCARRAY_RO(y)) return 0;
    } else if (PyArray_Check(object) && PyArray_NDIM(y) == 2 && PyArray_DIM(y, 0) == n && PyArray_DIM(y, 1) == r) {
        if (PyArray_TYPE(y) == net->type && nnc_in_elements(y)) return 0;
    }
    PyErr_Format(PyExc_ValueError, "Fit: y must be labels, a C-contiguous intp array of shape (%zd,), or targets, an "
                                   "aligned array of the network's dtype and of shape (%zd, %zd)",
                 (Py_ssize_t)r, (Py_ssize_t)n, (Py_ssize_t)r);
    return -1;
}

static int fit_open(Fit *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"weights", "biases", "activations", "slope", "mean", "std", "X", "y", "batch_size", "lr",
                            "momentum", "shuffle", "seed", NULL};
    PyObject *net[6], *y, *seed;
    double slope;
    nnc_fit_options options = {.poll = poll_signals, .poll_arg = self};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOdOOOOnddpO!:Fit", names, &net[0], &net[1], &net[2], &slope,
                                     &net[3], &net[4], &net[5], &y, &options.batch_size, &options.lr, &options.momentum,
                                     &options.shuffle, &PyLong_Type, &seed))
        return -1;
    options.seed = PyLong_AsUnsignedLongLong(seed);
    if (PyErr_Occurred()) return -1;
    if (nnc_network_read(&self->net, "Fit", net, slope, 1) < 0 || check_y(&self->net, y) < 0) return -1;
    return nnc_raise("Fit", self->net.typed->open(&self->fit, &self->net, (PyArrayObject *)y, &options));
}

static PyObject *fit_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *self = type->tp_alloc(type, 0);
    if (self && fit_open((Fit *)self, args, kwargs) < 0) Py_CLEAR(self);
    return self;
}

static void fit_dealloc(PyObject *object) {
    Fit *self = (Fit *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->fit) self->net.typed->close(self->fit);
    nnc_network_free(&self->net);
    type->tp_free(object);
    Py_DECREF(type);
}

/* There is no tp_clear: the engine points into the arrays until the end, and a cycle through one of them always passes
 * through something else (the array's __dict__, say) that the collector can clear. */
static int fit_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((Fit *)object)->net.arrays);
    return 0;
}

static PyMethodDef fit_methods[] = {
    {"epochs", fit_epochs, METH_O,
     "epochs(count): as many passes over all examples, but at most 64 a call and none after one that lost its numbers; "
     "a list of (the mean loss of the examples as they were seen, seconds) for each."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot fit_slots[] = {
    {Py_tp_doc, "Fit(weights, biases, activations, slope, mean, std, X, y, batch_size, lr, momentum, shuffle, seed)\n\n"
                "A training in progress. It writes into the given weights and biases."},
    {Py_tp_new, (void *)fit_new},
    {Py_tp_dealloc, (void *)fit_dealloc},
    {Py_tp_traverse, (void *)fit_traverse},
    {Py_tp_methods, fit_methods},
    {0, NULL},
};

static PyType_Spec fit_spec = {
    .name = "nnc._engine.Fit",
    .basicsize = sizeof(Fit),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = fit_slots,
};

int nnc_add_fit_type(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &fit_spec, NULL);
    int result = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return result;
}

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
    static char *names[] = {"weights", "biases", "activations", "slope", "mean", "std", "X", NULL};
    PyObject *given[6];
    double slope;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOdOOO:predict", names, &given[0], &given[1], &given[2], &slope,
                                     &given[3], &given[4], &given[5]))
        return NULL;
    network net = {0};
    PyObject *P = nnc_network_read(&net, "predict", given, slope, 0) < 0 ? NULL : predict(&net);
    nnc_network_free(&net);
    return P;
}
