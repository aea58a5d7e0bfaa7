/* fit.c - Fit, a training in progress, some epochs a call; and predict. The GIL is released while the engine works. */
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
    PyObject *state; /* a tuple of the arrays that the optimizer's state is in, or NULL */
    PyObject *reduce, *sum; /* of a data-parallel training: called after each batch to add up `sum`; or NULL */
    double penalty;  /* of the last epoch */
    int busy;              /* guarded by the GIL */
    PyThreadState *thread; /* of the call of epochs that is going on, which has released the GIL */
} Fit;

/* The engine asks now and then whether to stop; Ctrl-C arrives here, as the exception of its signal handler. */
static int poll_signals(void *arg) {
    Fit *self = arg;
    PyEval_RestoreThread(self->thread);
    int stop = PyErr_CheckSignals();
    self->thread = PyEval_SaveThread();
    return stop;
}

/* The call that adds up the gradients of all processes. What a signal's handler raised just before must not stop it:
 * the other processes wait for this one, and hear of its wish to stop by that sum. */
static int reduce(void *arg) {
    Fit *self = arg;
    PyObject *type, *value, *traceback;
    PyEval_RestoreThread(self->thread);
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *result = PyObject_CallNoArgs(self->reduce);
    const int failed = result == NULL;
    Py_XDECREF(result);
    if (type) PyErr_Restore(type, value, traceback);
    self->thread = PyEval_SaveThread();
    return failed;
}

/* What is to change before the epochs: lr and order, each of which may be None. */
static int take_changes(Fit *self, PyObject *lr, PyObject *order) {
    const double rate = lr == Py_None ? 0 : PyFloat_AsDouble(lr);
    if (PyErr_Occurred()) return -1;
    if (order != Py_None) {
        PyArrayObject *array = (PyArrayObject *)order;
        if (!nnc_is_plain(order, NPY_INTP, 0) || PyArray_NDIM(array) != 1 || PyArray_DIM(array, 0) != self->net.X.r) {
            PyErr_Format(PyExc_ValueError, "Fit.epochs: order must be a C-contiguous intp array of shape (%zd,)",
                         (Py_ssize_t)self->net.X.r);
            return -1;
        }
        if (self->net.typed->set_order(self->fit, PyArray_DATA(array)) != NNC_OK) {
            PyErr_Format(PyExc_ValueError, "Fit.epochs: order must hold indices in 0 .. %zd",
                         (Py_ssize_t)self->net.X.r - 1);
            return -1;
        }
    }
    if (lr != Py_None) self->net.typed->set_lr(self->fit, rate);
    return 0;
}

/* Between two epochs nothing needs Python, and to go there and back takes as long as some steps of a small network. */
static PyObject *fit_epochs(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"count", "lr", "order", NULL};
    Fit *self = (Fit *)object;
    PyObject *count, *lr = Py_None, *order = Py_None;
    double loss[AT_ONCE], seconds[AT_ONCE];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:epochs", names, &count, &lr, &order)) return NULL;
    const Py_ssize_t wanted = PyNumber_AsSsize_t(count, PyExc_OverflowError);
    if (wanted < 1) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "Fit.epochs: count is %zd, but it must be at least 1", wanted);
        return NULL;
    }
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Fit.epochs: this training is running already, in another thread or further up");
        return NULL;
    }
    if (take_changes(self, lr, order) < 0) return NULL;
    nnc_status status = NNC_OK;
    Py_ssize_t done = 0;
    self->busy = 1;
    self->thread = PyEval_SaveThread();
    for (int lost = 0; !lost && done < wanted && done < AT_ONCE; done++) {
        const int64_t start = nnc_nanoseconds();
        nnc_epoch result;
        status = self->net.typed->epoch(self->fit, &result);
        if (status != NNC_OK) break;
        seconds[done] = 1e-9 * (double)(nnc_nanoseconds() - start);
        loss[done] = result.loss, self->penalty = result.penalty;
        lost = !isfinite(loss[done]);
    }
    PyEval_RestoreThread(self->thread);
    self->busy = 0;
    const int by_another = status == NNC_INTERRUPTED && self->reduce;
    if (PyErr_Occurred() || (!by_another && nnc_raise("Fit.epochs", status) < 0)) return NULL;
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

static PyObject *fit_steps(PyObject *object, void *Py_UNUSED(closure)) {
    Fit *self = (Fit *)object;
    return PyLong_FromLongLong(self->net.typed->steps(self->fit));
}

static PyObject *fit_penalty(PyObject *object, void *Py_UNUSED(closure)) {
    return PyFloat_FromDouble(((Fit *)object)->penalty);
}

static int check_y(const network *net, PyObject *object) {
    PyArrayObject *y = (PyArrayObject *)object;
    npy_intp n = net->sizes[net->layers], r = net->X.r;
    if (PyArray_Check(object) && PyArray_NDIM(y) == 1 && PyArray_DIM(y, 0) == r &&
        net->loss == NNC_CROSS_ENTROPY) {
        if (PyArray_EquivTypenums(PyArray_TYPE(y), NPY_INTP) && PyArray_ISCARRAY_RO(y)) return 0;
    } else if (PyArray_Check(object) && PyArray_NDIM(y) == 2 && PyArray_DIM(y, 0) == n && PyArray_DIM(y, 1) == r) {
        if (PyArray_TYPE(y) == net->type && nnc_in_elements(y)) return 0;
    }
    PyErr_Format(PyExc_ValueError, "Fit: y must be labels, a C-contiguous intp array of shape (%zd,), or targets, an "
                                   "aligned array of the network's dtype and of shape (%zd, %zd)",
                 (Py_ssize_t)r, (Py_ssize_t)n, (Py_ssize_t)r);
    return -1;
}

static int read_optimizer(nnc_fit_options *options, PyObject *name) {
    static const char *const names[] = {
#define NNC_OPTIMIZER(id, name, states, corrects) [id] = #name,
#include "../optimizers.inc"
        [NNC_GRADIENT] = "gradient",
    };
    options->optimizer = options->beta1 != 0 ? NNC_MOMENTUM : NNC_SGD;
    if (name == Py_None) return 0;
    for (int i = 0; PyUnicode_Check(name) && i < (int)(sizeof names / sizeof *names); i++)
        if (PyUnicode_CompareWithASCIIString(name, names[i]) == 0) {
            options->optimizer = (nnc_optimizer)i;
            return 0;
        }
    PyErr_Format(PyExc_ValueError, "Fit: there is no optimizer %R", name);
    return -1;
}

static int check_weights(const network *net, PyObject *weights, Py_ssize_t total) {
    if (weights == Py_None || (nnc_is_plain(weights, net->type, 0) && PyArray_NDIM((PyArrayObject *)weights) == 1 &&
                               PyArray_DIM((PyArrayObject *)weights, 0) == total))
        return 0;
    PyErr_Format(PyExc_ValueError, "Fit: sample_weight must be a C-contiguous array of the network's dtype, of shape "
                                   "(%zd,)",
                 (Py_ssize_t)total);
    return -1;
}

/* What adds up the gradients of several processes, and the array that it adds up. */
static int read_reduce(Fit *self, nnc_fit_options *options, PyObject *function, PyObject *sum) {
    Py_ssize_t count = 1;
    if (function == Py_None) {
        options->first = 0, options->total = self->net.X.r;
        return 0;
    }
    for (Py_ssize_t l = 0; l < self->net.layers; l++)
        count += (self->net.sizes[l] + 1) * self->net.sizes[l + 1];
    if (!PyCallable_Check(function) || !nnc_is_plain(sum, self->net.type, 1) ||
        PyArray_SIZE((PyArrayObject *)sum) != count) {
        PyErr_Format(PyExc_ValueError, "Fit: reduce must be a function, and sum a C-contiguous array of the network's "
                                       "dtype and of %zd numbers",
                     count);
        return -1;
    }
    self->reduce = Py_NewRef(function), self->sum = Py_NewRef(sum);
    options->reduce = reduce, options->reduce_arg = self, options->sum = PyArray_DATA((PyArrayObject *)sum);
    return 0;
}

/* The state as a tuple of checked arrays; NULL without an exception if there is none. */
static PyObject *read_state(const network *net, PyObject *given, int states) {
    if (given == Py_None) return NULL;
    PyObject *state = PySequence_Tuple(given);
    if (state == NULL) return NULL;
    const Py_ssize_t each = 2 * net->layers;
    int fits = PyTuple_GET_SIZE(state) == states * each;
    for (Py_ssize_t i = 0; fits && i < states * each; i++) {
        PyObject *item = PyTuple_GET_ITEM(state, i);
        PyArrayObject *like = (PyArrayObject *)PyTuple_GET_ITEM(net->arrays, i % each);
        fits = nnc_is_plain(item, net->type, 1) && PyArray_SAMESHAPE((PyArrayObject *)item, like);
    }
    if (fits) return state;
    Py_DECREF(state);
    PyErr_Format(PyExc_ValueError, "Fit: the optimizer's state does not fit the network: it must be %zd arrays like "
                                   "the weights and biases",
                 states * each);
    return NULL;
}

static int fit_open(Fit *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"weights", "biases", "activations", "slope", "mean", "std", "X", "y", "batch_size", "lr",
                            "momentum", "shuffle", "seed", "loss", "sample_weight", "optimizer", "beta2", "eps",
                            "eps_after", "weight_decay", "decay_is_shared", "penalty", "state", "steps", "first",
                            "total", "sum", "reduce", NULL};
    PyObject *net[6], *y, *seed, *loss = NULL, *weights = Py_None, *optimizer = Py_None, *state = Py_None;
    PyObject *sum = Py_None, *function = Py_None;
    double slope;
    long long steps = 0;
    nnc_fit_options options = {.beta2 = 0.999, .eps = 1e-8, .poll = poll_signals, .poll_arg = self};
    static const char format[] = "OOOdOOOOnddpO!|OOOddpdppOLnnOO:Fit";
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, format, names, &net[0], &net[1], &net[2], &slope, &net[3], &net[4],
                                     &net[5], &y, &options.batch_size, &options.lr, &options.beta1, &options.shuffle,
                                     &PyLong_Type, &seed, &loss, &weights, &optimizer, &options.beta2, &options.eps,
                                     &options.eps_after, &options.weight_decay, &options.decay_is_shared,
                                     &options.penalty, &state, &steps, &options.first, &options.total, &sum, &function))
        return -1;
    options.seed = PyLong_AsUnsignedLongLong(seed);
    options.steps = steps;
    if (PyErr_Occurred() || read_optimizer(&options, optimizer) < 0) return -1;
    PyObject *name = loss ? Py_NewRef(loss) : PyUnicode_FromString("cross_entropy");
    const int read = name ? nnc_network_read(&self->net, "Fit", net, slope, name, 1) : -1;
    Py_XDECREF(name);
    if (read < 0 || read_reduce(self, &options, function, sum) < 0 || check_y(&self->net, y) < 0 ||
        check_weights(&self->net, weights, options.total) < 0)
        return -1;
    self->state = read_state(&self->net, state, nnc_optimizer_states(options.optimizer));
    if (PyErr_Occurred()) return -1;
    return nnc_raise("Fit", self->net.typed->open(&self->fit, &self->net, (PyArrayObject *)y,
                                                  weights == Py_None ? NULL : (PyArrayObject *)weights, self->state,
                                                  &options));
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
    Py_XDECREF(self->state);
    Py_XDECREF(self->reduce);
    Py_XDECREF(self->sum);
    type->tp_free(object);
    Py_DECREF(type);
}

/* There is no tp_clear: the engine points into the arrays until the end, and a cycle through one of them always passes
 * through something else (the array's __dict__, say) that the collector can clear. */
static int fit_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((Fit *)object)->net.arrays);
    Py_VISIT(((Fit *)object)->state);
    Py_VISIT(((Fit *)object)->reduce);
    Py_VISIT(((Fit *)object)->sum);
    return 0;
}

static PyMethodDef fit_methods[] = {
    {"epochs", (PyCFunction)(void (*)(void))fit_epochs, METH_VARARGS | METH_KEYWORDS,
     "epochs(count, lr=None, order=None): as many passes over all examples, but at most 64 a call and none after one "
     "that lost its numbers, or once another process stops the training; a list of (the mean loss of the examples "
     "as they were seen, seconds) for each. From here on lr is the learning rate, and order, intp (r,), the "
     "order of the examples (which a shuffle starts from)."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef fit_attributes[] = {
    {"steps", fit_steps, NULL, "How many steps the optimizer's state has taken.", NULL},
    {"penalty", fit_penalty, NULL, "What the weight decay added to J in the last epoch, if it was asked for.", NULL},
    {0},
};

static PyType_Slot fit_slots[] = {
    {Py_tp_doc,
     "Fit(weights, biases, activations, slope, mean, std, X, y, batch_size, lr, momentum, shuffle, seed, \n"
     "    loss='cross_entropy', sample_weight=None, optimizer=None, beta2=0.999, eps=1e-8, eps_after=False, \n"
     "    weight_decay=0, decay_is_shared=False, penalty=False, state=None, steps=0, first=0, total=0, sum=None, \n"
     "    reduce=None)\n\n"
     "A training in progress. It writes into the given weights, biases and state (csrc/nnc.h says what each option\n"
     "means; momentum is beta1). Of the optimizer 'gradient' the state is the gradient, and nothing else is written.\n"
     "With reduce, a function without arguments, it is one of several processes that train together."},
    {Py_tp_new, (void *)fit_new},
    {Py_tp_dealloc, (void *)fit_dealloc},
    {Py_tp_traverse, (void *)fit_traverse},
    {Py_tp_methods, fit_methods},
    {Py_tp_getset, fit_attributes},
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
