/* backward.c - the walk through a graph of nodes (nnc/graph.py), from the last node to the first.
 *
 * ancestors() says which nodes there are, in the order in which they are visited; flow() visits them. At each node it
 * asks the node's rule for the gradient of every input, and adds up what an input gets from several nodes. The
 * mathematics stays in Python, and so does what is rare: `fit` for an operand that NumPy repeated, `add` for an input
 * of several nodes. values() is of use on the way there, when a node is made. What is here took longer in Python than
 * the calculation itself, on small arrays. */
#include "glue.h"

#include <stdlib.h>

/* What is known of a node: the names of its attributes, and of its rule's. */
static struct {
    PyObject *value, *inputs, *params, *args, *serial, *rule, *vjps;
} names;

int nnc_name_attributes(void) {
    return (names.value = PyUnicode_InternFromString("value")) &&
                   (names.inputs = PyUnicode_InternFromString("inputs")) &&
                   (names.params = PyUnicode_InternFromString("params")) &&
                   (names.args = PyUnicode_InternFromString("_args")) &&
                   (names.serial = PyUnicode_InternFromString("_serial")) &&
                   (names.rule = PyUnicode_InternFromString("_rule")) &&
                   (names.vjps = PyUnicode_InternFromString("vjps"))
               ? 0
               : -1;
}

/* An attribute that must be what Node made it, since what follows takes it apart unasked. */
static PyObject *tuple_of(PyObject *node, PyObject *name) {
    PyObject *tuple = PyObject_GetAttr(node, name);
    if (tuple && !PyTuple_CheckExact(tuple)) {
        PyErr_Format(PyExc_TypeError, "backward: a Node's %U is no tuple any more", name);
        Py_CLEAR(tuple);
    }
    return tuple;
}

static int is_node(PyObject *x, PyObject *type) { return PyObject_TypeCheck(x, (PyTypeObject *)type); }

/* On the way there: a tuple of the operands, with its value for a Node, or None if one is of no type in the set. */
PyObject *nnc_values(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    if (count != 3 || !PyType_Check(args[0]) || !PyTuple_CheckExact(args[1]) || !PyAnySet_Check(args[2]))
        return PyErr_Format(PyExc_TypeError, "values(Node, a tuple of operands, a set of types)");
    PyObject *operands = args[1], *values = PyTuple_New(PyTuple_GET_SIZE(operands));
    for (Py_ssize_t i = 0; values && i < PyTuple_GET_SIZE(operands); i++) {
        PyObject *x = PyTuple_GET_ITEM(operands, i);
        const int node = is_node(x, args[0]), known = node ? 1 : PySet_Contains(args[2], (PyObject *)Py_TYPE(x));
        PyObject *value = NULL;
        if (known > 0) value = node ? PyObject_GetAttr(x, names.value) : Py_NewRef(x);
        if (value)
            PyTuple_SET_ITEM(values, i, value);
        else if (known == 0)
            Py_SETREF(values, Py_NewRef(Py_None));
        else
            Py_CLEAR(values);
        if (known == 0) break;
    }
    return values;
}

/* ---- the order --------------------------------------------------------------------------------------------------- */

typedef struct numbered {
    long long serial; /* greater than that of everything that went into the node */
    PyObject *node;
} numbered;

typedef struct node_list {
    numbered *nodes;
    Py_ssize_t count, room;
} node_list;

/* Append the node, unless it has been seen; `seen` keeps it alive. */
static int note(node_list *list, PyObject *seen, PyObject *node) {
    const int known = PySet_Contains(seen, node);
    if (known) return known < 0 ? -1 : 0;
    if (list->count == list->room) {
        const Py_ssize_t room = 2 * list->room + 32;
        numbered *nodes = PyMem_Realloc(list->nodes, (size_t)room * sizeof *nodes);
        if (nodes == NULL) return PyErr_NoMemory(), -1;
        list->nodes = nodes;
        list->room = room;
    }
    PyObject *serial = PyObject_GetAttr(node, names.serial);
    const long long number = serial ? PyLong_AsLongLong(serial) : -1;
    Py_XDECREF(serial);
    if (number == -1 && PyErr_Occurred()) return -1;
    list->nodes[list->count++] = (numbered){number, node};
    return PySet_Add(seen, node);
}

static int note_inputs(node_list *list, PyObject *seen, PyObject *node, PyObject *type) {
    PyObject *inputs = tuple_of(node, names.inputs);
    if (inputs == NULL) return -1;
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(inputs); i++)
        if (is_node(PyTuple_GET_ITEM(inputs, i), type)) result = note(list, seen, PyTuple_GET_ITEM(inputs, i));
    Py_DECREF(inputs);
    return result;
}

static int latest_first(const void *a, const void *b) {
    const long long x = ((const numbered *)a)->serial, y = ((const numbered *)b)->serial;
    return (x < y) - (x > y);
}

PyObject *nnc_ancestors(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *type, *last, *seen = NULL, *found = NULL;
    node_list list = {NULL, 0, 0};
    if (!PyArg_ParseTuple(args, "O!O:ancestors", &PyType_Type, &type, &last)) return NULL;
    if ((seen = PySet_New(NULL)) == NULL || note(&list, seen, last) < 0) goto done;
    for (Py_ssize_t i = 0; i < list.count; i++) /* the list grows meanwhile */
        if (note_inputs(&list, seen, list.nodes[i].node, type) < 0) goto done;
    qsort(list.nodes, (size_t)list.count, sizeof *list.nodes, latest_first);
    found = PyList_New(list.count);
    for (Py_ssize_t i = 0; found && i < list.count; i++) PyList_SET_ITEM(found, i, Py_NewRef(list.nodes[i].node));
done:
    PyMem_Free(list.nodes);
    Py_XDECREF(seen);
    return found;
}

/* ---- the gradients ----------------------------------------------------------------------------------------------- */

typedef struct walk {
    PyObject *type;      /* Node */
    PyObject *between;   /* the set of the nodes that get a gradient, or None: all */
    PyObject *lead;      /* the shape of the axes that gradients have in front of their nodes' own */
    PyObject *fit, *add; /* fit(c, value, lead): c as the gradient of value; add(a, b, may it write into a, into b) */
    PyObject *gradients; /* {node: gradient}, what flow() returns */
    PyObject *shared;    /* the nodes whose gradient is the very one of another node */
} walk;

static int is_view(PyObject *c) { return PyArray_Check(c) && PyArray_BASE((PyArrayObject *)c) != NULL; }

/* Is c of the shape and dtype of the value? That it says no where NumPy would say yes costs a call of `fit`. */
static int fits(PyObject *c, PyObject *value) {
    if (!PyArray_Check(c) || !PyArray_Check(value)) return Py_TYPE(c) == Py_TYPE(value);
    PyArrayObject *a = (PyArrayObject *)c, *b = (PyArrayObject *)value;
    return PyArray_DESCR(a) == PyArray_DESCR(b) && PyArray_SAMESHAPE(a, b);
}

/* The input x gets c, from a node whose own gradient is g. */
static int give(walk *w, PyObject *x, PyObject *c, PyObject *g) {
    PyObject *before = PyDict_GetItemWithError(w->gradients, x);
    if (before == NULL) {
        if (PyErr_Occurred() || (c == g && PySet_Add(w->shared, x) < 0)) return -1;
        return PyDict_SetItem(w->gradients, x, c);
    }
    const int is_shared = PySet_Discard(w->shared, x);
    if (is_shared < 0) return -1;
    PyObject *sum = PyObject_CallFunctionObjArgs(w->add, before, c, is_shared || is_view(before) ? Py_False : Py_True,
                                                 c == g || is_view(c) ? Py_False : Py_True, NULL);
    const int result = sum ? PyDict_SetItem(w->gradients, x, sum) : -1;
    Py_XDECREF(sum);
    return result;
}

/* The gradient that goes back to the i-th operand, by the i-th vector-Jacobian product of the node's rule. */
static PyObject *product(PyObject *vjps, Py_ssize_t i, PyObject *arguments, PyObject *params) {
    PyObject *place = PyLong_FromSsize_t(i);
    PyObject *vjp = place ? PyObject_GetItem(vjps, place) : NULL;
    PyObject *c = vjp ? PyObject_Call(vjp, arguments, params) : NULL;
    Py_XDECREF(vjp);
    Py_XDECREF(place);
    return c;
}

static int pass_to(walk *w, PyObject *x, PyObject *c, PyObject *g) {
    PyObject *value = c ? PyObject_GetAttr(x, names.value) : NULL;
    if (value && !fits(c, value)) Py_SETREF(c, PyObject_CallFunctionObjArgs(w->fit, c, value, w->lead, NULL));
    const int result = value && c ? give(w, x, c, g) : -1;
    Py_XDECREF(value);
    Py_XDECREF(c);
    return result;
}

/* (g, the node's value, its operands): what a vector-Jacobian product is called with. */
static PyObject *arguments_of(PyObject *g, PyObject *value, PyObject *operands) {
    const Py_ssize_t n = PyTuple_GET_SIZE(operands);
    PyObject *arguments = PyTuple_New(2 + n);
    if (arguments == NULL) return NULL;
    PyTuple_SET_ITEM(arguments, 0, Py_NewRef(g));
    PyTuple_SET_ITEM(arguments, 1, Py_NewRef(value));
    for (Py_ssize_t i = 0; i < n; i++) PyTuple_SET_ITEM(arguments, 2 + i, Py_NewRef(PyTuple_GET_ITEM(operands, i)));
    return arguments;
}

/* A leaf's gradient is the caller's own: no other node's, and no view. */
static int own(walk *w, PyObject *leaf, PyObject *g) {
    const int is_shared = PySet_Contains(w->shared, leaf);
    if (is_shared < 0 || !PyArray_Check(g) || !(is_shared || is_view(g))) return is_shared < 0 ? -1 : 0;
    PyObject *copy = PyArray_NewCopy((PyArrayObject *)g, NPY_CORDER);
    const int result = copy ? PyDict_SetItem(w->gradients, leaf, copy) : -1;
    Py_XDECREF(copy);
    return result;
}

static int visit_inputs(walk *w, PyObject *node, PyObject *inputs, PyObject *g) {
    PyObject *params = PyObject_GetAttr(node, names.params);
    PyObject *operands = params ? tuple_of(node, names.args) : NULL;
    PyObject *value = operands ? PyObject_GetAttr(node, names.value) : NULL;
    PyObject *rule = value ? PyObject_GetAttr(node, names.rule) : NULL;
    PyObject *vjps = rule ? PyObject_GetAttr(rule, names.vjps) : NULL;
    PyObject *arguments = vjps ? arguments_of(g, value, operands) : NULL;
    int result = arguments ? 0 : -1;
    if (result == 0 && !PyDict_CheckExact(params)) {
        PyErr_SetString(PyExc_TypeError, "backward: a Node's params are no dict any more");
        result = -1;
    }
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(inputs); i++) {
        PyObject *x = PyTuple_GET_ITEM(inputs, i);
        int wanted = is_node(x, w->type);
        if (wanted && w->between != Py_None) wanted = PySet_Contains(w->between, x);
        if (wanted) result = wanted < 0 ? -1 : pass_to(w, x, product(vjps, i, arguments, params), g);
    }
    Py_XDECREF(params);
    Py_XDECREF(operands);
    Py_XDECREF(value);
    Py_XDECREF(rule);
    Py_XDECREF(vjps);
    Py_XDECREF(arguments);
    return result;
}

static int visit(walk *w, PyObject *node) {
    PyObject *g = PyObject_GetItem(w->gradients, node), *inputs = g ? tuple_of(node, names.inputs) : NULL;
    int result = -1;
    if (inputs) result = PyTuple_GET_SIZE(inputs) ? visit_inputs(w, node, inputs, g) : own(w, node, g);
    Py_XDECREF(inputs);
    Py_XDECREF(g);
    return result;
}

PyObject *nnc_flow(PyObject *Py_UNUSED(module), PyObject *args) {
    walk w = {.type = NULL};
    PyObject *nodes, *seed;
    if (!PyArg_ParseTuple(args, "O!O!OOOOO:flow", &PyType_Type, &w.type, &PyList_Type, &nodes, &seed, &w.between,
                          &w.lead, &w.fit, &w.add))
        return NULL;
    w.gradients = PyDict_New();
    w.shared = PySet_New(NULL);
    PyObject *first = PyList_GetItem(nodes, 0);
    int result = first && w.gradients && w.shared ? PyDict_SetItem(w.gradients, first, seed) : -1;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(nodes); i++)
        result = visit(&w, PyList_GET_ITEM(nodes, i));
    Py_XDECREF(w.shared);
    if (result < 0) Py_CLEAR(w.gradients);
    return w.gradients;
}
