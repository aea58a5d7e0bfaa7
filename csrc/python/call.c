/* call.c - a function of NumPy called with Nodes: which of its arguments are operands, and which are parameters.
 *
 * call() is _apply() for arguments as NumPy has them. A row of the table in nnc/autodiff/operations.py tells how many
 * operands there are, by its vjps, and names what comes after them; a "-" is an argument that Nodes cannot have. */
#include "node.h"

static PyObject *attribute(PyObject *rule, PyObject **name, const char *text) {
    if (*name == NULL && (*name = PyUnicode_InternFromString(text)) == NULL) return NULL;
    return PyObject_GetAttr(rule, *name);
}

static int refuse(PyObject *rule, PyObject *name) {
    PyObject *error = PyObject_CallMethod(rule, "refused", "O", name);
    if (error && PyExceptionInstance_Check(error)) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_XDECREF(error);
    return -1;
}

/* Of an argument that Nodes cannot have, None is as if it were not there. */
static int set_param(PyObject *params, PyObject *rule, PyObject *names, PyObject *name, PyObject *value) {
    const int known = PyUnicode_CompareWithASCIIString(name, "-") ? PySequence_Contains(names, name) : 0;
    if (known > 0) return PyDict_SetItem(params, name, value);
    return known < 0 ? -1 : value == Py_None ? 0
                                             : refuse(rule, name);
}

/* What follows the first `count` arguments, by its names. */
static PyObject *params_of(rule_object *row, Py_ssize_t count, PyObject *args, PyObject *keywords) {
    static PyObject *none; /* for an argument by position that comes after all names */
    if (none == NULL && (none = PyUnicode_InternFromString("-")) == NULL) return NULL;
    PyObject *rule = (PyObject *)row, *names = row->params, *params = PyDict_New(), *name, *value;
    int result = params ? 0 : -1;
    for (Py_ssize_t i = count; result == 0 && i < PyTuple_GET_SIZE(args); i++) {
        const Py_ssize_t k = i - count;
        name = k < PyTuple_GET_SIZE(names) ? PyTuple_GET_ITEM(names, k) : none;
        result = set_param(params, rule, names, name, PyTuple_GET_ITEM(args, i));
    }
    for (Py_ssize_t i = 0; result == 0 && PyDict_Next(keywords, &i, &name, &value);)
        result = set_param(params, rule, names, name, value);
    if (result < 0) Py_CLEAR(params);
    return params;
}

static PyObject *apply(rule_object *rule, PyObject *operands, PyObject *params) {
    PyObject *arguments[] = {(PyObject *)rule, operands, params};
    return operands && params ? nnc_apply(NULL, arguments, 3) : NULL;
}

/* A function of any number of arrays says by `takes` what its arguments are: (arrays, params). */
static PyObject *apply_to_many(rule_object *rule, PyObject *args, PyObject *keywords) {
    PyObject *taken = PyObject_Call(rule->takes, args, keywords), *node = NULL;
    if (taken && PyTuple_CheckExact(taken) && PyTuple_GET_SIZE(taken) == 2)
        node = apply(rule, PyTuple_GET_ITEM(taken, 0), PyTuple_GET_ITEM(taken, 1));
    else if (taken)
        PyErr_SetString(PyExc_TypeError, "call: takes(...) is not (arrays, params)");
    Py_XDECREF(taken);
    return node;
}

static PyObject *apply_to_few(rule_object *rule, PyObject *args, PyObject *keywords) {
    const Py_ssize_t count = PySequence_Size(rule->vjps);
    PyObject *operands = count < 0 ? NULL : PyTuple_GetSlice(args, 0, count);
    PyObject *params = count < 0 ? NULL : params_of(rule, count, args, keywords);
    PyObject *node = apply(rule, operands, params);
    Py_XDECREF(operands);
    Py_XDECREF(params);
    return node;
}

/* call(rule, args, keywords); a function instead of a rule is made of other operations, and is called itself. */
PyObject *nnc_call(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    if (count != 3 || !PyTuple_CheckExact(arguments[1]) || !PyDict_CheckExact(arguments[2]))
        return PyErr_Format(PyExc_TypeError, "call(rule, a tuple of arguments, a dict of keywords)");
    PyObject *args = arguments[1], *keywords = arguments[2];
    if (PyCallable_Check(arguments[0])) return PyObject_Call(arguments[0], args, keywords);
    rule_object *rule = nnc_rule(arguments[0]);
    if (rule == NULL) return NULL;
    return rule->takes == Py_None ? apply_to_few(rule, args, keywords) : apply_to_many(rule, args, keywords);
}

/* node.__array_ufunc__(ufunc, "__call__", *operands), which is most of the calls; the others go to _array_ufunc. */
PyObject *nnc_array_ufunc(PyObject *node, PyObject *args, PyObject *keywords) {
    static PyObject *ufuncs_name, *other_name;
    const Py_ssize_t count = PyTuple_GET_SIZE(args);
    const int is_call = count > 2 && PyUnicode_Check(PyTuple_GET_ITEM(args, 1)) &&
                        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(args, 1), "__call__") == 0;
    PyObject *rules = attribute(node, &ufuncs_name, "_ufuncs"), *rule = NULL, *result = NULL;
    if (rules == NULL) return NULL;
    if (is_call && (keywords == NULL || PyDict_GET_SIZE(keywords) == 0) && PyDict_CheckExact(rules))
        rule = Py_XNewRef(PyDict_GetItemWithError(rules, PyTuple_GET_ITEM(args, 0)));
    Py_DECREF(rules);
    if (rule) {
        PyObject *arguments[] = {rule, PyTuple_GetSlice(args, 2, count)};
        result = arguments[1] ? nnc_apply(NULL, arguments, 2) : NULL;
        Py_XDECREF(arguments[1]);
        Py_DECREF(rule);
    } else if (!PyErr_Occurred()) {
        PyObject *other = attribute(node, &other_name, "_array_ufunc");
        result = other ? PyObject_Call(other, args, keywords) : NULL;
        Py_XDECREF(other);
    }
    return result;
}
