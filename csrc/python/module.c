/* module.c - nnc._engine: the ufuncs, labels, Fit, predict, Nodes and the traversal of their graph, and what is known
 * of the machine. */
#define NNC_PYTHON_MODULE
#include "glue.h"

#include <stdatomic.h>
#include <stdlib.h>

/* ---- the machine ------------------------------------------------------------------------------------------------- */

static PyObject *available_isas(void) {
    PyObject *names = PyList_New(0);
    for (int i = 0; names && nnc_available_isa(i); i++) {
        PyObject *name = PyUnicode_FromString(nnc_available_isa(i));
        if (name == NULL || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    if (names) Py_SETREF(names, PyList_AsTuple(names));
    return names;
}

static PyObject *cpu_info(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    PyObject *isas = available_isas();
    return isas ? Py_BuildValue("{s:s,s:N,s:i,s:i}", "isa", nnc_get_isa(), "available", isas,
                                "threads", nnc_get_num_threads(), "max_threads", nnc_max_threads())
                : NULL;
}

static PyObject *get_num_threads(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    return PyLong_FromLong(nnc_get_num_threads());
}

static PyObject *set_num_threads(PyObject *Py_UNUSED(module), PyObject *arg) {
    int overflow;
    long n = PyLong_AsLongAndOverflow(arg, &overflow);
    if (n == -1 && PyErr_Occurred()) return NULL;
    if (n < 1 && overflow <= 0) {
        PyErr_Format(PyExc_ValueError, "set_num_threads: n is %S, but it must be at least 1", arg);
        return NULL;
    }
    int max = nnc_max_threads();
    nnc_set_num_threads(overflow > 0 || n > max ? max : (int)n); /* from 1 on: it cannot fail */
    Py_RETURN_NONE;
}

static PyObject *core_to_core(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    return PyLong_FromLongLong(nnc_core_to_core());
}

static PyObject *set_core_to_core(PyObject *Py_UNUSED(module), PyObject *arg) {
    const long long nanoseconds = PyLong_AsLongLong(arg);
    if (nanoseconds == -1 && PyErr_Occurred()) return NULL;
    nnc_set_core_to_core(nanoseconds);
    Py_RETURN_NONE;
}

static PyObject *quota_cores(PyObject *Py_UNUSED(module), PyObject *root) {
    PyObject *path = NULL;
    if (!PyUnicode_FSConverter(root, &path)) return NULL;
    const int cores = nnc_quota_cores(PyBytes_AS_STRING(path));
    Py_DECREF(path);
    return PyLong_FromLong(cores);
}

/* ---- the environment, read once, at import ----------------------------------------------------------------------- */

static int choose_isa(void) {
    const char *name = getenv("NNC_ISA");
    if (name && !*name) name = NULL;
    if (nnc_set_isa(name) == NNC_OK) return 0;
    PyObject *isas = available_isas();
    if (isas) PyErr_Format(PyExc_ImportError, "NNC_ISA is '%s', but this machine and this build have %R", name, isas);
    Py_XDECREF(isas);
    return -1;
}

static int choose_threads(void) {
    const char *text = getenv("NNC_NUM_THREADS");
    if (!text || !*text) return 0;
    char *end;
    long n = strtol(text, &end, 10);
    if (*end || n < 1) {
        PyErr_Format(PyExc_ImportError, "NNC_NUM_THREADS is '%s', but it must be a whole number from 1 on "
                                        "(of which at most %d are used)",
                     text, nnc_max_threads());
        return -1;
    }
    int max = nnc_max_threads();
    nnc_set_num_threads(n > max ? max : (int)n); /* from 1 on: it cannot fail */
    return 0;
}

/* ---- the module (PEP 489) ---------------------------------------------------------------------------------------- */

/* What is kept between calls belongs to the interpreter that was the first to import the module. The slot below tells
 * that to Python from 3.12 on, which asks only for interpreters with their own lock. */
static int claim_interpreter(void) {
    static _Atomic int64_t owner = -1;
    int64_t expected = -1;
    const int64_t this_one = PyInterpreterState_GetID(PyInterpreterState_Get());
    if (atomic_compare_exchange_strong(&owner, &expected, this_one) || expected == this_one) return 0;
    PyErr_SetString(PyExc_ImportError, "nnc: another interpreter of this process has it, and it can be in one only");
    return -1;
}

static int module_exec(PyObject *module) {
    if (claim_interpreter() < 0) return -1;
    import_array1(-1);
    import_umath1(-1);
    if (choose_isa() < 0 || choose_threads() < 0) return -1;
    if (nnc_add_ufuncs(module) < 0 || nnc_add_direct_type(module) < 0 || nnc_add_node_type(module) < 0 ||
        nnc_add_rule_type(module) < 0 || nnc_add_fit_type(module) < 0 || nnc_add_names(module) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "MANY", NNC_MANY);
}

static PyMethodDef methods[] = {
    {"apply", (PyCFunction)(void (*)(void))nnc_apply, METH_FASTCALL,
     "apply(rule, operands, params={}): the Node that results from Nodes, arrays and numbers by a row of the table."},
    {"ancestors", nnc_ancestors, METH_O, "ancestors(y): y and all Nodes before it, the latest first."},
    {"backward", nnc_backward, METH_VARARGS,
     "backward(nodes, seed, batch_axes, unbroadcast, add, keep): {node: gradient}, or None if the "
     "nodes' grad is to keep them; see nnc.autodiff.node."},
    {"check_unchanged", nnc_check, METH_O,
     "check_unchanged(nodes): RuntimeError if something that one of them was computed from has changed since."},
    {"call", (PyCFunction)(void (*)(void))nnc_call, METH_FASTCALL,
     "call(rule, args, keywords): the same for the arguments of a NumPy function. A function instead of a rule is "
     "called itself."},
    {"part", (PyCFunction)(void (*)(void))nnc_part, METH_VARARGS | METH_KEYWORDS,
     "part(i, g, joined, *arrays, axis=0): the gradient of the i-th of the arrays, a view of g."},
    {"labels", (PyCFunction)(void (*)(void))nnc_read_labels, METH_FASTCALL,
     "labels(op, y, n, r): y as a C-contiguous intp array of shape (r,), each in 0..n-1, else ValueError naming op."},
    {"bad_targets", nnc_bad_targets, METH_VARARGS,
     "bad_targets(Y, tolerance): the first column of Y (n, r) whose sum is not 1 to within the tolerance, or -1."},
    {"predict", (PyCFunction)(void (*)(void))nnc_predict, METH_VARARGS | METH_KEYWORDS,
     "predict(weights, biases, activations, slope, mean, std, X): the probabilities P (n, r)."},
    {"predict_plain", (PyCFunction)(void (*)(void))nnc_predict_plain, METH_FASTCALL,
     "predict_plain(weights, biases, activations, slope, mean, std, X, loss, sizes, dtype): the same for a net as it "
     "was made, and X an array that the engine reads; else None."},
    {"argmax", nnc_argmax, METH_O,
     "argmax(P): the row of the largest number of each column of an array (n, r) of reals; None for anything else, or "
     "where there is a NaN."},
    {"step_rows", nnc_step_rows, METH_VARARGS,
     "step_rows(name, param, state0, state1, which, grad, squares, (lr, decay, beta1, beta2, correction1, correction2, "
     "eps, eps_after)): a step of a matrix whose gradient has these rows and zeros; sums of its squares before it."},
    {"cpu_info", cpu_info, METH_NOARGS, "cpu_info(): a dict of isa, available isas, threads, max_threads."},
    {"core_to_core", core_to_core, METH_NOARGS,
     "core_to_core(): nanoseconds of a message between two cores, from which the threads of a training step follow."},
    {"set_core_to_core", set_core_to_core, METH_O, "set_core_to_core(n): what they are instead; 0: measured again."},
    {"quota_cores", quota_cores, METH_O,
     "quota_cores(root): the cores that the CPU quotas of control groups leave, 0 for no quota; '' is the root of this "
     "machine, another one that of a tree to try it on."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "get_num_threads(): threads that large work is shared among."},
    {"set_num_threads", set_num_threads, METH_O, "set_num_threads(n): n >= 1, capped at the cores of this process."},
    {NULL, NULL, 0, NULL},
};

/* README.md, "What is kept between calls", says what the GIL guards, and why there is one interpreter only. */
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "nnc._engine",
    .m_doc = "The C engine of nnc as NumPy universal functions. nnc.functional is how people call it.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__engine(void);
PyMODINIT_FUNC PyInit__engine(void) { return PyModuleDef_Init(&definition); }
